"""Tables as they stand in a document's text: which lines are rows, and which row is the header.

A row is a line with cells divided by bars: Markdown and reStructuredText write "| a | b |", extraction writes "a | b". The
header is the table's first row. Rows of kind "table" name their columns themselves, and have none. Of some tables only the lines
around a row tell that it is one: those are called bare.
"""

import re
from collections.abc import Iterator

ROW_OF_TEXT = re.compile(r"\|.*\|")
ROW_OF_EXTRACTED = re.compile(r"(?!(?:#{1,6}|-) [^|\s]).*? \|(?: |$)")  # "# Title | Site" is a heading, "# | Name" a row
RULE = re.compile(r"(?=.*[|+])[|+]?[ \t]*:?[-=]{2}[-=:|+ \t]*$")
RULE_MARKS = ("|", "+", "-", "=", ":")
SIMPLE_RULE = re.compile(r"=+(?: +=+)+$")
LINE_END = re.compile(r"[\r\n]")
LONGEST_ROW = 20_000  # characters; what is longer is no row of a table
LONGEST_HEADER = 400
MOST_ROWS = 100_000  # looked back over, to find the first


def is_row(line: str, kind: str) -> bool:
    """Whether a line (white space at its ends left out) is a row of a table."""
    if kind in ("code", "table") or "|" not in line or len(line) > LONGEST_ROW:
        return False
    return (ROW_OF_EXTRACTED if kind == "html" else ROW_OF_TEXT).match(line) is not None


def is_rule(line: str) -> bool:
    """Whether a line divides the header of a table from its rows, or rows from each other: "|---|---|", "+----+----+"."""
    return len(line) <= LONGEST_ROW and ((line[:1] in RULE_MARKS and RULE.match(line)) or SIMPLE_RULE.match(line)) is not None


def begins_bare(line: str, below: str, kind: str) -> bool:
    """Whether a table begins here whose rows only their place tells from text: Markdown's without bars at the edges ("a | b" over
    "--- | ---"), and reStructuredText's simple table, under "==== ====". It ends where `goes_on_bare` is false."""
    if kind == "rst":
        return SIMPLE_RULE.match(line) is not None
    return kind == "markdown" and "|" in line and "|" in below and is_rule(below) and not is_rule(line)


def goes_on_bare(line: str, kind: str) -> bool:
    """Whether a line belongs to the table without bars that the line above belongs to."""
    return bool(line) if kind == "rst" else "|" in line


def header_span(text: str, kind: str, offset: int) -> tuple[int, int] | None:
    """Where the header stands of the table in one of whose rows `offset` lies; None elsewhere, and in the header itself."""
    start = _line_start(text, offset)
    line = _line(text, start) if start >= 0 else ""
    if not line or is_rule(line):
        return None
    header: int | None = None
    if is_row(line, kind):
        header = _first_row(text, kind, start)
    elif kind == "markdown" and "|" in line:
        header = _bare_header(text, start)
    elif kind == "rst":
        header = _simple_header(text, start)
    line = _line(text, header) if header is not None else ""
    if header is None or header == start or len(line) > LONGEST_HEADER:
        return None
    begin = text.index(line, header)
    return begin, begin + len(line)


def _first_row(text: str, kind: str, start: int) -> int:
    header = start
    for above, line in _lines_above(text, start):
        if not is_rule(line):
            if not is_row(line, kind):
                break
            header = above
    return header


def _bare_header(text: str, start: int) -> int | None:
    below = _line(text, start)
    for above, line in _lines_above(text, start):
        if not goes_on_bare(line, "markdown"):
            break
        if begins_bare(line, below, "markdown"):
            return above
        below = line
    return None


def _simple_header(text: str, start: int) -> int | None:
    """The line below the topmost rule; a table with no other rule above the row has no header."""
    below_rules = []
    below = start
    for above, line in _lines_above(text, start):
        if not goes_on_bare(line, "rst"):
            break
        if SIMPLE_RULE.match(line):
            below_rules.append(below)
        below = above
    return below_rules[-1] if len(below_rules) > 1 else None


def _lines_above(text: str, start: int) -> Iterator[tuple[int, str]]:
    """(where it begins, without white space at its ends) of each line above the one that begins there, upwards."""
    for _ in range(MOST_ROWS):
        start = _line_start(text, start - (2 if text.startswith("\r\n", start - 2) else 1)) if start > 0 else -1
        if start < 0:
            return
        yield start, _line(text, start)


def _line_start(text: str, offset: int) -> int:
    """Where the line of this character begins; -1 when that is further than a row is long."""
    low = max(0, offset - LONGEST_ROW)
    found = max(text.rfind("\n", low, offset), text.rfind("\r", low, offset))
    return found + 1 if found >= 0 or low == 0 else -1


def _line(text: str, start: int) -> str:
    end = LINE_END.search(text, start, start + LONGEST_ROW + 1)
    return text[start : end.start() if end else start + LONGEST_ROW + 1].strip("\ufeff").strip()

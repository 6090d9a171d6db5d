"""Tables as they stand in a document's text: which lines are rows, and which row is the header.

A row is a line with cells divided by bars: Markdown and reStructuredText write "| a | b |", extraction writes "a | b". The
header is the table's first row. Rows of kind "table" name their columns themselves, and have none.
"""

import re

ROW_OF_TEXT = re.compile(r"\|.*\|")
ROW_OF_EXTRACTED = re.compile(r"(?!(?:#{1,6}|-) [^|\s]).*? \|(?: |$)")  # "# Title | Site" is a heading, "# | Name" a row
RULE = re.compile(r"(?=.*[|+])[|+]?[ \t]*:?[-=]{2,}[-=:|+ \t]*$")
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
    return line[:1] in ("|", "+", "-", "=", ":") and len(line) <= LONGEST_ROW and RULE.match(line) is not None


def header_span(text: str, kind: str, offset: int) -> tuple[int, int] | None:
    """Where the header stands of the table in one of whose rows `offset` lies; None elsewhere, and in the header itself."""
    start = _line_start(text, offset)
    if start < 0 or is_rule(_line(text, start)) or not is_row(_line(text, start), kind):
        return None
    header = start
    above = start
    for _ in range(MOST_ROWS):
        above = _line_start(text, above - (2 if text.startswith("\r\n", above - 2) else 1)) if above > 0 else -1
        line = _line(text, above) if above >= 0 else ""
        if not is_rule(line):
            if not is_row(line, kind):
                break
            header = above
    line = _line(text, header)
    if header == start or len(line) > LONGEST_HEADER:
        return None
    begin = text.index(line, header)
    return begin, begin + len(line)


def _line_start(text: str, offset: int) -> int:
    """Where the line of this character begins; -1 when that is further than a row is long."""
    low = max(0, offset - LONGEST_ROW)
    found = max(text.rfind("\n", low, offset), text.rfind("\r", low, offset))
    return found + 1 if found >= 0 or low == 0 else -1


def _line(text: str, start: int) -> str:
    end = LINE_END.search(text, start, start + LONGEST_ROW + 1)
    return text[start : end.start() if end else start + LONGEST_ROW + 1].strip("\ufeff").strip()

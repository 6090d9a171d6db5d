"""Sheets. Excel files by openpyxl: it reads row by row, and knows the number formats that make 0.35 "35%" and 45000 a date
(python-calamine is faster and doesn't); CSV by the standard library. A row is written "Header: value | Header: value", so that
a quoted row says what its cells are.
"""

import csv
import datetime
import re
import warnings
from collections.abc import Iterator, Sequence
from io import BytesIO, StringIO
from itertools import chain, groupby, islice

from rag.formats.archive import DAMAGE, Archive
from rag.formats.decoding import decode
from rag.formats.extracted import Extracted, Lines, Unreadable

SAMPLE_ROWS = 50  # looked at to find the header
HEADER_WITHIN = 10  # a header stands at most so far down, under a title and a note
NUMBER = re.compile(r"^[-+(]?[\W_]{0,3}\d[\d.,'\s]*\W{0,3}$")
YEAR = re.compile(r"^(?:19|20)\d\d$")

Row = tuple[int, list[str]]  # number in the sheet, from 1, and its cells


def extract(data: bytes, suffix: str) -> Extracted:
    """Every filled row one line, a place of its own: "row 4", in a workbook "sheet Prices, row 4"."""
    lines = Lines()
    if suffix in (".csv", ".tsv"):
        text, encoding = decode(data)
        text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")  # csv takes mixed line ends for errors
        _write(_csv_rows(text, suffix), "", lines)
        return lines.done(kind="table", encoding=encoding)
    try:
        with warnings.catch_warnings():
            for name, rows in _workbook(data):
                lines.gap()
                _write(rows, f"sheet {name}, ", lines)
    # What openpyxl raises on damaged files, some of it as late as a row is read.
    except (*DAMAGE, LookupError, TypeError, AttributeError, ArithmeticError, SyntaxError) as error:
        raise Unreadable(f"damaged, or no Excel file: {error}") from error
    return lines.done(kind="table")


def _write(rows: Iterator[Row], prefix: str, lines: Lines) -> None:
    """Tables of one sheet are told apart by the empty rows between them; rows below an empty one may also go on with a table."""
    filled = ((number, cells) for number, cells in rows if any(cells))
    names: list[str] = []
    for _, run in groupby(enumerate(filled), lambda pair: pair[1][0] - pair[0]):  # rows one below the other
        block = (row for _, row in run)
        head = list(islice(block, SAMPLE_ROWS))
        at = _header(head)
        if at is not None and (not names or _begins_table(head[at:], names)):
            names = head[at][1]
        else:
            at = -1
        remarks = len(_columns([(0, names)])) > 1 and all(_is_remark(cells) for _, cells in head)
        for i, (number, cells) in enumerate(chain(head, block)):
            lines.place(f"{prefix}row {number}")
            if i == at:
                lines.paragraph(" | ".join(_trimmed(cells)))
            elif i < at or remarks:
                lines.paragraph(" | ".join(filter(None, cells)))
            else:
                lines.paragraph(" | ".join(_labelled(names, cells)))


def _header(rows: Sequence[Row]) -> int | None:
    """Which of the first rows names the columns: as wide as the table, all words (or years), each different; None if none does."""
    width = max(sum(map(bool, cells)) for _, cells in rows)
    if width == 1 == len(rows):
        return None
    for i, (_, cells) in enumerate(rows[:HEADER_WITHIN]):
        named = [cell for cell in cells if cell]
        if len(named) >= max(1, 0.6 * width):
            words = sum(not NUMBER.match(cell) for cell in named)
            years = sum(YEAR.match(cell) is not None for cell in named)
            plain = words and words + years == len(named) and len(set(named)) == len(named)
            return i if plain and (width > 1 or i == 0) and max(map(len, named)) <= 80 else None
    return None


def _begins_table(rows: Sequence[Row], names: Sequence[str]) -> bool:
    """Whether the first row, which could be a header, is that of another table than `names`: it has other columns, or figures
    below it."""
    columns = _columns(rows)
    over_figures = (all(NUMBER.match(cells[i]) for _, cells in rows[1:] if i < len(cells) and cells[i]) for i in _columns(rows[1:]))
    return len(rows) > 1 and len(columns) > 1 and (columns != _columns([(0, list(names))]) or any(over_figures))


def _columns(rows: Sequence[Row]) -> set[int]:
    """The columns in which something stands."""
    return {i for _, cells in rows for i, cell in enumerate(cells) if cell}


def _is_remark(cells: Sequence[str]) -> bool:
    """Words that stand alone in their row, beside no other cell."""
    alone = [cell for cell in cells if cell]
    return len(alone) == 1 and not NUMBER.match(alone[0])


def _labelled(names: Sequence[str], cells: Sequence[str]) -> Iterator[str]:
    for i, cell in enumerate(cells):
        if cell:
            name = names[i] if i < len(names) else ""
            yield f"{name.rstrip(':')}: {cell}" if name else cell


def _trimmed(cells: Sequence[str]) -> list[str]:
    filled = [i for i, cell in enumerate(cells) if cell]
    return list(cells[: filled[-1] + 1])


# --- CSV --------------------------------------------------------------------------------------------------------------


def _csv_rows(text: str, suffix: str) -> Iterator[Row]:
    """Rows numbered as a spreadsheet would number them: a line break inside quotes starts no row."""
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(StringIO(text), delimiter="\t" if suffix == ".tsv" else _delimiter(text))
    try:
        for number, cells in enumerate(reader, 1):
            yield number, [" ".join(cell.split()) for cell in cells]
    except csv.Error as error:
        raise Unreadable(f"damaged: line {reader.line_num} is no {suffix[1:].upper()} ({error})") from error


def _delimiter(text: str) -> str:
    """What divides the cells: of comma, semicolon, tab and bar the one that divides most of the first lines into equally many."""
    sample = [line for line in islice(StringIO(text), SAMPLE_ROWS) if line.strip()]

    def evenness(mark: str) -> tuple[int, int]:
        widths = [len(cells) for cells in csv.reader(sample, delimiter=mark)]
        common = max(widths, key=widths.count, default=0)
        return (widths.count(common) if common > 1 else 0, common)

    return max(",;\t|", key=evenness)


# --- Excel ------------------------------------------------------------------------------------------------------------


def _workbook(data: bytes) -> Iterator[tuple[str, Iterator[Row]]]:
    Archive.open(data)  # its sizes are checked before openpyxl unpacks it
    from openpyxl import load_workbook

    warnings.simplefilter("ignore")  # openpyxl warns of what it leaves out: charts, validation, styles
    book = load_workbook(BytesIO(data), read_only=True, data_only=True)
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # some producers write a wrong size
        yield sheet.title, _excel_rows(sheet.iter_rows())


def _excel_rows(rows: Iterator[Sequence[object]]) -> Iterator[Row]:
    for number, cells in enumerate(rows, 1):
        yield number, [_shown(getattr(cell, "value", None), getattr(cell, "number_format", "")) for cell in cells]


SYMBOL = re.compile(r"\[\$([^\]-]{1,4})[^\]]*\]|\"([^\"]{1,12})\"|([$€£¥])")


def _shown(value: object, number_format: str) -> str:
    """A cell as the sheet shows it, as far as words go: dates, per cent, currency and decimals; no colours, no padding."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ", "minutes") if value.time() != datetime.time() else value.date().isoformat()
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta):
        return str(value)
    if isinstance(value, int | float):
        return _number(value, number_format or "")
    return " ".join(str(value).split())


def _number(value: float, number_format: str) -> str:
    pattern = number_format.split(";")[0]
    bare = SYMBOL.sub("", pattern)
    if "%" in pattern:
        shown = _decimals(value * 100, bare) + "%"
    elif match := SYMBOL.search(pattern):
        mark = next(group for group in match.groups() if group)
        before = match.start() < min((pattern.find(digit) for digit in "0#" if digit in pattern), default=0)
        shown = f"{mark}{_decimals(value, bare)}" if before else f"{_decimals(value, bare)} {mark.strip()}"
    elif bare == "General" or not any(digit in bare for digit in "0#"):
        shown = f"{value:.15g}"
    else:
        shown = _decimals(value, bare)
    return shown


def _decimals(value: float, pattern: str) -> str:
    after = re.search(r"\.([0#?]+)", pattern)
    if (after is None and "0" not in pattern) or "E" in pattern:
        return f"{value:.15g}"
    places = len(after[1]) if after else 0
    return f"{value:{',' if ',' in pattern else ''}.{places}f}"

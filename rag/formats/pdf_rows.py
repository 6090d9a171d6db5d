"""A PDF page's characters → cells → rows, by where they stand.

A cell is text on one line without a wide gap; cells on one baseline are a row. Where lines are drawn around the cells of a table,
the lines decide: all text in one box is one cell, all boxes between the same two lines are one row.
"""

import ctypes
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any
from unicodedata import bidirectional

CELL_GAP = 1.0  # between cells, in line heights; between words it is a quarter, in justified text a half
OBJECT_GAP = 0.5  # between cells that were written apart, with no space between them
SAME_ROW = 0.3  # of the height overlaps; of a cell of two lines and one of a single line between them, nearly the half
LOOK_BACK = 4  # lines to which a wrapped cell of a table may run
MOST_DRAWN = 20_000  # objects on a page; with more it is a drawing
HIGHEST_BOX = 300.0  # points; a higher box frames a page, not a cell
NEAR_RULES = 500  # looked through, to find the one that bounds a cell
SAME_LINE = 2.0  # points between two lines that are one
HYPHEN = "\u00ad"
HYPHENS = frozenset((0x02, 0xAD, 0xFFFE))  # what pdfium gives for a hyphen at a line's end, by version
LEFTWARDS = ("R", "AL")  # directions of Unicode's characters
SYMBOLS = {0xF0B7: "•", 0xF0A7: "▪", 0xF0D8: "➢", 0xF0FC: "✓", 0xF0A8: "□", 0xF06F: "○"}  # list marks of the symbol fonts
MARKER = re.compile(r"^(?:[-*+•‣◦▪●·–—○➢✓■□➤]|\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,4})[.)])$")
BOLD = re.compile(rb"bold|black|heavy|demi", re.IGNORECASE)


@dataclass(slots=True)
class Cell:
    """Text, and the box around it (in points, y upwards, as the page is read)."""

    text: str
    left: float
    bottom: float
    right: float
    top: float
    height: float  # of its usual character
    bold: bool = False  # from the first character to the last


@dataclass(slots=True)
class Row:
    """Cells on one baseline, or of one row of a table, from left to right."""

    cells: list[Cell]
    ruled: bool = False  # lines are drawn between its cells

    @property
    def text(self) -> str:
        return " ".join(cell.text for cell in self.cells)

    @property
    def box(self) -> Cell:
        return _around_all("", self.cells)


@dataclass(frozen=True, slots=True)
class Rules:
    """The lines drawn on a page: (y, left, right) and (x, bottom, top), each ascending."""

    across: Sequence[tuple[float, float, float]]
    down: Sequence[tuple[float, float, float]]


Box = tuple[float, float, float, float]  # left, bottom, right, top


def read_rows(page: Any, text: Any) -> list[Row]:
    """The rows of a page, in the order in which it was written; `page` and `text` are pypdfium2's page and text page."""
    rotation = page.get_rotation()
    cells = list(_cells(text.raw, rotation))
    rules = _rules(page.raw, rotation) if len(cells) > 1 else Rules((), ())
    rows = _ruled_rows(cells, rules) if rules.across and rules.down else _rows(cells)
    for row in rows:  # a bullet or number, and what it stands before
        if not row.ruled and len(row.cells) > 1 and MARKER.match(row.cells[0].text):
            row.cells[:2] = [
                replace(_around_all(f"{row.cells[0].text} {row.cells[1].text}", row.cells[:2]), height=row.cells[1].height)
            ]
    return rows


# --- characters → cells -----------------------------------------------------------------------------------------------


def _cells(text: Any, rotation: int) -> Iterator[Cell]:
    """Runs of characters that stand on one line, next to each other, in the order of the page."""
    import pypdfium2.raw as pdfium

    box = pdfium.FS_RECTF()
    cell: Cell | None = None
    heights: list[float] = []  # of the cell's characters
    last = -1  # character of the cell, and its box
    before: Box = (0, 0, 0, 0)
    space = written = False  # white space stands before this character; as a character of its own
    for i in range(pdfium.FPDFText_CountChars(text)):
        code = pdfium.FPDFText_GetUnicode(text, i)
        char = HYPHEN if code in HYPHENS else SYMBOLS.get(code) or (chr(code) if 0 < code < 0x110000 else "\ufffd")
        if char.isspace():
            space = True
            written = written or not pdfium.FPDFText_IsGenerated(text, i)
            continue
        if not pdfium.FPDFText_GetLooseCharBox(text, i, ctypes.byref(box)):
            continue
        place = turned((box.left, box.bottom, box.right, box.top), rotation)
        left, bottom, right, top = place
        leftwards = bidirectional(char) in LEFTWARDS
        if cell is not None and _goes_on(cell, before, place, leftwards or bidirectional(cell.text[-1]) in LEFTWARDS):
            apart = not written and left - before[2] > OBJECT_GAP * cell.height and not _one_object(text, last, i)
        else:
            apart = True
        if cell is not None and not apart:
            cell.text += (" " if space else "") + char
            cell.left, cell.bottom = min(cell.left, left), min(cell.bottom, bottom)
            cell.right, cell.top = max(cell.right, right), max(cell.top, top)
            heights.append(top - bottom)
        else:
            if cell is not None:
                yield replace(cell, height=median(heights), bold=cell.bold and _is_bold(text, last))
            cell = Cell(char, left, bottom, right, top, top - bottom, _is_bold(text, i))
            heights = [top - bottom]
        last, before = i, place
        space = written = False
    if cell is not None:
        yield replace(cell, height=median(heights), bold=cell.bold and _is_bold(text, last))


def turned(box: Box, rotation: int) -> Box:
    """A box on a page that is shown turned clockwise by so many degrees."""
    left, bottom, right, top = box
    if rotation == 90:
        return bottom, -right, top, -left
    if rotation == 180:
        return -right, -top, -left, -bottom
    if rotation == 270:
        return -top, left, -bottom, right
    return box


def _goes_on(cell: Cell, before: Box, place: Box, leftwards: bool) -> bool:
    """Whether a character there belongs to the cell: on its line (or raised a little), and not far from the one before."""
    left, bottom, right, top = place
    height = max(cell.height, top - bottom, 0.1)
    if min(cell.top, top) - max(cell.bottom, bottom) < 0.4 * min(cell.height, top - bottom):
        return False
    if leftwards:  # Hebrew and Arabic; a number in them stands apart by its own width
        return max(left - before[2], before[0] - right) < 2 * CELL_GAP * height
    return place == before or -height < left - before[2] < CELL_GAP * height  # the letters of a ligature have one box


def _one_object(text: Any, i: int, j: int) -> bool:
    """Whether two characters were written by one operator."""
    import pypdfium2.raw as pdfium

    one, other = (ctypes.cast(pdfium.FPDFText_GetTextObject(text, k), ctypes.c_void_p).value for k in (i, j))
    return one == other


def _is_bold(text: Any, i: int) -> bool:
    import pypdfium2.raw as pdfium

    name, flags = ctypes.create_string_buffer(100), ctypes.c_int()
    pdfium.FPDFText_GetFontInfo(text, i, name, 100, ctypes.byref(flags))
    return BOLD.search(name.value) is not None


# --- cells → rows, by baselines ---------------------------------------------------------------------------------------


def _rows(cells: Sequence[Cell]) -> list[Row]:
    """Cells that follow each other on one baseline become one row; a cell's wrapped lines are put together in it."""
    rows: list[Row] = []
    for cell in cells:
        if back := _wrapped_before(rows, cell):
            wrapped = rows[-back:]
            del rows[-back:]
            rows[-1].cells[-1] = stacked([rows[-1].cells[-1], *(row.cells[0] for row in wrapped)])
            rows[-1].cells.append(cell)
        elif rows and _beside(rows[-1].cells[-1], cell):
            rows[-1].cells.append(cell)
        elif rows and (column := _wrapped_in(rows[-1], cell)):
            rows[-1].cells[column] = stacked([rows[-1].cells[column], cell])
        else:
            rows.append(Row([cell]))
    return rows


def _beside(left: Cell, right: Cell) -> bool:
    overlap = min(left.top, right.top) - max(left.bottom, right.bottom)
    after = right.left >= left.right - 1 or (right.right <= left.left + 1 and bidirectional(right.text[0]) in LEFTWARDS)
    return overlap >= SAME_ROW * min(left.height, right.height) and after


def _wrapped_before(rows: Sequence[Row], cell: Cell) -> int:
    """How many of the last rows are the further lines of a table's cell, this being the next cell of the same row; 0 for none."""
    for back in range(1, min(LOOK_BACK, len(rows) - 1) + 1):
        below, above = rows[-back], rows[-back - 1].cells[-1]
        if len(below.cells) > 1 or below.cells[0].right > cell.left:
            return 0
        if not (abs(below.cells[0].left - above.left) < above.height and below.cells[0].top < above.top):
            return 0
        if _beside(above, cell):
            return back
    return 0


def _wrapped_in(row: Row, cell: Cell) -> int:
    """Which cell of a table's row goes on in this one, on the line below it; 0 for none (a first cell's going on is a new row)."""
    for column in range(1, len(row.cells)):
        above = row.cells[column]
        near = 0 < above.bottom - cell.bottom < 1.6 * cell.height
        end = row.cells[column + 1].left if column + 1 < len(row.cells) else float("inf")
        if near and abs(above.left - cell.left) < 0.5 * cell.height and cell.left < end:
            return column
    return 0


def stacked(cells: Sequence[Cell]) -> Cell:
    """The lines of one cell as one."""
    text = cells[0].text
    for cell in cells[1:]:
        text = joined(text, cell.text)
    return _around_all(text, cells)


def _around_all(text: str, cells: Sequence[Cell]) -> Cell:
    return Cell(
        text,
        min(cell.left for cell in cells),
        min(cell.bottom for cell in cells),
        max(cell.right for cell in cells),
        max(cell.top for cell in cells),
        cells[0].height,
        all(cell.bold for cell in cells),
    )


def joined(text: str, more: str) -> str:
    """Two lines of one paragraph; a hyphen between them is marked, to be settled when all words are known."""
    if text.endswith(HYPHEN):
        return text + more
    if text.endswith("-") and text[-2:-1].isalpha() and more[:1].islower():
        return text[:-1] + HYPHEN + more
    return f"{text} {more}"


# --- cells → rows, by drawn lines -------------------------------------------------------------------------------------


def _rules(page: Any, rotation: int) -> Rules:
    """The straight lines that are drawn on a page, edges of rectangles among them."""
    import pypdfium2.raw as pdfium

    across: set[tuple[float, float, float]] = set()
    down: set[tuple[float, float, float]] = set()
    count = pdfium.FPDFPage_CountObjects(page)
    if count > MOST_DRAWN:
        return Rules((), ())
    matrix = pdfium.FS_MATRIX()
    x, y = ctypes.c_float(), ctypes.c_float()
    for i in range(count):
        drawn = pdfium.FPDFPage_GetObject(page, i)
        if pdfium.FPDFPageObj_GetType(drawn) != pdfium.FPDF_PAGEOBJ_PATH:
            continue
        pdfium.FPDFPageObj_GetMatrix(drawn, ctypes.byref(matrix))
        points: list[tuple[float, float]] = []
        for j in range(min(pdfium.FPDFPath_CountSegments(drawn), MOST_DRAWN)):
            segment = pdfium.FPDFPath_GetPathSegment(drawn, j)
            kind = pdfium.FPDFPathSegment_GetType(segment)
            pdfium.FPDFPathSegment_GetPoint(segment, ctypes.byref(x), ctypes.byref(y))
            point = (
                matrix.a * x.value + matrix.c * y.value + matrix.e,
                matrix.b * x.value + matrix.d * y.value + matrix.f,
            )
            if kind == pdfium.FPDF_SEGMENT_MOVETO:
                points = []
            elif kind == pdfium.FPDF_SEGMENT_LINETO and points:
                _add_rule(points[-1], point, rotation, across, down)
            points.append(point)
            if pdfium.FPDFPathSegment_GetClose(segment) and len(points) > 2:
                _add_rule(point, points[0], rotation, across, down)
    return Rules(sorted(across), sorted(down))


def _add_rule(
    start: tuple[float, float],
    end: tuple[float, float],
    rotation: int,
    across: set[tuple[float, float, float]],
    down: set[tuple[float, float, float]],
) -> None:
    box = (min(start[0], end[0]), min(start[1], end[1]), max(start[0], end[0]), max(start[1], end[1]))
    left, bottom, right, top = (round(edge, 1) for edge in turned(box, rotation))
    if top - bottom < 1 and right - left > 5:
        across.add((bottom, left, right))
    elif right - left < 1 and top - bottom > 5:
        down.add((left, bottom, top))


def _ruled_rows(cells: Sequence[Cell], rules: Rules) -> list[Row]:
    """Rows where lines are drawn around every cell, in the place of their first cell; the other cells by their baselines."""
    boxes = [_box_around(cell, rules) for cell in cells]
    bands: dict[tuple[int, int], dict[float, list[Cell]]] = {}  # (bottom, top) of a row → left of a box → its lines
    band_of: list[tuple[int, int] | None] = []
    for cell, box in zip(cells, boxes, strict=True):
        band = None
        if box is not None:
            near = ((bottom, top) for bottom in _around(box[1]) for top in _around(box[3]))
            band = next((known for known in near if known in bands), (round(box[1]), round(box[3])))
            columns = bands.setdefault(band, {})
            left = next((known for known in columns if abs(known - box[0]) <= SAME_LINE), box[0])
            columns.setdefault(left, []).append(cell)
        band_of.append(band)
    rows: list[Row] = []
    loose: list[Cell] = []
    lefts: list[list[float]] = []  # of the cells of each ruled row
    done: set[tuple[int, int]] = set()
    for cell, band in zip(cells, band_of, strict=True):
        if band is None or len(bands[band]) < 2:
            loose.append(cell)
        elif band not in done:
            done.add(band)
            rows += _rows(loose)
            loose = []
            columns = dict(sorted(bands[band].items()))
            rows.append(Row([stacked(lines) for lines in columns.values()], ruled=True))
            lefts.append(list(columns))
    rows += _rows(loose)
    _fill_empty(rows, lefts)
    return rows


def _around(edge: float) -> tuple[int, ...]:
    return tuple(round(edge) + step for step in (0, -1, 1, -2, 2))


def _box_around(cell: Cell, rules: Rules) -> Box | None:
    """The nearest lines on all four sides; None where one is missing, or they frame more than a cell."""
    x, y = (cell.left + cell.right) / 2, (cell.bottom + cell.top) / 2
    bottom, top = _nearest(rules.across, y, x)
    left, right = _nearest(rules.down, x, y)
    if bottom is None or top is None or left is None or right is None or top - bottom > HIGHEST_BOX:
        return None
    return left, bottom, right, top


def _nearest(rules: Sequence[tuple[float, float, float]], at: float, across: float) -> tuple[float | None, float | None]:
    """The last line before `at` and the first after it, of those that `across` lies on."""
    middle = bisect_left(rules, (at,))
    below, above = rules[max(0, middle - NEAR_RULES) : middle], rules[middle : middle + NEAR_RULES]
    before = next((place for place, start, end in reversed(below) if start - 1 <= across <= end + 1), None)
    after = next((place for place, start, end in above if start - 1 <= across <= end + 1), None)
    return before, after


def _fill_empty(rows: Sequence[Row], lefts: Sequence[list[float]]) -> None:
    """Give the rows of one table equally many cells: a box without text is an empty cell."""
    tables: list[list[tuple[Row, list[float]]]] = []
    placed = iter(lefts)
    previous = False
    for row in rows:
        if row.ruled:
            if not previous:
                tables.append([])
            tables[-1].append((row, next(placed)))
        previous = row.ruled
    for table in tables:
        columns: list[float] = []
        for left in sorted(left for _, places in table for left in places):
            if not columns or left - columns[-1] > SAME_LINE:
                columns.append(left)
        for row, places in table:
            row.cells = [_cell_at(left, places, row) for left in columns]


def _cell_at(left: float, places: Sequence[float], row: Row) -> Cell:
    """The cell whose box begins there, or an empty one."""
    found = next((cell for place, cell in zip(places, row.cells, strict=True) if abs(place - left) <= SAME_LINE), None)
    return found or replace(_around_all("", row.cells), right=row.cells[0].left)

"""PDF, by pypdfium2: Chrome's own reader in one wheel, the quickest there is, hardened against hostile files, permissive licence.

(pypdf and pdfminer are pure Python, some 20 times slower, and space words worse; PyMuPDF is AGPL.)

pdfium gives characters with their boxes, in the order in which the page was written; `pdf_rows` makes rows of them. Here rows
become paragraphs (a line that was wrapped goes on in the same sentence), headings and tables (a row's cells in one line, divided
by " | ").
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median
from typing import Any

from rag.formats.extracted import Extracted, Lines, Unreadable
from rag.formats.pdf_rows import CELL_GAP, HYPHEN, Row, joined, read_rows

SAME_SIZE = 1.12  # text this much larger than the body is a heading
NUMBER = re.compile(r"\d+")
PAGE_OF = re.compile(r"\b\d+ ?(?:/|of|von|de|sur) ?\d+\b")
SINGLE = 1.3  # line heights from line to line in single spacing, at most
HYPHENATED = re.compile(r"\w+-\w+")
DIVIDED = re.compile(rf"(\w+){HYPHEN}(\w*)")
BULLET = re.compile(r"^[-*+•‣◦▪●·–—○➢✓■□➤]\s")
ITEM = re.compile(r"^(?:[-*+•‣◦▪●·–—○➢✓■□➤]|\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,4})[.)])\s")
LEADER = re.compile(r"(?:\s?\.){5,}")  # in a table of contents, from a title to its page
ENDED = re.compile(r"[.!?:;…。！？][\"'”’»)\]]*$")
NO_TEXT = "no text layer on {} (scanned?); run OCR over the file, e.g. ocrmypdf --skip-text IN.pdf OUT.pdf, and build again"
DAMAGED = "{} damaged, and not read"
MOST_NAMED = 12  # pages, or runs of pages, that a reason names
JUNK_TITLE = re.compile(
    r"^(?:microsoft (?:word|powerpoint|excel) - .*|untitled.*|\(?anonymous\)?|.*\.(?:docx?|odt|pptx?|xlsx?|tex|indd|dvi|pdf|qxd))$",
    re.IGNORECASE,
)


@dataclass(slots=True)
class _Block:
    """Rows that belong together."""

    kind: str  # "text", "heading" or "table"
    rows: list[Row] = field(default_factory=list)

    @property
    def text(self) -> str:
        text = self.rows[0].text
        for row in self.rows[1:]:
            text = joined(text, row.text)
        return text


def extract(data: bytes, suffix: str) -> Extracted:
    """Paragraphs, headings and the rows of tables, page by page ("page 3", counted from 1 as viewers do).

    What is printed on every page, such as a running title, is kept where it stands first. Pages with a picture and no
    text are named in `unread`.
    """
    import pypdfium2

    if not data[:1024].lstrip().startswith(b"%PDF-") and b"%PDF-" not in data[:1024]:
        raise Unreadable("damaged, or no PDF")
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise Unreadable("encrypted with a password; save it without one") from error
        raise Unreadable("damaged: pdfium cannot open it") from error
    try:
        read = [_read_page(document, number) for number in range(len(document))]
        title = document.get_metadata_dict().get("Title", "").strip()
    finally:
        document.close()
    pages = [rows for rows, _ in read]
    if not any(pages):
        if all(reason == DAMAGED for _, reason in read):
            raise Unreadable("damaged: pdfium can read none of its pages")
        raise Unreadable("no text layer: a scan; run OCR over it, e.g. ocrmypdf IN.pdf OUT.pdf, and build again")
    found = _write(_without_repeats(pages), "" if JUNK_TITLE.match(title) else title)
    return replace(found, unread=_unread([reason for _, reason in read]))


def _read_page(document: Any, number: int) -> tuple[list[Row], str]:
    """The rows of one page; where there are none the reason, which is "" for a blank page."""
    import pypdfium2

    try:
        page = document[number]
        text = page.get_textpage()
    except pypdfium2.PdfiumError:
        return [], DAMAGED
    rows = read_rows(page, text)
    reason = "" if rows or not _pictured(page) else NO_TEXT
    text.close()
    page.close()
    return rows, reason


def _pictured(page: Any) -> bool:
    """Whether a picture is on a page; a rule or a coloured ground alone says nothing."""
    import pypdfium2.raw as pdfium

    objects = (pdfium.FPDFPage_GetObject(page.raw, i) for i in range(pdfium.FPDFPage_CountObjects(page.raw)))
    kinds = (pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_FORM)
    return any(pdfium.FPDFPageObj_GetType(one) in kinds for one in objects)


def _unread(reasons: Sequence[str]) -> str:
    """The reasons of all pages, in order, as one: each with the pages that it holds for."""
    different = [reason for reason in dict.fromkeys(reasons) if reason]
    return "; ".join(one.format(_named([at for at, reason in enumerate(reasons, 1) if reason == one])) for one in different)


def _named(pages: Sequence[int]) -> str:
    """ "page 3" or "pages 3, 7–9"; of very many the first."""
    runs: list[list[int]] = []
    for page in pages:
        if runs and page == runs[-1][-1] + 1:
            runs[-1][1:] = [page]
        else:
            runs.append([page])
    named = ", ".join("–".join(map(str, run)) for run in runs[:MOST_NAMED])
    more = f", … ({len(pages):,} in all)" if len(runs) > MOST_NAMED else ""
    return f"page{'s' * (len(pages) > 1)} {named}{more}"


# --- rows → paragraphs, headings and tables ---------------------------------------------------------------------------


def _without_repeats(pages: Sequence[list[Row]]) -> list[list[Row]]:
    """Leave out, but for the first time, what stands at the top or bottom of most pages: running titles and page numbers."""

    def edges(rows: list[Row]) -> list[Row]:
        return [*rows[:2], *rows[max(2, len(rows) - 2) :]]

    def shape(row: Row) -> tuple[int, str]:
        """Height on the page, and words; a page's number in them counts as any other, rows of figures are told apart."""
        text = row.text
        one_number = len(NUMBER.findall(text)) == 1 or PAGE_OF.search(text)
        return round(row.box.bottom), NUMBER.sub("#", text) if one_number else text

    count = Counter(name for rows in pages for name in {shape(row) for row in edges(rows)})
    often = max(3, 0.5 * sum(map(bool, pages)))
    seen: set[tuple[int, str]] = set()
    kept: list[list[Row]] = []
    for rows in pages:
        left_out = []
        for row in edges(rows):
            name = shape(row)
            if count[name] >= often and (name in seen or not name[1].strip("-– #")):
                left_out.append(row)
            seen.add(name)
        kept.append([row for row in rows if not any(row is other for other in left_out)])
    return kept


def _write(pages: Sequence[list[Row]], title: str) -> Extracted:
    cells = [cell for rows in pages for row in rows for cell in row.cells]
    body = median(round(cell.height, 1) for cell in cells for _ in range(len(cell.text) // 10 + 1))
    much_bold = sum(cell.bold for cell in cells) > 0.3 * len(cells)
    pitch = _pitch(pages)
    writer = _Writer({word for cell in cells for word in HYPHENATED.findall(cell.text)}, 1.5 * body)
    for number, rows in enumerate(pages, 1):
        writer.page(f"page {number}", _blocks(rows, body, pitch, may_be_bold=not much_bold))
    return writer.lines.done(title or writer.heading)


class _Writer:
    """The text of the pages so far, and how the last one ended: what goes on over a page's end is written as one."""

    def __init__(self, hyphenated: set[str], large: float) -> None:
        self.lines = Lines()
        self.heading = ""  # the first
        self._hyphenated = hyphenated  # words that the document writes with a hyphen
        self._large = large  # height of a main heading
        self._unfinished = False  # a sentence
        self._header: list[str] = []  # of a table

    def page(self, place: str, blocks: Sequence[_Block]) -> None:
        """Write the blocks of the next page."""
        for i, block in enumerate(blocks):
            text = self._mended(block.text)
            if i == 0 and self._unfinished and block.kind == "text" and text[:1].islower():
                self.lines.proceed(place, text)
            else:
                if i == 0:
                    self.lines.place(place)
                self._block(block, text, first=i == 0)
            self._unfinished = block.kind == "text" and not ENDED.search(text)

    def _block(self, block: _Block, text: str, *, first: bool) -> None:
        if block.kind == "table":
            rows = [[self._mended(cell) for cell in cells] for cells in _in_columns(block.rows)]
            goes_on = first and len(self._header) == len(rows[0])
            if not goes_on:
                self._header = rows[0]
            repeated = goes_on and rows[0] == self._header
            self.lines.table(rows[1:] if repeated else rows, goes_on=goes_on)
            return
        self._header = []
        if block.kind == "heading":
            self.heading = self.heading or text
            self.lines.gap()
            self.lines.add(f"{'#' if block.rows[0].box.height > self._large else '##'} {text}")
        else:
            self.lines.add(text)
            self.lines.gap()

    def _mended(self, text: str) -> str:
        """The hyphen at a line's end stays where the document writes the word with one; leaders shrink to one mark."""

        def settled(match: "re.Match[str]") -> str:
            with_hyphen = f"{match[1]}-{match[2]}"
            return with_hyphen if with_hyphen in self._hyphenated else match[1] + match[2]

        return LEADER.sub(" …", DIVIDED.sub(settled, text).replace(HYPHEN, "-"))


def _blocks(rows: Sequence[Row], body: float, pitch: float, *, may_be_bold: bool) -> list[_Block]:
    blocks: list[_Block] = []
    in_table = _table_rows(rows)
    for i, row in enumerate(rows):
        last = blocks[-1] if blocks else None
        if in_table[i]:
            if last is None or last.kind != "table" or not in_table[i - 1]:
                blocks.append(_Block("table"))
            blocks[-1].rows.append(row)
        elif last is not None and last.kind == "text" and _same_paragraph(last, row, pitch):
            last.rows.append(row)
        else:
            blocks.append(_Block("text", [row]))
    for block in blocks:
        if block.kind == "text" and _is_heading(block, body, may_be_bold):
            block.kind = "heading"
    return blocks


def _table_rows(rows: Sequence[Row]) -> list[bool]:
    """Which rows belong to tables: at least two of several cells, one below the other; labels with values are no table."""
    several = [
        row.ruled or (len(row.cells) > 1 and not row.cells[0].text.endswith(":") and not LEADER.search(row.text)) for row in rows
    ]
    pairs = [  # whether a row and the one below it are of one table
        all(both) and (above.ruled or below.ruled or (_is_wide(above) and _is_wide(below)) or _aligned(above, below))
        for (above, below), both in zip(pairwise(rows), pairwise(several), strict=True)
    ]
    return [row.ruled or before or after for row, before, after in zip(rows, [False, *pairs], [*pairs, False], strict=False)]


def _in_columns(rows: Sequence[Row]) -> list[list[str]]:
    """The cells of a table's rows; where a row has none in a column in which the widest rows have one, an empty one."""
    most = max(len(row.cells) for row in rows)
    widest = [row.cells for row in rows if len(row.cells) == most]
    columns = [(min(cell.left for cell in cells), max(cell.right for cell in cells)) for cells in zip(*widest, strict=True)]
    table = []
    for row in rows:
        overlaps = [[min(cell.right, right) - max(cell.left, left) for left, right in columns] for cell in row.cells]
        places = [one.index(max(one)) for one in overlaps]
        if len(row.cells) == most or len(set(places)) < len(places) or min(map(max, overlaps)) <= 0:
            table.append([cell.text for cell in row.cells])
        else:
            found = dict(zip(places, row.cells, strict=True))
            table.append([found[i].text if i in found else "" for i in range(most)])
    return table


def _is_wide(row: Row) -> bool:
    """A gap between its cells is wider than any in justified text."""
    return any(right.left - left.right > CELL_GAP * left.height for left, right in pairwise(row.cells))


def _aligned(above: Row, below: Row) -> bool:
    """Most cells after the first begin, or end, below each other: columns, not words that happen to stand apart."""
    few, many = sorted((above.cells[1:], below.cells[1:]), key=len)
    columns = sum(any(min(abs(one.left - cell.left), abs(one.right - cell.right)) < 2 for one in many) for cell in few)
    return columns > 0.5 * len(few)


def _is_heading(block: _Block, body: float, may_be_bold: bool) -> bool:
    text = block.text
    if len(text) > 120 or len(block.rows) > 3 or not any(char.isalpha() for char in text) or BULLET.match(text):
        return False
    if text.endswith((".", ",", ";", ":")) or (len(text) > 40 and "." in text[:-1] and ENDED.search(text)):
        return False
    cells = [cell for row in block.rows for cell in row.cells]
    if all(cell.height > SAME_SIZE * body for cell in cells):
        return True
    return may_be_bold and all(cell.bold for cell in cells) and len(text) <= 80 and not text[0].islower()


def _pitch(pages: Sequence[list[Row]]) -> float:
    """The usual distance from line to line within a paragraph, in line heights: the lower quartile of all distances."""
    steps = []
    for rows in pages:
        for above, below in pairwise(row.box for row in rows if len(row.cells) == 1):
            step = above.top - below.top
            if 0 < step < 3 * above.height and abs(above.height - below.height) < 0.1 * above.height:
                steps.append(step / above.height)
    usual = sorted(steps)[len(steps) // 4] if steps else SINGLE
    return usual if len(steps) >= 5 else min(usual, SINGLE)


def _same_paragraph(block: _Block, row: Row, pitch: float) -> bool:
    """Whether a row goes on where the block ends: the next line at the usual distance, or the top of the next column."""
    before, now = block.rows[-1].box, row.box
    text = block.rows[-1].text
    if ITEM.match(row.text) or abs(before.height - now.height) > 0.15 * before.height:
        return False
    if all(cell.bold for cell in block.rows[-1].cells) != all(cell.bold for cell in row.cells):
        return False
    unfinished = not ENDED.search(text) and row.text[0].islower()
    step = before.top - now.top
    if now.bottom > before.bottom:  # another column
        return unfinished
    if step > 1.25 * pitch * before.height:
        return unfinished and step < 2 * SINGLE * before.height
    first = block.rows[0].box
    if ITEM.match(block.rows[0].text):
        return now.left > first.left + 0.3 * first.height or not ENDED.search(text)
    wide = max(one.box.right for one in block.rows)
    ends_short = before.right < wide - 0.15 * (wide - first.left) or (before.right < now.right - 0.15 * (now.right - now.left))
    indented = now.left > before.left + 0.5 * now.height and len(block.rows) > 1
    return not ((ends_short or indented) and ENDED.search(text))

"""Text documents of Word and LibreOffice, read from their XML directly.

python-docx was weighed: it passes over content controls, text boxes, footnotes and the numbers of lists, and brings lxml;
what is needed of either format is a walk over one XML part, which the standard library parses.
"""

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from rag.formats.archive import Archive, child
from rag.formats.extracted import Extracted, Lines, Unreadable


def extract(data: bytes, suffix: str) -> Extracted:
    """Paragraphs, headings ("section …" is the place), lists with their numbers, tables, notes and text boxes, in order."""
    archive = Archive.open(data)
    return _OpenDocument(archive).read() if suffix == ".odt" else _Word(archive).read()


class _Written:
    """What both formats share: a text with headings as places."""

    def __init__(self) -> None:
        self.lines = Lines()
        self.title = ""

    def heading(self, level: int, text: str) -> None:
        """Level 0 is the document's title."""
        text = " ".join(text.split())
        if not text:
            return
        self.lines.gap()
        if level == 0:
            self.title = self.title or text
        else:
            self.lines.place(f"section {text}"[:200])
        self.lines.add(f"{'#' * min(max(level, 1), 6)} {text}")
        self.lines.gap()


# --- Word -------------------------------------------------------------------------------------------------------------

# Inside a paragraph: deleted text, the second version of a drawing, field codes and properties hold no text of the document.
WORD_UNREAD = frozenset("del moveFrom Fallback instrText pPr rPr sdtPr sectPr delText".split())
WORD_BLOCKS = frozenset("sdt sdtContent ins moveTo customXml smartTag".split())  # may stand around paragraphs


class _Word:
    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        relations = archive.relations("")
        main = [
            name for name in ("word/document.xml", *relations.values()) if name in archive.names and name.endswith("document.xml")
        ]
        if not main:
            raise Unreadable("damaged, or no Word file: it holds no document.xml")
        self.body = archive.xml(main[0])
        self.styles = {style.get("styleId", ""): style for style in self._part("word/styles.xml").iter("style")}
        self.numbering = _Numbering(self._part("word/numbering.xml"))
        self.notes = {
            kind: {note.get("id", ""): note for note in self._part(f"word/{kind}s.xml").iter(kind)}
            for kind in ("footnote", "endnote")
        }
        self.out = _Written()

    def _part(self, name: str) -> Element:
        return self.archive.xml(name) if name in self.archive.names else Element("none")

    def read(self) -> Extracted:
        for body in self.body.iter("body"):
            self._blocks(body)
        core = child(self._part("docProps/core.xml"), "title")
        return self.out.lines.done(self.out.title or (core.text or "" if core is not None else ""))

    def _blocks(self, node: Element) -> None:
        for block in node:
            if block.tag == "p":
                self._paragraph(block)
            elif block.tag == "tbl":
                self.out.lines.table(list(self._rows(block)))
            elif block.tag in WORD_BLOCKS:
                self._blocks(block)

    def _rows(self, table: Element) -> Iterator[list[str]]:
        """A cell that goes on below stands in every row that it covers."""
        above: list[str] = []
        for row in _direct(table, "tr"):
            cells: list[str] = []
            for cell in _direct(row, "tc"):
                merged = child(cell, "tcPr", "vMerge")
                if merged is not None and merged.get("val", "continue") == "continue" and len(cells) < len(above):
                    cells.append(above[len(cells)])
                else:
                    cells.append(" ".join(self._text(part) for part in cell.iter("p")))
                span = child(cell, "tcPr", "gridSpan")
                cells += [""] * (min(_number(span, 1), 64) - 1)
            above = cells
            yield cells

    def _paragraph(self, paragraph: Element) -> None:
        boxes: list[Element] = []
        notes: list[Element] = []
        text = self._text(paragraph, boxes, notes)
        style = self._style(paragraph)
        if not style.startswith("toc"):  # a table of contents repeats the headings
            level = self._level(paragraph, style)
            number = self.numbering.next(self._numbered(paragraph)) if text.strip() else ""
            marked = f"{number} {text}" if number else text
            if level is not None and text.strip():
                self.out.heading(level, text if number == "-" else marked)
            else:
                for line in marked.split("\n"):
                    self.out.lines.paragraph(line)
        for box in boxes:
            self._blocks(box)
        for note in notes:
            self.out.lines.paragraph("Note: " + " ".join(self._text(part) for part in note.iter("p")))

    def _text(self, node: Element, boxes: list[Element] | None = None, notes: list[Element] | None = None) -> str:
        parts: list[str] = []

        def walk(node: Element) -> None:
            for inner in node:
                if inner.tag == "t":
                    parts.append(inner.text or "")
                elif inner.tag in ("tab", "ptab"):
                    parts.append("\t")
                elif inner.tag in ("br", "cr"):
                    parts.append("\n")
                elif inner.tag == "noBreakHyphen":
                    parts.append("-")
                elif inner.tag == "txbxContent":
                    if boxes is not None:
                        boxes.append(inner)
                elif inner.tag in ("footnoteReference", "endnoteReference"):
                    note = self.notes[inner.tag.removesuffix("Reference")].get(inner.get("id", ""))
                    if note is not None and notes is not None:
                        notes.append(note)
                elif inner.tag not in WORD_UNREAD:
                    walk(inner)

        walk(node)
        return "".join(parts)

    def _style(self, paragraph: Element) -> str:
        """Name of a paragraph's style, in lower case: "heading 2", "title", "toc 1"."""
        style = child(paragraph, "pPr", "pStyle")
        name = child(self.styles.get(style.get("val", "")) if style is not None else None, "name")
        return name.get("val", "").lower() if name is not None else ""

    def _level(self, paragraph: Element, style: str) -> int | None:
        if style == "title":
            return 0
        if style.startswith("heading ") and style[8:].isdecimal():
            return int(style[8:])
        for properties in self._properties(paragraph):
            outline = child(properties, "outlineLvl")
            if outline is not None:
                level = _number(outline, 9)
                return level + 1 if level < 9 else None
        return None

    def _numbered(self, paragraph: Element) -> tuple[str, int] | None:
        """(list, level) of a list item, by its own properties or its style's."""
        for properties in self._properties(paragraph):
            numbered = child(properties, "numPr")
            if numbered is not None and (number := child(numbered, "numId")) is not None:
                level = child(numbered, "ilvl")
                return (number.get("val", "0"), _number(level, 0)) if number.get("val") != "0" else None
        return None

    def _properties(self, paragraph: Element) -> Iterator[Element]:
        """A paragraph's properties, then those of its style and of the styles that one is based on."""
        own = child(paragraph, "pPr")
        if own is None:
            return
        yield own
        reference = child(own, "pStyle")
        for _ in range(20):
            style = self.styles.get(reference.get("val", "")) if reference is not None else None
            if style is None:
                return
            if (properties := child(style, "pPr")) is not None:
                yield properties
            reference = child(style, "basedOn")


class _Numbering:
    """The numbers that Word shows before list items: they stand in no text, and are counted as it counts them."""

    def __init__(self, part: Element) -> None:
        abstract = {
            one.get("abstractNumId"): {_number_of(level.get("ilvl"), 0): level for level in _direct(one, "lvl")}
            for one in part.iter("abstractNum")
        }
        self.lists = {}
        for one in part.iter("num"):
            reference = child(one, "abstractNumId")
            self.lists[one.get("numId", "")] = abstract.get(reference.get("val") if reference is not None else None, {})
        self.counts: dict[str, list[int]] = {}

    def next(self, item: tuple[str, int] | None) -> str:
        """What stands before the next item of that list and level: "3.", "b)", "-" for a bullet, "" for no item."""
        if item is None:
            return ""
        name, level = item
        levels = self.lists.get(name, {})
        if level not in levels or not 0 <= level < 9:
            return "-"
        counts = self.counts.setdefault(name, [])
        counts[level + 1 :] = []
        while len(counts) <= level:
            start = child(levels.get(len(counts)), "start")
            counts.append(_number(start, 1) - (len(counts) == level))
        counts[level] += 1
        pattern = child(levels[level], "lvlText")
        if self._format(levels, level) == "bullet" or pattern is None:
            return "-"
        shown = pattern.get("val", "")
        for i in range(level + 1):
            shown = shown.replace(f"%{i + 1}", _counted(counts[i], self._format(levels, i)))
        return shown.strip() or "-"

    @staticmethod
    def _format(levels: dict[int, Element], level: int) -> str:
        form = child(levels.get(level), "numFmt")
        return form.get("val", "decimal") if form is not None else "decimal"


def _counted(number: int, form: str) -> str:
    if form.endswith("Letter") and 1 <= number <= 26:
        letter = chr(ord("a") + number - 1)
        return letter.upper() if form.startswith("upper") else letter
    if form.endswith("Roman") and 1 <= number < 40:
        roman = "x" * (number // 10) + ("", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix")[number % 10]
        return roman.upper() if form.startswith("upper") else roman
    return str(number)


def _direct(node: Element, name: str) -> Iterator[Element]:
    """Children of that name, also inside content controls; not those of a table within the table."""
    for inner in node:
        if inner.tag == name:
            yield inner
        elif inner.tag in WORD_BLOCKS:
            yield from _direct(inner, name)


def _number(node: Element | None, default: int) -> int:
    return _number_of(node.get("val") if node is not None else None, default)


def _number_of(value: str | None, default: int) -> int:
    return int(value) if value is not None and value.isascii() and value.isdecimal() and len(value) < 10 else default


# --- OpenDocument -----------------------------------------------------------------------------------------------------

ODF_UNREAD = frozenset("tracked-changes annotation title desc bookmark ruby-text table-of-content sequence-decls forms".split())
ODF_BLOCKS = frozenset("section index-body text-box list-header".split())


def _odf_rows(table: Element) -> Iterator[Element]:
    """The rows of a table, also those that are grouped, such as its headers."""
    for node in table:
        if node.tag == "table-row":
            yield node
        elif node.tag in ("table-header-rows", "table-rows", "table-row-group"):
            yield from _odf_rows(node)


class _OpenDocument:
    def __init__(self, archive: Archive) -> None:
        if "META-INF/manifest.xml" in archive.names:
            manifest = archive.xml("META-INF/manifest.xml")
            if next(manifest.iter("encryption-data"), None) is not None:
                raise Unreadable("encrypted with a password; save it without one")
        self.archive = archive
        self.content = archive.xml("content.xml")
        self.numbered = {
            style.get("name", ""): {
                _number_of(level.get("level"), 1)
                for level in style
                if level.tag == "list-level-style-number" and level.get("num-format") is not None
            }
            for style in self._styles("list-style")
        }
        self.parents = {style.get("name", ""): style.get("parent-style-name", "") for style in self._styles("style")}
        self.out = _Written()

    def _styles(self, name: str) -> Iterator[Element]:
        if "styles.xml" in self.archive.names:
            yield from self.archive.xml("styles.xml").iter(name)
        yield from self.content.iter(name)

    def read(self) -> Extracted:
        body = child(self.content, "body", "text")
        if body is None:
            raise Unreadable("damaged, or no text document: it holds no office:text")
        self._blocks(body)
        title = ""
        if "meta.xml" in self.archive.names:
            node = child(self.archive.xml("meta.xml"), "meta", "title")
            title = node.text or "" if node is not None else ""
        return self.out.lines.done(self.out.title or title)

    def _blocks(self, node: Element) -> None:
        for block in node:
            if block.tag == "h":
                self.out.heading(_number_of(block.get("outline-level"), 1), self._text(block))
            elif block.tag == "p":
                self._paragraph(block, "")
            elif block.tag == "list":
                self._list(block, 1, block.get("style-name", ""))
            elif block.tag == "table":
                self.out.lines.table(list(self._rows(block)))
            elif block.tag in ODF_BLOCKS:
                self._blocks(block)

    def _paragraph(self, paragraph: Element, marker: str) -> None:
        style = paragraph.get("style-name", "")
        if "Title" in (style, self.parents.get(style)):
            self.out.heading(0, self._text(paragraph))
            return
        boxes: list[Element] = []
        notes: list[Element] = []
        for line in f"{marker}{self._text(paragraph, boxes, notes)}".split("\n"):
            if line.strip() != marker.strip() or not marker:
                self.out.lines.paragraph(line)
        for box in boxes:
            self._blocks(box)
        for note in notes:
            self.out.lines.paragraph("Note: " + " ".join(self._text(part) for part in note.iter("p")))

    def _list(self, node: Element, level: int, style: str) -> None:
        number = 0
        for item in node:
            if item.tag not in ("list-item", "list-header"):
                continue
            number = _number_of(item.get("start-value"), number + 1)
            marker = f"{number}. " if level in self.numbered.get(style, ()) else "- "
            for block in item:
                if block.tag == "list":
                    self._list(block, level + 1, block.get("style-name") or style)
                elif block.tag == "h":
                    self.out.heading(_number_of(block.get("outline-level"), 1), self._text(block))
                elif block.tag == "p":
                    self._paragraph(block, marker)
                    marker = ""

    def _rows(self, table: Element) -> Iterator[list[str]]:
        """A cell that goes on below stands in every row that it covers."""
        going_on: dict[int, tuple[str, int]] = {}  # column → what stands there, in how many more rows
        for row in _odf_rows(table):
            cells: list[str] = []
            nodes = [cell for cell in row if cell.tag in ("table-cell", "covered-table-cell")]
            for cell in nodes:
                text = " ".join(self._text(part) for part in cell.iter() if part.tag in ("p", "h"))
                most = 1 if cell is nodes[-1] and not text else 64  # empty cells fill up the row
                for _ in range(min(_number_of(cell.get("number-columns-repeated"), 1), most)):
                    above, rows = going_on.pop(len(cells), ("", 0))
                    if cell.tag == "table-cell":
                        above, rows = text, _number_of(cell.get("number-rows-spanned"), 1)
                    if rows > 1:
                        going_on[len(cells)] = above, rows - 1
                    cells.append(above or text)
            yield cells

    def _text(self, node: Element, boxes: list[Element] | None = None, notes: list[Element] | None = None) -> str:
        parts: list[str] = []

        def walk(node: Element) -> None:
            parts.append(node.text or "")
            for inner in node:
                if inner.tag == "s":
                    parts.append(" ")
                elif inner.tag == "tab":
                    parts.append("\t")
                elif inner.tag == "line-break":
                    parts.append("\n")
                elif inner.tag == "text-box":
                    if boxes is not None:
                        boxes.append(inner)
                elif inner.tag == "note":
                    if notes is not None and (body := child(inner, "note-body")) is not None:
                        notes.append(body)
                elif inner.tag not in ODF_UNREAD:
                    walk(inner)
                parts.append(inner.tail or "")

        walk(node)
        return "".join(parts)

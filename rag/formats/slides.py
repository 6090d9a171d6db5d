"""Presentations, read from their XML directly: python-pptx gives the same text, without diagrams, and brings lxml."""

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from rag.formats.archive import Archive, child
from rag.formats.extracted import Extracted, Lines, Unreadable

TITLES = ("title", "ctrTitle")
UNREAD = frozenset(("sldNum", "dt", "ftr", "hdr", "sldImg"))  # placeholders that repeat on every slide
MAIN = "ppt/presentation.xml"


def extract(data: bytes, suffix: str) -> Extracted:
    """Slide by slide ("slide 2"): its title as a heading, the text of its shapes, tables and diagrams, then the speaker's notes."""
    archive = Archive.open(data)
    if MAIN not in archive.names:
        raise Unreadable("damaged, or no presentation: it holds no presentation.xml")
    parts = archive.relations(MAIN)
    slides = [parts.get(slide.get("r:id", ""), "") for slide in archive.xml(MAIN).iter("sldId")]
    lines = Lines()
    title = ""
    for number, name in enumerate(slides, 1):
        if name not in archive.names:
            continue
        lines.gap()
        lines.place(f"slide {number}")
        related = archive.relations(name)
        shapes = list(_shapes(archive.xml(name)))
        headings = [" ".join(" ".join(_paragraphs(shape)).split()) for shape in shapes if _holder(shape) in TITLES]
        for heading in filter(None, headings):
            title = title or heading
            lines.add(f"# {heading}")
        for shape in shapes:
            if _holder(shape) not in TITLES:
                _write(shape, archive, related, lines)
        for part in related.values():
            if part.startswith("ppt/notesSlides/") and part in archive.names:
                notes = [text for shape in _shapes(archive.xml(part)) if _holder(shape) == "body" for text in _paragraphs(shape)]
                if notes:
                    lines.gap()
                    lines.paragraph("Notes: " + " ".join(notes))
    return lines.done(title)


def _shapes(node: Element) -> Iterator[Element]:
    """Shapes and frames in the order in which they are kept, out of their groups; of two versions of one, the first."""
    for inner in node:
        if inner.tag in ("sp", "graphicFrame"):
            yield inner
        elif inner.tag != "Fallback":
            yield from _shapes(inner)


def _holder(shape: Element) -> str:
    """What a shape is a placeholder for: "title", "body", "sldNum"; "" for none."""
    holder = child(shape, "nvSpPr", "nvPr", "ph")
    return holder.get("type", "body") if holder is not None else ""


def _write(shape: Element, archive: Archive, related: dict[str, str], lines: Lines) -> None:
    if _holder(shape) in UNREAD:
        return
    table = next(shape.iter("tbl"), None)
    diagram = next(shape.iter("relIds"), None)
    if table is not None:
        lines.table(list(_rows(table)))
    elif diagram is not None:
        if (part := related.get(diagram.get("r:dm", ""), "")) in archive.names:
            for text in _paragraphs(archive.xml(part)):
                lines.paragraph(text)
    else:
        for text in _paragraphs(shape):
            lines.paragraph(text)


def _rows(table: Element) -> Iterator[list[str]]:
    """A cell that goes on below stands in every row that it covers."""
    above: list[str] = []
    for row in table.iter("tr"):
        cells = enumerate(row.iter("tc"))
        above = [above[i] if cell.get("vMerge") == "1" and i < len(above) else " ".join(_paragraphs(cell)) for i, cell in cells]
        yield above


def _paragraphs(node: Element) -> Iterator[str]:
    """The paragraphs that hold text."""
    for paragraph in node.iter("p"):
        text = "".join(part.text or "" if part.tag == "t" else " " for part in paragraph.iter() if part.tag in ("t", "br"))
        if text.strip():
            yield text

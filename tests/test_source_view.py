"""The source panel: a document's lines around a quote, whole and numbered rightly, and never more than text."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_render import Seen, make_quote

from rag import source_view
from rag.library import Entry
from rag.quotes import line_of
from rag.render import visible
from rag.source_view import anchored, documents_html, more_html, report_html, size_text, source_html
from rag.types import BuildReport, Document, Quote, Skipped

DIGEST = "0" * 64
LIST_TAGS = {"li", "p", "mark", "strong", "button"}


def make_document(text: str, **values: object) -> Document:
    fields: dict[str, object] = {"source": "notes.txt", "kind": "text", "title": "", "sha256": DIGEST, **values}
    return Document(text=text, size=len(text), mtime_ns=0, encoding="utf-8", **fields)  # type: ignore[arg-type]


def quote_of(document: Document, start: int, end: int, *marks: tuple[int, int]) -> Quote:
    lines = {"line_start": line_of(document, start), "line_end": line_of(document, max(start, end - 1))}
    return make_quote(document.text[start:end], *marks, start=start, sha256=document.sha256, **lines)


class Lines(Seen):
    """The lines shown: (number, text, continues a line), the marked text, and the offsets of "earlier" and "later"."""

    def __init__(self, markup: str) -> None:
        self.lines: list[tuple[int, str, bool]] = []
        self.sections: list[str] = []
        self.answers = ""
        self.more: dict[str, int] = {}
        super().__init__(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        super().handle_starttag(tag, attrs)
        values = dict(attrs)
        if tag == "li" and "value" in values:
            self.lines.append((int(values["value"] or 0), "", values.get("class") == "rest"))
        elif tag == "li":
            self.sections.append("")
        if tag == "button":
            self.more[values["data-do"] or ""] = int(values["data-at"] or 0)

    def handle_data(self, data: str) -> None:
        super().handle_data(data)
        if "li" in self.open and "p" in self.open:
            number, text, rest = self.lines[-1]
            self.lines[-1] = number, text + data, rest
        elif "li" in self.open and "button" not in self.open:
            self.sections[-1] += data
        if "strong" in self.open:
            self.answers += data


def everything(quote: Quote, document: Document) -> Lines:
    """All lines, as one sees them who asks for earlier and later ones until there are no more."""
    markup = source_html(quote, document, "current")
    opened = Lines(markup)
    while "earlier" in opened.more or "later" in opened.more:
        way, at = next(iter(opened.more.items()))
        continued = more_html(quote, document, at, earlier=way == "earlier")
        assert Lines(continued).lines, "each step shows something more"
        markup = re.sub(rf'<li class="more"><button type="button" data-do="{way}".*?</li>', lambda _: continued, markup)  # noqa: B023
        opened = Lines(markup)
    return opened


# --- one file ---


@given(
    text=st.text(alphabet="ab<&\u202e é中\n\r", min_size=1, max_size=300),
    data=st.data(),
    lines=st.integers(1, 5),
    characters=st.integers(3, 40),
)
def test_all_lines_can_be_reached_each_with_its_number(text: str, data: st.DataObject, lines: int, characters: int) -> None:
    start, end = sorted(data.draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=2, unique=True)))
    a, b = sorted(data.draw(st.tuples(*[st.integers(0, end - start)] * 2)))
    document = make_document(text)
    quote = quote_of(document, start, end, *([(a, b)] if a < b else []))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source_view, "LINES", lines)
        patch.setattr(source_view, "CHARACTERS", characters)
        opened = everything(quote, document)
    joined: dict[int, str] = {}
    for number, part, rest in opened.lines:
        assert rest == (number in joined), "a line that is sent in parts is numbered once"
        joined[number] = joined.get(number, "") + part
    written = re.split(r"\r\n|\n|\r", text)
    assert list(joined) == list(range(1, len(joined) + 1))
    assert [joined[n] for n in joined] == [visible(line) for line in written[: len(joined)]]
    assert not any(written[len(joined) :]), "only an empty last line is left out"
    shown = visible(quote.text).replace("\n", "")
    assert opened.marked == shown
    assert opened.answers == visible(quote.text[a:b]).replace("\n", "")
    assert opened.tags <= LIST_TAGS | {"header", "h2", "bdi", "div", "ol"}


def test_only_what_is_near_is_sent_of_a_large_file() -> None:
    text = "".join(f"Line {n} says nothing much.\n" for n in range(1, 400_001))
    document = make_document(text)
    start = text.index("Line 200000 ")
    quote = quote_of(document, start, start + len("Line 200000 says nothing much."))
    began = time.perf_counter()
    markup = source_html(quote, document, "current")
    assert time.perf_counter() - began < 0.5
    assert len(markup) < 50_000
    opened = Lines(markup)
    assert [opened.lines[0][0], opened.lines[-1][0]] == [199_900, 200_099]
    assert opened.marked == quote.text
    earlier = Lines(more_html(quote, document, opened.more["earlier"], earlier=True))
    assert [earlier.lines[0][0], earlier.lines[-1][0]] == [199_800, 199_899]
    one_line = make_document("x" * 5_000_000)
    assert len(source_html(quote_of(one_line, 2_500_000, 2_500_009), one_line, "current")) < 100_000


def test_pages_are_named_where_they_begin_and_rows_are_not() -> None:
    document = make_document("one\ntwo\nthree\nfour\n", places=((0, "page 1"), (4, "page 2"), (14, "page 3")))
    opened = Lines(source_html(quote_of(document, 4, 7), document, "current"))
    assert opened.sections == ["page 1", "page 2", "page 3"]
    table = make_document("a\nb\nc\n", places=((0, "sheet Prices, row 1"), (2, "sheet Prices, row 2"), (4, "sheet Costs, row 1")))
    assert Lines(source_html(quote_of(table, 0, 1), table, "current")).sections == ["sheet Prices", "sheet Costs"]
    rows = make_document("a\nb\n", places=((0, "row 1"), (2, "row 2")))
    assert Lines(source_html(quote_of(rows, 0, 1), rows, "current")).sections == []


def test_header_names_file_place_title_and_table_header() -> None:
    document = make_document("Model | Capacity\nB | 40\n", title="Trucks", source="town/trucks.pdf")
    quote = quote_of(document, 17, 23).model_copy(
        update={"place": "page 1", "header": "Model | Capacity", "source": "town/trucks.pdf"}
    )
    text = Seen(source_html(quote, document, "current").partition("</header>")[0] + "</header>").text
    for words in ("town/trucks.pdf", "Trucks", "page 1, line 2", "Model | Capacity"):
        assert words in text
    assert "stale" not in source_html(quote, document, "current")


def test_stale_and_missing_files_are_flagged() -> None:
    document = make_document("It opens at six.\n")
    quote = quote_of(document, 0, 16)
    assert "has changed since it was indexed" in source_html(quote, document, "changed")
    assert "is no longer there" in source_html(quote, document, "missing")
    gone = source_html(quote, None, "missing")
    assert "no longer indexed" in gone
    assert Seen(gone).quotes == ["It opens at six."]


def test_file_indexed_anew_shows_where_the_words_stand_now() -> None:
    quote = quote_of(make_document("It opens at six.\n"), 0, 16, (12, 15))
    moved = make_document("New\r\nhours.\r\n\r\nIt opens at six.\r\n", sha256="1" * 64)
    stands = anchored(quote, moved)
    assert stands is not None
    assert (moved.text[stands.start : stands.end], stands.line_start) == ("It opens at six.", 4)
    opened = Lines(source_html(quote, moved, "current"))
    assert "indexed anew since it was quoted; the same words stand on line 4 now" in opened.text
    assert (opened.marked, opened.answers) == ("It opens at six.", "six")
    other = make_document("It opens at seven.\n", sha256="1" * 64)
    told = source_html(quote, other, "current")
    assert "no longer says this" in told
    assert Seen(told).quotes == ["It opens at six."]
    assert "open the quote again" in more_html(quote, other, 3, earlier=False)


# --- the list ---


def test_list_tells_state_size_and_passages() -> None:
    entries = [
        Entry("a.txt", "indexed", "", 4096, 12, "Apples"),
        Entry("b.txt", "changed", "", 100, 1, ""),
        Entry("half.pdf", "indexed", "no text layer on page 2", 200, 3, ""),
        Entry("scan.pdf", "skipped", "no text layer", 3 * 2**20, 0, ""),
        Entry("gone.txt", "missing", "", 10, 2, ""),
    ]
    markup = documents_html(entries, ["b.txt"])
    text = Seen(markup).text
    for words in (
        "a.txtApples12 passages · 4 KB",
        "b.txt1 passage · 100 bytes",
        "3 passages · 200 bytesno text layer on page 2",
        "skipped: no text layer",
        "no longer in the folder",
    ):
        assert words in text
    boxes = re.findall(r"<input[^>]*>", markup)
    assert ["checked" in box for box in boxes] == [False, True, False, False, False]
    assert ["disabled" in box for box in boxes] == [False, False, False, True, False]


@given(st.text(min_size=1), st.text(), st.text())
def test_names_and_reasons_stay_text(source: str, reason: str, title: str) -> None:
    markup = documents_html([Entry(source, "skipped", reason, 1, 0, title)], [])
    assert Seen(markup).tags <= {"li", "label", "input", "bdi", "span", "button"}
    report = report_html(BuildReport(sources="", index=""), (Skipped(source=source, reason=reason),))
    assert Seen(report).tags <= {"p", "ul", "li", "bdi"}


def test_report_tells_what_was_done_and_what_was_skipped() -> None:
    skipped = (Skipped(source="old.bin", reason="binary"), Skipped(source="new.bin", reason="binary"))
    report = BuildReport(sources="", index="", added=("a.txt",), skipped=skipped, documents=4, chunks=40)
    text = Seen(report_html(report)).text
    assert text.startswith("1 added; 4 documents with 40 passages can be asked.")
    assert "old.bin: binary" in text
    added = Seen(report_html(report, (Skipped(source="huge.txt", reason="too large"),), ("a.txt", "new.bin"))).text
    assert "huge.txt: too large" in added
    assert "new.bin: binary" in added
    assert "old.bin" not in added
    partly = tuple(Skipped(source=source, reason="no text layer on page 2") for source in ("a.txt", "b.txt"))
    added = Seen(report_html(report.model_copy(update={"partly": partly}), (), ("a.txt",))).text
    assert "Indexed in part:a.txt: no text layer on page 2" in added
    assert "b.txt" not in added
    assert "Nothing to do" in Seen(report_html(BuildReport(sources="", index=""))).text


@pytest.mark.parametrize(("size", "text"), [(1, "1 byte"), (1023, "1023 bytes"), (4096, "4 KB"), (1_300_000, "1.2 MB")])
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text

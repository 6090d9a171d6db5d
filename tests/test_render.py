"""What people read: quotes stay text, whatever they hold, and mis-decoded text is shown repaired."""

from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.render import (
    REFUSAL,
    answer_html,
    answer_text,
    citation,
    notice_html,
    pieces,
    repair,
    stages_text,
    visible,
    welcome_html,
)
from rag.types import Agreement, Answer, Quote, Side, Stage

TAGS = {
    "article", "bdi", "blockquote", "button", "details", "div", "figcaption", "figure", "footer", "li", "mark", "p", "q",
    "span", "strong", "summary", "ul",
}  # fmt: skip
ATTRIBUTES = {"class", "dir", "type", "role", "title", "aria-label", "aria-pressed", "data-do", "data-quote"}
HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>\"' onclick='x' </blockquote></article><b>bold</b> "
    "![pixel](http://203.0.113.9/p.png) [link](javascript:alert(1)) **strong** ${alert(1)} {{value}} &lt;i&gt; "
    "\u202eevil\u202c \x1b[31mred\x07"
)


class Seen(HTMLParser):
    """Which tags and attributes a piece of HTML holds, and the text of its blockquotes and marks."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.quotes: list[str] = []
        self.buttons: list[dict[str, str | None]] = []
        self.marked = ""
        self.text = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "input":  # has no end
            self.open.append(tag)
        if tag == "button":
            self.buttons.append(dict(attrs))
        if tag == "blockquote":
            self.quotes.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, "tags are closed in order"

    def handle_data(self, data: str) -> None:
        self.text += data
        if "blockquote" in self.open:
            self.quotes[-1] += data
        if "mark" in self.open:
            self.marked += data

    def handle_comment(self, data: str) -> None:
        pytest.fail(f"a comment: {data}")

    def handle_decl(self, decl: str) -> None:
        pytest.fail(f"a declaration: {decl}")


def make_quote(text: str, *marks: tuple[int, int], start: int = 7, source: str = "notes.txt", **values: object) -> Quote:
    fields: dict[str, object] = {"line_start": 3, "line_end": 3, "score": 0.9, "sha256": "0" * 64, **values}
    highlights = tuple((start + a, start + b) for a, b in marks)
    return Quote.model_validate(
        {"text": text, "source": source, "start": start, "end": start + len(text), "highlights": highlights, **fields}
    )


def make_answer(*quotes: Quote, question: str = "Who?", short: str | None = None, **values: object) -> Answer:
    fields = {"text": "", "answered": True, "confidence": 0.9, "timings": {"total": 0.04}, **values}
    return Answer.model_validate({"question": question, "short": short, "quotes": quotes, **fields})


# --- nothing in a document becomes markup ---


@given(
    text=st.text(min_size=1) | st.text(alphabet="<>&\"'=/!-abscript \n$ {}[]()", min_size=1),
    source=st.text(min_size=1, max_size=30),
    title=st.text(max_size=30),
    data=st.data(),
)
def test_any_document_is_text_only(text: str, source: str, title: str, data: st.DataObject) -> None:
    a, b = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    quote = make_quote(text, (a, b), source=source, title=title, header=title)
    sides = Agreement(agree=False, sides=(Side(answer=text, files=(source,)), Side(answer=title, files=(text,))))
    for answer in (
        make_answer(quote, question=text, understood=title, short=text[a:b] or None, files=(source,), agreement=sides),
        make_answer(question=text, answered=False, nearest=(quote,)),
    ):
        seen = Seen(answer_html(answer))
        assert seen.tags <= TAGS
        assert seen.attributes <= ATTRIBUTES
        assert [shown.strip() for shown in seen.quotes] == ["".join(part for part, _ in pieces(quote)).strip()]
    assert not Seen(notice_html(text)).tags - {"p"}
    assert not Seen(welcome_html(source, 3, [text, title])).tags - {"div", "h1", "p", "strong", "ul", "li", "button"}


def test_hostile_document_shows_as_it_is_written() -> None:
    seen = Seen(answer_html(make_answer(make_quote(HOSTILE, (0, 25)), short=HOSTILE[:25])))
    assert seen.marked == "<script>alert(1)</script>"
    for written in ("<img src=x onerror=alert(1)>", "![pixel](http://203.0.113.9/p.png)", "${alert(1)}", "{{value}}", "&lt;i&gt;"):
        assert written in seen.quotes[0]
    assert "\ufffdevil\ufffd ␛[31mred␇" in seen.quotes[0], "controls are seen, not obeyed"


# --- quotes and their marks ---

PLAIN = st.text(alphabet="ab <&•é中🙂\n\u202e", min_size=1)


@given(text=PLAIN, data=st.data())
def test_pieces_joined_are_the_whole_quote(text: str, data: st.DataObject) -> None:
    at = st.integers(0, len(text))
    marks = data.draw(st.lists(st.tuples(at, at).map(lambda pair: (min(pair), max(pair))), max_size=4))
    shown = pieces(make_quote(text, *marks))
    assert "".join(part for part, _ in shown) == visible(text)
    marked = {i for a, b in marks for i in range(a, b)}
    expected = [i in marked for i, char in enumerate(text) for _ in visible(char)]
    assert [on for part, on in shown for _ in part] == expected


def test_marks_that_touch_the_ends_are_kept() -> None:
    assert pieces(make_quote("over $8 billion", (0, 15))) == [("over $8 billion", True)]
    assert pieces(make_quote("over $8 billion", (5, 15))) == [("over ", False), ("$8 billion", True)]


def test_answer_names_file_lines_and_page() -> None:
    one = make_quote("It opens at six.", (12, 15), source="town/bakery.md", title="Bakery")
    more = make_quote("Two\nlines", line_end=4, place="page 2", page=2, source="b.pdf")
    text = Seen(answer_html(make_answer(one, more, short="six"))).text
    assert "town/bakery.md line 3" in text
    assert "b.pdf page 2, lines 3–4" in text
    assert "Bakery" in text
    assert "90% sure" in text
    assert citation(more) == "b.pdf, page 2, lines 3–4"


def test_short_answer_stands_above_unless_it_is_the_whole_quote() -> None:
    quote = make_quote("It opens at six.", (12, 15))
    assert '<p class="short" dir="auto">six <button' in answer_html(make_answer(quote, short="six"))
    assert 'class="short"' not in answer_html(make_answer(quote, short="It opens at six."))


def test_stale_quote_is_flagged() -> None:
    for state, words in (
        ("changed", "has changed since it was indexed"),
        ("missing", "is no longer there"),
        ("renewed", "was indexed anew since it was quoted"),
        ("removed", "is no longer indexed"),
    ):
        markup = answer_html(make_answer(make_quote("six", state=state)))
        assert words in Seen(markup).text
        assert f'class="quote {state}"' in markup
    assert "stale" not in answer_html(make_answer(make_quote("six")))


def test_refusal_marks_nothing_and_labels_what_is_near() -> None:
    answer = make_answer(answered=False, short=None, nearest=(make_quote("It opens at six.", (12, 15)),))
    markup = answer_html(answer)
    seen = Seen(markup)
    assert REFUSAL in seen.text
    assert "not an answer" in seen.text
    assert seen.marked == ""
    assert "sure" not in seen.text
    assert markup.index("<details") < markup.index("It opens at six.") < markup.index("</details>")
    assert answer_text(answer) == REFUSAL


def test_files_that_differ_are_both_shown() -> None:
    quotes = make_quote("$8 billion", source="a.txt"), make_quote("$4 billion", source="b.txt")
    sides = (Side(answer="$8 billion", files=("a.txt",)), Side(answer="$4 billion", files=("b.txt",)))
    text = Seen(answer_html(make_answer(*quotes, agreement=Agreement(agree=False, sides=sides)))).text
    assert "The files differ" in text
    assert "$8 billion 1 a.txt" in text
    assert "$4 billion 2 b.txt" in text
    agreed = Agreement(agree=True, sides=(Side(answer="six", files=("a.txt", "b.txt")),))
    assert "2 files agree" in Seen(answer_html(make_answer(*quotes, agreement=agreed))).text


def test_each_quote_is_numbered_and_opens_its_source() -> None:
    quotes = make_quote("$8 billion", source="a.txt"), make_quote("$8 B", source="b.txt"), make_quote("$4 billion", source="c.txt")
    sides = (Side(answer="$8 billion", files=("a.txt", "b.txt")), Side(answer="$4 billion", files=("c.txt",)))
    answer = make_answer(*quotes, short="8", agreement=Agreement(agree=False, sides=sides))
    opening = [button for button in Seen(answer_html(answer)).buttons if button["data-do"] == "source"]
    # Beside the short answer, beside each side, then the number and "Show in file" of each quote.
    assert [button["data-quote"] for button in opening] == ["0", "1", *"012", *"001122"]
    assert opening[0]["aria-label"] == "Quote 1: show in a.txt, line 3"
    one = [
        button["data-quote"] for button in Seen(answer_html(make_answer(*quotes[:1], short="8"))).buttons if "data-quote" in button
    ]
    assert one == ["0", "0", "0"]


def test_how_a_question_was_understood_is_shown() -> None:
    answer = make_answer(make_quote("six"), question="and Oslo?", understood="When does the train to Oslo leave?")
    assert "Understood as: When does the train to Oslo leave? Edit" in Seen(answer_html(answer)).text
    assert "Understood" not in answer_html(make_answer(make_quote("six")))


def test_stages_are_told_as_they_are_done() -> None:
    stages = [Stage("searched", 1234), Stage("read", 8), Stage("read", 16), Stage("quoted", 3)]
    assert stages_text(stages[:1]) == "1,234 passages searched"
    assert stages_text(stages) == "1,234 passages searched · 16 read · 3 quoted"
    assert stages_text(stages) in answer_html(make_answer(make_quote("six")), stages)


def test_row_of_a_table_stands_under_its_header() -> None:
    markup = answer_html(make_answer(make_quote("| B | 40 |", header="| Model | Capacity |")))
    assert markup.index("| Model | Capacity |") < markup.index("| B | 40 |")
    assert "laid-out" in markup
    assert "header-row" not in answer_html(make_answer(make_quote("| B | 40 |")))


def test_welcome_names_folder_count_and_suggestions() -> None:
    assert "the 1,200 documents in notes." in Seen(welcome_html("notes", 1200, [])).text
    assert "the one document in notes." in Seen(welcome_html("notes", 1, [])).text
    assert Seen(welcome_html("notes", 2, ["Who?", "When?"])).text.endswith("Who?When?")
    nothing = Seen(welcome_html("notes", 0, []))
    assert "No document in notes is indexed yet." in nothing.text
    assert [button["data-do"] for button in nothing.buttons] == ["documents"]


def test_spaces_that_mean_something_are_kept() -> None:
    assert "laid-out" in answer_html(make_answer(make_quote("def f():\n    return 6")))
    assert "laid-out" not in answer_html(make_answer(make_quote("Two lines\nof prose.")))


# --- repair ---


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("  • โ€ขAmazon's", "  • •Amazon's"),
        ("๐Ÿ’ก$244B AWS backlog", "💡$244B AWS backlog"),
        ("๐ŸงFresh", "🧠Fresh"),
        ("๐Ÿ“Š Competitor Analysisโ–ธ Show", "📊 Competitor Analysis▸ Show"),
        ("โšก 30-Second", "⚡ 30-Second"),
        ("events โ†’", "events →"),
        ("donâ€™t", "don’t"),
        ("cafÃ©", "café"),
    ],
)
def test_misdecoded_text_is_shown_repaired(stored: str, shown: str) -> None:
    assert repair(stored) == shown


def test_seed_is_shown_without_misdecoded_characters(request: pytest.FixtureRequest) -> None:
    seed = Path(request.config.rootpath, "seeds", "004_fb0b073f51697533.txt").read_text(encoding="utf-8")
    shown = repair(seed)
    assert any("\u0e00" <= char <= "\u0e7f" for char in seed)
    assert not any("\u0e00" <= char <= "\u0e7f" for char in shown)
    assert seed.count("\n") == shown.count("\n")


@pytest.mark.parametrize(
    "thai",
    [
        "สวัสดีครับ ราคา 100 บาท",
        "เขาพูดว่า “สวัสดี” แล้วไปโรงเรียน…",
        "โครงการ AWS – กรุงเทพฯ",
        "จันทร์–พุธ ไม้”กับ“",
        "โข โอ",
        "โต๊ะ เก้าอี้ และโซฟา (ไม้)",
        "naïve café, Ærø, São Paulo, Ångström, ð, ∑ 中文 🙂",
    ],
)
def test_genuine_text_is_left_alone(thai: str) -> None:
    assert repair(thai) == thai


THAI = st.text(alphabet=st.characters(min_codepoint=0x0E01, max_codepoint=0x0E4E, categories=("L", "M")), min_size=3)


@given(st.lists(THAI, min_size=1), st.sampled_from([" ", ", ", "–", "” “", "… ", " × 2 • ", "\n"]))
def test_thai_words_are_left_alone(words: list[str], between: str) -> None:
    text = between.join(f"“{word}”" for word in words)
    if not any(word.endswith("โ") for word in words):  # no word ends with this vowel
        assert repair(text) == text


@given(st.text())
def test_nothing_unseen_is_shown(text: str) -> None:
    shown = visible(text)
    assert not any(ord(char) < 0x20 and char not in "\t\n" for char in shown)
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\ufeff")

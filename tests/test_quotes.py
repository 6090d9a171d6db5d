"""A quote is a slice of its file, and what was quoted can be checked later, without a model."""

import os
import re
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import BAKERY, LIGHTHOUSE, SEEDS, Workplace
from hypothesis import given
from hypothesis import strategies as st

from rag.assistant import Assistant
from rag.chunks import split_units
from rag.documents import read_document
from rag.errors import InputError
from rag.folder import list_files
from rag.quotes import evidence, file_state, highlighted, line_of, make_quote, verify_answer
from rag.render import answer_text
from rag.types import Answer, Chunk, Document, Quote, Span

PAGE = "<h1>Ferry</h1><p>A car costs 14 euros.</p><p>The first crossing leaves at six.</p>"


def quote_of(folder: Path, name: str, words: str) -> Quote:
    """A quote of these words, as an assistant would make it."""
    listed = next(file for file in list_files(folder)[0] if file.source == name)
    document = read_document(folder, listed, 2**20)
    start = document.text.index(words)
    span = Span(name, start, start + len(words), ((start, start + len(words) // 2),), 1.0, 0.9)
    return make_quote(document, folder, span)


def answer_of(*quotes: Quote) -> Answer:
    made = Answer(question="?", text="", short=highlighted(quotes[0])[0], answered=True, confidence=0.9, quotes=quotes)
    return made.model_copy(update={"text": answer_text(made)})


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "light.txt").write_bytes(LIGHTHOUSE.replace("\n", "\r\n").encode())
    (folder / "bakery.md").write_bytes(BAKERY.encode("utf-16"))
    (folder / "ferry.html").write_text(PAGE)
    (tmp_path / "outside.txt").write_text(LIGHTHOUSE)
    return folder


@pytest.fixture
def good(files: Path) -> Answer:
    return answer_of(
        quote_of(files, "light.txt", "Its keeper climbed 212 steps every evening."),
        quote_of(files, "bakery.md", "Rye bread costs 4 euros."),
        quote_of(files, "ferry.html", "The first crossing leaves at six."),
    )


def first(answer: Answer, **changes: object) -> Answer:
    """The answer with its first quote changed, past all validation."""
    return answer.model_copy(update={"quotes": (answer.quotes[0].model_copy(update=changes), *answer.quotes[1:])})


# --- making -----------------------------------------------------------------------------------------------------------


def test_a_quote_is_the_slice_of_the_decoded_bytes(files: Path, good: Answer) -> None:
    light, bakery, _ = good.quotes
    assert (files / "light.txt").read_bytes().decode()[light.start : light.end] == light.text
    assert (files / "bakery.md").read_bytes().decode("utf-16-le")[bakery.start : bakery.end] == bakery.text


def test_lines_are_those_of_an_editor(good: Answer) -> None:
    assert [(quote.line_start, quote.line_end) for quote in good.quotes] == [(3, 3), (5, 5), (5, 5)]


def test_a_page_is_the_one_the_quote_begins_on(files: Path) -> None:
    document = Document(
        "a", "one two three", "0" * 64, 13, 0, "utf-8", "text", "", places=((0, "page 1"), (4, "page 2"), (8, "slide 3"))
    )
    pages = [make_quote(document, files, Span("a", at, at + 3, (), 1, 1)).page for at in (0, 4, 8)]
    assert pages == [1, 2, 3]


TABLE = "# Prices\n\n| Ware | Price |\n|------|-------|\n| rye bread | 4 euros |\n| a bun | 90 cents |\n\nCash only.\n"


def test_a_quoted_row_carries_the_header_of_its_table(files: Path) -> None:
    (files / "prices.md").write_text(TABLE)
    row = quote_of(files, "prices.md", "| a bun | 90 cents |")
    assert row.header == "| Ware | Price |"
    assert quote_of(files, "prices.md", "| Ware | Price |").header == ""
    assert quote_of(files, "prices.md", "Cash only.").header == ""
    assert verify_answer(answer_of(row), files) == []
    for wrong in ("", "| Ware | Cost |"):
        problem = verify_answer(answer_of(row.model_copy(update={"header": wrong})), files)
        assert "the header of the table is '| Ware | Price |'" in "".join(problem)


def test_the_place_of_a_quote_is_checked(files: Path) -> None:
    (files / "prices.csv").write_text("ware,price\nrye bread,4 euros\na bun,90 cents\n")
    row = quote_of(files, "prices.csv", "ware: a bun | price: 90 cents")
    assert (row.place, row.page, row.header) == ("row 3", None, "")
    assert verify_answer(answer_of(row), files) == []
    moved = answer_of(row.model_copy(update={"place": "row 2"}))
    assert "the place (page, slide, sheet) is 'row 3'" in "".join(verify_answer(moved, files))


@given(st.text("ab\r\n", min_size=1))
def test_the_line_of_a_character_is_the_line_ends_before_it(text: str) -> None:
    document = Document("a", text, "0" * 64, 0, 0, "utf-8", "text", "")
    ends = [end.end() for end in re.finditer(r"\r\n|\r|\n", text)]
    for offset in range(len(text)):
        assert line_of(document, offset) == 1 + sum(end <= offset for end in ends)


def test_no_text_is_kept_to_tell_its_lines() -> None:
    class Text(str):
        """A text whose end can be seen."""

    text = Text("one\ntwo\n")
    gone = weakref.ref(text)
    assert line_of(Document("a", text, "0" * 64, 0, 0, "utf-8", "text", ""), 4) == 2
    del text
    assert gone() is None


@given(text=st.text("Ab. \nThe It", min_size=1, max_size=80), data=st.data())
def test_evidence_is_whole_units_that_hold_the_span(text: str, data: st.DataObject) -> None:
    units = [(unit.start + 7, unit.end + 7) for unit in split_units(text)]  # a chunk in the middle of a document
    if not units:
        return
    at, to = units[0][0], units[-1][1]
    chunk = Chunk("a.txt", 0, at, to, text[at - 7 : to - 7], "", "", tuple(units))
    start = data.draw(st.sampled_from([place for begin, end in units for place in range(begin, end)]))
    end = data.draw(st.integers(start + 1, next(end for _, end in units if end > start)))
    begin, finish = evidence(chunk, start, end)
    assert begin <= start < end <= finish
    assert begin in {unit[0] for unit in units}
    assert finish in {unit[1] for unit in units}


def test_evidence_takes_in_the_sentence_that_a_pronoun_leans_on() -> None:
    text = "Ada Moe runs the ferry. She is paid by the county. Tickets are free."
    units = tuple((unit.start, unit.end) for unit in split_units(text))
    chunk = Chunk("a.txt", 0, 0, len(text), text, "", "", units)
    begin, finish = evidence(chunk, text.index("paid"), text.index("county"))
    assert text[begin:finish] == "Ada Moe runs the ferry. She is paid by the county."


# --- checking ---------------------------------------------------------------------------------------------------------


def test_a_true_answer_holds(files: Path, good: Answer) -> None:
    assert verify_answer(good, files) == []


def test_words_put_into_the_text_are_found(files: Path, good: Answer) -> None:
    edited = good.model_copy(update={"text": f"Certainly! {good.text}"})
    assert verify_answer(edited, files) == ["the text of the answer is not what its quotes say"]


def test_a_refusal_that_carries_a_quote_does_not_hold(files: Path, good: Answer) -> None:
    assert verify_answer(good.model_copy(update={"answered": False}), files) == ["a refusal carries an answer"]


def test_an_answer_holds_after_it_was_json(files: Path, good: Answer) -> None:
    assert verify_answer(Answer.model_validate_json(good.model_dump_json()), files) == []


TAMPERINGS: dict[str, tuple[Callable[[Quote], dict[str, object]], str]] = {
    "a word": (lambda quote: {"text": quote.text.replace("212", "213")}, "do not stand there"),
    "a letter's case": (lambda quote: {"text": quote.text.lower()}, "do not stand there"),
    "a space": (lambda quote: {"text": quote.text.replace(" ", "\u00a0", 1)}, "do not stand there"),
    "nothing quoted": (lambda quote: {"text": "", "end": quote.start, "highlights": ()}, "do not stand there"),
    "start": (lambda quote: {"start": quote.start - 1}, "do not stand there"),
    "end": (lambda quote: {"end": quote.end + 1}, "do not stand there"),
    "both": (lambda quote: {"start": quote.start - 9, "end": quote.end - 9}, "do not stand there"),
    "far away": (lambda quote: {"start": 10**12, "end": 10**12 + 5}, "do not stand there"),
    "first line": (lambda quote: {"line_start": 1}, "the lines are 3–3"),
    "last line": (lambda quote: {"line_end": 4}, "the lines are 3–3"),
    "page": (lambda quote: {"page": 2}, "the place .* is 'none'"),
    "place": (lambda quote: {"place": "slide 2"}, "the place .* is 'none'"),
    "header": (lambda quote: {"header": "| Lamp | Year |"}, "the header of the table is 'none'"),
    "hash": (lambda quote: {"sha256": "0" * 64}, "the file has changed since"),
    "highlight before": (lambda quote: {"highlights": ((quote.start - 1, quote.end),)}, "highlight lies outside"),
    "highlight after": (lambda quote: {"highlights": ((quote.start, quote.end + 1),)}, "highlight lies outside"),
    "highlight of nothing": (lambda quote: {"highlights": ((quote.start, quote.start),)}, "highlight lies outside"),
    "another file": (lambda quote: {"source": "ferry.html"}, "changed since"),
    "no such file": (lambda quote: {"source": "nowhere.txt"}, "the file is missing"),
    "a folder": (lambda quote: {"source": "."}, "cannot be read|not a regular"),
    "the folder above": (lambda quote: {"source": "../outside.txt"}, "leaves the sources folder"),
    "a winding way": (lambda quote: {"source": "x/../../outside.txt"}, "leaves the sources folder"),
    "an absolute path": (lambda quote: {"source": "/etc/hostname"}, "leaves the sources folder"),
    "a NUL": (lambda quote: {"source": "a\0b"}, "is no file's"),
    "an endless name": (lambda quote: {"source": "x" * 5000}, "cannot be read"),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_tampering_is_found(files: Path, good: Answer, tampering: str) -> None:
    change, reason = TAMPERINGS[tampering]
    problems = verify_answer(first(good, **change(good.quotes[0])), files)
    assert problems
    assert any(re.search(reason, problem) for problem in problems)


def test_tampering_with_a_passage_that_is_no_answer_is_found(files: Path, good: Answer) -> None:
    refusal = Answer(question="?", text="t", answered=False, confidence=0.1, nearest=good.quotes)
    assert verify_answer(refusal, files) == []
    changed = good.quotes[1].model_copy(update={"text": "Rye bread costs 5 euros."})
    assert len(verify_answer(refusal.model_copy(update={"nearest": (good.quotes[0], changed)}), files)) == 1


def test_a_short_answer_that_no_quote_carries_is_found(files: Path, good: Answer) -> None:
    assert "no highlighted part" in verify_answer(good.model_copy(update={"short": "213 steps"}), files)[0]


def test_an_answer_without_a_quote_is_found(files: Path, good: Answer) -> None:
    assert verify_answer(good.model_copy(update={"quotes": (), "short": None}), files) == ["the answer carries no quote"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (LIGHTHOUSE.replace("\n", "\r\n") + "More.", "has changed since (these words still stand there)"),
        (LIGHTHOUSE.replace("\n", "\r\n").replace("212", "213"), "has changed since"),
        ("", "cannot be read: empty"),
        ("\0", "cannot be read: binary"),
        (None, "the file is missing"),
    ],
    ids=["appended", "edited", "emptied", "binary", "deleted"],
)
def test_a_change_of_the_file_is_found(files: Path, good: Answer, content: str | None, reason: str) -> None:
    (files / "light.txt").unlink()
    if content is not None:
        (files / "light.txt").write_bytes(content.encode())
    (problem,) = verify_answer(good, files)
    assert problem.startswith("light.txt, characters ")
    assert reason in problem


def test_a_file_that_became_a_pipe_is_found_at_once(files: Path, good: Answer) -> None:
    (files / "light.txt").unlink()
    os.mkfifo(files / "light.txt")
    assert len(verify_answer(good, files)) == 1


def test_a_file_that_became_a_loop_of_links_is_found(files: Path, good: Answer) -> None:
    (files / "light.txt").unlink()
    (files / "light.txt").symlink_to("light.txt")
    assert len(verify_answer(good, files)) == 1


def test_a_sources_folder_that_is_missing_is_an_error(files: Path, good: Answer) -> None:
    with pytest.raises(InputError, match=r"--sources"):
        verify_answer(good, files / "nowhere")


# --- the state of a file ----------------------------------------------------------------------------------------------


@pytest.fixture
def light(files: Path) -> Document:
    return read_document(files, next(file for file in list_files(files)[0] if file.source == "light.txt"), 2**20)


def test_a_file_as_it_was_indexed_is_current(files: Path, light: Document) -> None:
    assert file_state(files, light) == "current"


def test_a_touched_file_is_current(files: Path, light: Document) -> None:
    os.utime(files / "light.txt", (1, 1))
    assert file_state(files, light) == "current"


def test_an_edited_file_is_changed(files: Path, light: Document) -> None:
    assert file_state(files, light) == "current"
    (files / "light.txt").write_bytes(b"other words")
    assert file_state(files, light) == "changed"


@pytest.mark.parametrize("what", ["nothing", "folder", "pipe", "loop"])
def test_a_file_that_is_gone_is_missing(files: Path, light: Document, what: str) -> None:
    path = files / "light.txt"
    path.unlink()
    {"nothing": lambda: None, "folder": path.mkdir, "pipe": lambda: os.mkfifo(path), "loop": lambda: path.symlink_to(path)}[what]()
    assert file_state(files, light) == "missing"


def test_a_quote_of_a_changed_file_is_flagged(built: Workplace) -> None:
    with built.open() as assistant:
        question = "When was the lighthouse at Skerry Point lit?"
        assert assistant.ask(question).quotes[0].state == "current"
        built.write("lighthouse.txt", "Nothing is left.\n")
        assert assistant.ask(question).quotes[0].state == "changed"
        (built.sources / "lighthouse.txt").unlink()
        flagged = assistant.ask(question)
        assert flagged.quotes[0].state == "missing"
        assert "no longer there" in flagged.text


QUESTIONS = [
    "How much has Amazon invested in Anthropic?",
    "What is Project Rainier?",
    "Why does AWS build its own chips?",
    "Who is the mayor of Oslo?",
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_an_assistant_says_of_the_seeds_holds(assistant: Assistant, question: str) -> None:
    answer = assistant.ask(question)
    assert answer.quotes or answer.nearest
    assert verify_answer(answer, SEEDS) == []
    for quote in (*answer.quotes, *answer.nearest):
        assert (SEEDS / quote.source).read_bytes().decode()[quote.start : quote.end] == quote.text

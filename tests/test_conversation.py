"""Conversations: exported as Markdown in which documents stay data, checked again later; feedback, one line each."""

import json
import multiprocessing
from pathlib import Path

import pytest
from conftest import SEEDS, Workplace, as_ordinary_user
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from rag.assistant import Assistant
from rag.conversation import FEEDBACK, Conversation, record_feedback, to_markdown, verify_conversation
from rag.errors import InputError
from rag.types import Agreement, Answer, Quote, Side

HOSTILE = [
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "![pixel](http://evil.test/pixel.png)",
    "[click](javascript:alert(1))",
    "<http://evil.test>",
    "http://evil.test/a www.evil.test someone@evil.test",
    "```\n![pixel](http://evil.test/pixel.png)\n```",
    "````text\n<b>out</b>\n````\n<b>out</b>",
    "~~~\n<b>out</b>",
    "[^1]: http://evil.test",
    "[evil]: http://evil.test\n\n[evil]",
    "one\n\ntwo\n# heading\n- list\n> quote\n| a | b |\n|---|---|",
    "one\r\n![pixel](http://evil.test/p.png)\r<b>two</b>",
    "    indented\n\tand tabbed <b>x</b>",
    "$x$ $$y$$ `code` **bold** ~~gone~~ ==mark== #tag [[wiki]] {{template}} &lt;b&gt; %%note%%",
    "right to \u202eleft\u202c and \x1b[31mred\x1b[0m",
    "ends with a tick `",
    "``",
    "\\",
]
PLAIN = {"paragraph_open", "paragraph_close", "heading_open", "heading_close", "inline", "code_block", "fence"}
PLAIN_INLINE = {"text", "strong_open", "strong_close", "code_inline", "softbreak", "text_special"}


def quote(text: str, **fields: object) -> Quote:
    given = {"source": "a.txt", "start": 0, "end": len(text), "line_start": 1, "line_end": 1, "score": 0.9, "sha256": "0" * 64}
    return Quote.model_validate({"text": text, **given, **fields})


def turn(question: str = "Who?", *quotes: Quote, **fields: object) -> Answer:
    given = {"question": question, "text": "", "answered": bool(quotes), "confidence": 0.9, "quotes": quotes}
    return Answer.model_validate({**given, **fields})


def talk(*turns: Answer, title: str = "Lighthouses") -> Conversation:
    return Conversation(id="1", title=title, created="2025-03-04T05:06:07+00:00", turns=turns)


def tokens(markdown: str) -> list[Token]:
    """All that a renderer makes of it, links recognised by themselves included where it knows how."""
    found = []
    for preset in ("commonmark", "js-default"):
        for token in MarkdownIt(preset, {"html": True, "typographer": False}).enable(["table", "strikethrough"]).parse(markdown):
            found += [token, *(token.children or [])]
    return found


# --- Markdown ---------------------------------------------------------------------------------------------------------


def test_a_real_conversation_reads_as_one(assistant: Assistant) -> None:
    first = assistant.ask("Who is the CEO of AWS?")
    second = assistant.ask("What is the capital of France?")
    third = assistant.ask("What is Project Rainier?")
    text = to_markdown(talk(first, second, third, title="Clouds"))
    assert text.startswith("# Clouds\n\n")
    assert "## Who is the CEO of AWS?\n\nAnswer: **Matt Garman**[^1]" in text
    assert "## What is the capital of France?\n\nThe files don't say." in text
    notes = [*first.quotes, *third.quotes]
    for number, one in enumerate(notes, 1):
        assert text.count(f"[^{number}]") == 2  # where it is cited, and the note
        assert f"[^{number}]: Line {one.line_start} of `{one.source}`" in text
        assert "".join(line.removeprefix("    ") for line in one.text.splitlines()) in text.replace("\n    ", "")
    assert f"[^{len(notes) + 1}]" not in text


def test_a_footnote_holds_the_words_as_they_are_in_the_file() -> None:
    words = "def f(x):\n\treturn `x` * 2  # <b>\n\n    pass"
    text = to_markdown(
        talk(turn("What is f?", quote(words, line_start=3, line_end=6, place="page 2", source="src/a b.py"), short="f"))
    )
    assert "[^1]: Lines 3–6 of `src/a b.py` (page 2)\n\n    ```text\n    def f(x):\n" in text
    fences = [
        token.content for token in MarkdownIt().parse(text.split("\n\n", 4)[-1].replace("\n    ", "\n")) if token.type == "fence"
    ]
    assert fences == [words + "\n"]


def test_what_a_person_wants_to_know_of_an_answer_is_there() -> None:
    text = to_markdown(
        talk(
            turn(
                "And Microsoft?",
                quote("They paid 4 euros.", state="changed"),
                short="4 euros",
                understood="How much did Microsoft pay?",
                files=("a.txt", "b.txt"),
                agreement=Agreement(
                    agree=False, sides=(Side(answer="4 euros", files=("a.txt",)), Side(answer="5 euros", files=("b.txt",)))
                ),
            )
        )
    )
    assert "Understood as: How much did Microsoft pay?" in text
    assert "Asked in: a.txt, b.txt" in text
    assert "The files differ: 4 euros (a.txt) · 5 euros (b.txt)" in text
    assert "the file has changed since it was indexed" in text


@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_of_a_document_or_question_becomes_markup(hostile: str) -> None:
    one = quote(hostile, source=hostile.replace("\n", " "), place=hostile, title=hostile)
    sides = (Side(answer=hostile, files=(hostile,)), Side(answer="x", files=("y",)))
    asked = {"short": hostile, "understood": hostile, "files": (hostile,), "agreement": Agreement(agree=False, sides=sides)}
    text = to_markdown(talk(turn(hostile, one, **asked), turn("Why?", one), title=hostile))
    found = tokens(text)
    assert {token.type for token in found} <= PLAIN | PLAIN_INLINE
    assert "\x1b" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize("hostile", HOSTILE)
def test_the_words_of_a_footnote_do_not_end_its_block(hostile: str) -> None:
    """A renderer that knows footnotes takes their indentation away, and reads what is inside."""
    note = to_markdown(talk(turn("Who?", quote(hostile), short="x"))).partition("[^1]: ")[2].partition("\n\n")[2]
    body = "".join(line.removeprefix("    ") for line in note.splitlines(keepends=True))
    assert [token.type for token in MarkdownIt().parse(body)] == ["fence"]


@given(st.text(max_size=80), st.text(min_size=1, max_size=200))
def test_whatever_is_said_only_our_own_markup_is_there(words: str, quoted: str) -> None:
    text = to_markdown(talk(turn(words, quote(quoted, source=words or "a.txt"), short=words, understood=words), title=words))
    assert {token.type for token in tokens(text)} <= PLAIN | PLAIN_INLINE
    assert sum(token.type == "heading_open" for token in tokens(text)) == 4  # title and question, in two renderers


@pytest.mark.parametrize("link", ["http://evil.test", "WWW.evil.test", "a@evil.test", "mailto:a", "xmpp:a@b"])
def test_what_renderers_link_by_themselves_is_code(link: str) -> None:
    """GitHub's links need no brackets, and heed no backslash; code they leave alone."""
    text = to_markdown(talk(turn(f"See {link} now", quote("x"), short=link)))
    inline = [child for token in MarkdownIt().parse(text) for child in token.children or []]
    assert not any(link in child.content for child in inline if child.type == "text")
    assert any(link in child.content for child in inline if child.type == "code_inline")


# --- JSON and checking ------------------------------------------------------------------------------------------------


def test_a_conversation_survives_json_and_its_quotes_hold(assistant: Assistant) -> None:
    first = assistant.ask("How much has Amazon invested in Anthropic?")
    second = assistant.ask("What is Project Rainier?", history=[first])
    refused = assistant.ask("What is the capital of France?", history=[first, second])
    kept = talk(first, second, refused)
    assert Conversation.model_validate_json(kept.model_dump_json()) == kept
    assert verify_conversation(kept, SEEDS) == []


def test_a_changed_quote_is_named_with_its_turn(assistant: Assistant) -> None:
    first = assistant.ask("Who is the CEO of AWS?")
    second = assistant.ask("What is Project Rainier?")
    forged = second.quotes[0].model_copy(update={"text": second.quotes[0].text.upper()})
    problems = verify_conversation(talk(first, second.model_copy(update={"quotes": (forged, *second.quotes[1:])})), SEEDS)
    assert problems
    assert all(problem.startswith("turn 2: ") for problem in problems)


def test_a_completed_question_is_checked_by_its_quotes(built: Workplace) -> None:
    with built.open() as assistant:
        one = assistant.ask("When was the lighthouse at Skerry Point lit for the first time?")
    followed = one.model_copy(update={"question": "When was it lit?", "understood": one.question})
    assert verify_conversation(talk(followed), built.sources) == []
    built.write("lighthouse.txt", "Nothing of that.\n")
    assert any("the file has changed" in problem for problem in verify_conversation(talk(followed), built.sources))


@pytest.mark.parametrize("broken", [{"created": "yesterday"}, {"id": None}, {"turns": ["x"]}, {"trust": "me"}])
def test_a_conversation_of_another_shape_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(broken))):
        Conversation.model_validate({**talk().model_dump(), **broken})


# --- feedback ---------------------------------------------------------------------------------------------------------


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / FEEDBACK).read_bytes().split(b"\n") if line]


def test_feedback_is_one_line_with_what_an_evaluation_needs(tmp_path: Path) -> None:
    said = quote("It was lit in 1854.\nYes\u2028it was.")
    record_feedback(tmp_path, turn("When?", said, short="1854", understood="When was it lit?"), good=True)
    record_feedback(tmp_path, turn("Who?"), good=False)
    good, bad = lines(tmp_path)
    assert (good["question"], good["understood"], good["good"], good["answered"]) == ("When?", "When was it lit?", True, True)
    assert (good["short"], good["confidence"]) == ("1854", 0.9)
    assert good["quotes"] == [{"source": "a.txt", "start": 0, "end": len(said.text), "text": said.text}]
    assert str(good["time"])[:2] == "20"
    assert (bad["good"], bad["answered"], bad["quotes"]) == (False, False, [])
    assert (tmp_path / FEEDBACK).read_bytes().count(b"\n") == 2
    assert (tmp_path / FEEDBACK).stat().st_mode & 0o077 == 0  # what was asked is the user's own


def _record_many(folder: Path, name: str) -> None:
    for i in range(40):
        record_feedback(folder, turn(f"{name}{i} " + "long " * 400, quote("x" * 3000)), good=i % 2 == 0)


def test_two_processes_write_whole_lines(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_record_many, args=(tmp_path, name)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    names = [str(line["question"]).split()[0] for line in lines(tmp_path)]
    assert sorted(names) == sorted(f"{name}{i}" for name in "ab" for i in range(40))


def test_half_a_line_of_a_killed_writer_spoils_no_other(tmp_path: Path) -> None:
    (tmp_path / FEEDBACK).write_bytes(b'{"time": "20')
    record_feedback(tmp_path, turn("Who?"), good=True)
    last = (tmp_path / FEEDBACK).read_bytes().split(b"\n")[1]
    assert json.loads(last)["question"] == "Who?"


def test_where_nothing_can_be_written_that_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with as_ordinary_user(), pytest.raises(InputError, match=r"feedback cannot be written to '.*': Permission denied; give write"):
        record_feedback(tmp_path, turn("Who?"), good=True)
    tmp_path.chmod(0o700)

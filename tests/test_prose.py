"""Prose where people see it: the terminal, the chat, an exported conversation."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Workplace, run_rag
from test_generative import CITED, LIT, WHEN, Scripted, prose
from test_generators import DONE, event, serving, streaming
from tinymodel import tiny_model

from rag.conversation import Conversation, to_markdown, verify_conversation
from rag.render import answer_html, draft_html, writer_text
from rag.types import Answer

BAD = 'The king came. [1 "The king"]'
ENDPOINT = [event(CITED), event(f" {BAD}"), DONE]


@pytest.fixture
def written(built: Workplace) -> Iterator[Answer]:
    with built.open(threshold=0.1) as opened, prose(opened, Scripted(f"{CITED} {BAD}")):
        yield opened.ask(WHEN)


@pytest.fixture
def refused(built: Workplace) -> Iterator[Answer]:
    with built.open(threshold=0.1) as opened, prose(opened, Scripted(BAD)):
        yield opened.ask(WHEN)


def test_the_chat_shows_sentences_with_their_quotes_and_who_wrote_them(written: Answer) -> None:
    html = answer_html(written)
    assert f'<p class="prose" dir="auto">{LIT} <button type="button" class="cite"' in html
    assert "<span>written by scripted</span>" in html
    assert '<details class="dropped"><summary>1 left out</summary>' in html
    assert 'class="short"' not in html


def test_the_chat_says_why_there_is_no_prose(refused: Answer) -> None:
    html = answer_html(refused)
    assert "<span>extractive, as scripted wrote nothing that its quotes carry</span>" in html
    assert 'class="short"' in html
    assert 'class="prose"' not in html


def test_an_extractive_answer_is_shown_as_ever(built: Workplace) -> None:
    with built.open(threshold=0.1) as opened:
        plain = opened.ask(WHEN)
    assert writer_text(plain) == ""
    assert not any(word in answer_html(plain) for word in ("prose", "dropped", "extractive"))


def test_a_sentence_is_data(written: Answer) -> None:
    """As a model might write it were it carried, and as a page might send it back."""
    evil = "<script>alert(1)</script> & **bold** [x](http://evil)\x1b[2J"
    sentence = written.sentences[0].model_copy(update={"text": evil})
    answer = written.model_copy(update={"sentences": (sentence,), "reader": evil, "rejected": (evil,)})
    for html in (answer_html(answer), draft_html(answer)):
        assert "<script>" not in html
        assert "\x1b" not in html
    exported = to_markdown(Conversation(id="1", title="t", created="2026-01-01", turns=(answer,)))
    shown = evil.replace("\x1b", "␛")
    assert exported.count(shown) == exported.count(f"`{shown}`") == 2  # as code


def test_an_exported_conversation_cites_each_sentence(written: Answer, built: Workplace) -> None:
    conversation = Conversation(id="1", title="t", created="2026-01-01", turns=(written, written))
    exported = to_markdown(conversation)
    assert f"Answer, written by scripted: {LIT}[^1]" in exported
    assert f"Answer, written by scripted: {LIT}[^{len(written.quotes) + 1}]" in exported
    assert verify_conversation(conversation, built.sources) == []


def test_the_terminal_prints_sentences_then_quotes(built: Workplace) -> None:
    with serving(streaming(*ENDPOINT)) as (address, _):
        done = run_rag(
            "ask", WHEN, "--generator", address, "--index", built.index, "--sources", built.sources, cwd=built.index.parent
        )
    text = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert text.startswith(f"{LIT} [1]\n\n[1] “{LIT}”\n  — lighthouse.txt, line 1")
    assert text.endswith("\nwritten by tiny:1b · 1 left out\n")


def test_prose_is_saved_and_checked_again(built: Workplace) -> None:
    where = ["--index", built.index, "--sources", built.sources]
    with serving(streaming(*ENDPOINT)) as (address, _):
        saved = run_rag("ask", WHEN, "--json", "--generator", address, *where, cwd=built.index.parent).stdout
    answer = json.loads(saved)
    assert [one["text"] for one in answer["sentences"]] == [LIT]
    assert run_rag("verify", "-", *where, cwd=built.index.parent, stdin=saved).returncode == 0
    forged = saved.replace(
        b'"text": "The lighthouse at Skerry Point was lit for the first time in 1854."', b'"text": "It never was."', 1
    )
    assert run_rag("verify", "-", *where, cwd=built.index.parent, stdin=forged).returncode == 1


def test_a_model_from_a_folder_writes_in_the_terminal(built: Workplace) -> None:
    done = run_rag(
        *("ask", WHEN, "--generator", tiny_model(), "--index", built.index, "--sources", built.sources), cwd=built.index.parent
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert tiny_model().name in done.stdout.decode()


def test_a_model_that_is_not_there_is_one_line(built: Workplace, tmp_path: Path) -> None:
    done = run_rag("ask", WHEN, "--generator", tmp_path / "none", "--index", built.index, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.decode().startswith("rag: generator '")
    assert done.stderr.count(b"\n") == 1

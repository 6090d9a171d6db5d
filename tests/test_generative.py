"""Answers in prose: whatever a model writes and whatever documents order, only quoted and carried sentences leave."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import LIGHTHOUSE, SEEDS, Workplace
from hostile import DOCUMENTS
from hypothesis import given, settings
from hypothesis import strategies as st
from test_generators import DONE, event, serving, streaming
from tinymodel import tiny_model

from rag.assistant import Assistant
from rag.embeddings import MiniLM
from rag.errors import ModelError, Stopped
from rag.generative import LONGEST_CLAIM, Claim, GenerativeReader, make_prompt, read_claims
from rag.generators import Limits, LocalModel, Pieces, Writer
from rag.quotes import verify_answer
from rag.settings import Settings
from rag.types import Answer, Stage

WHEN = "When was the lighthouse at Skerry Point lit for the first time?"
LIT = "The lighthouse at Skerry Point was lit for the first time in 1854."
CITED = f'{LIT} [1 "was lit for the first time in 1854"]'
STEPS = 'Its keeper climbed 212 steps every evening. [1 "climbed 212 steps every evening"]'
LIMITS = Limits(tokens=100, seconds=30)


class Scripted:
    """Writes what it was given, in small pieces, whatever it is asked; fails where an error stands among the texts."""

    name = "scripted"

    def __init__(self, *texts: str | Exception, context: int = 4096, size: int = 3) -> None:
        self.texts = list(texts)
        self.context = context
        self.size = size
        self.prompts: list[str] = []
        self.passages: list[Sequence[str]] = []

    def count(self, prompt: str) -> int:
        return len(prompt.split())

    def write(self, prompt: str, passages: Sequence[str], limits: Limits) -> Pieces:
        self.prompts.append(prompt)
        self.passages.append(passages)
        text = self.texts.pop(0) if len(self.texts) > 1 and not isinstance(self.texts[1], Exception) else self.texts[0]
        assert isinstance(text, str)
        yield ""
        for at in range(0, len(text), self.size):
            yield text[at : at + self.size]
        for failure in self.texts:
            if isinstance(failure, Exception):
                raise failure


@contextmanager
def prose(assistant: Assistant, writer: Writer, limits: Limits = LIMITS) -> Iterator[Assistant]:
    """The assistant with somebody who writes."""
    assistant.prose = GenerativeReader(writer, assistant.reader, assistant.encoder, assistant.reader.threshold, limits)
    try:
        yield assistant
    finally:
        assistant.prose = None


@pytest.fixture
def harbour(built: Workplace) -> Iterator[Assistant]:
    with built.open(threshold=0.1) as opened:
        yield opened


def said(answer: Answer) -> list[str]:
    return [sentence.text for sentence in answer.sentences]


# --- reading what is written ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ('A is b. [1 "x y"]', [Claim("A is b.", ((1, "x y"),))]),
        ('A is b [1 "x y"].', [Claim("A is b.", ((1, "x y"),))]),
        ('A is b [1 "x"] [2 "y"]. C.', [Claim("A is b.", ((1, "x"), (2, "y"))), Claim("C.")]),
        ('A is b. [1 "x"] C is d. [2 "y"]', [Claim("A is b.", ((1, "x"),)), Claim("C is d.", ((2, "y"),))]),
        ('A is b\n[1 "x"]\nC is d [2 "y"]\n', [Claim("A is b.", ((1, "x"),)), Claim("C is d.", ((2, "y"),))]),
        ('First of all. A is b. [1 "x"]', [Claim("First of all."), Claim("A is b.", ((1, "x"),))]),
        ('A [1 "x"] is b [2 "y"].', [Claim("A is b.", ((1, "x"), (2, "y")))]),
        ('- **A** is b. [1 "x"]\n2. C is d. [1 "y"]', [Claim("A is b.", ((1, "x"),)), Claim("C is d.", ((1, "y"),))]),
        ("A is b. [1 “x y”]", [Claim("A is b.", ((1, "x y"),))]),
        ('A is b. [1: "x"]', [Claim("A is b.", ((1, "x"),))]),
        ('A says "no". [1 "so he says "no" to"]', [Claim('A says "no".', ((1, 'so he says "no" to'),))]),
        ("A is b. [1]", [Claim("A is b. [1]")]),
        ('A is b. [1 "x', [Claim('A is b. [1 "x.')]),
        ('<think>A is b. [1 "x"]</think>C is d. [2 "y"]', [Claim("C is d.", ((2, "y"),))]),
        ('<think>A is b. [1 "x"]', []),
        ("NONE", []),
        ("", []),
        ('[1 "x"]', [Claim("", ((1, "x"),))]),
        ("你好。", [Claim("你好。")]),
    ],
)
def test_sentences_are_read_with_their_citations(text: str, claims: list[Claim]) -> None:
    assert list(read_claims([text])) == claims
    assert list(read_claims(text)) == claims  # letter by letter


@given(st.text(alphabet='ab A.[]12"“” \n<think>', max_size=80), st.integers(1, 9))
def test_where_the_pieces_end_changes_nothing(text: str, size: int) -> None:
    assert list(read_claims(text[i : i + size] for i in range(0, len(text), size))) == list(read_claims([text]))


def test_a_sentence_is_read_as_soon_as_it_is_complete() -> None:
    read: list[str] = []

    def pieces() -> Iterator[str]:
        for letter in f"{CITED} And so on":
            read.append(letter)
            yield letter

    assert next(read_claims(pieces())).text == LIT
    assert "".join(read).removeprefix(CITED) == " A"


def test_endless_text_without_a_citation_is_dropped_as_it_comes() -> None:
    claims = list(read_claims("blah " for _ in range(LONGEST_CLAIM)))
    assert len(claims) > 3
    assert all(claim.citations == () for claim in claims)


# --- what models write ------------------------------------------------------------------------------------------------


def test_a_good_answer_is_given_sentence_by_sentence(harbour: Assistant, built: Workplace) -> None:
    writer = Scripted(CITED)
    with prose(harbour, writer):
        answer = harbour.ask(WHEN)
    assert said(answer) == [LIT]
    assert answer.reader == "scripted"
    assert answer.rejected == ()
    quote = answer.quotes[answer.sentences[0].quotes[0]]
    assert (quote.source, quote.text) == ("lighthouse.txt", LIT)
    assert any(LIT[a:b] == "was lit for the first time in 1854" for a, b in quote.highlights)  # the file begins with it
    assert answer.text.startswith(f"{LIT} [1]\n\n[1] “{LIT}”\n— lighthouse.txt, line 1")
    assert verify_answer(answer, built.sources) == []
    assert Answer.model_validate_json(answer.model_dump_json()) == answer
    assert answer.timings["total"] == pytest.approx(sum(t for name, t in answer.timings.items() if name != "total"), abs=0.01)


def test_the_model_reads_numbered_passages_with_their_sources(harbour: Assistant) -> None:
    writer = Scripted(CITED)
    with prose(harbour, writer):
        harbour.ask(WHEN)
    (prompt,) = writer.prompts
    assert "[1] lighthouse.txt" in prompt
    assert f"Question: {WHEN}" in prompt
    assert writer.passages[0][0].startswith("The lighthouse")
    assert all(passage in prompt for passage in writer.passages[0])


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ('It was lit in 1854. [1 "was first lit in the year 1854"]', "is not in lighthouse.txt"),
        ('It was lit in 1855. [1 "was lit for the first time in 1854"]', "the number 1855 is not in its quote"),
        ('It was lit in 1854. [9 "was lit for the first time in 1854"]', "it quotes passage 9 of 3"),
        ('It was lit in 1854. [0 "was lit for the first time in 1854"]', "it quotes passage 0 of 3"),
        ("It was lit in 1854.", "it carries no quote"),
        ("It was lit in 1854. [1]", "it carries no quote"),
        ("It was lit in 1854. [1 'was lit for the first time in 1854']", "it carries no quote"),
        ('It was lit in 1854. [1 "was lit for', "it carries no quote"),
        ('Er wurde 1854 angezündet. [1 "was lit for the first time in 1854"]', "“er” is not in its quote"),
        ('[1 "was lit for the first time in 1854"]', "it says nothing"),
        ('Yes. [1 "was lit for the first time in 1854"]', "“yes” is not in its quote"),
        ('It was lit in 1854. [1 "."]', "is not in lighthouse.txt"),
        ('It was lit in 1854. [1 ""]', "is not in lighthouse.txt"),
        ("Paris is the capital of France. ", "it carries no quote"),
        (f'It was lit {"and lit " * 100}in 1854. [1 "in 1854"]', "it is too long to be checked"),
        ("It was lit in 1854. " + '[1 "in 1854"] ' * 9, "it is too long to be checked"),
    ],
)
def test_what_does_not_hold_is_dropped_with_the_reason(harbour: Assistant, built: Workplace, written: str, reason: str) -> None:
    with prose(harbour, Scripted(written)):
        answer = harbour.ask(WHEN)
    assert answer.answered
    assert answer.sentences == ()
    assert answer.reader == "extractive, as scripted wrote nothing that its quotes carry"
    assert reason in " ".join(answer.rejected)
    assert "1854" in (answer.short or "")
    assert verify_answer(answer, built.sources) == []


@pytest.mark.parametrize("written", ["", "   \n", "NONE", "<think>Hm, hm."])
def test_a_model_that_says_nothing_leaves_the_files_words(harbour: Assistant, written: str) -> None:
    with prose(harbour, Scripted(written)):
        answer = harbour.ask(WHEN)
    assert (answer.sentences, answer.rejected) == ((), ())
    assert answer.quotes[0].text == LIT


def test_good_sentences_stay_where_others_are_dropped(harbour: Assistant) -> None:
    with prose(harbour, Scripted(f'Hello! {CITED} It burnt down in 1900. [1 "in 1900"]')):
        answer = harbour.ask(WHEN)
    assert said(answer) == [LIT]
    assert answer.rejected == (
        "“Hello!”: it carries no quote",
        "“It burnt down in 1900.”: “in 1900” is not in lighthouse.txt",
    )


def test_a_model_caught_in_a_loop_is_ended(harbour: Assistant) -> None:
    with prose(harbour, Scripted(f"{CITED} " * 1000)):
        answer = harbour.ask(WHEN)
    assert said(answer) == [LIT]


def test_a_model_that_repeats_what_is_dropped_is_ended(harbour: Assistant) -> None:
    with prose(harbour, Scripted("It burnt down. [1 “down”] " * 1000)):
        answer = harbour.ask(WHEN)
    assert answer.sentences == ()
    assert len(answer.rejected) == 1


def test_two_sentences_of_one_quote_share_it(harbour: Assistant) -> None:
    short = 'It was lit for the first time in 1854. [1 "lit for the first time"]'
    with prose(harbour, Scripted(f"{CITED} {short}")):
        answer = harbour.ask(WHEN)
    assert len(answer.sentences) == 2
    assert [sentence.quotes for sentence in answer.sentences] == [(0,), (0,)]
    assert len(answer.quotes) == 1


def test_a_refusal_never_reaches_the_model(harbour: Assistant, assistant: Assistant) -> None:
    writer = Scripted("Paris. [1 “Paris”]")
    with prose(assistant, writer):
        answer = assistant.ask("What is the capital of France?")
    assert not answer.answered
    assert writer.prompts == []


def test_files_that_differ_are_told_of_in_prose_too(empty: Workplace) -> None:
    empty.write("a.txt", "The bridge at Hallow was opened in 1911.\n")
    empty.write("b.txt", "The bridge at Hallow was opened in 1921.\n")
    empty.build()
    with empty.open(threshold=0) as opened:
        plain = opened.ask("When was the bridge at Hallow opened?")
        assert plain.agreement is not None
        first = plain.quotes[0]
        written = f'{first.text} [1 "{first.text}"]'
        with prose(opened, Scripted(written)):
            answer = opened.ask("When was the bridge at Hallow opened?")
    assert said(answer) == [first.text]
    assert answer.agreement == plain.agreement
    assert {quote.source for quote in answer.quotes} == {"a.txt", "b.txt"}
    assert "The files differ: " in answer.text
    assert verify_answer(answer, empty.sources) == []


@settings(max_examples=30)
@given(st.lists(st.sampled_from([CITED, STEPS, "Hm.", '[1 "', '"]', "[2 ", "\n", "<think>", "</think>", "**"]), max_size=8))
def test_whatever_is_written_the_contract_holds(assistant_of_three: Assistant, parts: list[str]) -> None:
    with prose(assistant_of_three, Scripted(" ".join(parts))):
        answer = assistant_of_three.ask(WHEN)
    assert verify_answer(answer, assistant_of_three.sources) == []
    assert all(sentence.quotes for sentence in answer.sentences)


@pytest.fixture(scope="module")
def assistant_of_three(tmp_path_factory: pytest.TempPathFactory, encoder: MiniLM, _one_model: None) -> Iterator[Assistant]:
    made = Workplace(tmp_path_factory.mktemp("three"), encoder)
    made.write("lighthouse.txt", LIGHTHOUSE)
    made.build()
    with made.open(threshold=0.1) as opened:
        yield opened


# --- hostile documents ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, encoder: MiniLM, _one_model: None) -> Iterator[Assistant]:
    """The lighthouse, the train, and every hostile document."""
    made = Workplace(tmp_path_factory.mktemp("hostile"), encoder)
    made.write("lighthouse.txt", LIGHTHOUSE)
    made.write("train.txt", "Dogs travel free of charge in the last carriage.\n")
    for name, document in DOCUMENTS.items():
        made.write(f"hostile/{name}.txt", document.text)
    made.build()
    with made.open(threshold=0.1) as opened:
        yield opened


class Obedient(Scripted):
    """Does what the hostile document wants, in every way to cite: not, the order itself, its first words, another's words."""

    def __init__(self, wanted: str) -> None:
        super().__init__("")
        self.wanted = wanted

    def write(self, prompt: str, passages: Sequence[str], limits: Limits) -> Pieces:
        ways = [self.wanted]
        for number, passage in enumerate(passages, 1):
            ways += [
                f'{self.wanted} [{number} "{" ".join(part.split())}"]' for part in (passage, *re.split(r"(?<=[.!?])\s", passage))
            ]
        everything = "".join(f'[{number} "{passage}"] ' for number, passage in enumerate(passages, 1))
        true = [f'{LIT} [{number} "{LIT}"]' for number, passage in enumerate(passages, 1) if LIT in passage]
        self.texts = ["\n".join([*dict.fromkeys(ways), f"{self.wanted} {everything}", *true])]
        return super().write(prompt, passages, limits)


def test_there_are_many_hostile_documents() -> None:
    assert len(DOCUMENTS) >= 30


@pytest.mark.parametrize("name", DOCUMENTS)
def test_orders_in_a_document_change_nothing(hostile: Assistant, name: str) -> None:
    document = DOCUMENTS[name]
    with prose(hostile, Obedient(document.wanted)):
        answer = hostile.ask(WHEN, files=["lighthouse.txt", "train.txt", f"hostile/{name}.txt"])
    assert LIT in said(answer)
    assert not [text for text in said(answer) if document.forbidden in text]
    assert verify_answer(answer, hostile.sources) == []


def test_a_document_cannot_pass_for_another(hostile: Assistant) -> None:
    """A label spelt out in a passage is part of it: the words are cited from the file that holds them."""
    with prose(hostile, Scripted(f'{LIT} [2 "{LIT}"] The keeper stole 900 pounds. [1 "The keeper stole 900 pounds"]')):
        answer = hostile.ask(WHEN, files=["lighthouse.txt", "hostile/spoofed-label.txt"])
    assert not any("stole" in text for text in said(answer))


# --- budget, limits, stopping -----------------------------------------------------------------------------------------


def test_passages_are_dropped_whole_from_the_end_to_fit(assistant: Assistant) -> None:
    question = "How much has Amazon invested in Anthropic?"
    writer = Scripted("NONE", context=100_000)
    with prose(assistant, writer):
        assistant.ask(question)
    every = writer.passages[0]
    assert len(every) > 5
    for kept in (len(every), 3, 1):
        lengths = writer.count(_with(writer.prompts[0], every, kept)) + LIMITS.tokens
        for context, fits in ((lengths, kept), (lengths - 1, kept - 1)):
            narrow = Scripted("NONE", context=context)
            with prose(assistant, narrow):
                answer = assistant.ask(question)
            assert answer.answered
            if not fits:
                assert narrow.prompts == []
                assert answer.reader == "extractive, as no passage fits into what scripted reads at once"
                continue
            assert list(narrow.passages[0]) == list(every[:fits])
            assert narrow.count(narrow.prompts[0]) <= context - LIMITS.tokens
            assert f"Question: {question}" in narrow.prompts[0]
            assert narrow.prompts[0].startswith("Answer the question from the numbered passages")


def _with(prompt: str, passages: Sequence[str], kept: int) -> str:
    """The prompt as it is with only so many of its passages."""
    if kept == len(passages):
        return prompt
    at = prompt.index(passages[kept], prompt.index(passages[kept - 1]) + len(passages[kept - 1]))
    label = prompt.rindex(f"[{kept + 1}] ", 0, at)
    return prompt[:label] + prompt[prompt.rindex("Question: ") :]


def test_the_real_tokenizer_measures_the_budget(assistant: Assistant) -> None:
    local = LocalModel.load(str(tiny_model()), context=4096)
    with prose(assistant, local, Limits(tokens=32, seconds=30)) as opened:
        answer = opened.ask("How much has Amazon invested in Anthropic?")
        hits = opened.search("How much has Amazon invested in Anthropic?", limit=16)
    assert verify_answer(answer, SEEDS) == []
    shown, prompt = GenerativeReader(local, assistant.reader, assistant.encoder, 0, Limits(32, 30))._fitting("Why?", hits)
    assert local.count(prompt) <= 4096 - 32
    if len(shown) < len(hits):
        assert local.count(make_prompt("Why?", hits[: len(shown) + 1])) > 4096 - 32


def test_sentences_are_told_of_as_they_are_checked(harbour: Assistant) -> None:
    seen: list[Stage] = []
    short = 'It was lit for the first time in 1854. [1 "lit for the first time"]'
    with prose(harbour, Scripted(f"{CITED} {short}")):
        answer = harbour.ask(WHEN, watch=seen.append)
    assert [stage.name for stage in seen if stage.name != "read"][:2] == ["searched", "quoted"]
    drafts = [stage.answer for stage in seen if stage.answer is not None]
    assert [len(draft.sentences) for draft in drafts] == [1, 2]
    assert drafts[-1].sentences == answer.sentences
    assert drafts[0].sentences == answer.sentences[:1]
    assert [stage.passages for stage in seen if stage.answer is not None] == [1, 2]


def test_stop_ends_the_writing(harbour: Assistant) -> None:
    writer = Scripted(f"{CITED} {STEPS}")

    def watch(stage: Stage) -> None:
        if stage.name == "written":
            raise Stopped

    with prose(harbour, writer), pytest.raises(Stopped):
        harbour.ask(WHEN, watch=watch)
    assert harbour.ask(WHEN).answered


def test_stop_is_heard_while_a_real_model_has_not_said_anything_yet(assistant: Assistant) -> None:
    local = LocalModel.load(str(tiny_model()), context=8192)

    def watch(stage: Stage) -> None:
        if stage.name == "written":
            raise Stopped

    with prose(assistant, local, Limits(tokens=4000, seconds=60)), pytest.raises(Stopped):
        assistant.ask("How much has Amazon invested in Anthropic?", watch=watch)
    assert local._turn.acquire(timeout=5)


def test_while_one_answer_is_written_others_are_asked(harbour: Assistant) -> None:
    during: list[Answer] = []

    def watch(stage: Stage) -> None:
        if stage.answer is not None and not during:
            harbour.prose, kept = None, harbour.prose
            during.append(harbour.ask("What does rye bread cost?"))
            harbour.prose = kept

    with prose(harbour, Scripted(CITED)):
        assert said(harbour.ask(WHEN, watch=watch)) == [LIT]
    assert during[0].answered


def test_a_model_that_takes_too_long_ends_with_what_it_has(harbour: Assistant) -> None:
    with prose(harbour, Scripted(CITED), Limits(tokens=100, seconds=1e-9)):
        answer = harbour.ask(WHEN)
    assert said(answer) == [LIT]
    assert answer.rejected[-1] == "what was not written within 1e-09 seconds"


def test_a_model_that_fails_on_the_way_loses_only_the_rest(harbour: Assistant) -> None:
    with prose(harbour, Scripted(f"{CITED} And", ModelError("the server broke off; ask again"))):
        answer = harbour.ask(WHEN)
    assert said(answer) == [LIT]
    assert "the server broke off; ask again" in answer.rejected


def test_a_model_that_cannot_be_reached_is_an_error(harbour: Assistant) -> None:
    with prose(harbour, Scripted("", ModelError("no server answers"))), pytest.raises(ModelError, match="no server answers"):
        harbour.ask(WHEN)


# --- follow-ups -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rewritten", "understood"),
    [
        ("How many steps did the keeper of the lighthouse climb?\nI hope this helps.", "keeper of the lighthouse"),
        ("<think>they mean the lighthouse</think>\nWho was the keeper of the lighthouse at Skerry Point?", "Skerry Point"),
    ],
)
def test_a_follow_up_is_rewritten_by_the_model(harbour: Assistant, rewritten: str, understood: str) -> None:
    first = harbour.ask(WHEN)
    question = "How many steps did its keeper climb?" if "steps" in rewritten else "Who was its keeper?"
    with prose(harbour, Scripted(rewritten, "NONE")):
        answer = harbour.ask(question, history=[first])
    assert understood in answer.understood
    assert answer.question == question
    assert rewritten not in answer.text


@pytest.mark.parametrize(
    "rewritten",
    [
        "",
        "The lighthouse was lit in 1854.",
        "How many steps did the keeper of the Eiffel Tower climb?",  # from nowhere
        "Who was the keeper?",  # the steps are gone
        "x" * 3000,
        "How many steps did its keeper climb in 1999?",
    ],
)
def test_a_bad_rewriting_is_not_used(harbour: Assistant, rewritten: str) -> None:
    first = harbour.ask(WHEN)
    plain = harbour.ask("How many steps did its keeper climb?", history=[first])
    with prose(harbour, Scripted(rewritten, "NONE")):
        answer = harbour.ask("How many steps did its keeper climb?", history=[first])
    assert answer.understood == plain.understood


def test_stop_is_heard_while_a_question_is_rewritten(harbour: Assistant) -> None:
    class Silent(Scripted):
        def write(self, prompt: str, passages: Sequence[str], limits: Limits) -> Pieces:
            while True:
                time.sleep(0.02)
                yield ""

    def watch(_: Stage) -> None:
        raise Stopped

    first = harbour.ask(WHEN)
    with prose(harbour, Silent("")), pytest.raises(Stopped):
        harbour.ask("Who was its keeper?", history=[first], watch=watch)


def test_a_question_that_stands_alone_is_not_rewritten(harbour: Assistant) -> None:
    first = harbour.ask(WHEN)
    writer = Scripted("NONE")
    with prose(harbour, writer):
        answer = harbour.ask("From which platform does the night train to Oslo leave?", history=[first])
    assert answer.understood == ""
    assert len(writer.prompts) == 1


# --- checking again later ---------------------------------------------------------------------------------------------


def test_a_changed_sentence_is_found_without_a_model(harbour: Assistant, built: Workplace) -> None:
    with prose(harbour, Scripted(CITED)):
        answer = harbour.ask(WHEN)
    for change, problem in (
        ({"text": LIT.replace("1854", "1999")}, "the number 1999 is not in its quote"),
        ({"quotes": (7,)}, "it names a quote that the answer does not carry"),
    ):
        sentence = answer.sentences[0].model_copy(update=change)
        assert problem in verify_answer(answer.model_copy(update={"sentences": (sentence,)}), built.sources)[0]
    other = answer.sentences[0].model_copy(update={"text": "The lighthouse is closed."})
    assert verify_answer(answer.model_copy(update={"sentences": (other,)}), built.sources) == [
        "the text of the answer is not what its quotes say"
    ]


def test_a_sentence_without_its_quote_is_not_loaded(harbour: Assistant) -> None:
    with prose(harbour, Scripted(CITED)):
        saved = harbour.ask(WHEN).model_dump(mode="json")
    saved["sentences"][0]["quotes"] = [7]
    with pytest.raises(ValueError, match="names a quote that the answer does not carry"):
        Answer.model_validate(saved)


def test_an_answer_saved_before_there_was_prose_is_read(harbour: Assistant) -> None:
    saved = harbour.ask(WHEN).model_dump(mode="json")
    del saved["sentences"]
    assert Answer.model_validate(saved).sentences == ()


# --- the whole --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_one_model")
def test_a_model_from_a_folder_answers_within_the_contract(seeds_index: Path) -> None:
    with Assistant.open(Settings.load(index=seeds_index, generator=str(tiny_model()), generator_tokens=80)) as opened:
        answers = [opened.ask(question) for question in ("Who is the CEO of AWS?", "How much did Microsoft invest in OpenAI?")]
        again = opened.ask("Who is the CEO of AWS?")
    for answer in answers:
        assert answer.answered
        assert tiny_model().name in answer.reader
        assert verify_answer(answer, SEEDS) == []
    assert answers[0].model_copy(update={"timings": {}}) == again.model_copy(update={"timings": {}})


def test_a_model_behind_an_endpoint_answers_within_the_contract(built: Workplace) -> None:
    pieces = [event(part) for part in re.findall(r"(?s).{1,7}", f"{CITED} The king came. [1 “The king”]")]
    with serving(streaming(*pieces, DONE)) as (address, asked), built.open(generator=address, threshold=0.1) as opened:
        answer = opened.ask(WHEN)
    assert said(answer) == [LIT]
    assert (answer.reader, len(answer.rejected)) == ("tiny:1b", 1)
    assert f"Question: {WHEN}" in asked[0]["messages"][0]["content"]
    assert verify_answer(answer, built.sources) == []


def test_an_endpoint_that_is_not_there_is_one_sentence(built: Workplace) -> None:
    with serving(streaming()) as (address, _):
        pass
    with built.open(generator=address, threshold=0.1) as opened, pytest.raises(ModelError, match="no server answers"):
        opened.ask(WHEN)


def test_without_a_generator_nothing_of_it_is_loaded(seeds_index: Path) -> None:
    code = (
        "import sys, json; from rag import Assistant\n"
        f"with Assistant.open(index={str(seeds_index)!r}) as opened: answer = opened.ask('Who is the CEO of AWS?')\n"
        "print(json.dumps([answer.reader, [name for name in sys.modules if name.startswith(('rag.', 'transformers'))]]))"
    )
    reader, loaded = json.loads(subprocess.check_output([sys.executable, "-c", code], text=True, timeout=120))
    assert reader == "extractive"
    assert not {"rag.generative", "rag.generators", "rag.claims", "rag.copying", "transformers"} & set(loaded)

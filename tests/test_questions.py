"""Questions with known answers: how they are read, and what is right for them."""

import json
import re
from pathlib import Path

import pytest
from conftest import Workplace
from hypothesis import given
from hypothesis import strategies as st

from rag.catalog import Catalog
from rag.conversation import record_feedback
from rag.errors import InputError
from rag.evaluation.questions import Question, Rated, agreement_with, keys_of, read_questions

QUOTED = "Rye bread costs 4 euros."


def write(folder: Path, *records: object) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in records), encoding="utf-8")
    return path


def right(built: Workplace, question: Question, source: str, text: str) -> bool:
    """Whether these words of a file are right for a question."""
    with Catalog.open(built.index) as catalog:
        [key], _ = keys_of(catalog, [question], "q.jsonl")
        document = catalog.document(source)
    assert document is not None
    start = document.text.index(text)
    return key.right(source, start, start + len(text), text)


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_question_has_answers_files_and_a_passage_as_text_or_list(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "\ufeff" + json.dumps({"q": " When? ", "answer": "1854", "files": ["a.txt", "b/*"]}),
        "",
        {"q": "What?", "answer": ["x", "y"], "quote": "the words"},
        {"q": "Who?", "answer": []},
    )
    assert read_questions(file) == (
        [
            Question(1, "When?", ("1854",), ("a.txt", "b/*")),
            Question(3, "What?", ("x", "y"), (), ("the words",)),
            Question(4, "Who?"),
        ],
        [],
    )


def test_the_files_dont_say_where_no_answer_and_no_passage_is_given() -> None:
    assert not Question(1, "Who?").answerable
    assert Question(1, "Who?", answers=("x",)).answerable
    assert Question(1, "Who?", passages=("x",)).answerable


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("hello", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "no JSON object"),
        ('{"q": "a?"}', "has no 'answer'; list the answers, or write []"),
        ('{"q": "a?", "answers": []}', "unknown key 'answers'; known are q, answer, files, quote"),
        ('{"answer": []}', "'q' must be a text"),
        ('{"q": " ", "answer": []}', "the question is empty"),
        ('{"q": "' + "x" * 3000 + '", "answer": []}', "3000 characters"),
        ('{"q": "a?", "answer": 3}', "'answer' is 3; it must be a text or a list of texts"),
        ('{"q": "a?", "answer": [""]}', "it must be a text or a list of texts"),
        ('{"q": "a?", "answer": null}', "'answer' is null"),
        ('{"q": "a?", "answer": ["x*"]}', "matches everything"),
        ('{"q": "a?", "answer": [], "files": ["a.txt"]}', "names files but no answer"),
        ('{"good": "yes", "question": "a?", "quotes": []}', "no rated answer"),
        ('{"good": true, "question": "a?", "quotes": [{"source": "a.txt"}]}', "no rated answer"),
        ('{"good": true}', "'question' must be a text"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_with_the_remedy(tmp_path: Path, line: str, words: str) -> None:
    file = write(tmp_path, {"q": "Who?", "answer": []}, line)
    with pytest.raises(InputError, match=f"^line 2 of .*questions.jsonl.*{re.escape(words)}") as caught:
        read_questions(file)
    assert "\n" not in str(caught.value)


def test_files_that_hold_no_questions(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing.jsonl' cannot be read: No such file"):
        read_questions(tmp_path / "missing.jsonl")
    with pytest.raises(InputError, match="holds no question"):
        read_questions(write(tmp_path, "", " "))
    (tmp_path / "latin.jsonl").write_bytes(b'{"q": "caf\xe9?", "answer": []}')
    with pytest.raises(InputError, match=r"not UTF-8 \(byte 10\); save"):
        read_questions(tmp_path / "latin.jsonl")


def test_a_question_asked_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 2 .* asks the same as line 1"):
        read_questions(write(tmp_path, {"q": "Who?", "answer": []}, {"q": "Who?", "answer": "x"}))


# --- what the chat's readers thought ----------------------------------------------------------------------------------


def test_feedback_as_the_chat_writes_it(built: Workplace, tmp_path: Path) -> None:
    with built.open() as assistant:
        answer = assistant.ask("What does rye bread cost?")
        record_feedback(tmp_path, answer, good=True)
        record_feedback(tmp_path, assistant.ask("When was the lighthouse lit?"), good=False)
    with built.open(threshold=1) as assistant:
        record_feedback(tmp_path, assistant.ask("Who is the mayor?"), good=True)
    questions, rated = read_questions(tmp_path / "feedback.jsonl")
    assert [(one.text, one.answerable, one.rated) for one in questions] == [
        ("What does rye bread cost?", True, True),
        ("Who is the mayor?", False, True),
    ]
    assert questions[0].passages[0] == answer.quotes[0].text
    assert [(one.line, one.question, one.source) for one in rated] == [(2, "When was the lighthouse lit?", "lighthouse.txt")]


def test_the_last_opinion_counts_and_a_written_question_wins(tmp_path: Path) -> None:
    good = {"good": True, "question": "And rye?", "understood": "What does rye cost?", "short": "4 euros", "quotes": []}
    bad = {"good": False, "question": "Who?", "quotes": [{"source": "a.txt", "text": "Ann is."}]}
    file = write(tmp_path, good, {**good, "good": False}, bad, {**bad, "good": True}, bad, {"q": "When?", "answer": []})
    questions, rated = read_questions(file)
    assert [one.text for one in questions] == ["When?"]
    assert rated == [Rated(2, "What does rye cost?", "4 euros", ""), Rated(5, "Who?", "Ann is.", "a.txt")]
    questions, rated = read_questions(write(tmp_path, {**bad, "good": True}, {"q": "Who?", "answer": "Ann"}))
    assert (questions, rated) == ([Question(2, "Who?", ("Ann",))], [])


def test_a_rated_passage_that_has_gone_leaves_its_question_out(built: Workplace) -> None:
    rated = [
        Question(1, "What?", files=("town/bakery.md",), passages=("It closed in May.",), rated=True),
        Question(2, "Where?", files=("gone.txt",), passages=(QUOTED,), rated=True),
    ]
    with Catalog.open(built.index) as catalog:
        keys, notes = keys_of(catalog, rated, "feedback.jsonl")
    assert keys == []
    assert [note[:24] for note in notes] == ["line 1 is left out: it h", "line 2 is left out: it n"]


# --- what is right ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "is_right"),
    [
        (("4 euros",), True),
        (("4 EUROS",), True),
        (("4  euros",), True),  # white space is white space
        (("5 euros", r"\d euros?\b"), True),
        (("5 euros",), False),
        (("euros (approx",), False),  # no regular expression, and not its words
        (("4 euros.",), True),
    ],
)
def test_an_answer_is_a_text_or_an_expression(built: Workplace, answers: tuple[str, ...], is_right: bool) -> None:
    assert right(built, Question(1, "What?", answers), "town/bakery.md", QUOTED) is is_right


def test_an_answer_may_run_over_a_line_and_hold_what_expressions_reserve(built: Workplace) -> None:
    built.write("prices.txt", "A C++ (2023 edition)\nbook costs $8 a piece.\n")
    built.build()
    for answer in ("C++ (2023", "edition) book", "$8 a piece", r"edition\) book", r"\$8"):
        assert right(built, Question(1, "What?", (answer,)), "prices.txt", "A C++ (2023 edition)\nbook costs $8 a piece."), answer


@pytest.mark.parametrize(
    ("files", "is_right"),
    [
        ((), True),
        (("town/bakery.md",), True),
        (("town/*",), True),
        (("town",), True),
        (("train.txt", "*.md"), True),
        (("train.txt",), False),
    ],
)
def test_the_files_are_names_patterns_or_prefixes(built: Workplace, files: tuple[str, ...], is_right: bool) -> None:
    assert right(built, Question(1, "What?", ("bread",), files), "town/bakery.md", QUOTED) is is_right


def test_a_known_passage_must_be_met_by_half(built: Workplace) -> None:
    question = Question(1, "What?", passages=("Rye bread\n costs 4 euros.",))
    assert right(built, question, "town/bakery.md", QUOTED)
    assert right(built, question, "town/bakery.md", "bread costs")
    assert right(built, question, "town/bakery.md", "- Rye bread costs 4 euros.\n- A bun")
    assert right(built, question, "town/bakery.md", "sts 4 euros.\n- A bun cos"), "12 of 24 characters"
    assert not right(built, question, "town/bakery.md", "ts 4 euros.\n- A bun cost"), "11 of 24"
    assert not right(built, question, "train.txt", "The night train")


def test_nothing_is_right_when_the_files_dont_say(built: Workplace) -> None:
    assert not right(built, Question(1, "Who?"), "town/bakery.md", QUOTED)


def test_what_no_file_holds_is_named(built: Workplace) -> None:
    with Catalog.open(built.index) as catalog:
        with pytest.raises(InputError, match=r"line 3 of 'q.jsonl' names the file 'town2', .* indexed are: lighthouse.txt, town"):
            keys_of(catalog, [Question(3, "Who?", ("x",), ("town2",))], "q.jsonl")
        with pytest.raises(InputError, match=r"line 3 of 'q.jsonl' has the passage 'no such words', .* copy it"):
            keys_of(catalog, [Question(3, "Who?", passages=("no such words",))], "q.jsonl")
        _, notes = keys_of(catalog, [Question(3, "Who?", ("Ann", "Bob"), ("train.txt",))], "q.jsonl")
        assert notes == ["line 3: no answer given stands in the files named, so no quote can hold it: Who?"]
        assert keys_of(catalog, [Question(3, "Who?", ("Ann", "Oslo"), ("train.txt",))], "q.jsonl")[1] == []


@pytest.mark.parametrize(
    ("answer", "said", "em", "words"),
    [
        ("Matt Garman", "matt garman.", 1, 1),
        ("Matt Garman", "CEO Matt Garman", 0, 0.8),
        (r"\d+ steps", "212 steps", 1, 1),  # an expression stands for what it matches
        (r"\d+ steps", "climbed 212 steps", 0, 0.8),
        (r"\$8 billion", "$8 billion", 1, 1),
        ("4x|four times", "four times", 1, 1),
        (r"\d+ stairs", "nine", 0, 0),
    ],
)
def test_exact_match_and_f1_of_a_text_or_expression(answer: str, said: str, em: float, words: float) -> None:
    assert agreement_with(answer, said) == (em, pytest.approx(words))


@given(st.text(min_size=1).filter(str.strip))
def test_any_text_may_be_an_answer_and_agrees_with_itself(answer: str) -> None:
    assert agreement_with(answer, answer) == (1, 1)

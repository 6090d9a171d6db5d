"""Which quotes are shown, and what is said about their files."""

from rag.select import agreement, choose, short_answer
from rag.types import Quote

FACT = "How much has Amazon invested?"
OPEN = "Why do companies use several clouds?"


def quote(text: str, answer: str, source: str, score: float = 0.9) -> Quote:
    start = text.index(answer)
    return Quote(
        text=text,
        source=source,
        start=0,
        end=len(text),
        line_start=1,
        line_end=1,
        highlights=((start, start + len(answer)),),
        score=score,
        sha256="0" * 64,
    )


EIGHT = quote("Amazon has invested over $8 billion.", "over $8 billion", "a.txt")
EIGHT_AGAIN = quote("It put $8B into the firm.", "$8B", "b.txt")
FOUR = quote("Amazon completes its $4 billion investment.", "$4 billion", "c.txt")
NAME = quote("Amazon was founded in a garage.", "a garage", "d.txt")
LOCK_IN = quote("Several clouds avoid lock-in to one vendor.", "avoid lock-in", "a.txt")
OUTAGE = quote("An outage of one provider then stops nothing.", "An outage of one provider", "b.txt")
LOCK_IN_COPY = quote("Several clouds avoid lock-in to one vendor.", "avoid lock-in", "e.txt")


def test_a_fact_gets_the_best_quote_and_those_that_confirm_or_dispute_it() -> None:
    assert choose(FACT, [EIGHT, NAME, EIGHT_AGAIN, FOUR], most=5) == [EIGHT, EIGHT_AGAIN, FOUR]


def test_an_open_question_gets_quotes_that_differ_in_content() -> None:
    assert choose(OPEN, [LOCK_IN, LOCK_IN_COPY, OUTAGE], most=5) == [LOCK_IN, OUTAGE]


def test_no_more_than_asked_for() -> None:
    assert choose(OPEN, [LOCK_IN, OUTAGE, NAME], most=2) == [LOCK_IN, OUTAGE]
    assert choose(FACT, [], most=2) == []


def test_files_that_agree_are_counted_once_each() -> None:
    found = agreement(FACT, [EIGHT, EIGHT_AGAIN])
    assert found is not None
    assert found.agree
    assert [side.files for side in found.sides] == [("a.txt", "b.txt")]


def test_files_that_differ_are_named_with_their_answers() -> None:
    found = agreement(FACT, [EIGHT, EIGHT_AGAIN, FOUR])
    assert found is not None
    assert not found.agree
    assert [(side.answer, side.files) for side in found.sides] == [
        ("over $8 billion", ("a.txt", "b.txt")),
        ("$4 billion", ("c.txt",)),
    ]


def test_one_file_neither_agrees_nor_differs_with_itself() -> None:
    same_file = FOUR.model_copy(update={"source": "a.txt"})
    assert agreement(FACT, [EIGHT, same_file]) is None
    assert agreement(FACT, [EIGHT]) is None


def test_an_open_question_has_no_sides() -> None:
    assert agreement(OPEN, [LOCK_IN, OUTAGE]) is None


def test_a_yes_or_no_question_has_no_short_answer() -> None:
    assert short_answer("Did Amazon invest more than $5 billion?", [EIGHT]) is None
    assert short_answer("How much did Amazon invest?", [EIGHT]) == "over $8 billion"
    assert short_answer("Island or mainland?", [NAME]) == "a garage"
    assert short_answer(FACT, []) is None

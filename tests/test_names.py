"""What a question names, and whether a passage speaks of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.names import Names

FERRY = "Since 2019 the line of Holm has belonged to Nordvik. In May, Nordvik paid Sandholt Shipping 8 million for two boats."
PASSAGES = [FERRY, "The boats of Nordvik sail to Holm; those of Brisling and of Tamsin Logic, the rivals, sail to Sandholt."]


def asked(question: str) -> list[str]:
    return [" ".join(name) for name in Names(question, PASSAGES).asked]


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("How much did Nordvik pay Sandholt Shipping?", ["Nordvik", "Sandholt Shipping"]),
        ("how much did nordvik pay tamsin logic", ["nordvik", "tamsin logic"]),  # the passages write them as names
        ("Nordvik's boats", ["Nordvik"]),
        ("When did the boats sail?", []),
        ("What did Nordvik buy in May 2019?", ["Nordvik", "2019"]),  # a year is a name of its own, a month is none
        ("What does Trawler 5 weigh, and GPT-4, and Tern2?", ["Trawler 5", "GPT 4", "Tern2"]),
        ("Can 3 people share the 16th seat?", []),
        ("Who is Dr Wolfe?", ["Wolfe"]),
    ],
)
def test_what_a_question_names(question: str, names: list[str]) -> None:
    assert asked(question) == names


@pytest.mark.parametrize(
    ("question", "text", "spoken"),
    [
        ("When did Nordvik begin?", "NORDVIK began in 2019.", True),
        ("When did Nordvik begin?", "Brisling began in 2019.", False),
        ("What may Germans buy?", "In Germany, books.", True),
        ("How long is the wait in Bogota?", "Bogotá: nine weeks.", True),
        ("How long is the wait in Zu\u0308rich?", "Zürich: nine weeks.", True),
        ("Who is Meta?", "Metal is heavy.", False),
        ("What does EFA do?", "Its Elastic Fabric Adapter links nodes.", True),
        ("What does Amazon Web Services offer?", "AWS offers 200 services.", True),
        ("Who was Harold Godwinson?", "Harold was king.", True),  # one of two words will do
        ("How fast is Trainium 5?", "Trainium 3 is fast.", False),  # but not another number
        ("What was spent in 2019?", "In 2022, much.", False),
        ("What was spent?", "In 2022, much.", True),
    ],
)
def test_whether_a_text_speaks_of_what_is_named(question: str, text: str, spoken: bool) -> None:
    assert Names(question, PASSAGES).named(text) is spoken


@pytest.mark.parametrize(
    ("question", "context", "replaced"),
    [
        ("How much did Nordvik pay Sandholt Shipping?", "", False),
        ("How much did Brisling pay Sandholt Shipping?", "", True),
        ("How much did Brisling pay Sandholt Shipping?", "Brisling", False),  # the heading says of whom it speaks
        ("How much did Brisling pay Sandholt Shipping?", "Brisling and Nordvik", True),  # of both
        ("how much did brisling pay sandholt shipping", "", True),
        ("How much did Brisling pay?", "", False),  # nothing shows that the sentence is about what is asked
        ("How much did Nordvik pay in 2018?", "", False),  # the sentence gives no other year
    ],
)
def test_another_in_place_of_what_is_named(question: str, context: str, replaced: bool) -> None:
    quoted = "In May, Nordvik paid Sandholt Shipping 8 million for two boats."
    at = quoted.index("8 million")
    assert Names(question, PASSAGES).replaced(quoted, (at, at + 9), context) is replaced


def test_another_year_stands_in_place_of_the_one_asked_for() -> None:
    quoted = "In 2022 Nordvik spent 15 million."
    assert Names("What did Nordvik spend in 2019?", PASSAGES).replaced(quoted, (22, 32), "")
    assert not Names("What did Nordvik spend in 2022?", PASSAGES).replaced(quoted, (22, 32), "")


def test_what_the_answer_itself_names_replaces_nothing() -> None:
    quoted = "For Holm, Nordvik bought the boats of Brisling."
    at = quoted.index("Nordvik")
    names = Names("Who bought for Holm what Sandholt owned?", PASSAGES)
    assert names.replaced(quoted, (at, at + 7), "")  # Brisling remains
    assert not names.replaced(quoted, (at, len(quoted)), "")


@given(st.text(max_size=80), st.lists(st.text(max_size=120), max_size=3))
def test_any_question_speaks_of_what_it_names_and_any_text_can_be_looked_through(question: str, texts: list[str]) -> None:
    names = Names(question, texts)
    assert names.named(question)
    for text in texts:
        assert names.named(text, question)
        names.replaced(text, (0, len(text)), question)


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("How much memory do the GPUs have?", "Each GPU has 80 GB."),
        ("What does the FBI cost?", "The Federal Bureau of Investigation costs 11 billion."),
        ("Does the office have a VPN?", "A virtual private network links the offices."),
        ("How fast is Graviton4?", "Graviton 4 is fast."),
        ("How fast is the Graviton 4 chip?", "graviton4 is fast."),
        ("What is made in Łódź?", "Cloth is made in Lodz."),
        ("Who lives in the Lindenstraße?", "LINDENSTRASSE 4 is Ada's."),
        ("Who charged 1500 dollars a month?", "Tamsin Logic charged $1,500 a month."),
        ("HOW LONG DOES SHIPPING TAKE?", "Delivery takes two days."),
        ("How Long Does Delivery Abroad Take?", "It takes nine days."),
        ("Hi! Please tell me how long it takes.", "It takes nine days."),
    ],
)
def test_what_is_written_otherwise_is_named(question: str, text: str) -> None:
    assert Names(question, [text]).named(text)


@pytest.mark.parametrize(
    ("question", "text"),
    [("What did Nordvik earn in 2019?", "Nordvik earned 2 million."), ("How fast is Graviton4?", "Graviton3 is fast.")],
)
def test_what_is_not_mentioned_is_not_named(question: str, text: str) -> None:
    assert not Names(question, [text]).named(text)

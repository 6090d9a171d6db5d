"""Amounts, dates and names from different files: the same, different, or not to be compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.agreement import dates, differ, groups, quantities, same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("over $8 billion", "$8B"),
        ("$8 billion", "USD 8bn"),
        ("8,000 million dollars", "$8 billion"),
        ("about 30 per cent", "30%"),
        ("1 234 567", "1,234,567"),
        ("March 3, 2024", "3 March 2024"),
        ("2024-03-03", "on March 3rd, 2024"),
        ("2023", "2023-09"),
        ("Matt Garman", "AWS CEO Matt Garman"),
        ("seven", "7"),
        ("the Elastic Fabric Adapter", "Elastic Fabric Adapter"),
    ],
)
def test_the_same_in_other_words(one: str, other: str) -> None:
    assert same(one, other)
    assert same(other, one)
    assert not differ(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("$4 billion", "$8B"), ("33%", "31 percent"), ("2023-09", "2024-03"), ("12 May 2020", "13 May 2020"), ("4 km", "5 km")],
)
def test_amounts_and_dates_that_contradict(one: str, other: str) -> None:
    assert differ(one, other)
    assert differ(other, one)
    assert not same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("$8 billion", "8%"),
        ("Matt Garman", "Jensen Huang"),
        ("2023", "Indiana"),
        ("$4 billion", "in 2024"),
        ("12 people", "30 days"),
    ],
)
def test_answers_of_other_kinds_are_not_set_against_each_other(one: str, other: str) -> None:
    assert not differ(one, other)


def test_a_date_is_no_amount() -> None:
    assert quantities("on March 3, 2024 and 2024-05-01") == frozenset()
    assert dates("March 3, 2024") == {(2024, 3, 3)}


def test_decimal_marks() -> None:
    assert quantities("1.234,5 kg") == quantities("1,234.5 kg") == {("kg", 1234.5)}
    assert quantities("3.5") == quantities("3,5")


def test_answers_that_agree_stand_together() -> None:
    assert groups(["$8B", "$4 billion", "over $8 billion"]) == [[0, 2], [1]]


@given(st.text())
def test_no_text_contradicts_itself(text: str) -> None:
    assert not differ(text, text)


@given(st.text(), st.text())
def test_never_the_same_and_different(one: str, other: str) -> None:
    assert not (same(one, other) and differ(one, other))
    assert same(one, other) == same(other, one)
    assert differ(one, other) == differ(other, one)

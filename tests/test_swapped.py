"""Near misses made by exchanging a name: about another, and not answered after all."""

import random

import pytest

from training.swapped import names, swap

TEXT = """The ferry of Nordvik sails to Holm since 1931. In 2019 the owners of Nordvik paid 8 million for two boats.
The mayor, Ines Holt, took the first trip. The harbour of Brisling was dredged in 1987, says Ines Holt."""


def test_names_stand_inside_sentences() -> None:
    assert names(TEXT) == {"Nordvik": 2, "Holm": 1, "Ines Holt": 2, "Brisling": 1}


@pytest.mark.parametrize("seed", range(8))
def test_a_name_of_the_text_takes_the_place_of_another(seed: int) -> None:
    made = swap("How much did Nordvik pay for boats?", TEXT, ["8 million"], None, random.Random(seed))
    assert made in {f"How much did {other} pay for boats?" for other in ("Holm", "Ines Holt", "Brisling")}
    assert made == swap("How much did Nordvik pay for boats?", TEXT, ["8 million"], None, random.Random(seed))


def test_a_name_of_elsewhere_is_none_of_the_text() -> None:
    made = swap("how much did nordvik pay for boats?", TEXT, ["8 million"], ["Holm", "Tamsin Logic"], random.Random(0))
    assert made == "how much did tamsin logic pay for boats?"


def test_a_question_that_names_nothing_stays() -> None:
    assert swap("How much was paid?", TEXT, ["8 million"], None, random.Random(0)) is None

"""The measures against cases worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.evaluation.metrics import (
    Bin,
    Figure,
    Point,
    area_under_risk,
    calibration_error,
    exact,
    f1,
    hit_at,
    mean,
    mrr,
    ndcg,
    normalise,
    percentile,
    refusals,
    reliability,
    risk_coverage,
    share,
    wilson,
)

# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The Cat, an animal;  sat on\na mat.", "cat animal sat on mat"),
        ("U.S. — the “States”", "us — “states”"),  # SQuAD's punctuation is ASCII's
        ("$8 billion", "8 billion"),
        ("26.1%", "261"),
        ("Theatre and another", "theatre and another"),  # articles are whole words
        ("co-operate", "cooperate"),
        ("A", ""),
        ("", ""),
    ],
)
def test_normalisation_is_squads(text: str, plain: str) -> None:
    assert normalise(text) == plain


@pytest.mark.parametrize(
    ("said", "gold", "em", "words"),
    [
        ("the lighthouse", "Lighthouse.", 1, 1),
        ("in 1854", "1854", 0, 2 / 3),  # precision 1/2, recall 1/1
        ("the old keeper of the lighthouse", "lighthouse keeper", 0, 2 / 3),  # 2 of 4 and 2 of 2
        ("one one two", "one two two", 0, 2 / 3),  # repeated words count as often as both have them: 2 of 3 and 2 of 3
        ("platform nine", "track four", 0, 0),
        ("the", "a", 1, 1),  # both are nothing
        ("", "nine", 0, 0),
        ("nine", "", 0, 0),
    ],
)
def test_exact_match_and_f1(said: str, gold: str, em: float, words: float) -> None:
    assert exact(said, gold) == em
    assert f1(said, gold) == pytest.approx(words)


@given(st.text(), st.text())
def test_f1_is_symmetric_bounded_and_1_for_an_exact_match(one: str, other: str) -> None:
    assert 0 <= f1(one, other) == f1(other, one) <= 1
    assert f1(one, one) == exact(one, one) == 1


# --- shares and means -------------------------------------------------------------------------------------------------


def test_shares_and_means_of_nothing_are_none() -> None:
    assert share([]) == Figure(None, 0, None, None)
    assert mean([]) == Figure(None, 0)
    assert percentile([], 50) is None


def test_a_share_has_wilsons_interval() -> None:
    figure = share([True] * 8 + [False] * 2)
    assert (figure.value, figure.of) == (0.8, 10)
    assert figure.low == pytest.approx(0.4902, abs=1e-4)  # the textbook's 8 of 10
    assert figure.high == pytest.approx(0.9433, abs=1e-4)


def test_wilson_at_none_and_all() -> None:
    assert wilson(0, 10) == (0, pytest.approx(0.2775, abs=1e-4))
    assert wilson(10, 10) == (pytest.approx(0.7225, abs=1e-4), 1)
    assert wilson(1, 1) == (pytest.approx(0.2065, abs=1e-4), 1)


@given(st.integers(1, 500).flatmap(lambda whole: st.tuples(st.integers(0, whole), st.just(whole))))
def test_the_interval_holds_the_share(case: tuple[int, int]) -> None:
    low, high = wilson(*case)
    assert low is not None
    assert high is not None
    assert 0 <= low <= case[0] / case[1] <= high <= 1


def test_percentiles() -> None:
    values = [4.0, 1.0, 3.0, 2.0]
    assert [percentile(values, percent) for percent in (0, 50, 100)] == [1, 2.5, 4]
    assert percentile(values, 95) == pytest.approx(3.85)
    assert percentile([7.0], 95) == 7


# --- retrieval --------------------------------------------------------------------------------------------------------


def test_hits_and_reciprocal_ranks() -> None:
    ranks = [1, 3, None, 2, 11]
    assert [hit_at(ranks, k).value for k in (1, 3, 10)] == [0.2, 0.6, 0.6]
    assert mrr(ranks).value == pytest.approx((1 + 1 / 3 + 0 + 1 / 2 + 1 / 11) / 5)
    assert mrr([]).value is hit_at([], 1).value is None


def test_ndcg() -> None:
    # gains 3, 2, 0, 1: 3 + 2/log2(3) + 0 + 1/log2(5) = 4.692536; ideal 3, 2, 1: 3 + 1.261860 + 0.5 = 4.761860
    assert ndcg([3, 2, 0, 1], [1, 2, 3], 10) == pytest.approx(4.692536 / 4.761860, abs=1e-6)
    assert ndcg([3, 2, 0, 1], [1, 2, 3], 1) == 1
    assert ndcg([0, 1], [1], 10) == pytest.approx(1 / math.log2(3))
    assert ndcg([0, 1], [1], 1) == 0
    assert ndcg([1], [1, 1], 2) == pytest.approx(0.613147, abs=1e-6)  # one of two: 1 / (1 + 0.630930)
    assert ndcg([], [1], 10) == 0


def test_ndcg_without_anything_relevant_is_none() -> None:
    assert ndcg([0, 0], [], 10) is None
    assert ndcg([], [0], 10) is None


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_refusals() -> None:
    refused = [True, True, True, False, False]
    answerable = [False, False, True, False, True]
    precision, recall = refusals(refused, answerable)
    assert (precision.value, precision.of) == (pytest.approx(2 / 3), 3)
    assert (recall.value, recall.of) == (pytest.approx(2 / 3), 3)


def test_without_refusals_or_without_unanswerable_questions() -> None:
    precision, recall = refusals([False, False], [True, False])
    assert (precision.value, recall.value) == (None, 0)
    precision, recall = refusals([True], [True])
    assert (precision.value, recall.value) == (0, None)


# --- calibration ------------------------------------------------------------------------------------------------------


def test_reliability_bins() -> None:
    bins = reliability([0.1, 0.4, 0.5, 0.9, 1.0], [False, True, True, True, False], bins=2)
    assert bins == [Bin(0, 0.5, 2, 0.25, 0.5), Bin(0.5, 1, 3, pytest.approx(0.8), pytest.approx(2 / 3))]


def test_an_empty_bin_has_no_value() -> None:
    assert reliability([0.1], [True], bins=2)[1] == Bin(0.5, 1, 0, None, None)


def test_calibration_error() -> None:
    # lower bin: 2 cases, promised 0.25, true 0.5; upper: 3 cases, promised 0.8, true 2/3: (2·0.25 + 3·0.13333) / 5
    assert calibration_error([0.1, 0.4, 0.5, 0.9, 1.0], [False, True, True, True, False], bins=2) == pytest.approx(0.18)
    assert calibration_error([0.8] * 5, [True] * 4 + [False]) == pytest.approx(0)
    assert calibration_error([1.0], [False]) == 1
    assert calibration_error([], []) is None


def test_risk_and_coverage() -> None:
    points = risk_coverage([0.6, 0.9, 0.3, 0.8], [False, True, True, True])
    assert [(point.threshold, point.coverage, point.answered, point.right) for point in points] == [
        (0.9, 0.25, 1, 1),
        (0.8, 0.5, 2, 2),
        (0.6, 0.75, 3, 2),
        (0.3, 1, 4, 3),
    ]
    assert [point.risk for point in points] == pytest.approx([0, 0, 1 / 3, 1 / 4])
    assert area_under_risk(points) == pytest.approx((0 + 0 + 1 / 3 + 1 / 4) / 4)


def test_ties_in_confidence_are_answered_together_in_any_order() -> None:
    points = [Point(0.9, 0.5, 0.5, 2, 1), Point(0.1, 1, 0.75, 4, 1)]
    assert risk_coverage([0.9, 0.9, 0.1, 0.1], [True, False, False, False]) == points
    assert risk_coverage([0.1, 0.9, 0.1, 0.9], [False, False, False, True]) == points
    assert area_under_risk(points) == pytest.approx(0.5 * 0.5 + 0.5 * 0.75)


def test_risk_of_no_and_of_one_question() -> None:
    assert risk_coverage([], []) == []
    assert area_under_risk([]) is None
    assert risk_coverage([0.4], [True]) == [Point(0.4, 1, 0, 1, 1)]

"""Decoding and calibration on hand-made logits."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.crossencoder import Reading
from rag.errors import ModelError
from rag.spans import Calibration, Features, covered, decode, fits, listed

FITTED_JSON = {
    "ranking": {
        "answerable": 1.0,
        "span": 0.25,
        "similarity": 2.0,
        "coverage": 1.0,
        "focus": 1.0,
        "sentence": 0.5,
        "fits": 1.0,
        "echo": -1.0,
        "named": 1.0,
        "replaced": 0.0,
    },
    "confidence": {
        "answerable": 0.5,
        "span": 0.25,
        "similarity": 1.0,
        "coverage": 1.0,
        "focus": 0.0,
        "sentence": 0.5,
        "fits": 0.5,
        "echo": 0.0,
        "named": 2.0,
        "replaced": -4.0,
    },
    "intercept": -1.0,
    "threshold": 0.3,
}
FITTED = Calibration(
    Features(1.0, 0.25, 2.0, 1.0, 1.0, 0.5, 1.0, -1.0, 1.0, 0.0),
    Features(0.5, 0.25, 1.0, 1.0, 0.0, 0.5, 0.5, 0.0, 2.0, -4.0),
    -1.0,
    0.3,
)


def reading(
    start: list[float],
    end: list[float],
    *,
    null: float = 0.0,
    inside: list[float] | None = None,
    words: list[int] | None = None,
) -> Reading:
    """Word pieces of four characters and a space each."""
    offsets = np.array([(5 * i, 5 * i + 4) for i in range(len(start))], dtype=np.int64).reshape(-1, 2)
    return Reading(
        answerable=0.0,
        null=null,
        offsets=offsets,
        start=np.array(start, dtype=np.float32),
        end=np.array(end, dtype=np.float32),
        inside=None if inside is None else np.array(inside, dtype=np.float32),
        words=None if words is None else np.array(words, dtype=np.int64),
    )


@st.composite
def readings(draw: st.DrawFn) -> Reading:
    n = draw(st.integers(0, 30))
    logits = st.lists(st.floats(-20, 20, width=32), min_size=n, max_size=n)
    steps = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    return reading(draw(logits), draw(logits), null=draw(st.floats(-20, 20)), words=list(np.cumsum(steps, dtype=int)))


def test_best_span_is_scored_against_the_null() -> None:
    best = decode(reading([0, 5, 0, 0], [0, 0, 4, 0], null=2.0))[0]
    assert (best.start, best.end, best.score) == (5, 14, 7.0)


def test_end_before_start_is_no_span() -> None:
    best = decode(reading([0, 0, 9], [9, 0, 0]))[0]
    assert best.start < best.end


def test_length_is_bounded() -> None:
    best = decode(reading([9, 0, 0, 0], [0, 1, 0, 9]), max_tokens=2)[0]
    assert (best.start, best.end) == (0, 9)


def test_runners_up_do_not_overlap() -> None:
    spans = decode(reading([9, 8, 0, 5], [8, 9, 0, 5]), limit=3)
    assert [(s.start, s.end) for s in spans] == [(0, 9), (15, 19), (10, 14)]


def test_spans_are_whole_words() -> None:
    best = decode(reading([0, 9, 0, 0], [0, 9, 0, 0], words=[0, 1, 1, 2]))[0]
    assert (best.start, best.end) == (5, 14)


def test_nothing_to_decode() -> None:
    assert decode(reading([], [])) == []
    assert decode(reading([1.0], [1.0]), limit=0) == []
    assert listed(reading([1.0], [1.0])) == []


def test_list_items_are_runs_of_tagged_words_in_reading_order() -> None:
    items = listed(reading([0] * 6, [0] * 6, inside=[3, 3, -3, 2, -3, 0.5]))
    assert [(i.start, i.end) for i in items] == [(0, 9), (15, 19)]
    assert [(i.start, i.end) for i in listed(reading([0] * 6, [0] * 6, inside=[3, 3, -3, 2, -3, 0.5]), limit=1)] == [(0, 9)]


@given(readings(), st.integers(1, 6), st.integers(1, 40))
def test_spans_lie_in_the_passage_apart_and_in_order(made: Reading, limit: int, longest: int) -> None:
    spans = decode(made, limit=limit, max_tokens=longest)
    starts, ends = set(made.offsets[:, 0].tolist()), set(made.offsets[:, 1].tolist())
    assert len(spans) <= limit
    for span in spans:
        assert span.start in starts
        assert span.end in ends
        assert span.start < span.end
        assert sum(span.start <= a < span.end for a in starts) <= longest
    assert [s.score for s in spans] == sorted((s.score for s in spans), reverse=True)
    for a, b in zip(sorted(spans, key=lambda s: s.start), sorted(spans, key=lambda s: s.start)[1:], strict=False):
        assert a.end <= b.start


@given(readings())
def test_best_span_equals_a_search_through_all(made: Reading) -> None:
    assert made.words is not None
    n, words = len(made.offsets), made.words
    every = [
        float(made.start[i]) + float(made.end[j])
        for i in range(n)
        for j in range(i, min(n, i + 40))
        if (i == 0 or words[i - 1] != words[i]) and (j == n - 1 or words[j + 1] != words[j])
    ]
    best = decode(made, limit=1)
    assert len(best) == bool(every)
    if every:
        assert best[0].score == pytest.approx(max(every) - made.null, abs=1e-4)


@given(readings(), st.floats(-5, 5))
def test_a_shift_of_all_logits_changes_no_score(made: Reading, shift: float) -> None:
    moved = Reading(
        0.0, made.null + 2 * shift, made.offsets, made.start + np.float32(shift), made.end + np.float32(shift), words=made.words
    )
    before, after = decode(made, limit=1), decode(moved, limit=1)
    assert [s.score for s in after] == pytest.approx([s.score for s in before], abs=1e-3)


def test_score_and_probability_are_linear_and_logistic() -> None:
    features = Features(2.0, 4.0, 0.5, 0.5, 0.5, 0.5, 1.0, 0.5, 1.0, 1.0)
    assert FITTED.score(features) == pytest.approx(6.75)
    assert FITTED.probability(features) == pytest.approx(1 / (1 + np.exp(-(1.75 - 1.0))))


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(-1, 1), st.floats(0, 1))
def test_probability_stays_within_bounds_and_follows_the_score(
    answerable: float, span: float, similarity: float, coverage: float
) -> None:
    features = Features(answerable, span, similarity, coverage, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0)
    here = FITTED.probability(features)
    assert 0 <= here <= 1
    assert FITTED.probability(features._replace(answerable=answerable + 1)) >= here
    assert FITTED.probability(features._replace(fits=1.0)) >= here
    assert FITTED.probability(features._replace(named=1.0)) >= here
    assert FITTED.probability(features._replace(replaced=1.0)) <= here


def test_calibration_is_read_from_the_folder(tmp_path: Path) -> None:
    (tmp_path / "reader.json").write_text(json.dumps({"calibration": FITTED_JSON}))
    assert Calibration.load(tmp_path) == FITTED


@pytest.mark.parametrize(
    ("question", "answer", "kind"),
    [
        ("How much did it cost?", "$8 billion", 1),
        ("How much did it cost?", "a fortune", -1),
        ("how many people came", "twelve", 1),
        ("What share of firms use it?", "72% of enterprises", 1),
        ("When did it start?", "2023-09", 1),
        ("When did it start?", "in spring", 1),
        ("When did it start?", "Matt Garman", -1),
        ("In what year did it open?", "the Berrin reservoir", -1),
        ("Who said so?", "Matt Garman", 0),
        ("How does it work?", "by steam", 0),
    ],
)
def test_an_answer_fits_the_kind_that_is_asked(question: str, answer: str, kind: int) -> None:
    assert fits(question, answer) == kind


def test_words_are_covered_in_any_form_and_weighted_by_rarity() -> None:
    rarity = {"invested": 1.0, "anthropic": 3.0}
    assert covered(rarity, "Its investments grew.") == pytest.approx(0.25)
    assert covered(rarity, "ANTHROPIC grew.") == pytest.approx(0.75)
    assert covered(rarity, "An investment in Anthropic") == pytest.approx(1.0)
    assert covered({}, "anything") == 1.0


@pytest.mark.parametrize("text", ["", "{}", '{"calibration": {"answerable": 1}}'])
def test_a_damaged_calibration_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "reader.json").write_text(text)
    with pytest.raises(ModelError, match=r"reader\.json"):
        Calibration.load(tmp_path)

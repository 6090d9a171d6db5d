"""Decoding and calibration on hand-made logits."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.crossencoder import Reading
from rag.errors import ModelError
from rag.spans import Calibration, decode, listed

WEIGHTS = {"answerable": 1.0, "span": 0.25, "similarity": 2.0, "slope": 0.8, "intercept": -1.0, "threshold": 0.3}


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


def test_probability_is_the_logistic_of_the_score() -> None:
    c = Calibration(**WEIGHTS)
    assert c.score(2.0, 4.0, 0.5) == pytest.approx(4.0)
    assert c.probability(2.0, 4.0, 0.5) == pytest.approx(1 / (1 + np.exp(-(0.8 * 4.0 - 1.0))))


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(-1, 1))
def test_probability_stays_within_bounds_and_follows_the_score(answerable: float, span: float, similarity: float) -> None:
    c = Calibration(**WEIGHTS)
    here = c.probability(answerable, span, similarity)
    assert 0 <= here <= 1
    assert c.probability(answerable + 1, span, similarity) >= here


def test_calibration_is_read_from_the_folder(tmp_path: Path) -> None:
    (tmp_path / "reader.json").write_text(json.dumps({"calibration": WEIGHTS}))
    assert Calibration.load(tmp_path) == Calibration(**WEIGHTS)


@pytest.mark.parametrize("text", ["", "{}", '{"calibration": {"answerable": 1}}'])
def test_a_damaged_calibration_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "reader.json").write_text(text)
    with pytest.raises(ModelError, match=r"reader\.json"):
        Calibration.load(tmp_path)

"""Logits → spans, and spans → the probability that the quote they point at answers the question.

A span's score is its start plus end logit minus the null's (`[CLS]`): log odds of "this span" against "no span here", so it
compares between passages of one question. Needs nothing but numpy; knows nothing about documents.
"""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rag.errors import ModelError

if TYPE_CHECKING:
    from rag.crossencoder import Floats, Ints, Reading

CONSIDERED = 200


@dataclass(frozen=True, slots=True)
class SpanScore:
    """`text[start:end]` of the passage, with its score (log odds against "no span") and mean answer-tag logit."""

    start: int
    end: int
    score: float
    inside: float = 0.0


def decode(reading: Reading, *, limit: int = 5, max_tokens: int = 40) -> list[SpanScore]:
    """The `limit` best spans of whole words, at most `max_tokens` word pieces long, best first, none overlapping another."""
    n = len(reading.offsets)
    words = _words(reading)
    if n == 0 or limit <= 0:
        return []
    opens = np.r_[True, words[1:] != words[:-1]]
    closes = np.r_[words[1:] != words[:-1], True]
    start = np.where(opens, reading.start.astype(np.float64), -np.inf)
    end = np.where(closes, reading.end.astype(np.float64), -np.inf)
    width = min(max_tokens, n)
    scores = np.full((width, n), -np.inf)
    for length in range(width):
        scores[length, : n - length] = start[: n - length] + end[length:]
    flat = scores.ravel()
    keep = min(CONSIDERED * limit, flat.size)
    best = np.argpartition(-flat, keep - 1)[:keep]
    best = best[np.lexsort((best % n, best // n, -flat[best]))]
    taken = np.zeros(n, dtype=bool)
    out: list[SpanScore] = []
    for place in best:
        length, first = divmod(int(place), n)
        if not np.isfinite(flat[place]) or len(out) == limit:
            break
        if taken[first : first + length + 1].any():
            continue
        taken[first : first + length + 1] = True
        out.append(_span(reading, first, first + length, float(flat[place]) - reading.null))
    return out


def listed(reading: Reading, *, limit: int = 8, least: float = 1.1) -> list[SpanScore]:
    """Runs of whole words that the answer tag holds for parts of the answer, in reading order: the items of a list.

    `least` is the tag's logit from which a word counts (log 3 undoes the weight of positives in training).
    """
    if reading.inside is None or len(reading.offsets) == 0:
        return []
    words = _words(reading)
    edges = np.flatnonzero(np.r_[True, words[1:] != words[:-1], True])
    runs: list[tuple[int, int]] = []
    for a, b in itertools.pairwise(edges):
        if reading.inside[a:b].mean() >= least:
            if runs and runs[-1][1] == a:
                runs[-1] = (runs[-1][0], int(b))
            else:
                runs.append((int(a), int(b)))
    spans = [_span(reading, a, b - 1, float(reading.start[a] + reading.end[b - 1]) - reading.null) for a, b in runs]
    best = sorted(spans, key=lambda span: (-span.inside, span.start))[:limit]
    return sorted(best, key=lambda span: span.start)


def _words(reading: Reading) -> Ints:
    return np.arange(len(reading.offsets)) if reading.words is None else reading.words


def _span(reading: Reading, first: int, last: int, score: float) -> SpanScore:
    tags: Floats | None = reading.inside
    inside = float(tags[first : last + 1].mean()) if tags is not None else 0.0
    return SpanScore(int(reading.offsets[first, 0]), int(reading.offsets[last, 1]), score, inside)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Weights of a logistic model, fitted on the dev split; loaded from reader.json.

    `score` ranks a question's passages. `probability` says how likely the best one's quote answers the question.
    """

    answerable: float
    span: float
    similarity: float
    slope: float
    intercept: float
    threshold: float

    @classmethod
    def load(cls, folder: Path) -> Calibration:
        """From `folder`/reader.json. Raises ModelError when it is missing or incomplete."""
        try:
            values = json.loads((folder / "reader.json").read_text(encoding="utf-8"))["calibration"]
            return cls(**{name: float(values[name]) for name in cls.__slots__})
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"reader.json in {folder.name} cannot be read ({error}): reinstall the package") from error

    def score(self, answerable: float, span: float, similarity: float) -> float:
        """One number to rank passages by: answerability logit, best span's score, cosine of question and passage."""
        return self.answerable * answerable + self.span * span + self.similarity * similarity

    def probability(self, answerable: float, span: float, similarity: float) -> float:
        """In (0, 1): that this passage's best quote answers the question, given that it ranked first."""
        x = self.slope * self.score(answerable, span, similarity) + self.intercept
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, x))))

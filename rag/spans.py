"""Logits → spans, and spans → the probability that the quote they point at answers the question.

A span's score is its start plus end logit minus the null's (`[CLS]`): log odds of "this span" against "no span here", so it
compares between passages of one question. Needs nothing but numpy; knows nothing about documents.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rag.errors import ModelError

if TYPE_CHECKING:
    from rag.bert import Floats
    from rag.crossencoder import Ints, Reading


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
    # (length - 1, first) → score
    scores = start + np.lib.stride_tricks.sliding_window_view(np.r_[end, np.full(width - 1, -np.inf)], width).T
    out: list[SpanScore] = []
    while len(out) < limit:
        length, first = divmod(int(scores.argmax()), n)  # of equal ones the shortest, then the first
        if scores[length, first] == -np.inf:
            break
        out.append(_span(reading, first, first + length, float(scores[length, first]) - reading.null))
        for other in range(width):
            scores[other, max(0, first - other) : first + length + 1] = -np.inf
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


WORD = re.compile(r"\w+")
SUFFIX = re.compile(r"(?:ments?|ings?|ions?|ers?|ed|es|s|e|ly)$")
AMOUNT_ASKED = re.compile(
    r"\bhow\s+(?:much|many|long|old|far|tall|deep|heavy)\b|\b(?:what|which)\s+(?:percent\w*|share|proportion|fraction|number|amount)\b",
    re.IGNORECASE,
)
TIME_ASKED = re.compile(
    r"^\W*(?:by |since |until |from |on |in )?(?:when|what (?:year|month|day|date|time)|which (?:year|month|day|date))\b",
    re.IGNORECASE,
)
AMOUNT = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|"
    r"hundred|thousand|million|billion|dozen|half|third|quarter|once|twice|none|no|several|few|many|all|every)",
    re.IGNORECASE,
)
TIME = re.compile(
    r"\d|\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mon|tues|wednes|thurs|fri|satur|sun)|"
    r"\b(?:day|week|month|year|century|hour|minute|morning|noon|evening|night|midnight|today|yesterday|tomorrow|spring|summer|autumn|"
    r"winter|before|after|during|until|since|when|once|ago|later|immediately|always|never)",
    re.IGNORECASE,
)


def fits(question: str, answer: str) -> float:
    """1.0 for an answer of the asked kind, -1.0 for one of another, 0.0 where no kind is asked.

    Kinds are an amount for "how much" and a time for "when".
    """
    for asked, kind in ((AMOUNT_ASKED, AMOUNT), (TIME_ASKED, TIME)):
        if asked.search(question):
            return 1.0 if kind.search(answer) else -1.0
    return 0.0


def covered(rarity: Mapping[str, float], text: str) -> float:
    """Share of the question's words, weighted by rarity, that a text holds in some form; 1.0 when the question has none."""
    total = sum(rarity.values())
    if not total:
        return 1.0
    held = {_stem(word) for word in WORD.findall(text.lower())}
    return sum(weight for word, weight in rarity.items() if _stem(word) in held) / total


@lru_cache(maxsize=2**14)
def _stem(word: str) -> str:
    """Enough of a stem to match "invest", "invested" and "investments" with one another."""
    return SUFFIX.sub("", word) if len(word) > 4 else word.removesuffix("s")


class Features(NamedTuple):
    """What is known of one span as the answer to a question."""

    answerable: float
    """The passage's answerability logit."""
    span: float
    """The span's score: log odds against "no span"."""
    similarity: float
    """Cosine of question and passage."""
    coverage: float
    """Share of the question's words, weighted by rarity, that stand in the passage or its headings."""
    focus: float
    """Share of them that stand in the sentences that would be quoted."""
    sentence: float
    """Cosine of the question and those sentences, for the first spans; for the rest that of the passage."""
    fits: float
    """1.0 when the span is of the asked kind, -1.0 when of another, 0.0 when none is asked."""
    echo: float
    """Share of the span's words that stand in the question: an answer seldom repeats what was asked."""
    named: float
    """1.0 when the headings and the passage up to those sentences speak of all that the question names, else 0.0."""
    replaced: float
    """1.0 when those sentences name another in place of one that the question names, else 0.0."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Two linear models over `Features`, fitted on the dev split; loaded from reader.json.

    `score` ranks a question's spans: what tells the right one from the others. `probability` says how likely the best one's
    quote answers the question: what tells answered questions from unanswerable ones.
    """

    ranking: Features
    confidence: Features
    intercept: float
    threshold: float

    @classmethod
    def load(cls, folder: Path) -> Calibration:
        """From `folder`/reader.json. Raises ModelError when it is missing or incomplete."""
        try:
            values = json.loads((folder / "reader.json").read_text(encoding="utf-8"))["calibration"]
            ranking, confidence = (
                Features(**{name: float(weight) for name, weight in values[part].items()}) for part in ("ranking", "confidence")
            )
            return cls(ranking, confidence, float(values["intercept"]), float(values["threshold"]))
        except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise ModelError(f"reader.json in {folder.name} cannot be read ({error}): reinstall the package") from error

    def score(self, features: Features) -> float:
        """One number to rank a question's spans by."""
        return sum(weight * value for weight, value in zip(self.ranking, features, strict=True))

    def probability(self, features: Features) -> float:
        """In (0, 1): that this span's quote answers the question, given that it ranked first."""
        x = self.intercept + sum(weight * value for weight, value in zip(self.confidence, features, strict=True))
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, x))))

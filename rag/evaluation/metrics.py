"""The measures, as pure functions: answers, retrieval, refusals, calibration, time. One place for each formula.

Nothing to measure is no failure and no zero: a measure over no questions is None, and is shown as "–".
"""

import math
import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

Rank = int | None  # of the first right result, from 1; None when there is none

PUNCTUATION = str.maketrans("", "", string.punctuation)
NORMAL_95 = 1.959964  # standard deviations that hold 95 % of a normal distribution


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value, over how many cases, and for a share the 95 % interval that so few or many cases leave."""

    value: float | None
    of: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Bin:
    """Cases of like probability: what was promised on average, and what came true."""

    low: float
    high: float
    count: int
    confidence: float | None  # mean probability; None for an empty bin
    accuracy: float | None  # share that was right


@dataclass(frozen=True, slots=True)
class Point:
    """Answering whatever has at least this confidence: the share of questions answered, and the share of those answered wrong."""

    threshold: float
    coverage: float
    risk: float
    answered: int
    right: int


# --- shares and means -------------------------------------------------------------------------------------------------


def share(flags: Iterable[bool]) -> Figure:
    """How many of the flags are set, with Wilson's interval."""
    known = list(flags)
    low, high = wilson(sum(known), len(known))
    return Figure(sum(known) / len(known) if known else None, len(known), low, high)


def mean(values: Iterable[float]) -> Figure:
    """The arithmetic mean."""
    known = list(values)
    return Figure(math.fsum(known) / len(known) if known else None, len(known))


def wilson(part: int, whole: int) -> tuple[float | None, float | None]:
    """The 95 % interval of a share by Wilson's score (1927): holds for small counts and for none or all of them."""
    if not whole:
        return None, None
    z = NORMAL_95**2 / whole
    p = part / whole
    centre = (p + z / 2) / (1 + z)
    half = math.sqrt(p * (1 - p) * z + z**2 / 4) / (1 + z)
    return max(0.0, centre - half) if part else 0.0, min(1.0, centre + half) if part < whole else 1.0


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The value that `percent` of the values don't exceed, with a straight line between neighbours."""
    if not values:
        return None
    ordered = sorted(values)
    at = percent / 100 * (len(ordered) - 1)
    below = math.floor(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (at - below) * (ordered[above] - ordered[below])


# --- answers ----------------------------------------------------------------------------------------------------------


def normalise(text: str) -> str:
    """SQuAD's: lower case, no punctuation, no articles, single spaces."""
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(PUNCTUATION)).split())


def exact(said: str, gold: str) -> float:
    """1.0 when equal after normalisation."""
    return float(normalise(said) == normalise(gold))


def f1(said: str, gold: str) -> float:
    """Harmonic mean of precision and recall of words, after normalisation; of two texts without words 1.0."""
    a, b = normalise(said).split(), normalise(gold).split()
    common = sum((Counter(a) & Counter(b)).values())
    return 2 * common / (len(a) + len(b)) if a or b else 1.0


# --- retrieval --------------------------------------------------------------------------------------------------------


def hit_at(ranks: Iterable[Rank], k: int) -> Figure:
    """Share of the questions with a right result among the first k."""
    return share(rank is not None and rank <= k for rank in ranks)


def mrr(ranks: Iterable[Rank]) -> Figure:
    """Mean reciprocal rank of the first right result; 0 for a question without one."""
    return mean(0.0 if rank is None else 1 / rank for rank in ranks)


def ndcg(gains: Sequence[float], relevant: Sequence[float], k: int) -> float | None:
    """Normalised discounted cumulative gain of the first k results, with linear gains as in trec_eval.

    `gains` are those of the results in order, `relevant` those of everything that could have been found, in any order.
    """
    ideal = _discounted(sorted(relevant, reverse=True)[:k])
    return _discounted(gains[:k]) / ideal if ideal else None


def _discounted(gains: Sequence[float]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


# --- refusals ---------------------------------------------------------------------------------------------------------


def refusals(refused: Sequence[bool], answerable: Sequence[bool]) -> tuple[Figure, Figure]:
    """Precision (of what was refused, the share that the files don't answer) and recall (of what they don't, the share refused)."""
    cases = list(zip(refused, answerable, strict=True))
    return share(not there for said, there in cases if said), share(said for said, there in cases if not there)


# --- calibration ------------------------------------------------------------------------------------------------------


def reliability(probabilities: Sequence[float], right: Sequence[bool], bins: int = 10) -> list[Bin]:
    """Cases in equal-width bins of probability. A case on a border is in the upper bin; 1.0 is in the last."""
    held: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for probability, truth in zip(probabilities, right, strict=True):
        held[min(int(probability * bins), bins - 1)].append((probability, truth))
    return [
        Bin(i / bins, (i + 1) / bins, len(cases), mean(p for p, _ in cases).value, share(truth for _, truth in cases).value)
        for i, cases in enumerate(held)
    ]


def calibration_error(probabilities: Sequence[float], right: Sequence[bool], bins: int = 10) -> float | None:
    """Expected calibration error: how far promise and truth lie apart on average, over equal-width bins."""
    gaps = [
        one.count * abs(one.accuracy - one.confidence)
        for one in reliability(probabilities, right, bins)
        if one.accuracy is not None and one.confidence is not None
    ]
    return math.fsum(gaps) / len(probabilities) if gaps else None


def risk_coverage(confidences: Sequence[float], right: Sequence[bool]) -> list[Point]:
    """A point for each confidence there is, falling. Cases of the same confidence can't be told apart: they come together."""
    cases = sorted(zip(confidences, right, strict=True), key=lambda case: -case[0])
    points: list[Point] = []
    answered = good = 0
    for confidence, group in groupby(cases, key=lambda case: case[0]):
        truths = [truth for _, truth in group]
        answered += len(truths)
        good += sum(truths)
        points.append(Point(confidence, answered / len(cases), 1 - good / answered, answered, good))
    return points


def area_under_risk(points: Sequence[Point]) -> float | None:
    """Area under the risk–coverage curve: the mean risk over all coverages; 0 is best."""
    if not points:
        return None
    before = [0.0, *(point.coverage for point in points)]
    return math.fsum((point.coverage - start) * point.risk for start, point in zip(before, points, strict=False))

"""What an evaluation found: the questions as they came out, the figures over them, a proposed threshold, what has changed.

A question is *handled right* when its first quote is right or, if the files don't say, when it is refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from rag.errors import InputError
from rag.evaluation.metrics import (
    Bin,
    Figure,
    Point,
    Rank,
    area_under_risk,
    calibration_error,
    hit_at,
    mean,
    mrr,
    percentile,
    refusals,
    reliability,
    risk_coverage,
    share,
    wilson,
)
from rag.evaluation.questions import Rated

Outcome = Literal["right quote", "rightly refused", "wrong quote", "wrongly refused", "wrongly answered"]

# What each figure is called and means, in the order in which they are shown.
FIGURES: dict[str, dict[str, str]] = {
    "Answers": {
        "accuracy": "handled right: right quote first, or rightly refused",
        "quote.first": "answerable: right quote first",
        "quote.three": "answerable: right quote among the first three",
        "quote.recall": "answerable: right quote shown at all",
        "quote.precision": "quotes shown that are right",
        "exact": "short answer, exact match",
        "f1": "short answer, F1",
    },
    "Refusals": {
        "refusal.precision": "refused questions that the files don't answer",
        "refusal.recall": "questions the files don't answer that are refused",
        "answered.precision": "answered questions whose first quote is right",
        "coverage": "questions answered",
    },
    "Retrieval": {
        "hit@1": "right passage first",
        "hit@3": "right passage among 3",
        "hit@10": "right passage among 10",
        "mrr": "mean reciprocal rank (MRR)",
        "read.hit@1": "right passage first, after reading",
        "read.hit@3": "right passage among 3, after reading",
        "read.hit@10": "right passage among 10, after reading",
        "read.mrr": "mean reciprocal rank, after reading",
    },
    "Confidence": {
        "ece": "calibration error (ECE)",
        "aurc": "area under risk–coverage",
    },
}
LOWER_IS_BETTER = ("ece", "aurc")
PLAIN = ("mrr", "read.mrr", "f1", "ece", "aurc")  # numbers from 0 to 1 that are no shares of questions


# --- records ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shown:
    """A quote as it was shown."""

    text: str
    source: str
    where: str  # "page 3, line 4"
    start: int
    end: int
    right: bool


@dataclass(frozen=True, slots=True)
class Result:
    """One question, asked."""

    line: int
    question: str
    expected: tuple[str, ...]
    files: tuple[str, ...]
    answerable: bool
    answered: bool
    short: str | None
    confidence: float
    quotes: tuple[Shown, ...]  # of a refusal the nearest passages
    retrieved: Rank  # of the first right passage, before the reader
    read: Rank  # and after it
    passages: int  # how many were read
    exact: float | None  # None when the files don't say, or the right answer's words aren't known
    f1: float | None
    timings: Mapping[str, float]  # seconds by stage

    @property
    def outcome(self) -> Outcome:
        """What became of it."""
        if not self.answered:
            return "wrongly refused" if self.answerable else "rightly refused"
        if not self.answerable:
            return "wrongly answered"
        return "right quote" if self.best_right else "wrong quote"

    @property
    def right(self) -> bool:
        """Whether it was handled right."""
        return self.outcome in ("right quote", "rightly refused")

    @property
    def best_right(self) -> bool:
        """Whether the likeliest passage holds the answer, shown as one or not."""
        return bool(self.quotes) and self.quotes[0].right

    @property
    def said(self) -> str:
        """The answer given; "" for a refusal."""
        return (self.short or self.quotes[0].text) if self.answered else ""

    def quoted_right(self, first: int | None = None) -> bool:
        """Whether a quote of the answer is right, among the `first` of them or among all."""
        return self.answered and any(quote.right for quote in self.quotes[:first])


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds that a stage took."""

    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Proposal:
    """A threshold from which the answered questions were right as often as wanted."""

    wanted: float
    threshold: float | None  # None when no threshold reaches it
    answered: int
    right: int
    of: int  # questions asked
    low: float | None  # 95 % interval of the precision, for this many questions
    high: float | None
    best: float | None  # the highest precision that any threshold reaches


@dataclass(frozen=True, slots=True)
class Turned:
    """A question that came out differently than before."""

    question: str
    before: Outcome
    now: Outcome
    said_before: str
    said: str


@dataclass(frozen=True, slots=True)
class Changes:
    """This run against an earlier one, over the questions that both asked."""

    since: str  # ISO 8601
    common: int
    new: int
    gone: int
    before: Mapping[str, Figure]
    now: Mapping[str, Figure]
    turned: tuple[Turned, ...]
    setup: Mapping[str, tuple[str, str]]  # what was set up differently: before, now
    rewritten: int = 0  # of the common ones, those whose right answers or files are given differently


@dataclass(frozen=True, slots=True)
class Report:
    """The whole, as it is written to JSON and read again by --against."""

    time: str  # ISO 8601
    questions: str  # name of the file
    setup: Mapping[str, str]
    threshold: float
    figures: Mapping[str, Figure]
    bins: tuple[Bin, ...]
    curve: tuple[Point, ...]
    latency: Mapping[str, Latency]
    results: tuple[Result, ...]
    rated: tuple[Rated, ...] = ()
    notes: tuple[str, ...] = ()
    proposal: Proposal | None = None
    changes: Changes | None = None


# --- figures ----------------------------------------------------------------------------------------------------------


def report_on(
    results: Sequence[Result],
    *,
    questions: str,
    setup: Mapping[str, str],
    threshold: float,
    rated: Sequence[Rated] = (),
    notes: Sequence[str] = (),
) -> Report:
    """The report of a run that asked the questions of a file just now."""
    confidences, right = [one.confidence for one in results], [one.best_right for one in results]
    return Report(
        time=datetime.now().astimezone().isoformat(timespec="seconds"),
        questions=questions,
        setup=setup,
        threshold=threshold,
        figures=figures(results),
        bins=tuple(reliability(confidences, right)),
        curve=tuple(risk_coverage(confidences, right)),
        latency=_latency(results),
        results=tuple(results),
        rated=tuple(rated),
        notes=tuple(notes),
    )


def figures(results: Sequence[Result]) -> dict[str, Figure]:
    """Every figure of FIGURES over these questions."""
    answerable = [one for one in results if one.answerable]
    answered = [one for one in results if one.answered]
    confidences, right = [one.confidence for one in results], [one.best_right for one in results]
    refusal_precision, refusal_recall = refusals([not one.answered for one in results], [one.answerable for one in results])
    found = {
        "accuracy": share(one.right for one in results),
        "quote.first": share(one.quoted_right(1) for one in answerable),
        "quote.three": share(one.quoted_right(3) for one in answerable),
        "quote.recall": share(one.quoted_right() for one in answerable),
        "quote.precision": share(quote.right for one in answered for quote in one.quotes),
        "exact": share(bool(one.exact) for one in answerable if one.exact is not None),
        "f1": mean(one.f1 for one in answerable if one.f1 is not None),
        "refusal.precision": refusal_precision,
        "refusal.recall": refusal_recall,
        "answered.precision": share(one.best_right for one in answered),
        "coverage": share(one.answered for one in results),
        "ece": Figure(calibration_error(confidences, right), len(results)),
        "aurc": Figure(area_under_risk(risk_coverage(confidences, right)), len(results)),
    }
    for prefix, ranks in (("", [one.retrieved for one in answerable]), ("read.", [one.read for one in answerable])):
        found |= {f"{prefix}hit@{k}": hit_at(ranks, k) for k in (1, 3, 10)} | {f"{prefix}mrr": mrr(ranks)}
    return {name: found[name] for names in FIGURES.values() for name in names}


def _latency(results: Sequence[Result]) -> dict[str, Latency]:
    taken: dict[str, list[float]] = {}
    for one in results:
        for stage, seconds in one.timings.items():
            taken.setdefault(stage, []).append(1000 * seconds)
    return {stage: Latency(percentile(times, 50) or 0.0, percentile(times, 95) or 0.0) for stage, times in taken.items()}


def propose(curve: Sequence[Point], wanted: float) -> Proposal:
    """The threshold that answers most questions while the share of right answers is at least `wanted`.

    It lies halfway to the next question's confidence. It is chosen on the questions that it is judged by: expect a little less.
    """
    of = curve[-1].answered if curve else 0
    best = max((1 - point.risk for point in curve), default=None)
    good = [i for i, point in enumerate(curve) if point.right >= wanted * point.answered - 1e-9]
    if not good:
        return Proposal(wanted, None, 0, 0, of, None, None, best)
    point = curve[good[-1]]
    below = curve[good[-1] + 1].threshold if good[-1] + 1 < len(curve) else 0.0
    middle = (point.threshold + below) / 2
    short = next((one for digits in range(2, 17) if below < (one := round(middle, digits)) <= point.threshold), middle)
    return Proposal(wanted, short, point.answered, point.right, of, *wilson(point.right, point.answered), best)


# --- against an earlier report ----------------------------------------------------------------------------------------


def compare(before: Report, now: Report) -> Changes:
    """What has changed since an earlier run, over the questions that both asked."""
    old = {one.question: one for one in before.results}
    pairs = [(old[one.question], one) for one in now.results if one.question in old]
    setups = {name: (before.setup.get(name, "–"), now.setup.get(name, "–")) for name in dict.fromkeys([*before.setup, *now.setup])}
    return Changes(
        since=before.time,
        common=len(pairs),
        new=len(now.results) - len(pairs),
        gone=len(before.results) - len(pairs),
        before=figures([was for was, _ in pairs]),
        now=figures([one for _, one in pairs]),
        turned=tuple(
            Turned(one.question, was.outcome, one.outcome, was.said, one.said) for was, one in pairs if was.outcome != one.outcome
        ),
        setup={name: (was, one) for name, (was, one) in setups.items() if was != one},
        rewritten=sum((was.expected, was.files, was.answerable) != (one.expected, one.files, one.answerable) for was, one in pairs),
    )


def read_report(file: Path) -> Report:
    """A report written earlier. Raises InputError naming the file and the remedy."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Report).validate_json(file.read_bytes())
    except OSError as error:
        raise InputError(f"report '{file}' cannot be read: {error.strerror}; write one with: rag eval --json FILE") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "JSON"
        raise InputError(
            f"'{file}' is no report of this version of rag eval ({place}: {first['msg']}); write one with: rag eval --json FILE"
        ) from error

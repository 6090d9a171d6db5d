"""What the processes of the comparison report → figures, and each figure against the best peer's."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.compared import Collection
from rag.evaluation.metrics import Rank, f1, hit_at, mean, ndcg, percentile, share
from rag.evaluation.questions import agreement_with

OURS = "folio"

Figures = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing measured: how it is called and shown, and which way is better."""

    label: str
    higher: bool  # is better
    places: int = 0  # decimals
    percent: bool = False

    def shown(self, value: float | None) -> str:
        """As a person reads it; "–" where there is nothing."""
        if value is None:
            return "–"
        return f"{100 * value:.1f} %" if self.percent else f"{value:,.{self.places}f}"


MEASURES = {
    "build_rate": Measure("passages indexed a second", higher=True, places=1),
    "build_peak_mb": Measure("peak memory while indexing, MB", higher=False),
    "index_mb": Measure("index on disk, MB", higher=False, places=2),
    "cold_s": Measure("process start to first answer, s", higher=False, places=2),
    "answer_p50_ms": Measure("warm answer, median, ms", higher=False),
    "answer_p95_ms": Measure("warm answer, 95th percentile, ms", higher=False),
    "search_p50_ms": Measure("warm search, median, ms", higher=False, places=1),
    "search_p95_ms": Measure("warm search, 95th percentile, ms", higher=False, places=1),
    "ask_peak_mb": Measure("peak memory while answering, MB", higher=False),
    "hit@1": Measure("right result first", higher=True, percent=True),
    "hit@5": Measure("right result among the first five", higher=True, percent=True),
    "ndcg@10": Measure("nDCG@10", higher=True, percent=True),
    "f1": Measure("answer F1, a refusal counted as wrong", higher=True, percent=True),
    "f1_guess": Measure("answer F1, best guess of a refusal", higher=True, percent=True),
    "refused": Measure("refused of what the files don't say", higher=True, percent=True),
    "refused_wrongly": Measure("refused of what the files say", higher=False, percent=True),
}


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure against the best peer's: above 1 is better than it, whichever way the measure counts."""

    peer: str
    times: float | None  # None where one of the two is zero


def figures(
    collection: Collection, builds: Sequence[Mapping[str, Any]], asks: Sequence[Mapping[str, Any]], colds: Sequence[float]
) -> Figures:
    """The figures of one system.

    `builds` and `asks` are what its processes reported, with the `peak_mb` and `index_mb` seen from outside; each of the `asks`
    has under `numbers` which of the collection's questions it asked, all of them together each question at least once.
    """
    found: dict[int, list[str]] = {}
    said: dict[int, tuple[str, bool]] = {}
    searched: list[float] = []
    answered: list[float] = []
    for ask in asks:
        searched += ask["search_seconds"]
        answered += [seconds for seconds in ask["ask_seconds"] if seconds is not None]
        for number, ids, reply in zip(ask["numbers"], ask["found"], ask["said"], strict=True):
            found[number] = ids
            if reply is not None:
                said[number] = (reply[0], reply[1])
    measured: Figures = {
        "build_rate": statistics.median(build["passages"] / build["seconds"] for build in builds),
        "build_peak_mb": max(build["peak_mb"] for build in builds),
        "index_mb": builds[-1]["index_mb"],
        "cold_s": statistics.median(colds) if colds else None,
        "answer_p50_ms": _milliseconds(answered, 50),
        "answer_p95_ms": _milliseconds(answered, 95),
        "search_p50_ms": _milliseconds(searched, 50),
        "search_p95_ms": _milliseconds(searched, 95),
        "ask_peak_mb": max(ask["peak_mb"] for ask in asks),
    }
    return measured | retrieval(collection, found) | answers(collection, said)


def retrieval(collection: Collection, found: Mapping[int, Sequence[str]]) -> Figures:
    """How well the right units are found: share first and among five, and nDCG@10 where judgments tell more than one."""
    sources = {passage.id: passage.source for passage in collection.passages}
    ranks: list[Rank] = []
    gains: list[float] = []
    for number, ids in sorted(found.items()):
        right = collection.questions[number].right
        if not right:
            continue
        units = list(dict.fromkeys(sources[one] for one in ids)) if collection.by_file else list(ids)
        ranks.append(next((rank for rank, unit in enumerate(units, 1) if unit in right), None))
        gain = ndcg([float(unit in right) for unit in units], [1.0] * len(right), 10)
        gains += [] if gain is None else [gain]
    measured: Figures = {"hit@1": hit_at(ranks, 1).value, "hit@5": hit_at(ranks, 5).value}
    return measured | {"ndcg@10": mean(gains).value if collection.graded else None}


def answers(collection: Collection, said: Mapping[int, tuple[str, bool]]) -> Figures:
    """How well questions are answered, and what is refused. `said` is the text and whether it was refused."""
    agreed: list[float] = []
    guessed: list[float] = []
    refused: dict[bool, list[bool]] = {True: [], False: []}  # by whether the files answer
    for number, (text, no_answer) in sorted(said.items()):
        golds = collection.questions[number].answers
        refused[bool(golds)].append(no_answer)
        if golds:
            best = max(agreement_with(gold, text)[1] if collection.expressions else f1(text, gold) for gold in golds)
            guessed.append(best)
            agreed.append(0.0 if no_answer else best)
    return {
        "f1": mean(agreed).value,
        "f1_guess": mean(guessed).value,
        "refused": share(refused[False]).value,
        "refused_wrongly": share(refused[True]).value,
    }


def against_best(measure: Measure, values: Mapping[str, float | None]) -> Ratio | None:
    """Our figure against that of the best peer; None where we or all the peers have none."""
    ours = values.get(OURS)
    peers = {name: value for name, value in values.items() if name != OURS and value is not None}
    if ours is None or not peers:
        return None
    best = (max if measure.higher else min)(peers, key=lambda name: peers[name])
    over, under = (ours, peers[best]) if measure.higher else (peers[best], ours)
    return Ratio(best, over / under if under else None)


def _milliseconds(seconds: Sequence[float], percent: float) -> float | None:
    value = percentile(seconds, percent)
    return None if value is None else 1000 * value

"""Question + hits → spans. A reader says where the answer stands and how sure it is; it never writes text."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rag.quotes import evidence
from rag.spans import Calibration, SpanScore, decode, listed
from rag.types import Chunk, Hit, Span

if TYPE_CHECKING:
    from rag.crossencoder import CrossEncoder, Reading

MODEL = Path(__file__).parent / "models" / "reader"

ENUMERATION = re.compile(
    r"^\s*(?:list|name|enumerate)\b|\b(?:what|which)(?:\s+\w+){0,2}\s+are\b|^\s*(?:what|which)\s+(?:\w+\s+)?\w+s\s+(?:do|did|are|were|have)\b",
    re.IGNORECASE,
)
LIST_CHARACTERS = 700  # items of one list are quoted together up to this length
SPANS_EACH = 2  # answers taken from one passage


class Reader(Protocol):
    """Finds answers in retrieved passages. `name` is shown with the answer, `threshold` is the probability it answers from."""

    name: str
    threshold: float

    def read(self, question: str, hits: Sequence[Hit], joined: Callable[[Chunk], Chunk]) -> list[Span]:
        """Spans in document offsets, best first, their evidence not overlapping.

        `joined` gives a chunk together with its neighbours, for an answer that runs over a chunk's border.
        """
        ...


class ExtractiveReader:
    """The trained cross-encoder: one pass over all passages finds spans, ranks passages and says whether they answer."""

    name = "extractive"

    def __init__(self, network: "CrossEncoder", calibration: Calibration) -> None:
        self.network = network
        self.calibration = calibration
        self.threshold = calibration.threshold

    @classmethod
    def load(cls, encoder_folder: Path, *, threads: int | None = None) -> "ExtractiveReader":
        """The reader that ships with the package, on top of the encoder in `encoder_folder`. Raises ModelError."""
        from rag.crossencoder import CrossEncoder

        return cls(CrossEncoder.load(MODEL, encoder_folder, threads=threads), Calibration.load(MODEL))

    def read(self, question: str, hits: Sequence[Hit], joined: Callable[[Chunk], Chunk]) -> list[Span]:
        several = ENUMERATION.search(question) is not None
        found: list[Span] = []
        readings = self.network.read(question, [(hit.chunk.context, hit.chunk.text) for hit in hits])
        for hit, reading in zip(hits, readings, strict=True):
            found += self._spans(hit, hit.chunk, reading, several)
        found.sort(key=lambda span: (-span.score, span.source, span.start))
        # An answer at a chunk's border may go on, or lean on what stands, in the next one: read the best such again, joined.
        chunks = {hit.chunk_id: hit for hit in hits}
        at_border = [span for span in found[:2] if self._at_border(span, chunks[span.chunk_id].chunk)]
        if at_border:
            wide = [(chunks[span.chunk_id], joined(chunks[span.chunk_id].chunk)) for span in at_border]
            again = self.network.read(question, [(chunk.context, chunk.text) for _, chunk in wide])
            for span, (hit, chunk), reading in zip(at_border, wide, again, strict=True):
                better = [new for new in self._spans(hit, chunk, reading, several) if _overlap(new, span)]
                if better and better[0].score > span.score:
                    found[found.index(span)] = better[0]
            found.sort(key=lambda span: (-span.score, span.source, span.start))
        kept: list[Span] = []
        for span in found:
            if not any(_overlap(span, other) for other in kept):
                kept.append(span)
        return kept

    def _spans(self, hit: Hit, chunk: Chunk, reading: "Reading", several: bool) -> list[Span]:
        """The best answers of one passage, each with the sentences that carry it."""
        best = decode(reading, limit=SPANS_EACH)
        if not best:
            return []
        spans = [self._span(hit, chunk, reading, [one]) for one in best]
        items = listed(reading) if several else []
        if len(items) > 1 and items[-1].end - items[0].start <= LIST_CHARACTERS:
            top = max(items, key=lambda item: item.score)
            spans.insert(0, self._span(hit, chunk, reading, [top, *(item for item in items if item is not top)], best[0]))
        return spans

    def _span(
        self, hit: Hit, chunk: Chunk, reading: "Reading", answers: Sequence[SpanScore], scored: SpanScore | None = None
    ) -> Span:
        at = chunk.start
        start, end = min(one.start for one in answers), max(one.end for one in answers)
        begin, finish = evidence(chunk, at + start, at + end)
        features = (reading.answerable, (scored or answers[0]).score, hit.similarity)
        return Span(
            source=chunk.source,
            start=begin,
            end=finish,
            answers=tuple((at + one.start, at + one.end) for one in answers),
            score=self.calibration.score(*features),
            probability=self.calibration.probability(*features),
            chunk_id=hit.chunk_id,
        )

    @staticmethod
    def _at_border(span: Span, chunk: Chunk) -> bool:
        return span.answers[0][0] == chunk.start or span.answers[0][1] >= chunk.end - 1


def _overlap(one: Span, other: Span) -> bool:
    return one.source == other.source and one.start < other.end and other.start < one.end

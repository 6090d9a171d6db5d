"""Question + hits → spans. A reader says where the answer stands and how sure it is; it never writes text."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rag.embeddings import Encoder, default_encoder_folder
from rag.fulltext import content_words
from rag.names import Names
from rag.quotes import evidence
from rag.spans import Calibration, Features, SpanScore, covered, decode, fits, listed
from rag.types import Chunk, Hit, Span

if TYPE_CHECKING:
    from rag.crossencoder import CrossEncoder, Reading

MODEL = Path(__file__).parent / "models" / "reader"

ENUMERATION = re.compile(
    r"^\s*(?:list|name|enumerate)\b|\b(?:what|which)(?:\s+\w+){0,2}\s+are\b|^\s*(?:what|which)\s+(?:\w+\s+)?\w+s\s+(?:do|did|are|were|have)\b",
    re.IGNORECASE,
)
LIST_CHARACTERS = 700  # items of one list are quoted together up to this length
COMPARED = 8  # sentences embedded for one question
SPANS_EACH = 3  # answers taken from one passage
READ_AT_ONCE = 8  # passages; `tell` is heard in between


class Reader(Protocol):
    """Finds answers in retrieved passages. `name` is shown with the answer, `threshold` is the probability it answers from."""

    name: str
    threshold: float

    def read(
        self, question: str, hits: Sequence[Hit], joined: Callable[[Chunk], Chunk], tell: Callable[[int], None] | None = None
    ) -> list[Span]:
        """Spans in document offsets, best first, their evidence not overlapping.

        `joined` gives a chunk together with its neighbours, for an answer that runs over a chunk's border. `tell` is called
        with the number of passages read so far, now and then; what it raises ends the reading.
        """
        ...


class ExtractiveReader:
    """The trained cross-encoder: one pass over all passages finds spans, ranks passages and says whether they answer."""

    name = "extractive"

    def __init__(self, network: "CrossEncoder", calibration: Calibration, encoder: Encoder) -> None:
        self.network = network
        self.encoder = encoder
        self.calibration = calibration
        self.threshold = calibration.threshold

    @classmethod
    def load(cls, encoder: Encoder, *, threads: int | None = None) -> "ExtractiveReader":
        """The reader that ships with the package; `encoder` compares sentences with the question. Raises ModelError."""
        from rag.crossencoder import CrossEncoder

        network = CrossEncoder.load(MODEL, default_encoder_folder(), threads=threads)
        return cls(network, Calibration.load(MODEL), encoder)

    def read(
        self, question: str, hits: Sequence[Hit], joined: Callable[[Chunk], Chunk], tell: Callable[[int], None] | None = None
    ) -> list[Span]:
        names = Names(question, [hit.chunk.text for hit in hits])
        found = self._spans(names, hits, [hit.chunk for hit in hits], tell)
        # An answer at a chunk's border may go on, or lean on what stands, in the next one: read the best such again, joined.
        by_id = {hit.chunk_id: hit for hit in hits}
        at_border = [span for span in found[:2] if _at_border(span, by_id[span.chunk_id].chunk)]
        if at_border:
            wide = list(dict.fromkeys(span.chunk_id for span in at_border))
            again = self._spans(names, [by_id[i] for i in wide], [joined(by_id[i].chunk) for i in wide])
            for span in at_border:
                better = next((new for new in again if new.chunk_id == span.chunk_id and _overlap(new, span)), None)
                if better is not None and better.score > span.score:
                    found[found.index(span)] = better
            found.sort(key=_best_first)
        kept: list[Span] = []
        for span in found:
            if not any(_overlap(span, other) for other in kept):
                kept.append(span)
        return kept

    def candidates(
        self, names: Names, hits: Sequence[Hit], chunks: Sequence[Chunk], tell: Callable[[int], None] | None = None
    ) -> list["Candidate"]:
        """The best spans of every passage with what is known of each; `chunks` are what is read, a hit's own or a wider one."""
        question = names.question
        readings = self._readings(question, chunks, tell)
        found: list[Candidate] = []
        for hit, chunk, reading in zip(hits, chunks, readings, strict=True):
            whole = covered(hit.rarity, f"{chunk.context}\n{chunk.text}")
            for one in decode(reading, limit=SPANS_EACH):
                begin, finish = evidence(chunk, chunk.start + one.start, chunk.start + one.end)
                first, last = begin - chunk.start, finish - chunk.start
                quoted, answer = chunk.text[first:last], chunk.text[one.start : one.end]
                features = Features(
                    answerable=reading.answerable,
                    span=one.score,
                    similarity=hit.similarity,
                    coverage=whole,
                    focus=covered(hit.rarity, quoted),
                    sentence=hit.similarity,
                    fits=fits(question, answer),
                    echo=covered(dict.fromkeys(content_words(answer), 1.0), question),
                    named=float(names.named(chunk.context, chunk.text[:last])),
                    replaced=float(names.replaced(quoted, (one.start - first, one.end - first), _topic(names, chunk, begin))),
                )
                found.append(Candidate(hit, chunk, reading, one, quoted, features))
        return self._compare_sentences(question, found)

    def _readings(self, question: str, chunks: Sequence[Chunk], tell: Callable[[int], None] | None) -> list["Reading"]:
        """Every passage read, in order; a few of like length at a time, so that `tell` is heard between them."""
        passages = [(chunk.context, chunk.text) for chunk in chunks]
        order = sorted(range(len(passages)), key=lambda i: (len("".join(passages[i])), passages[i]), reverse=True)
        readings: dict[int, Reading] = {}
        for at in range(0, len(order), READ_AT_ONCE):
            some = order[at : at + READ_AT_ONCE]
            readings.update(zip(some, self.network.read(question, [passages[i] for i in some]), strict=True))
            if tell is not None:
                tell(len(readings))
        return [readings[i] for i in range(len(passages))]

    def _compare_sentences(self, question: str, found: Sequence["Candidate"]) -> list["Candidate"]:
        """Embed the sentences of the best candidates: a passage may be close to a question that its sentence doesn't answer."""
        best = sorted(found, key=lambda one: (-self.calibration.score(one.features), one.quoted))
        texts = list(dict.fromkeys(one.quoted for one in best))[:COMPARED]
        if not texts:
            return list(found)
        asked, *vectors = self.encoder.encode([question, *texts])
        similarity = {text: float(vector @ asked) for text, vector in zip(texts, vectors, strict=True)}
        return [
            replace(one, features=one.features._replace(sentence=similarity[one.quoted])) if one.quoted in similarity else one
            for one in found
        ]

    def _spans(
        self, names: Names, hits: Sequence[Hit], chunks: Sequence[Chunk], tell: Callable[[int], None] | None = None
    ) -> list[Span]:
        """The candidates as spans, best first, each with the sentences that carry it; the items of a list together."""
        several = ENUMERATION.search(names.question) is not None
        found: list[Span] = []
        for candidate in self.candidates(names, hits, chunks, tell):
            answers = [candidate.span]
            items = listed(candidate.reading) if several else []
            if len(items) > 1 and items[-1].end - items[0].start <= LIST_CHARACTERS:
                top = max(items, key=lambda item: item.score)
                answers = [top, *(item for item in items if item is not top)]
            found.append(self._span(candidate, answers))
        return sorted(found, key=_best_first)

    def _span(self, candidate: "Candidate", answers: Sequence[SpanScore]) -> Span:
        chunk, at = candidate.chunk, candidate.chunk.start
        start, end = min(one.start for one in answers), max(one.end for one in answers)
        begin, finish = evidence(chunk, at + start, at + end)
        return Span(
            source=chunk.source,
            start=begin,
            end=finish,
            answers=tuple((at + one.start, at + one.end) for one in answers),
            score=self.calibration.score(candidate.features),
            probability=self.calibration.probability(candidate.features),
            chunk_id=candidate.hit.chunk_id,
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """One span of one passage."""

    hit: Hit
    chunk: Chunk
    reading: "Reading"
    span: SpanScore
    quoted: str  # the sentences that would be quoted
    features: Features


def _best_first(span: Span) -> tuple[float, str, int]:
    return -span.score, span.source, span.start


def _at_border(span: Span, chunk: Chunk) -> bool:
    return span.answers[0][0] == chunk.start or span.answers[0][1] >= chunk.end - 1


def _overlap(one: Span, other: Span) -> bool:
    return one.source == other.source and one.start < other.end and other.start < one.end


def _topic(names: Names, chunk: Chunk, begin: int) -> str:
    """What a quote beginning there may leave unsaid: title, headings, and the sentence before if it speaks of two things asked."""
    for start, end in (unit for unit in chunk.sentences[::-1] if unit[1] <= begin):
        text = chunk.text[start - chunk.start : end - chunk.start]
        return f"{chunk.context}\n{text}" if len(names.asked) - len(names.unheld(text)) > 1 else chunk.context
    return chunk.context

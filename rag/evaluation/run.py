"""Asks every question of an assistant, and judges what comes out."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256
from typing import TYPE_CHECKING

from rag import __version__
from rag.evaluation.metrics import Rank
from rag.evaluation.questions import Key, Question, Rated, agreement_with, keys_of
from rag.evaluation.report import Report, Result, Shown, report_on
from rag.reader import MODEL, ExtractiveReader
from rag.render import where

if TYPE_CHECKING:
    from rag.assistant import Assistant
    from rag.reader import Reader
    from rag.types import Answer, Chunk, Hit, Span

FINGERPRINT = 12  # hexadecimal digits of a SHA-256 that are shown


def evaluate(
    assistant: "Assistant",
    questions: Sequence[Question],
    rated: Sequence[Rated] = (),
    *,
    file: str = "questions",
    tell: Callable[[int], None] | None = None,
) -> Report:
    """Ask every question of an assistant that nobody else uses meanwhile, and measure. `tell` hears how many are done.

    The first question is asked once more before, so that no time is measured while models wake up. Raises InputError when a
    question can't be judged in this index.
    """
    keys, notes = keys_of(assistant.catalog, questions, file)
    results: list[Result] = []
    with _witnessed(assistant) as witness:
        for key in keys[:1]:
            assistant.ask(key.question.text)
        for number, key in enumerate(keys, 1):
            witness.hits, witness.spans = [], []
            answer = assistant.ask(key.question.text)
            results.append(_judged(key, answer, witness.hits, witness.spans))
            if tell is not None:
                tell(number)
    threshold = assistant.reader.threshold if assistant.settings.threshold is None else assistant.settings.threshold
    setup = _setup(assistant, keys, file) | {"threshold": f"{threshold:.4g}"}
    return report_on(results, questions=file, setup=setup, threshold=threshold, rated=rated, notes=notes)


def _setup(assistant: "Assistant", keys: Sequence[Key], file: str) -> dict[str, str]:
    """What the figures hang on. Whatever can change under the same name carries its fingerprint."""
    catalog, settings = assistant.catalog, assistant.settings
    documents, passages = catalog.counts()
    asked = json.dumps(sorted(json.dumps(asdict(key.question) | {"line": 0}) for key in keys))  # in whatever order
    contents = json.dumps(sorted((source, digest) for source, (_, _, digest) in catalog.files().items()))
    reader = _reader_fingerprint(assistant.reader)
    setup = {
        "version": __version__,
        "questions": f"{file} ({_short(asked.encode())})",
        "documents": f"{documents} ({_short(contents.encode())})",
        "passages": str(passages),
        "chunk tokens": catalog.meta().get("chunk_tokens", ""),
        "encoder": f"{assistant.encoder.name} ({assistant.encoder.fingerprint[:FINGERPRINT]})",
        "reader": f"{assistant.reader.name} ({reader})" if reader else assistant.reader.name,
        "candidates": str(settings.candidates),
        "passages read": str(settings.passages),
        "quotes at most": str(settings.max_quotes),
    }
    return setup | {"generator": assistant.prose.writer.name} if assistant.prose else setup


def _reader_fingerprint(reader: "Reader") -> str:
    """Of the weights and calibration that ship with the package; "" for a reader that is not made of them."""
    if not isinstance(reader, ExtractiveReader):
        return ""
    return _short(b"".join((MODEL / name).read_bytes() for name in ("model.safetensors", "reader.json")))


def _short(data: bytes) -> str:
    return sha256(data).hexdigest()[:FINGERPRINT]


class _Witness:
    """A reader that also keeps what it was given and what it found, best first."""

    def __init__(self, reader: "Reader") -> None:
        self._reader = reader
        self.name, self.threshold = reader.name, reader.threshold
        self.hits: list[Hit] = []
        self.spans: list[Span] = []

    def read(
        self,
        question: str,
        hits: "Sequence[Hit]",
        joined: "Callable[[Chunk], Chunk]",
        tell: Callable[[int], None] | None = None,
    ) -> "list[Span]":
        self.hits = list(hits)
        self.spans = self._reader.read(question, hits, joined, tell)
        return self.spans


@contextmanager
def _witnessed(assistant: "Assistant") -> Iterator[_Witness]:
    reader = assistant.reader
    witness = _Witness(reader)
    assistant.reader = witness
    try:
        yield witness
    finally:
        assistant.reader = reader


def _judged(key: Key, answer: "Answer", hits: "Sequence[Hit]", spans: "Sequence[Span]") -> Result:
    right = {hit.chunk_id: key.right(hit.chunk.source, hit.chunk.start, hit.chunk.end, hit.chunk.text) for hit in hits}
    reread = dict.fromkeys([*(span.chunk_id for span in spans), *right])  # passages in which nothing was found come last
    quotes = tuple(
        Shown(one.text, one.source, where(one), one.start, one.end, key.right(one.source, one.start, one.end, one.text))
        for one in answer.quotes or answer.nearest
    )
    said = (answer.short or answer.quotes[0].text) if answer.answered else ""
    agreed = [agreement_with(one, said) if said else (0.0, 0.0) for one in key.question.answers]
    return Result(
        line=key.question.line,
        question=key.question.text,
        expected=key.question.answers or key.question.passages,
        files=key.question.files,
        answerable=key.question.answerable,
        answered=answer.answered,
        short=answer.short,
        confidence=answer.confidence,
        quotes=quotes,
        retrieved=_first(right.values()),
        read=_first(right[number] for number in reread),
        passages=len(hits),
        exact=max((exact for exact, _ in agreed), default=None),
        f1=max((f1 for _, f1 in agreed), default=None),
        timings=answer.timings,
    )


def _first(flags: Iterable[bool]) -> Rank:
    """Rank of the first that is set, from 1."""
    return next((rank for rank, flag in enumerate(flags, 1) if flag), None)

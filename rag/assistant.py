"""The assistant: question in, Answer out. Retrieves, reads, quotes, checks each quote, and abstains."""

import fnmatch
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rag import catalog as catalogs
from rag import fulltext
from rag.catalog import Catalog
from rag.dense import DenseIndex
from rag.embeddings import Encoder, Vectors, open_encoder
from rag.errors import IndexMissing, InputError
from rag.followup import complete
from rag.index import check_manifest, sources_of
from rag.quotes import make_quote
from rag.reader import ExtractiveReader, Reader
from rag.render import answer_text
from rag.retrieval import retrieve
from rag.select import agreement, choose, short_answer
from rag.settings import Settings
from rag.types import Answer, Document, Hit, Quote, Span, Stage

if TYPE_CHECKING:
    from rag.generative import GenerativeReader

Watch = Callable[[Stage], None]

LONGEST_QUESTION = 2000  # characters; the encoder reads 256 tokens
NEAREST = 3  # passages shown, as no answer, when the files don't say


class Assistant:
    """Models and index held open for many questions. Safe to share between threads: questions take turns."""

    def __init__(
        self,
        settings: Settings,
        encoder: Encoder,
        reader: Reader,
        catalog: Catalog,
        dense: DenseIndex,
        prose: "GenerativeReader | None" = None,
    ) -> None:
        self.settings = settings
        self.encoder = encoder
        self.reader = reader
        self.catalog = catalog
        self.dense = dense
        self.prose = prose  # None: answers are the files' words alone
        self._inode = catalog.path.stat().st_ino
        self._turn = threading.Lock()
        self._counted = (-1, 0)  # generation, its passages

    @classmethod
    def open(cls, settings: Settings | None = None, **values: Any) -> "Assistant":
        """Open the index and the models that `settings` (or keyword values for them) name.

        Raises IndexMissing, IndexMismatch, IndexDamaged, ModelError or InputError, each naming the remedy.
        """
        settings = settings or Settings.load(**values)
        here = {"index": settings.index.absolute(), "sources": settings.sources and settings.sources.absolute()}
        settings = settings.model_copy(update=here)  # the caller may change folder later
        encoder = open_encoder(settings.encoder, batch_size=settings.batch_size, threads=settings.threads)
        catalog, dense = _open_index(settings, encoder)  # first: without an index nobody should wait for a model
        reader = ExtractiveReader.load(encoder, threads=settings.threads)
        prose = None
        if settings.generator:
            from rag.generative import GenerativeReader

            prose = GenerativeReader.open(settings, reader, encoder)
        return cls(settings, encoder, reader, catalog, dense, prose)

    def close(self) -> None:
        with self._turn:  # a question that is being answered is answered
            self.catalog.close()

    def __enter__(self) -> "Assistant":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    @property
    def sources(self) -> Path:
        """The folder that quotes are checked against."""
        return sources_of(self.settings)

    def ask(
        self, question: str, files: Sequence[str] | None = None, history: Sequence[Answer] = (), watch: Watch | None = None
    ) -> Answer:
        """Answer one question from the files, or from those that `files` names (relative paths or patterns such as "*.md").

        `history` holds the earlier answers of the conversation, oldest first: with them a follow-up is completed to the
        question that is answered (`Answer.understood`). `watch` is told each stage as it is done; raising Stopped there ends
        the answering. Raises InputError for an empty or over-long question, for no files and for a file that is not indexed.
        """
        question = check_question(question)
        tell = watch or _nobody
        understood = self.understood(question, history) if history else question
        if self.prose and history:
            understood = self.prose.understand(question, understood, history, lambda: tell(Stage("searched", 0)))
        with self._reading():
            answer, hits = self._ask(understood, self._named(files), watch)
            passages = self._documents(hits) if self.prose and answer.answered else {}
        if self.prose and answer.answered:  # while it writes, others may ask
            answer = self.prose.answer(answer, hits, passages, self.sources, tell)
        return answer if understood == question else answer.model_copy(update={"question": question, "understood": understood})

    def understood(self, question: str, history: Sequence[Answer]) -> str:
        """A question of a conversation as one that stands alone, see `rag.followup`."""
        with self._reading():
            return complete(question, history, spelled=lambda word: fulltext.spelled(self.catalog, word))

    def search(self, question: str, files: Sequence[str] | None = None, limit: int = 10) -> list[Hit]:
        """The `limit` passages found for a question, best first, unread: retrieval alone.

        Raises InputError as `ask` does, and for a `limit` under 1.
        """
        question = check_question(question)
        if limit < 1:
            raise InputError(f"limit={limit}: search for at least 1 passage")
        with self._reading():
            return self._retrieve(question, self.encoder.encode([question])[0], self._named(files), limit)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """This thread's turn at the newest generation of the index, in one snapshot of it."""
        with self._turn:
            self._renew()
            try:
                with self.catalog.snapshot():
                    if self.catalog.generation() != self.dense.generation:
                        check_manifest(self.catalog.meta(), self.encoder, self.settings)
                        self.dense = DenseIndex.open(self.settings.index, self.catalog)
                    yield
            except sqlite3.DatabaseError as error:
                raise catalogs.damaged(self.catalog.path, error) from error

    def _named(self, files: Sequence[str] | None) -> list[str] | None:
        """The indexed files that are asked; None for all. Naming none is an error: answering from all would surprise."""
        if files is None:
            return None
        if not files:
            raise InputError("files=[] names no file; name files or patterns, or leave files out to ask all of them")
        return _matching(files, self.catalog.files())

    def _retrieve(self, question: str, vector: Vectors, names: Sequence[str] | None, limit: int) -> list[Hit]:
        candidates = max(self.settings.candidates, limit)
        return retrieve(question, vector, self.catalog, self.dense, candidates=candidates, limit=limit, sources=names)

    def _renew(self) -> None:
        """Open the catalogue again when a rebuild has put another file in its place."""
        try:
            inode = self.catalog.path.stat().st_ino
        except OSError as error:
            raise IndexMissing(f"the index in '{self.settings.index}' is gone; build it again: rag build") from error
        if inode != self._inode:
            self.catalog.close()
            self.catalog, self.dense = _open_index(self.settings, self.encoder)
            self._inode = inode

    def _count(self, names: Sequence[str] | None) -> int:
        """Passages in these files; those of all files are counted once for each generation."""
        if names is not None:
            return len(self.catalog.chunk_ids(names))
        if self._counted[0] != self.dense.generation:
            self._counted = self.dense.generation, self.catalog.counts()[1]
        return self._counted[1]

    def _documents(self, hits: Sequence[Hit]) -> dict[str, Document]:
        """The documents of these passages, by source."""
        found = {source: self.catalog.document(source) for source in dict.fromkeys(hit.chunk.source for hit in hits)}
        return {source: document for source, document in found.items() if document is not None}

    def _ask(self, question: str, names: Sequence[str] | None, watch: Watch | None) -> tuple[Answer, list[Hit]]:
        """The extractive answer, and the passages that were read for it."""
        tell = watch or _nobody
        marks = [time.perf_counter()]
        vector = self.encoder.encode([question])[0]
        marks.append(time.perf_counter())
        hits = self._retrieve(question, vector, names, self.settings.passages)
        if watch is not None:
            watch(Stage("searched", self._count(names)))
        marks.append(time.perf_counter())
        spans = self.reader.read(question, hits, self.catalog.joined, lambda done: tell(Stage("read", done))) if hits else []
        marks.append(time.perf_counter())
        threshold = self.reader.threshold if self.settings.threshold is None else self.settings.threshold
        # The best span decides whether the files answer: the probability was fitted for it, not for the likeliest of many.
        answers = spans and spans[0].probability >= threshold
        found, rejected = self._quote([span for span in spans if span.probability >= threshold] if answers else [])
        quotes = tuple(choose(question, found, self.settings.max_quotes))
        answered = bool(quotes)
        nearest = () if answered else self._quote(spans[:NEAREST] or _whole(hits[:NEAREST]))[0]
        marks.append(time.perf_counter())
        tell(Stage("quoted", len(quotes)))
        stages = ("embed", "retrieve", "read", "quote")
        timings = {stage: marks[i + 1] - marks[i] for i, stage in enumerate(stages)}
        draft = Answer(
            question=question,
            text="",
            short=short_answer(question, quotes),
            answered=answered,
            confidence=spans[0].probability if spans else 0.0,
            quotes=quotes,
            nearest=nearest,
            agreement=agreement(question, quotes),
            rejected=rejected,
            timings={**timings, "total": marks[-1] - marks[0]},
            files=tuple(names) if names is not None else None,
            reader=self.reader.name,
        )
        return draft.model_copy(update={"text": answer_text(draft)}), hits

    def _quote(self, spans: Sequence[Span]) -> tuple[tuple[Quote, ...], tuple[str, ...]]:
        quotes: list[Quote] = []
        rejected: list[str] = []
        documents: dict[str, Document | None] = {}
        sources = self.sources if spans else Path()
        for span in spans:
            if span.source not in documents:
                documents[span.source] = self.catalog.document(span.source)
            document = documents[span.source]
            inside = all(span.start <= start < end <= span.end for start, end in span.answers)
            if document is None or not inside or not 0 <= span.start < span.end <= len(document.text):
                rejected.append(f"{span.source}, characters {span.start}–{span.end}: not in the catalogue")
                continue
            quotes.append(make_quote(document, sources, span))
        return tuple(quotes), tuple(rejected)


def _nobody(_: Stage) -> None:
    """Watches nothing."""


def _open_index(settings: Settings, encoder: Encoder) -> tuple[Catalog, DenseIndex]:
    catalog = Catalog.open(settings.index)
    try:
        with catalog.snapshot():
            meta = catalog.meta()
            if "generation" not in meta:
                raise IndexMissing(f"the build of the index in '{settings.index}' has not finished; run it again: rag build")
            check_manifest(meta, encoder, settings)
            return catalog, DenseIndex.open(settings.index, catalog)
    except sqlite3.DatabaseError as error:
        raise catalogs.damaged(catalog.path, error) from error


def _whole(hits: Sequence[Hit]) -> list[Span]:
    """Hits as spans, for showing the nearest passages when a reader found nothing in them."""
    return [Span(h.chunk.source, h.chunk.start, h.chunk.end, (), h.score, 0.0, h.chunk_id) for h in hits]


def check_question(question: str) -> str:
    """The question without white space around it. Raises InputError when it is empty or too long."""
    question = question.strip()
    if not question:
        raise InputError("the question is empty; type one")
    if any("\ud800" <= char <= "\udfff" for char in question):
        raise InputError(f"the question {question[:60]!r} is not valid UTF-8; type it again")
    if len(question) > LONGEST_QUESTION:
        raise InputError(f"the question has {len(question)} characters; ask in at most {LONGEST_QUESTION}")
    return question


def _matching(patterns: Sequence[str], indexed: Sequence[str] | dict[str, Any]) -> list[str]:
    """Names of indexed files that one of the patterns matches, exactly or as a glob."""
    if isinstance(patterns, str):
        patterns = [patterns]
    names: dict[str, None] = {}
    for pattern in patterns:
        wanted = pattern.replace(os.sep, "/").removeprefix("./")
        found = [wanted] if wanted in indexed else [name for name in sorted(indexed) if fnmatch.fnmatchcase(name, wanted)]
        if not found:
            some = ", ".join(sorted(indexed)[:5]) + (", …" if len(indexed) > 5 else "")
            raise InputError(f"no indexed file matches '{pattern}'; indexed are: {some or 'none'}")
        names.update(dict.fromkeys(found))
    return list(names)


@lru_cache(maxsize=4)
def _assistant(settings: Settings, _folder: str) -> Assistant:
    return Assistant.open(settings)


def answer(question: str, files: Sequence[str] | None = None, **settings: Any) -> Answer:
    """Answer one question with the default settings, or those given as keywords; models stay loaded for the next one.

    Raises RagError (its children name what was wrong and the remedy).
    """
    return _assistant(Settings.load(**settings), str(Path.cwd())).ask(question, files)

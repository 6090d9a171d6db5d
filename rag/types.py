"""The records that pass from stage to stage.

Dataclasses stay inside the process; `Quote`, `Answer` and `BuildReport` are pydantic because they cross borders (JSON,
HTTP, disk). Every offset in this package counts characters of the document's text, never bytes, never
chunk-relative: `document.text[start:end]`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, model_validator

Kind = Literal["text", "markdown", "rst", "html", "code", "table"]


@dataclass(frozen=True, slots=True)
class Document:
    """One file, read. `text` is what its bytes decode to, unchanged (for HTML: the extracted text)."""

    source: str  # path relative to the sources folder, with forward slashes
    text: str
    sha256: str  # of the file's bytes
    size: int  # bytes
    mtime_ns: int
    encoding: str
    kind: Kind
    title: str
    places: tuple[tuple[int, str], ...] = ()  # (offset, name) where each begins: "page 3", "slide 2", "sheet Prices, row 4"
    unread: str = ""  # which parts of the file are not in the text, and why


@dataclass(frozen=True, slots=True)
class Chunk:
    """A retrievable stretch of a document: `document.text[start:end] == text`."""

    source: str
    ordinal: int  # position among the document's chunks, from 0
    start: int
    end: int
    text: str
    title: str  # of the document
    heading: str  # the nearest heading above, or ""
    sentences: tuple[tuple[int, int], ...]  # quotable units (sentence, list item, label with value), document offsets

    @property
    def context(self) -> str:
        """Title and heading, put in front of the text for embedding and reading; never quoted."""
        return " › ".join(part for part in (self.title, self.heading) if part)


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that retrieval found, with its scores."""

    chunk_id: int
    chunk: Chunk
    score: float  # fused rank score, higher is better
    similarity: float  # cosine of question and chunk, in [-1, 1]
    rarity: Mapping[str, float]  # the question's content words, weighted by how few chunks hold them


@dataclass(frozen=True, slots=True)
class Span:
    """What a reader found: answers inside the evidence that carries them, all in document offsets."""

    source: str
    start: int  # of the evidence: the quotable units that carry the answer
    end: int
    answers: tuple[tuple[int, int], ...]  # the best one first; several for a list
    score: float  # a reader's own scale, higher is better, comparable between passages of one question
    probability: float  # that this evidence answers the question, in [0, 1]
    chunk_id: int = -1


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Quote(_Record):
    """A verbatim passage of a file. `text` is sliced from the document, never written by a model."""

    text: str
    source: str = Field(description="path of the file, relative to the sources folder")
    start: NonNegativeInt = Field(description="first character, counted in the file's decoded text")
    end: NonNegativeInt = Field(description="one past the last character")
    line_start: int = Field(ge=1, description="line of the first character, from 1")
    line_end: int = Field(ge=1)
    place: str = Field(default="", description='where a person would look: "page 3", "slide 2", "sheet Prices, row 4"; or ""')
    page: int | None = Field(default=None, description="page or slide, from 1, for a format that has them")
    header: str = Field(default="", description="for a row of a table: the table's header row, as the file has it")
    highlights: tuple[tuple[int, int], ...] = Field(
        default=(), description="answer spans inside the quote, as (start, end) in the file's decoded text"
    )
    score: float = Field(ge=0, le=1, description="probability that this passage answers the question")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the file's bytes when it was indexed")
    title: str = ""
    state: Literal["current", "changed", "missing", "renewed", "removed"] = Field(
        default="current",
        description="the file on disk when the quote was shown, against the one indexed (current, changed, missing); "
        "of a quote shown again: whether its file was indexed anew since (renewed), or left the index (removed)",
    )


class Side(_Record):
    """One answer, and the files that give it."""

    answer: str
    files: tuple[str, ...]


class Agreement(_Record):
    """Whether the files that answer a question say the same; the first side is the best passage's."""

    agree: bool
    sides: tuple[Side, ...]


class Sentence(_Record):
    """A sentence that a language model wrote, with the quotes that carry it."""

    text: str
    quotes: tuple[NonNegativeInt, ...] = Field(min_length=1, description="positions in the answer's quotes, from 0")


class Answer(_Record):
    """What the files say to one question, or that they don't."""

    question: str
    understood: str = Field(default="", description="the question that was answered, when the conversation completed it")
    text: str = Field(description="what a person reads")
    short: str | None = Field(default=None, description="the answer itself, a span of the first quote")
    answered: bool
    confidence: float = Field(ge=0, le=1, description="probability that the files answer the question")
    sentences: tuple[Sentence, ...] = Field(default=(), description="the answer in prose, when a language model wrote one")
    quotes: tuple[Quote, ...] = Field(default=(), description="the passages that carry the answer, best first")
    nearest: tuple[Quote, ...] = Field(default=(), description="the closest passages when unanswered: not an answer")
    agreement: Agreement | None = Field(default=None, description="when several files answer: do they say the same?")
    rejected: tuple[str, ...] = Field(default=(), description="what was found but not shown, each with the reason")
    timings: Mapping[str, float] = Field(default={}, description="seconds by stage")
    files: tuple[str, ...] | None = Field(default=None, description="the files asked, when not all")
    reader: str = Field(default="", description="which reader found the answer, or which model wrote it")

    @model_validator(mode="after")
    def _sentences_name_quotes(self) -> "Answer":
        if any(quote >= len(self.quotes) for sentence in self.sentences for quote in sentence.quotes):
            raise ValueError("a sentence names a quote that the answer does not carry")
        return self


class Skipped(_Record):
    """A file, or part of one, that was not indexed, and why."""

    source: str
    reason: str


class BuildReport(_Record):
    """What a build did."""

    sources: str
    index: str
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: NonNegativeInt = 0
    skipped: tuple[Skipped, ...] = ()
    partly: tuple[Skipped, ...] = Field(default=(), description="files that are indexed, but for a part of them")
    documents: NonNegativeInt = 0
    chunks: NonNegativeInt = 0
    embedded: NonNegativeInt = Field(default=0, description="passages embedded in this build")
    seconds: float = 0.0
    generation: NonNegativeInt = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a build, for a progress bar."""

    stage: Literal["listing", "reading", "embedding", "publishing"]
    done: int
    total: int
    source: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of answering, for whoever watches: 34 passages searched, 16 read, 3 quoted, 2 sentences written."""

    name: Literal["searched", "read", "quoted", "written"]
    passages: int  # of "written": sentences
    answer: Answer | None = None  # as far as it is written; sentences in it stay


Hits = Sequence[Hit]

"""Spans → verified quotes, and the check of quotes made earlier. A quote that can't be checked is not shown as good."""

import bisect
import re
import stat
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Literal

from rag.documents import Unreadable, read_document
from rag.errors import InputError
from rag.folder import Listed
from rag.formats.tables import header_span
from rag.render import answer_text
from rag.types import Answer, Chunk, Document, Quote, Sentence, Span

# A sentence that opens like this has its subject in the sentence before.
LEANS_BACK = re.compile(
    r"^[\"'“‘(]?(?:he|she|it|they|we|this|that|these|those|his|her|its|their|such|however|but|and|so|also|then|there|instead|"
    r"therefore|thus|moreover|furthermore|in addition|as a result|because of this|for this|in this|the former|the latter)\b",
    re.IGNORECASE,
)
PAGE = re.compile(r"(?:page|slide) (\d+)")
FileState = Literal["current", "changed", "missing"]

WIDENED_CHARACTERS = 400  # a quote is not widened past this


def evidence(chunk: Chunk, start: int, end: int) -> tuple[int, int]:
    """The quotable units of `chunk` that hold [start, end), with the one before when the first leans on it."""
    starts = [unit[0] for unit in chunk.sentences]
    first = max(0, bisect.bisect_right(starts, start) - 1)
    last = max(first, bisect.bisect_left(starts, end) - 1)
    begin, finish = chunk.sentences[first][0], max(chunk.sentences[last][1], end)
    if first and LEANS_BACK.match(chunk.text[begin - chunk.start : begin - chunk.start + 24]):
        before = chunk.sentences[first - 1][0]
        gap = chunk.text[chunk.sentences[first - 1][1] - chunk.start : begin - chunk.start]
        if finish - before <= WIDENED_CHARACTERS and gap.count("\n") <= 1:  # not over a blank line
            begin = before
    return min(begin, start), finish


def make_quote(document: Document, root: Path, span: Span) -> Quote:
    """Slice a span out of its document; `state` says how the file on disk stands to the one indexed."""
    return Quote(
        text=document.text[span.start : span.end],
        source=document.source,
        start=span.start,
        end=span.end,
        line_start=line_of(document, span.start),
        line_end=line_of(document, span.end - 1),
        place=(place := place_of(document, span.start)),
        page=page_number(place),
        header=header_of(document, span.start),
        highlights=span.answers,
        score=span.probability,
        sha256=document.sha256,
        title=document.title,
        state=file_state(root, document),
    )


def place_of(document: Document, offset: int) -> str:
    """The page, slide, sheet or row that holds this character, by name; "" for a format that has none."""
    at = bisect.bisect_right(document.places, offset, key=lambda place: place[0])
    return document.places[at - 1][1] if at else ""


def header_of(document: Document, offset: int) -> str:
    """The header of the table in one of whose rows this character stands, as the document has it; "" elsewhere."""
    where = header_span(document.text, document.kind, offset)
    return document.text[slice(*where)] if where else ""


def page_number(place: str) -> int | None:
    """ "page 3" and "slide 3" → 3; None for other places."""
    match = PAGE.match(place)
    return int(match[1]) if match else None


def line_of(document: Document, offset: int) -> int:
    """Line of a character, from 1; lines end at LF, CRLF or a lone CR."""
    text = document.text  # counted each time: tables of lines, and the texts they are of, would stay in memory
    return 1 + text.count("\n", 0, offset) + text.count("\r", 0, offset) - text.count("\r\n", 0, offset + 1)


def file_state(root: Path, document: Document) -> FileState:
    """ "current", "changed" or "missing": the bytes on disk now against those indexed."""
    path = root / document.source
    try:
        info = path.stat()
    except OSError:
        return "missing"
    if not stat.S_ISREG(info.st_mode):  # reading a pipe would wait for ever
        return "missing"
    return "current" if _hash(path, info.st_size, info.st_mtime_ns) == document.sha256 else "changed"


@lru_cache(maxsize=1024)
def _hash(path: Path, size: int, mtime_ns: int) -> str:
    """Hash of a file's bytes, once for each state of the file; "" when it can't be read."""
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def verify_answer(answer: Answer, sources: Path) -> list[str]:
    """Check every quote of an answer against the files, without a model or an index; returns what no longer holds.

    A quote holds when its file has the bytes that were quoted and `text`, lines, place, header and highlights are what the file
    says there.
    """
    if not sources.is_dir():
        raise InputError(f"sources folder '{sources}' does not exist; name the folder that was indexed: --sources FOLDER")
    documents: dict[str, Document | str] = {}
    problems = []
    for quote in (*answer.quotes, *answer.nearest):
        if quote.source not in documents:
            documents[quote.source] = _read(sources, quote.source)
        if reason := _problem(quote, documents[quote.source]):
            problems.append(f"{quote.source}, characters {quote.start}–{quote.end}: {reason}")
    if answer.answered and not answer.quotes:
        problems.append("the answer carries no quote")
    if not answer.answered and (answer.quotes or answer.short is not None):
        problems.append("a refusal carries an answer")
    if answer.short is not None and answer.short not in {part for quote in answer.quotes for part in highlighted(quote)}:
        problems.append(f"the short answer {answer.short[:60]!r} is no highlighted part of a quote")
    for sentence in answer.sentences:
        if reason := _uncarried(sentence, answer.quotes):
            problems.append(f"the sentence {sentence.text[:60]!r}: {reason}")
    if answer.answered and not problems and answer.text != answer_text(answer):
        problems.append("the text of the answer is not what its quotes say")
    return problems


def _uncarried(sentence: Sentence, quotes: Sequence[Quote]) -> str:
    """Why a written sentence does not stand on its quotes, as far as that shows without a model: its numbers; "" when it does."""
    from rag.claims import strange_number  # only answers in prose need it

    if any(number >= len(quotes) for number in sentence.quotes):
        return "it names a quote that the answer does not carry"
    number = strange_number(sentence.text, "\n".join(quotes[i].text for i in sentence.quotes))
    return f"the number {number} is not in its quote" if number else ""


def _read(sources: Path, source: str) -> Document | str:
    path = sources / source
    try:
        if not path.resolve().is_relative_to(sources.resolve()):
            return "the path leaves the sources folder"
        info = path.stat()
        return read_document(sources, Listed(source, info.st_size, info.st_mtime_ns), info.st_size)
    except (ValueError, RuntimeError):  # a NUL in it; a loop of links
        return "the path is no file's"
    except FileNotFoundError:
        return "the file is missing"
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"
    except Unreadable as error:
        return f"the file cannot be read: {error}"


def _problem(quote: Quote, document: Document | str) -> str | None:
    if isinstance(document, str):
        return document
    stands = document.text[quote.start : quote.end] == quote.text
    if document.sha256 != quote.sha256:
        return "the file has changed since" + (" (these words still stand there)" if stands else "")
    if not stands or not quote.text:
        return "the words of the quote do not stand there"
    if (quote.line_start, quote.line_end) != (line_of(document, quote.start), line_of(document, quote.end - 1)):
        return f"the lines are {line_of(document, quote.start)}–{line_of(document, quote.end - 1)}"
    if (quote.place, quote.page) != ((place := place_of(document, quote.start)), page_number(place)):
        return f"the place (page, slide, sheet) is {place or 'none'!r}"
    if quote.header != (header := header_of(document, quote.start)):
        return f"the header of the table is {header[:60] or 'none'!r}"
    if any(not quote.start <= start < end <= quote.end for start, end in quote.highlights):
        return "a highlight lies outside the quote"
    return None


def highlighted(quote: Quote) -> list[str]:
    """The texts of a quote's highlights."""
    return [quote.text[start - quote.start : end - quote.start] for start, end in quote.highlights]

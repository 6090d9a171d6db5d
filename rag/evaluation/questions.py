"""Questions with known answers: read from a file, and held against an index.

A quote (or passage) is *right* when it is from a file named, holds one of the answers, and where the right passage is known
shares at least half of it.
"""

import fnmatch
import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.errors import InputError
from rag.evaluation.metrics import exact, f1

if TYPE_CHECKING:
    from rag.catalog import Catalog

EXAMPLE = '{"q": "Who is the CEO?", "answer": ["Matt Garman"], "files": ["report.pdf"]}'
KEYS = ("q", "answer", "files", "quote")


@dataclass(frozen=True, slots=True)
class Question:
    """One line: what is asked and what would be right. Without answers and passages, the files don't say."""

    line: int
    text: str
    answers: tuple[str, ...] = ()  # texts or regular expressions
    files: tuple[str, ...] = ()  # names, patterns or prefixes; empty: any file
    passages: tuple[str, ...] = ()  # the words of the right passage, where one is known
    rated: bool = False  # from the chat: the files may have changed since

    @property
    def answerable(self) -> bool:
        """Whether the files answer it."""
        return bool(self.answers or self.passages)


@dataclass(frozen=True, slots=True)
class Rated:
    """An answer that a reader of the chat marked as bad."""

    line: int
    question: str
    said: str
    source: str  # of its first quote; "" for a refusal


# --- the questions ----------------------------------------------------------------------------------------------------


def read_questions(file: Path) -> tuple[list[Question], list[Rated]]:
    """The questions of a file, and what the chat's readers found bad.

    A line is a question, or a rated answer of the chat's feedback file: a good one becomes a question whose right passage is
    known, of several for one question the last counts. Raises InputError naming the line and the remedy.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise InputError(f"questions '{file}' cannot be read: {error.strerror}; name a file with one question a line") from error
    except UnicodeDecodeError as error:
        raise InputError(f"questions '{file}' are not UTF-8 (byte {error.start}); save the file as UTF-8") from error
    asked: dict[str, Question] = {}
    rated: dict[str, Question | Rated] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"line {number} of '{file}'"
        record = _record(line, where)
        if "good" in record:
            one = _feedback(record, number, where)
            rated[one.text if isinstance(one, Question) else one.question] = one
            continue
        question = _question(record, number, where)
        if question.text in asked:
            raise InputError(f"{where} asks the same as line {asked[question.text].line}; remove one of them")
        asked[question.text] = question
    good = [one for one in rated.values() if isinstance(one, Question) and one.text not in asked]
    bad = [one for one in rated.values() if isinstance(one, Rated)]
    if not asked and not rated:
        raise InputError(f"'{file}' holds no question; write one a line, such as {EXAMPLE}")
    return [*asked.values(), *good], bad


def _record(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{where} is not JSON ({error}); write one object a line, such as {EXAMPLE}") from error
    if not isinstance(record, dict):
        raise InputError(f"{where} is no JSON object; write one a line, such as {EXAMPLE}")
    return record


def _question(record: dict[str, Any], number: int, where: str) -> Question:
    if unknown := [key for key in record if key not in KEYS]:
        raise InputError(f"{where} has the unknown key {unknown[0]!r}; known are {', '.join(KEYS)}")
    answers, files = _texts(record, "answer", where), _texts(record, "files", where)
    passages = _texts(record, "quote", where)
    if "answer" not in record and not passages:
        raise InputError(f"{where} has no 'answer'; list the answers, or write [] when the files don't say")
    if files and not answers and not passages:
        raise InputError(f"{where} names files but no answer; list the answers, or leave files empty when the files don't say")
    for answer in answers:
        if (expression := _expression(answer)) and expression.search(""):
            raise InputError(f"{where} has the answer {answer!r}, which matches everything; write what the right quote must hold")
    return Question(number, _asked(record, "q", where), answers, files, passages)


def _feedback(record: dict[str, Any], number: int, where: str) -> Question | Rated:
    """A line of the chat's feedback file. A good refusal becomes a question that the files don't answer."""
    text = _asked(record, "understood" if record.get("understood") else "question", where)
    short, quotes = record.get("short"), record.get("quotes", [])
    whole = isinstance(record["good"], bool) and isinstance(short, str | None) and isinstance(quotes, list)
    if not whole or not all(
        isinstance(quote, dict) and all(isinstance(quote.get(key), str) and quote[key] for key in ("source", "text"))
        for quote in quotes
    ):
        raise InputError(f"{where} is no rated answer as the chat writes it to feedback.jsonl; remove the line")
    if not record["good"]:
        said = short or (quotes[0]["text"] if quotes else "")
        return Rated(number, text, said, quotes[0]["source"] if quotes else "")
    return Question(
        number,
        text,
        answers=(short,) if short else (),
        files=tuple(dict.fromkeys(quote["source"] for quote in quotes)),
        passages=tuple(dict.fromkeys(quote["text"] for quote in quotes)),
        rated=True,
    )


def _asked(record: dict[str, Any], key: str, where: str) -> str:
    from rag.assistant import check_question

    text = record.get(key)
    if not isinstance(text, str):
        raise InputError(f"{where} has no question: {key!r} must be a text, such as {EXAMPLE}")
    try:
        return check_question(text)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _texts(record: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    """A text or a list of texts."""
    value = record.get(key, [])
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(one, str) and one.strip() for one in values):
        raise InputError(f"{where}: {key!r} is {json.dumps(value)[:60]}; it must be a text or a list of texts")
    return tuple(values)


# --- what is right ----------------------------------------------------------------------------------------------------


def _spaced(text: str) -> str:
    """A regular expression for these words, whatever white space stands between them."""
    return r"\s+".join(map(re.escape, text.split()))


def _expression(answer: str) -> re.Pattern[str] | None:
    """An answer as a regular expression; None when it is none, such as "C++ (2023"."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "[[1] shows": what a later Python may take for a set of sets
            return re.compile(answer, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError):
        return None


def _patterns(answer: str) -> list[re.Pattern[str]]:
    """What finds an answer in a text: as it stands and, if it is one, as a regular expression. Case doesn't matter."""
    expression = _expression(answer)
    as_text = re.compile(_spaced(answer), re.IGNORECASE)
    return [as_text] if expression is None or expression.search("") else [as_text, expression]


def _find(patterns: Sequence[re.Pattern[str]], text: str) -> str | None:
    """The first words that match, also where a line ends in the middle of them."""
    for version in (text, " ".join(text.split())):
        for pattern in patterns:
            if match := pattern.search(version):
                return match.group()
    return None


def agreement_with(answer: str, said: str) -> tuple[float, float]:
    """Exact match and F1 of what was said with one answer: with its words, or with those that it matches as an expression."""
    matched = _find(_patterns(answer), said)
    golds = [answer] if matched is None else [answer, matched]
    return max(exact(said, gold) for gold in golds), max(f1(said, gold) for gold in golds)


@dataclass(frozen=True)
class Key:
    """What is right for one question in this index."""

    question: Question
    sources: frozenset[str] | None  # None: any
    places: tuple[tuple[str, int, int], ...]  # of the known passages

    @cached_property
    def patterns(self) -> list[re.Pattern[str]]:
        return [pattern for answer in self.question.answers for pattern in _patterns(answer)]

    def right(self, source: str, start: int, end: int, text: str) -> bool:
        """Whether a passage answers the question."""
        if not self.question.answerable or (self.sources is not None and source not in self.sources):
            return False
        if self.places and not any(name == source and _shared(start, end, at, to) for name, at, to in self.places):
            return False
        return not self.patterns or _find(self.patterns, text) is not None


def _shared(start: int, end: int, other_start: int, other_end: int) -> bool:
    """Whether two stretches share at least half of the shorter one."""
    common = min(end, other_end) - max(start, other_start)
    return common > 0 and 2 * common >= min(end - start, other_end - other_start)


def keys_of(catalog: "Catalog", questions: Sequence[Question], file: str) -> tuple[list[Key], list[str]]:
    """What is right for each question, and notes on what can't be asked or can't come out right.

    A rated answer whose passage has gone from the files is left out, and noted. Raises InputError when a question names a file
    that isn't indexed or a passage that stands in none of its files.
    """
    texts = _Texts(catalog)
    keys: list[Key] = []
    notes: list[str] = []
    for question in questions:
        where = f"line {question.line}"
        try:
            sources, places = texts.sources(question.files), texts.places(question)
        except InputError as error:
            if not question.rated:
                raise InputError(f"{where} of '{file}' {error}") from error
            notes.append(f"{where} is left out: it {error}")
            continue
        key = Key(question, frozenset(sources) if sources else None, tuple(places))
        if key.patterns and sources and all(_find(key.patterns, texts.text(name)) is None for name in sources):
            notes.append(f"{where}: no answer given stands in the files named, so no quote can hold it: {question.text}")
        keys.append(key)
    return keys, notes


class _Texts:
    """The texts of the indexed files, each read once."""

    def __init__(self, catalog: "Catalog") -> None:
        self._catalog = catalog
        self._names = sorted(catalog.files())
        self._read: dict[str, str] = {}

    def text(self, name: str) -> str:
        if name not in self._read:
            document = self._catalog.document(name)
            self._read[name] = document.text if document else ""
        return self._read[name]

    def sources(self, wanted: Sequence[str]) -> list[str]:
        """The indexed files of these names, patterns or prefixes."""
        sources: set[str] = set()
        for name in wanted:
            alike = [one for one in self._names if one.startswith(name) or fnmatch.fnmatchcase(one, name)]
            if not alike:
                some = ", ".join(self._names[:5]) + (", …" if len(self._names) > 5 else "")
                raise InputError(f"names the file '{name}', which is not indexed; indexed are: {some or 'none'}")
            sources.update([name] if name in alike else alike)
        return sorted(sources)

    def places(self, question: Question) -> list[tuple[str, int, int]]:
        """Where the known passages stand: (file, start, end)."""
        among = self.sources(question.files) or self._names
        places: list[tuple[str, int, int]] = []
        for passage in question.passages:
            words = re.compile(_spaced(passage))
            stands = [(name, *match.span()) for name in among for match in words.finditer(self.text(name))]
            if not stands:
                raise InputError(
                    f"has the passage {passage[:60]!r}, which stands in none of its files; copy it from the file again"
                )
            places += stands
        return places

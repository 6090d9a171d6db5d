"""A conversation: kept, exported to Markdown, checked again later; and what its reader thought of an answer."""

import json
import os
import re
from datetime import datetime
from pathlib import Path

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, field_validator

from rag.errors import InputError
from rag.quotes import verify_answer
from rag.render import CONTROL, REFUSAL, agreement_text, one_line, warning
from rag.types import Answer, Quote

FEEDBACK = "feedback.jsonl"

SPECIAL = re.compile(r"[\\`*_{}\[\]<>#+|!~&$^=%]")  # what Markdown in any of its dialects may act on inside a line
SELF_LINKING = re.compile(r"://|@|\bwww\.|\b(?:mailto|xmpp|ftp|https?|javascript|data):", re.IGNORECASE)
ALREADY = re.compile(r"`+")


class Conversation(BaseModel):
    """Questions with their answers, oldest first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    title: str
    created: str  # ISO 8601
    turns: tuple[Answer, ...] = ()

    @field_validator("created")
    @classmethod
    def _is_a_time(cls, created: str) -> str:
        datetime.fromisoformat(created)
        return created


def to_markdown(conversation: Conversation) -> str:
    """The conversation for people: questions as headings, every quote a footnote with its words, file, lines and place.

    Nothing in a question or document becomes Markdown, HTML or a link, in any common renderer: words stand escaped, or as
    code where a renderer would make a link of them by itself; quotes are code blocks, and verbatim but for control characters.
    """
    parts = [f"# {_words(conversation.title) or 'Conversation'}", f"Asked {conversation.created} with Folio."]
    notes: list[str] = []
    for turn in conversation.turns:
        marks = "".join(f"[^{len(notes) + i}]" for i in range(1, len(turn.quotes) + 1))
        notes += [_footnote(len(notes) + i, quote) for i, quote in enumerate(turn.quotes, 1)]
        parts.append(f"## {_words(turn.question)}")
        if turn.understood:
            parts.append(f"Understood as: {_words(turn.understood)}")
        if turn.files is not None:
            parts.append(f"Asked in: {', '.join(_words(file) for file in turn.files)}")
        if not turn.answered:
            parts.append(REFUSAL)
            continue
        if turn.sentences:
            first = len(notes) - len(turn.quotes) + 1
            cited = (_words(one.text) + "".join(f"[^{first + i}]" for i in one.quotes) for one in turn.sentences)
            parts.append(f"Answer, written by {_words(turn.reader)}: {' '.join(cited)}")
        else:
            parts.append(f"Answer: **{_words(turn.short)}**{marks}" if turn.short else f"The files say: {marks}")
        if said := agreement_text(turn):
            parts.append(_words(said))
    return "\n\n".join([*parts, *notes]) + "\n"


def _words(text: str) -> str:
    """Words for the middle of a line, which no renderer takes for anything else."""
    line = one_line(text)
    return _code(line) if SELF_LINKING.search(line) else SPECIAL.sub(r"\\\g<0>", line)


def _code(line: str) -> str:
    fence = "`" * (1 + max((len(ticks) for ticks in ALREADY.findall(line)), default=0))
    return f"{fence} {line} {fence}" if line.startswith("`") or line.endswith("`") else f"{fence}{line}{fence}"


def _footnote(number: int, quote: Quote) -> str:
    """One footnote. It opens with a word of ours: a renderer without footnotes would take a bare name for a link's address."""
    lines = f"Line {quote.line_start}" if quote.line_start == quote.line_end else f"Lines {quote.line_start}–{quote.line_end}"
    place = f" ({_words(quote.place)})" if quote.place else ""
    flag = f" — {warning(quote)}" if quote.state != "current" else ""
    text = CONTROL.sub("\ufffd", quote.text.replace("\r\n", "\n").replace("\r", "\n"))
    fence = "`" * max(3, 1 + max((len(ticks) for ticks in ALREADY.findall(text)), default=0))
    block = "\n".join(f"    {line}" for line in text.split("\n"))
    return f"[^{number}]: {lines} of {_code(one_line(quote.source))}{place}{flag}\n\n    {fence}text\n{block}\n    {fence}"


def verify_conversation(conversation: Conversation, sources: Path) -> list[str]:
    """Check every quote of every turn against the files; returns what no longer holds, each with the number of its turn.

    Raises InputError when `sources` is no folder.
    """
    return [
        f"turn {number}: {problem}" for number, turn in enumerate(conversation.turns, 1) for problem in verify_answer(turn, sources)
    ]


def record_feedback(folder: Path, answer: Answer, good: bool) -> None:
    """Append what was thought of an answer to feedback.jsonl in `folder`, as one line of JSON.

    Processes may do so at once: each line is one write under a lock. Raises InputError when it cannot be written.
    """
    record = {
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "question": answer.question,
        "understood": answer.understood,
        "good": good,
        "answered": answer.answered,
        "short": answer.short,
        "confidence": answer.confidence,
        "quotes": [_placed(quote) for quote in answer.quotes],
    }
    line = json.dumps(record).encode("ascii") + b"\n"
    path = folder / FEEDBACK
    try:
        with FileLock(folder / f".{FEEDBACK}.lock"):
            file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                size = os.fstat(file).st_size
                os.lseek(file, max(0, size - 1), os.SEEK_SET)
                whole = not size or os.read(file, 1) == b"\n"  # a writer that was killed left half a line
                os.write(file, line if whole else b"\n" + line)
            finally:
                os.close(file)
    except OSError as error:
        raise InputError(f"feedback cannot be written to '{path}': {error.strerror}; give write access to the folder") from error


def _placed(quote: Quote) -> dict[str, str | int]:
    return {"source": quote.source, "start": quote.start, "end": quote.end, "text": quote.text}

"""An Answer as a person reads it: plain text, terminal, HTML. Documents are data here: nothing in them becomes markup.

Stored quotes stay verbatim; only what is shown is cleaned: text that was once decoded with the wrong code page is repaired,
and control characters (terminal escapes, bidirectional overrides) are made visible instead of obeyed.
"""

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import PurePosixPath

from rag.types import Answer, Quote, Sentence, Stage

REFUSAL = "The files don't say."

# C0 and C1 controls except tab and line feed, the bidirectional controls (they reorder what stands after them), and halves of
# surrogate pairs (they can't be sent).
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")

INDENTED = re.compile(r"\n[ \t]+\S|\t| {3}")  # text whose spaces mean something, such as code and tables


# --- repair -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _thai_bytes() -> dict[str, int]:
    """Character → the byte it came from, when UTF-8 was read as Windows-874 (undefined bytes as Windows-1252, else Latin-1)."""
    table: dict[str, int] = {}
    for byte in range(0x80, 0x100):
        for codec in ("cp874", "cp1252", "latin-1"):
            try:
                table.setdefault(bytes([byte]).decode(codec), byte)
                break
            except UnicodeDecodeError:
                continue
        table.setdefault(chr(byte), byte)
    return table


THAI_WORD = re.compile(r"[\u0e01-\u0e5b]{3,}")
LOST_8F = range(0x23E9, 0x23FB)  # ⏩ to ⏺: the emoji among the symbols whose second byte gets lost


def repair(text: str) -> str:
    """Undo UTF-8 that was decoded with a wrong code page: "โ€ข" → "•", "๐Ÿ’ก" → "💡", "â€™" → "’".

    Thai is left alone: what no Thai word can hold is repaired anywhere, the rest only in a text that holds no Thai word.
    Western code pages are ftfy's (it is maintained and knows what not to touch); Windows-874 it doesn't know.
    """
    if text.isascii():
        return text
    mended = _mend(text, sure=True)
    if not THAI_WORD.search(mended):
        mended = _mend(mended, sure=False)
    if any(mark in mended for mark in "ÃÂâðÐÑåæçèï"):
        from ftfy import fix_encoding

        mended = fix_encoding(mended)
    return mended


def _mend(text: str, *, sure: bool) -> str:
    """Decode again what reads as UTF-8 in Windows-874. `sure`: only "๐Ÿ…" and "โ" before a foreign character, because no
    Thai word has Ÿ, or this vowel without a consonant after it; else also "ร—" (×), which may be the end of a word and a dash.
    """
    table = _thai_bytes()
    shown: list[str] = []
    i = 0
    while i < len(text):
        lead = table.get(text[i], 0) if "\u0e00" <= text[i] <= "\u0e7f" else 0
        length = 4 if 0xF0 <= lead <= 0xF4 else 3 if 0xE0 <= lead <= 0xEF else 2 if 0xC2 <= lead <= 0xDF else 0
        if sure and not (text.startswith("๐Ÿ", i) or (lead == 0xE2 and not "\u0e00" <= text[i + 1 : i + 2] <= "\u0e7f")):
            length = 0
        if length:
            part = text[i : i + length]
            foreign = any(not "\u0e00" <= char <= "\u0e7f" for char in part[1:])
            char = _decoded(part, table) if foreign else ""
            if not char:
                char, length = _with_lost_byte(text[i : i + length], text[i + length - 1 :], table)
            if char:
                shown.append(char)
                i += length
                continue
        shown.append(text[i])
        i += 1
    return "".join(shown)


def _decoded(part: str, table: dict[str, int]) -> str:
    try:
        return bytes(table[char] for char in part).decode("utf-8")
    except (KeyError, UnicodeDecodeError):
        return ""


def _with_lost_byte(part: str, rest: str, table: dict[str, int]) -> tuple[str, int]:
    """A symbol one byte short, and how many characters stand for it. Byte 8F is in neither code page, A0 is a space that
    editors trim: so "๐Ÿง" was 🧠 (F0 9F A7 A0), "โณ" was ⏳ (E2 8F B3), "๏ธ" was U+FE0F (EF B8 8F).
    """
    known = [table[char] for char in part[:3] if char in table]
    if len(known) >= 3 and known[:2] == [0xF0, 0x9F]:
        guess, length = bytes([*known[:3], 0xA0]), 3
    elif len(known) >= 2 and known[0] in (0xE2, 0xEF) and not "\u0e00" <= rest[:1] <= "\u0e7f":
        guess, length = bytes([0xE2, 0x8F, known[1]] if known[0] == 0xE2 else [0xEF, known[1], 0x8F]), 2
    else:
        return "", 0
    try:
        char = guess.decode("utf-8")
    except UnicodeDecodeError:
        return "", 0
    likely = unicodedata.category(char) == "So" if length == 3 else ord(char) in LOST_8F or char == "\ufe0f"
    return (char, length) if likely else ("", 0)


def visible(text: str) -> str:
    """What is safe to show anywhere: repaired, with every control character as a visible mark."""
    return CONTROL.sub(_mark, repair(text.replace("\r\n", "\n").replace("\r", "\n")))


def _mark(match: re.Match[str]) -> str:
    char = match.group()
    if char == "\ufeff":
        return ""
    return chr(0x2400 + ord(char)) if ord(char) < 0x20 else "\u2421" if char == "\x7f" else "\ufffd"


def one_line(text: str) -> str:
    """`visible` text with every run of white space as one space."""
    return " ".join(visible(text).split())


# --- plain text -------------------------------------------------------------------------------------------------------


def citation(quote: Quote) -> str:
    """ "notes/plan.txt, line 4" """
    return f"{visible(quote.source)}, {where(quote)}"


def where(quote: Quote) -> str:
    """ "page 3, lines 4–5" """
    lines = f"line {quote.line_start}" if quote.line_start == quote.line_end else f"lines {quote.line_start}–{quote.line_end}"
    return f"{one_line(quote.place)}, {lines}" if quote.place else lines


def warning(quote: Quote) -> str:
    """What to tell of a quote whose file is not as it was quoted; "" when it is."""
    return {
        "current": "",
        "changed": "the file has changed since it was indexed; rebuild the index",
        "missing": "the file is no longer there; rebuild the index",
        "renewed": "the file was indexed anew since it was quoted; ask again",
        "removed": "the file is no longer indexed; this is the quote as it was",
    }[quote.state]


def answer_text(answer: Answer) -> str:
    """The answer in plain text: the short answer, then each quote with its place."""
    if not answer.answered:
        return REFUSAL
    if answer.sentences:
        parts = [" ".join(map(sentence_text, answer.sentences))]
    else:
        parts = [one_line(answer.short)] if answer.short else []
    if said := agreement_text(answer):
        parts.append(said)
    for number, quote in enumerate(answer.quotes, 1):
        flag = f" ({warning(quote)})" if quote.state != "current" else ""
        mark = f"[{number}] " if answer.sentences else ""
        parts.append(f"{mark}“{one_line(quote.text)}”\n— {citation(quote)}{flag}")
    return "\n\n".join(parts)


def sentence_text(sentence: Sentence) -> str:
    """ "Amazon invested $8 billion. [1][3]": a written sentence with the numbers of the quotes that carry it."""
    return f"{one_line(sentence.text)} {''.join(f'[{quote + 1}]' for quote in sentence.quotes)}"


def agreement_text(answer: Answer) -> str:
    """ "2 files agree." or "The files differ: $8 billion (a.txt) · $4 billion (b.txt)"; "" when one file answers."""
    if answer.agreement is None:
        return ""
    sides = answer.agreement.sides
    if answer.agreement.agree:
        return f"{len(sides[0].files)} files agree."
    return "The files differ: " + " · ".join(f"{one_line(side.answer)} ({one_line(', '.join(side.files))})" for side in sides)


def pieces(quote: Quote) -> list[tuple[str, bool]]:
    """The quote's text in order as (text, is highlighted), ready to be shown; joined they are the whole quote."""
    marks = sorted((start - quote.start, end - quote.start) for start, end in quote.highlights)
    shown: list[tuple[str, bool]] = []
    at = 0
    for start, end in marks:
        start = max(start, at)
        if end <= start:
            continue
        shown += [(quote.text[at:start], False), (quote.text[start:end], True)]
        at = end
    shown.append((quote.text[at:], False))
    return [(visible(text), marked) for text, marked in shown if text]


# --- HTML -------------------------------------------------------------------------------------------------------------


def escape(text: str) -> str:
    """Text for any place in HTML: repaired, controls made visible, every special character escaped."""
    return html.escape(visible(text), quote=True)


def sentence(text: str) -> str:
    """A message as a sentence: with a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '?', '!')) else '.'}"


def notice_html(text: str) -> str:
    """A sentence of the program itself in place of an answer, such as a failure with its remedy."""
    return f'<p class="notice problem">{escape(sentence(text))}</p>'


def welcome_html(folder: str, files: int, suggestions: Iterable[str]) -> str:
    """The page before the first question: name, one line, questions that the files answer."""
    named = f"<strong>{escape(folder)}</strong>"
    if files:
        count = f"the {files:,} documents" if files > 1 else "the one document"
        line = f"Ask {count} in {named}. Every answer is quoted from them, and every quote is checked."
    else:
        line = f"No document in {named} is indexed yet."
    examples = "".join(
        f'<li><button type="button" class="example" data-do="example">{escape(one_line(question))}</button></li>'
        for question in suggestions
    )
    listed = f'<ul class="examples" aria-label="Suggested questions">{examples}</ul>' if examples else ""
    add = "" if files else '<button type="button" class="main" data-do="documents">Add documents</button>'
    return f'<div class="welcome"><h1>Folio</h1><p>{line}</p>{listed}{add}</div>'


def stages_text(stages: Sequence[Stage]) -> str:
    """ "34 passages searched · 16 read · 3 quoted": how far answering has come."""
    counts = {stage.name: stage.passages for stage in stages}  # of a stage told of twice the later count
    return " · ".join(f"{count:,} {'passages ' if i == 0 else ''}{name}" for i, (name, count) in enumerate(counts.items()))


def answer_html(answer: Answer, stages: Sequence[Stage] = ()) -> str:
    """The answer for the chat: escaped throughout; the only markup is ours. Buttons name what they do in `data-do`."""
    body = _answered_html(answer) if answer.answered else _refusal_html(answer)
    facts = [f"{answer.confidence:.0%} sure"] if answer.answered else []
    if written := writer_text(answer):
        facts.append(written)
    if answer.files is not None:
        facts.append(f"asked in {', '.join(answer.files)}")
    if stages:
        facts.append(stages_text(stages))
    if "total" in answer.timings:
        facts.append(f"{answer.timings['total'] * 1000:.0f} ms")
    footer = "".join(f"<span>{escape(fact)}</span>" for fact in facts)
    kind = "answer" if answer.answered else "answer refused"
    return (
        f'<article class="{kind}">{_understood_html(answer)}{body}<footer><p class="facts">{footer}</p>'
        '<div class="rate" role="group" aria-label="Was this answer right?">'
        '<button type="button" class="good" data-do="good" aria-label="Good answer" aria-pressed="false"></button>'
        '<button type="button" class="bad" data-do="bad" aria-label="Bad answer" aria-pressed="false"></button>'
        '<span class="thanks" role="status"></span></div></footer></article>'
    )


def draft_html(answer: Answer) -> str:
    """The sentences of an answer that is still being written; each has been checked."""
    return f'<p class="prose draft" dir="auto">{escape(" ".join(one_line(one.text) for one in answer.sentences))}</p>'


def writer_text(answer: Answer) -> str:
    """ "written by Qwen", or that it wrote nothing that could be shown; "" when no language model took part."""
    if answer.sentences:
        return f"written by {one_line(answer.reader)}"
    return one_line(answer.reader) if ", as " in answer.reader else ""


def _understood_html(answer: Answer) -> str:
    """How a question that leaned on the conversation was understood, with a button to correct it."""
    if not answer.understood:
        return ""
    return (
        f'<p class="understood">Understood as: <q dir="auto">{escape(one_line(answer.understood))}</q>'
        ' <button type="button" data-do="edit">Edit</button></p>'
    )


def _answered_html(answer: Answer) -> str:
    """The short answer in large type (unless it is the whole first quote), then the quotes that carry it."""
    short = " ".join((answer.short or "").split())
    said = short and short != " ".join(answer.quotes[0].text.split())
    files = answer.agreement.sides[0].files if answer.agreement else ()
    head = f'<p class="short" dir="auto">{escape(short)}{_cites_html(answer, files)}</p>' if said else ""
    if answer.sentences:
        cited = " ".join(f"{escape(one_line(one.text))}{_carried_html(answer, one)}" for one in answer.sentences)
        head = f'<p class="prose" dir="auto">{cited}</p>'
    quotes = "".join(_quote_html(quote, number, marked=True) for number, quote in enumerate(answer.quotes, 1))
    return f'{head}{_agreement_html(answer)}<div class="quotes">{quotes}</div>{_dropped_html(answer)}'


def _carried_html(answer: Answer, sentence: Sentence) -> str:
    return "".join(f" {_cite_html(answer.quotes[number], number + 1)}" for number in sentence.quotes)


def _dropped_html(answer: Answer) -> str:
    """What a language model wrote and is not shown, folded away, each with the reason."""
    if not writer_text(answer) or not answer.rejected:
        return ""
    reasons = "".join(f'<li dir="auto">{escape(one_line(reason))}</li>' for reason in answer.rejected)
    return f'<details class="dropped"><summary>{len(answer.rejected)} left out</summary><ul>{reasons}</ul></details>'


def _cites_html(answer: Answer, files: Sequence[str]) -> str:
    """Numbers of the quotes from these files (of the first quote without any), each opening its quote in its file."""
    numbers = [n for n, quote in enumerate(answer.quotes, 1) if quote.source in files] or [1]
    return "".join(f" {_cite_html(answer.quotes[number - 1], number)}" for number in numbers)


def _cite_html(quote: Quote, number: int) -> str:
    label = f"Quote {number}: show in {citation(quote)}"
    return (
        f'<button type="button" class="cite" data-do="source" data-quote="{number - 1}" aria-label="{escape(label)}" '
        f'title="{escape(citation(quote))}">{number}</button>'
    )


def _agreement_html(answer: Answer) -> str:
    """When several files answer: that they agree, or each side with its files."""
    if answer.agreement is None:
        return ""
    if answer.agreement.agree:
        return f'<p class="agreement">{escape(agreement_text(answer))}</p>'
    sides = "".join(
        f'<li><strong dir="auto">{html.escape(one_line(side.answer))}</strong>{_cites_html(answer, side.files)} <bdi class="files">'
        f"{html.escape(one_line(', '.join(side.files)))}</bdi></li>"
        for side in answer.agreement.sides
    )
    return f'<div class="agreement differ">The files differ:<ul>{sides}</ul></div>'


def _refusal_html(answer: Answer) -> str:
    """That the files don't say, with the nearest passages folded away and never marked."""
    head = f'<p class="short refusal">{escape(REFUSAL)}</p>'
    if not answer.nearest:
        return head
    passages = f"{len(answer.nearest)} nearest passages" if len(answer.nearest) > 1 else "Nearest passage"
    quotes = "".join(_quote_html(quote, number, marked=False) for number, quote in enumerate(answer.nearest, 1))
    return (
        f'{head}<details class="nearest"><summary>{passages} — not an answer</summary><div class="quotes">{quotes}</div></details>'
    )


def _quote_html(quote: Quote, number: int, *, marked: bool) -> str:
    """A quote with its place. `dir="auto"` and `<bdi>` keep a right-to-left text from reordering what stands around it."""
    text = "".join(
        f"<mark>{html.escape(part)}</mark>" if on and marked else html.escape(part) for part, on in pieces(quote)
    ).strip()
    titled = title_html(quote.title, quote.source)
    laid_out = " laid-out" if quote.header or INDENTED.search(quote.text) else ""
    flag = f'<p class="stale">{escape(sentence(warning(quote)))}</p>' if quote.state != "current" else ""
    return (
        f'<figure class="quote {quote.state}">{header_html(quote)}'
        f'<blockquote class="words{laid_out}" dir="auto">{text}</blockquote>{flag}'
        f'<figcaption>{_cite_html(quote, number)}<span class="place"><bdi class="source">{escape(quote.source)}</bdi> '
        f'<bdi class="line">{escape(where(quote))}</bdi></span>{titled}'
        f'<span class="actions"><button type="button" data-do="source" data-quote="{number - 1}">Show in file</button>'
        '<button type="button" class="copy" data-do="copy" aria-label="Copy quote and source">Copy</button></span>'
        "</figcaption></figure>"
    )


def title_html(title: str, source: str) -> str:
    """A document's title; "" where it is but the file's name."""
    if not one_line(title) or title in (PurePosixPath(source).name, PurePosixPath(source).stem):
        return ""
    return f'<bdi class="title">{escape(one_line(title))}</bdi>'


def header_html(quote: Quote) -> str:
    """The header row of the table that the quoted row stands in; "" for a quote that is no row."""
    return f'<p class="header-row" dir="auto">{escape(quote.header.strip())}</p>' if quote.header.strip() else ""

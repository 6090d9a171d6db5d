"""An Answer as a person reads it: plain text, terminal, HTML. Documents are data here: nothing in them becomes markup.

Stored quotes stay verbatim; only what is shown is cleaned: text that was once decoded with the wrong code page is repaired,
and control characters (terminal escapes, bidirectional overrides) are made visible instead of obeyed.
"""

import html
import re
import unicodedata
from functools import lru_cache

from rag.types import Answer, Quote

REFUSAL = "The files don't say."

# C0 and C1 controls except tab and line feed, and the bidirectional controls (they reorder what stands after them).
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


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


def repair(text: str) -> str:
    """Undo UTF-8 that was decoded with a wrong code page: "โ€ข" → "•", "๐Ÿ’ก" → "💡", "â€™" → "’".

    Thai is left alone: a sequence counts only where it holds a character that is not Thai, or stands alone. Western
    code pages are ftfy's (it is maintained and knows what not to touch); Windows-874 it doesn't know.
    """
    if text.isascii():
        return text
    table = _thai_bytes()
    shown: list[str] = []
    i = 0
    while i < len(text):
        lead = table.get(text[i], 0) if "\u0e00" <= text[i] <= "\u0e7f" else 0
        length = 4 if 0xF0 <= lead <= 0xF4 else 3 if 0xE0 <= lead <= 0xEF else 2 if 0xC2 <= lead <= 0xDF else 0
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
    mended = "".join(shown)
    if any(mark in mended for mark in "ÃÂâðÐÑåæçèï"):
        from ftfy import fix_encoding

        mended = fix_encoding(mended)
    return mended


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
    return (char, length) if unicodedata.category(char) == "So" or char == "\ufe0f" else ("", 0)


def visible(text: str) -> str:
    """What is safe to show anywhere: repaired, with every control character as a visible mark."""
    return CONTROL.sub(_mark, repair(text.replace("\r\n", "\n").replace("\r", "\n")))


def _mark(match: re.Match[str]) -> str:
    char = match.group()
    if char == "\ufeff":
        return ""
    return chr(0x2400 + ord(char)) if ord(char) < 0x20 else "\u2421" if char == "\x7f" else "\ufffd"


def one_line(text: str) -> str:
    return " ".join(visible(text).split())


# --- plain text -------------------------------------------------------------------------------------------------------


def citation(quote: Quote) -> str:
    """ "notes/plan.txt, line 4" """
    lines = f"line {quote.line_start}" if quote.line_start == quote.line_end else f"lines {quote.line_start}–{quote.line_end}"
    page = f"page {quote.page}, " if quote.page is not None else ""
    return f"{visible(quote.source)}, {page}{lines}"


def warning(quote: Quote) -> str:
    """What to tell of a quote whose file is not as it was indexed; "" when it is."""
    return {
        "current": "",
        "changed": "the file has changed since it was indexed; rebuild the index",
        "missing": "the file is no longer there; rebuild the index",
    }[quote.state]


def answer_text(answer: Answer) -> str:
    """The answer in plain text: the short answer, then each quote with its place."""
    if not answer.answered:
        return REFUSAL
    parts = [one_line(answer.short)] if answer.short else []
    for quote in answer.quotes:
        flag = f" ({warning(quote)})" if quote.state != "current" else ""
        parts.append(f"“{one_line(quote.text)}”\n— {citation(quote)}{flag}")
    return "\n\n".join(parts)


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
    return html.escape(visible(text), quote=True)


def answer_html(answer: Answer) -> str:
    """The answer for the chat: escaped throughout; the only markup is ours."""
    if not answer.answered:
        body = f'<p class="short refusal">{escape(REFUSAL)}</p>'
        if answer.nearest:
            body += (
                f'<details class="nearest"><summary>Nearest passages — not an answer ({len(answer.nearest)})</summary>'
                f"{''.join(_quote_html(quote, number, False) for number, quote in enumerate(answer.nearest, 1))}</details>"
            )
    else:
        whole = len(answer.quotes[0].text) == len(answer.short or "")
        body = "" if whole or not answer.short else f'<p class="short">{escape(" ".join(answer.short.split()))}</p>'
        body += "".join(_quote_html(quote, number, True) for number, quote in enumerate(answer.quotes, 1))
    scope = f"<span>asked in {escape(', '.join(answer.files))}</span>" if answer.files is not None else ""
    seconds = answer.timings.get("total")
    took = f"<span>{seconds * 1000:.0f} ms</span>" if seconds is not None else ""
    sure = f"<span>{answer.confidence:.0%} sure</span>" if answer.answered else ""
    return f'<article class="answer">{body}<footer>{sure}{took}{scope}</footer></article>'


def _quote_html(quote: Quote, number: int, marked: bool) -> str:
    text = "".join(
        f"<mark>{html.escape(part)}</mark>" if on and marked else html.escape(part) for part, on in pieces(quote)
    ).strip()
    flag = f'<p class="stale">{escape(warning(quote).capitalize())}</p>' if quote.state != "current" else ""
    lines = str(quote.line_start) if quote.line_start == quote.line_end else f"{quote.line_start}–{quote.line_end}"
    page = f"page {quote.page} · " if quote.page is not None else ""
    title = f'<span class="title">{escape(quote.title)}</span>' if quote.title else ""
    return (
        f'<figure class="quote {quote.state}"><blockquote>{text}</blockquote>{flag}'
        f'<figcaption><span class="number">{number}</span><span class="where"><span class="source">{escape(quote.source)}</span>'
        f'<span class="line">{page}line{"s" if "–" in lines else ""} {lines}</span>{title}</span></figcaption></figure>'
    )

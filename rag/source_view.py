"""The sources as HTML: their list, and one of them opened at a quote. Text is escaped throughout; the only markup is ours.

Of an opened file only the lines near the quote are sent, so that a large one opens at once; `more_html` continues them.
Offsets count characters of the document's text; line numbers are counted from the quote's own, never from the top.
"""

import html
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from rag.quotes import FileState
from rag.render import escape, header_html, notice_html, one_line, sentence, title_html, visible, warning, where
from rag.types import BuildReport, Document, Quote, Skipped

if TYPE_CHECKING:
    from rag.library import Entry

LINES = 100  # sent before the quote, after it, and for each "earlier" or "later"
CHARACTERS = 20_000  # most of each: a file may be one long line

LINE_END = re.compile(r"\r\n|\n|\r")
ROW = re.compile(r"(?:, )?(?:row|record) \d+$")  # names each line of a table: no heading of its own


# --- one file, at a quote ---------------------------------------------------------------------------------------------


def source_html(quote: Quote, document: Document | None, state: FileState) -> str:
    """The file that a quote is from, as the index has it, opened at the quote; `state`: the file on disk against that.

    When the index has another text than was quoted, or none, it says so, and shows where the same words stand now, if they do.
    """
    stands = anchored(quote, document) if document is not None else None
    title = document.title if document is not None else quote.title
    flags = [message] if (message := _changed(quote, document, stands)) else []
    if document is not None and state != "current":
        flags.append(warning(quote.model_copy(update={"state": state})))
    flagged = "".join(f'<p class="stale">{escape(sentence(flag))}</p>' for flag in flags)
    head = (
        f'<header><h2><bdi class="source">{escape(quote.source)}</bdi></h2>{title_html(title, quote.source)}'
        f'<p class="where"><bdi>{escape(where(stands or quote))}</bdi></p>'
        f"{flagged}{header_html(quote)}</header>"
    )
    if document is None or stands is None:
        body = f'<blockquote class="words" dir="auto">{escape(quote.text)}</blockquote>'
        return f'{head}<div class="document" tabindex="0" role="region" aria-label="The quote">{body}</div>'
    start = _before(document.text, _line_start(document.text, stands.start))
    end = _after(document.text, stands.end)
    lines = f"{_earlier_html(start)}{_lines_html(document, stands, start, end)}{_later_html(document, end)}"
    label = escape(f"Text of {one_line(quote.source)}")
    return f'{head}<div class="document {document.kind}" tabindex="0" role="region" aria-label="{label}"><ol>{lines}</ol></div>'


def more_html(quote: Quote, document: Document | None, at: int, *, earlier: bool) -> str:
    """The lines that end at character `at`, or begin there, with the button for the next ones."""
    stands = anchored(quote, document) if document is not None else None
    if document is None or stands is None:
        return f"<li>{notice_html('the file has been indexed anew; open the quote again')}</li>"
    at = min(max(at, 0), len(document.text))
    if earlier:
        start = _before(document.text, at)
        return _earlier_html(start) + _lines_html(document, stands, start, at)
    end = _after(document.text, at)
    return _lines_html(document, stands, at, end) + _later_html(document, end)


def anchored(quote: Quote, document: Document) -> Quote | None:
    """The quote where its words stand in this document: as quoted, else where the text holds them now, else None."""
    text = document.text
    if document.sha256 == quote.sha256 and text[quote.start : quote.end] == quote.text:
        return quote
    start = text.find(quote.text) if quote.text else -1
    if start < 0:
        return None
    line = 1 + _line_ends(text, 0, start)
    moved = {
        "start": start,
        "end": start + len(quote.text),
        "highlights": tuple((a - quote.start + start, b - quote.start + start) for a, b in quote.highlights),
        "line_start": line,
        "line_end": line + _line_ends(quote.text, 0, len(quote.text)),
        "place": "",  # of the file as it was
    }
    return quote.model_copy(update=moved)


def _changed(quote: Quote, document: Document | None, stands: Quote | None) -> str:
    """What to tell when the index has another text than was quoted; "" when it has the same."""
    if document is None:
        return "this file is no longer indexed; this is the quote as it was"
    if stands is quote:
        return ""
    if stands is None:
        return "this file was indexed anew since it was quoted, and no longer says this; this is the quote as it was"
    return f"this file was indexed anew since it was quoted; the same words stand on line {stands.line_start} now"


def _lines_html(document: Document, quote: Quote, start: int, end: int) -> str:
    """The lines of [start, end), each with its number, and the name of each page or sheet where it begins."""
    text = document.text
    number = quote.line_start + (
        -_line_ends(text, start, quote.start) if start <= quote.start else _line_ends(text, quote.start, start)
    )
    sections = _sections(document, start, end)
    shown = []
    for first, last, following in _split(text, start, end):
        while sections and sections[0][0] < following:
            shown.append(f'<li class="section">{escape(one_line(sections.pop(0)[1]))}</li>')
        whole = first == 0 or text[first - 1] in "\r\n"
        rest = "" if whole else ' class="rest"'
        shown.append(f'<li value="{number}"{rest}><p dir="auto">{_marked(text, quote, first, last)}</p></li>')
        number += following > last
    return "".join(shown)


def _split(text: str, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(first character, end, start of the next) of each line in [start, end)."""
    for match in LINE_END.finditer(text, start, end):
        yield start, match.start(), match.end()
        start = match.end()
    if start < end:
        yield start, end, end


def _marked(text: str, quote: Quote, first: int, last: int) -> str:
    """Characters [first, last): what is quoted in `<mark>`, the answer in it in `<strong>`."""
    cuts = {first, last, *(min(max(cut, first), last) for pair in ((quote.start, quote.end), *quote.highlights) for cut in pair)}
    edges = sorted(cuts)
    shown = []
    for a, b in pairwise(edges):
        part = html.escape(visible(text[a:b]))
        if any(begin <= a and b <= finish for begin, finish in quote.highlights):
            part = f"<strong>{part}</strong>"
        shown.append(f"<mark>{part}</mark>" if quote.start <= a and b <= quote.end else part)
    return "".join(shown).replace("</mark><mark>", "")


def _sections(document: Document, start: int, end: int) -> list[tuple[int, str]]:
    """(offset, name) of each page, slide or sheet that begins in [start, end); rows are left out."""
    places = document.places
    first, last = (bisect_left(places, at, key=lambda place: place[0]) for at in (start, end))
    named = [ROW.sub("", name) for _, name in places[max(first - 1, 0) : last]]
    before = named.pop(0) if first > 0 else ""
    found = []
    for (offset, _), name in zip(places[first:last], named, strict=True):
        if name and name != before:
            found.append((offset, name))
        before = name
    return found


def _earlier_html(start: int) -> str:
    return (
        f'<li class="more"><button type="button" data-do="earlier" data-at="{start}">Earlier lines</button></li>' if start else ""
    )


def _later_html(document: Document, end: int) -> str:
    if end >= len(document.text):
        return ""
    return f'<li class="more"><button type="button" data-do="later" data-at="{end}">Later lines</button></li>'


def _line_ends(text: str, start: int, end: int) -> int:
    """Ends of lines between two characters; quick in a text of any length."""
    return text.count("\n", start, end) + text.count("\r", start, end) - text.count("\r\n", start, end)


def _line_start(text: str, at: int) -> int:
    """Start of the line that holds a character, or as far back as is sent."""
    least = max(0, at - CHARACTERS)
    return max(text.rfind("\n", least, at), text.rfind("\r", least, at), least - 1) + 1


def _before(text: str, end: int) -> int:
    """Where the `LINES` lines before a line's start begin."""
    least = max(0, end - CHARACTERS)
    starts = [match.end() for match in LINE_END.finditer(text, least, end) if match.end() < end]
    return starts[-LINES] if len(starts) >= LINES else least if not least or not starts else starts[0]


def _after(text: str, start: int) -> int:
    """Where the `LINES` lines from a character on end."""
    most = min(len(text), start + CHARACTERS)
    end = start
    for count, match in enumerate(LINE_END.finditer(text, start, most), 1):
        end = match.end() + (text[match.end() - 1 : match.end() + 1] == "\r\n")  # its two halves may lie around `most`
        if count == LINES:
            return end
    return most if most == len(text) or end == start else end


# --- the list of files ------------------------------------------------------------------------------------------------

STATES = {
    "indexed": "",
    "changed": "changed since it was indexed",
    "new": "not indexed yet",
    "missing": "no longer in the folder",
    "skipped": "skipped",
}


def documents_html(entries: Sequence["Entry"], chosen: Sequence[str]) -> str:
    """The files with state, size and passages. What is done with one is said by its number in this list, `data-entry`."""
    return "".join(_entry_html(number, entry, entry.source in chosen) for number, entry in enumerate(entries))


def _entry_html(number: int, entry: "Entry", chosen: bool) -> str:
    name, title = escape(one_line(entry.source)), title_html(entry.title, entry.source)
    passages = f"{entry.passages:,} passage{'' if entry.passages == 1 else 's'}"
    facts = [passages] if entry.passages else []
    if entry.state != "missing":
        facts.append(size_text(entry.size))
    state = ": ".join(filter(None, (STATES[entry.state], entry.reason)))
    told = f'<span class="state">{escape(state)}</span>' if state else ""
    can_be_asked = "" if entry.passages else " disabled"
    return (
        f'<li class="entry {entry.state}" data-entry="{number}"><label><input type="checkbox" name="file"'
        f'{" checked" if chosen else ""}{can_be_asked}> <bdi class="source">{name}</bdi></label>{title}'
        f'<span class="facts">{" · ".join(facts)}</span>{told}'
        f'<button type="button" class="remove" data-do="remove" aria-label="Remove {name}">Remove</button></li>'
    )


def size_text(size: int) -> str:
    """ "512 bytes", "4 KB", "1.2 MB" """
    if size < 1024:
        return f"{size} byte{'' if size == 1 else 's'}"
    return f"{size / 1024:.0f} KB" if size < 2**20 else f"{size / 2**20:.1f} MB"


def report_html(report: BuildReport, refused: Sequence[Skipped] = (), added: Sequence[str] = ()) -> str:
    """What a build did, in one sentence, and each file that was not taken, with the reason. `added`: names as stored."""
    counts = [(len(added) or len(report.added), "added"), (len(report.changed), "changed"), (len(report.removed), "removed")]
    done = ", ".join(f"{count:,} {what}" for count, what in counts if count) or "Nothing to do"
    passages = f"; {report.documents:,} documents with {report.chunks:,} passages can be asked"
    failed, partly = ([one for one in some if not added or one.source in added] for some in (report.skipped, report.partly))
    told = _reasons_html("Skipped", [*refused, *failed]) + _reasons_html("Indexed in part", partly)
    return f"<p>{escape(sentence(done + passages))}</p>{told}"


def _reasons_html(what: str, files: Sequence[Skipped]) -> str:
    listed = "".join(
        f'<li><bdi class="source">{escape(one_line(one.source))}</bdi>: {escape(one.reason)}</li>' for one in files[:LINES]
    )
    return f'<p>{what}:</p><ul class="skips">{listed}</ul>' if listed else ""

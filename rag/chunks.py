"""Document → chunks: sentence-aware, structure-aware, sized in the encoder's tokens.

Two steps. `split_units` cuts the text into quotable units: sentences, list items, table rows, and labels with their values (a
date line or a short heading over one line belongs to that line). `chunk_document` packs whole units into chunks. Every
character that is not white space is in exactly one unit and one chunk, and `document.text[c.start:c.end] == c.text`.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from sentencex import get_sentence_boundaries

from rag.formats.tables import LONGEST_HEADER, begins_bare, goes_on_bare, is_row, is_rule
from rag.types import Chunk, Document, Kind

# Sentence boundaries by sentencex (Wikimedia, Rust, maintained, offsets included). Compared on the five seeds: sentencex
# 3 ms, keeps a quotation of two sentences whole, cuts "1. Title" (mended below); pysbd 112 ms, no release since 2021;
# blingfire 9 ms, splits inside quotations, fails on lines it trims to nothing.

Tokenize = Callable[[Sequence[str]], list[list[tuple[int, int]]]]
"""Texts → for each, the (start, end) character offsets of its tokens, special tokens left out."""

LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r|$)")
ITEM = re.compile(r"^(?:[-*+•‣◦▪●·–—○➢✓]|โ€ข|\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,4})[.)])[ \t]+\S")
BARE_MARK = re.compile(r"^\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,4})[.)]$")
ATX = re.compile(r"^(#{1,6})[ \t]+(.*)$")
UNDERLINE = re.compile(r"^([=\-~^\"'*+#`:._])\1{2,}$")
KEY_VALUE = re.compile(r"^[A-Z][\w /&'’().-]{1,38}[:=][ \t]*\S")
MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
DATE_LINE = re.compile(
    rf"^\W{{0,3}}(?:\d{{4}}(?:[-/.]\d{{1,2}}){{0,2}}|\d{{1,2}}[-/. ]\d{{1,2}}[-/. ]\d{{2,4}}|(?:q[1-4]|h[12])[ -]?\d{{4}}"
    rf"|(?:\d{{1,2}}(?:st|nd|rd|th)?[ ])?{MONTH}(?:[ ]\d{{1,2}}(?:st|nd|rd|th)?,?)?(?:[ ]\d{{4}})?)\W{{0,3}}$",
    re.IGNORECASE,
)
FENCE = re.compile(r"^(```|~~~)")
ENDED = re.compile(r"[.!?…。！？:;][\"'”’»)\]*_]*$")
SMALL = frozenset("a an and as at but by for from in into is it nor of on or per so the to up via vs with".split())

LABELLED_CHARACTERS = 300  # a heading is quoted together with its section when that is one unit of at most this
LONGEST_TOKEN = 100  # characters; BERT knows no longer word
CODE_LINES = 6  # lines of source code in one unit
RECORD_CHARACTERS = 600  # a row that names its columns is one unit; a longer one (a text in a cell) is cut into cells and sentences
LONGEST_UNIT = 4000  # characters; a longer one is cut before it is tokenized, so that a line of any length takes little memory
LONGEST_PARAGRAPH = 100_000
TOKENIZED_AT_ONCE = 512  # units


@dataclass(frozen=True, slots=True)
class Unit:
    """A quotable stretch, `text[start:end]`, under the heading in force there; a table's row under the table's header, too."""

    start: int
    end: int
    heading: str = ""
    is_heading: bool = False
    header: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class _Line:
    start: int  # of the content, white space at both ends left out
    end: int
    text: str
    indent: int


def chunk_document(document: Document, tokenize: Tokenize, chunk_tokens: int) -> list[Chunk]:
    """Pack a document's units into chunks of at most `chunk_tokens` tokens.

    A new chunk begins at a heading once the current one is 40 % full; a heading never ends a chunk that it could begin. Where a
    table is cut, its header goes on in the later chunks' heading.
    """
    text = document.text
    sized = _sized(text, split_units(text, document.kind), tokenize, chunk_tokens)
    chunks: list[Chunk] = []
    current: list[Unit] = []
    filled = 0

    def close(units: list[Unit]) -> None:
        start, end = units[0].start, units[-1].end
        first = next((unit for unit in units if not unit.is_heading), units[-1])
        header = text[slice(*first.header)] if first.header and first.header[0] < start else ""
        if len(header) > LONGEST_HEADER:
            header = ""
        chunks.append(
            Chunk(
                source=document.source,
                ordinal=len(chunks),
                start=start,
                end=end,
                text=text[start:end],
                title=document.title,
                heading=" › ".join(part for part in (first.heading, header) if part),
                sentences=tuple((unit.start, unit.end) for unit in units),
            )
        )

    sizes: list[int] = []
    for unit, size in sized:
        if current and (filled + size > chunk_tokens or (unit.is_heading and filled >= 0.4 * chunk_tokens)):
            keep = len(current)
            while keep > 1 and current[keep - 1].is_heading:  # these open the next chunk
                keep -= 1
            if (keep == 1 and current[0].is_heading) or sum(sizes[keep:]) + size > chunk_tokens:
                keep = len(current)
            close(current[:keep])
            current, sizes = current[keep:], sizes[keep:]
        current.append(unit)
        sizes.append(size)
        filled = sum(sizes)
    if current:
        close(current)
    return chunks


def _sized(text: str, units: Sequence[Unit], tokenize: Tokenize, limit: int) -> Iterator[tuple[Unit, int]]:
    """Units with their size in tokens; one larger than `limit` is cut, at white space where there is any."""
    for i in range(0, len(units), TOKENIZED_AT_ONCE):
        some = units[i : i + TOKENIZED_AT_ONCE]
        for unit, found in zip(some, tokenize([text[unit.start : unit.end] for unit in some]), strict=True):
            tokens = _bounded(found)
            if len(tokens) <= limit:
                yield unit, max(1, len(tokens))
            else:
                yield from _cut(text, unit, tokens, limit)


def _cut(text: str, unit: Unit, tokens: Sequence[tuple[int, int]], limit: int) -> Iterator[tuple[Unit, int]]:
    piece = text[unit.start : unit.end]
    begin = taken = 0
    while begin < len(piece):
        last = min(taken + limit, len(tokens))
        cut = len(piece)
        if last < len(tokens):
            cut = tokens[last][0]
            space = max((i for i in range(cut - 1, tokens[(taken + last) // 2][0], -1) if piece[i].isspace()), default=0)
            cut = space + 1 if space else cut
        cut = max(cut, begin + 1)
        if part := _trimmed(text, unit.start + begin, unit.start + cut, unit):
            yield part, max(1, last - taken)
        begin = cut
        while taken < len(tokens) and tokens[taken][0] < begin:
            taken += 1


def _trimmed(text: str, start: int, end: int, unit: Unit) -> Unit | None:
    """The part of a unit from `start` to `end`, white space at its ends left out; None when nothing else is there."""
    part = text[start:end]
    if not part.strip():
        return None
    return replace(unit, start=start + len(part) - len(part.lstrip()), end=start + len(part.rstrip()))


def _bounded(tokens: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """An encoder may take a word of any length (a hash, Thai, which has no spaces) for one unknown token: counted in fours."""
    return [
        (i, min(i + 4, end)) if end - start > LONGEST_TOKEN else (start, end)
        for start, end in tokens
        for i in (range(start, end, 4) if end - start > LONGEST_TOKEN else (start,))
    ]


# --- units ------------------------------------------------------------------------------------------------------------


def split_units(text: str, kind: Kind = "text") -> list[Unit]:
    """Cut a text into its quotable units, in order, disjoint, covering all that is not white space."""
    return [part for unit in _units(text, kind) for part in _of_bounded_length(text, unit)]


def _units(text: str, kind: Kind) -> list[Unit]:
    lines = list(_lines(text))
    if kind == "code":
        return _code_units(lines)
    if kind == "table":
        return [unit for line in lines if line.text for unit in _record_units(text, line)]
    units: list[Unit] = []
    heading = ""
    header: tuple[int, int] | None = None  # of the table that the line before belongs to
    bare = False  # that is one whose rows only their place tells from text
    margin = 0  # where it begins on the line
    i = 0
    while i < len(lines):
        line = lines[i]
        if not line.text:
            header, bare = None, False
            i += 1
            continue
        following = lines[i + 1] if i + 1 < len(lines) else None
        if not bare:
            bare = begins_bare(line.text, following.text if following else "", kind)
            margin = line.indent
        elif not goes_on_bare(line.text, kind):
            bare = False
        if bare or is_rule(line.text) or is_row(line.text, kind):
            if bare and kind == "rst" and header and line.indent > margin:  # a cell's further line
                units[-1] = replace(units[-1], end=line.end)
            else:
                units.append(Unit(line.start, line.end, heading, header=header))
            if header is None and not is_rule(line.text):
                header = (line.start, line.end)
            i += 1
            continue
        header = None
        if FENCE.match(line.text):
            end = next((j for j in range(i + 1, len(lines)) if FENCE.match(lines[j].text)), len(lines) - 1)
            units.extend(Unit(u.start, u.end, heading) for u in _code_units(lines[i : end + 1]))
            i = end + 1
        elif (level := ATX.match(line.text)) and (kind in ("markdown", "html") or level.group(2).strip("# ")):
            heading = level.group(2).rstrip("#").rstrip() or heading
            units.append(Unit(line.start, line.end, heading, is_heading=True))
            i += 1
        elif following and UNDERLINE.match(following.text) and len(line.text) <= 120 and not UNDERLINE.match(line.text):
            heading = line.text
            units.append(Unit(line.start, following.end, heading, is_heading=True))
            i += 2
        elif ITEM.match(line.text) and not (kind == "text" and _numbered_heading(lines, i)):
            end = i + 1
            while end < len(lines) and _continues_item(line, lines[end - 1], lines[end]):
                end += 1
            units.extend(_item_units(text, lines[i:end], heading))
            i = end
        elif kind == "text" and (_numbered_heading(lines, i) or _reads_like_heading(lines, i)):
            if not _introduces(line.text) or len(line.text.split()) <= 4:
                heading = line.text.rstrip(":").strip()
            units.append(Unit(line.start, line.end, heading, is_heading=True))
            i += 1
        elif KEY_VALUE.match(line.text) or DATE_LINE.match(line.text):
            units.append(Unit(line.start, line.end, heading))
            i += 1
        else:
            end = i + 1
            while end < len(lines) and _wraps(lines, end - 1, kind):
                end += 1
            units.extend(_sentences(text, line.start, lines[end - 1].end, heading))
            i = end
    return _join_labels(text, units)


def _of_bounded_length(text: str, unit: Unit) -> Iterator[Unit]:
    """A unit, or where it is too long its parts, cut at white space where there is any."""
    if unit.end - unit.start <= LONGEST_UNIT:
        yield unit
        return
    begin = unit.start
    while unit.end - begin > LONGEST_UNIT:
        cut = begin + LONGEST_UNIT
        space = max((text.rfind(gap, begin + LONGEST_UNIT // 2, cut) for gap in " \n\t\r"), default=-1)
        cut = space + 1 if space > 0 else cut
        if part := _trimmed(text, begin, cut, unit):
            yield part
        begin = cut
    if part := _trimmed(text, begin, unit.end, unit):
        yield part


def _record_units(text: str, line: _Line) -> Iterator[Unit]:
    """A row "Header: value | Header: value" is one unit; a long one is cut into its cells, and those into sentences, with the first
    cell as their heading."""
    if len(line.text) <= RECORD_CHARACTERS:
        yield Unit(line.start, line.end)
        return
    heading = line.text.partition(" | ")[0][:LABELLED_CHARACTERS]
    begin = line.start
    while begin < line.end:
        bar = text.find(" | ", begin, line.end)
        end = bar + 2 if bar >= 0 else line.end
        while bar >= 0 and end - begin < LABELLED_CHARACTERS:  # short cells stay together
            bar = text.find(" | ", end, line.end)
            if bar < 0 or bar - begin > LABELLED_CHARACTERS:
                break
            end = bar + 2
        unit = Unit(begin, end, heading if begin > line.start else "")
        if end - begin > LABELLED_CHARACTERS:
            yield from _sentences(text, begin, end, unit.heading)
        elif part := _trimmed(text, begin, end, unit):
            yield part
        begin = end


def _lines(text: str) -> Iterator[_Line]:
    for match in LINE.finditer(text):
        raw = match.group()
        if not raw and match.start() == len(text):
            return
        content = raw.strip("\ufeff").strip()
        start = match.start() + (raw.index(content) if content else 0)
        indent = start - match.start()
        yield _Line(start, start + len(content), content, indent)


def _code_units(lines: Sequence[_Line]) -> list[Unit]:
    units: list[Unit] = []
    block: list[_Line] = []
    for line in [*lines, _Line(0, 0, "", 0)]:
        if block and (not line.text or len(block) == CODE_LINES):
            units.append(Unit(block[0].start, block[-1].end))
            block = []
        if line.text:
            block.append(line)
    return units


def _continues_item(item: _Line, before: _Line, line: _Line) -> bool:
    """A line that runs on from a list item: deeper than the item's marker, or the rest of a wrapped sentence."""
    if not line.text or ITEM.match(line.text) or FENCE.match(line.text) or ATX.match(line.text):
        return False
    return line.indent > item.indent or (line.text[0].islower() and not ENDED.search(before.text))


def _wraps(lines: Sequence[_Line], i: int, kind: Kind) -> bool:
    """Whether line i + 1 belongs to the paragraph of line i: hard-wrapped text, not one paragraph a line."""
    here, after = lines[i], lines[i + 1]
    if kind == "html":  # extraction writes a paragraph as one line
        return False
    if not after.text or not here.text or ITEM.match(after.text) or FENCE.match(after.text) or ATX.match(after.text):
        return False
    if i + 2 < len(lines) and UNDERLINE.match(lines[i + 2].text) and not UNDERLINE.match(after.text):
        return False
    if is_row(after.text, kind) or is_rule(after.text) or DATE_LINE.match(after.text):
        return False
    if kind in ("markdown", "rst"):
        return True
    if KEY_VALUE.match(after.text) and ENDED.search(here.text):
        return False
    if after.text[0].islower() and not ENDED.search(here.text):
        return 40 <= len(here.text) <= 130
    return 55 <= len(here.text) <= 130 and _fills(lines, i)  # a paragraph on one line is longer, an entry shorter


def _fills(lines: Sequence[_Line], i: int) -> bool:
    """Line i ends at the right margin: the next word would not have fitted the block's width."""
    first, last = i, i + 1
    while first > max(0, i - 5) and lines[first - 1].text:
        first -= 1
    while last < min(len(lines) - 1, i + 5) and lines[last + 1].text:
        last += 1
    width = max(len(line.text) for line in lines[first : last + 1])
    return len(lines[i].text) + 1 + len(lines[i + 1].text.split(maxsplit=1)[0]) > width


def _introduces(line: str) -> bool:
    """A line that leads into what stands below it."""
    return line.endswith((":", "：")) or (line.endswith(("?", "？")) and len(line.split()) <= 8)


def _title_case(line: str) -> bool:
    cased = [word for word in line.split() if word[0].lower() != word[0].upper()]
    return bool(cased) and all(word[0].isupper() or word.lower() in SMALL for word in cased)


def _below(lines: Sequence[_Line], i: int) -> str:
    """The next line that is not blank, at most two blank lines down; else ""."""
    return next((later.text for later in lines[i + 1 : i + 4] if later.text), "")


def _numbered_heading(lines: Sequence[_Line], i: int) -> bool:
    """ "2. The Title" over text, where a list would go on with another item."""
    line, after = lines[i].text, _below(lines, i)
    match = re.match(r"^\d{1,2}(?:\.\d{1,2})*[.)]?[ \t]+(.+)$", line)
    if match is None or not after or ITEM.match(after) or (ENDED.search(line) and not line.endswith("?")) or len(line) > 100:
        return False
    return _title_case(match.group(1).replace("-", " ")) and ENDED.search(after) is not None


def _reads_like_heading(lines: Sequence[_Line], i: int) -> bool:
    """A heading without markup: short, no sentence, in title case or standing over a paragraph."""
    line, after = lines[i].text, _below(lines, i)
    if len(line) > 100 or len(line.split()) > 14 or not after or DATE_LINE.match(line) or UNDERLINE.match(line):
        return False
    if line[0].islower() or line[0] in '$€£"“' or not any(char.isalpha() for char in line):
        return False
    alone = i == 0 or not lines[i - 1].text or ENDED.search(lines[i - 1].text) is not None
    over_paragraph = len(after) >= 80 and len(after) > 1.5 * len(line) and ENDED.search(after) is not None
    if _introduces(line):
        return True
    if (ENDED.search(line) and not line.endswith("?")) or line.endswith(","):
        return False
    if _title_case(line) and over_paragraph:
        return True
    if KEY_VALUE.match(line) or line.endswith("?") or not alone:
        return False
    if _title_case(line) and (len(after) > len(line) or ITEM.match(after) or DATE_LINE.match(after)):
        return True
    return over_paragraph


def _item_units(text: str, lines: Sequence[_Line], heading: str) -> list[Unit]:
    """A list item is one unit, whole; a long one of several sentences is cut into them."""
    start, end = lines[0].start, lines[-1].end
    if end - start <= LABELLED_CHARACTERS:
        return [Unit(start, end, heading)]
    return _sentences(text, start, end, heading)


def _sentences(text: str, start: int, end: int, heading: str) -> list[Unit]:
    """Sentences of text[start:end]; line ends inside it count as spaces. A paragraph past all measure is taken in portions."""
    units: list[Unit] = []
    while end - start > LONGEST_PARAGRAPH:
        cut = max(text.rfind(mark, start + LONGEST_PARAGRAPH // 2, start + LONGEST_PARAGRAPH) for mark in (". ", "? ", "! "))
        cut = cut + 1 if cut >= 0 else start + LONGEST_PARAGRAPH
        units += _sentences_of_portion(text, start, cut, heading)
        start = cut
    return units + _sentences_of_portion(text, start, end, heading)


def _sentences_of_portion(text: str, start: int, end: int, heading: str) -> list[Unit]:
    flat = re.sub(r"[\r\n\t\v\f]", " ", text[start:end])
    starts = {boundary["start_index"] for boundary in get_sentence_boundaries("en", flat)}
    cuts = [0, *sorted(cut for cut in starts if 0 < cut < len(flat)), len(flat)]
    units: list[Unit] = []
    begin = 0
    for cut in cuts[1:]:
        piece = flat[begin:cut].strip()
        if BARE_MARK.match(piece) and cut != cuts[-1]:
            continue  # "1." of "1. The title"
        if not any(char.isalnum() for char in piece):
            if units and piece:  # a stray mark belongs to the sentence before it
                units[-1] = Unit(units[-1].start, start + begin + len(flat[begin:cut].rstrip()), heading)
                begin = cut
            elif not piece or cut != cuts[-1]:
                continue
        if begin < cut and piece:
            head = len(flat[begin:cut]) - len(flat[begin:cut].lstrip())
            units.append(Unit(start + begin + head, start + begin + len(flat[begin:cut].rstrip()), heading))
        begin = cut
    return units


def _join_labels(text: str, units: Sequence[Unit]) -> list[Unit]:
    """Put a date line together with the unit below it, and a heading with its section when that is one short unit."""
    joined: list[Unit] = []
    i = 0
    while i < len(units):
        unit = units[i]
        after = units[i + 1] if i + 1 < len(units) else None
        if after and not after.is_heading and after.end - unit.start <= LABELLED_CHARACTERS:
            third = units[i + 2] if i + 2 < len(units) else None
            last = third is None or third.is_heading or KEY_VALUE.match(text[third.start : third.end]) is not None
            dated = not unit.is_heading and DATE_LINE.match(text[unit.start : unit.end]) is not None
            below = text.count("\n", unit.end, after.start) <= 2
            if below and not DATE_LINE.match(text[after.start : after.end]) and (dated or (unit.is_heading and last)):
                joined.append(Unit(unit.start, after.end, after.heading))
                i += 2
                continue
        joined.append(unit)
        i += 1
    return joined

"""Files → documents. Every file under the sources folder becomes a Document or a stated reason why not.

Text is kept exactly as decoded: no newline translation, nothing stripped, a byte order mark stays U+FEFF. Only formats
that need extraction (HTML) have a text of their own, which the catalogue keeps. A new format is one entry in `FORMATS`.
"""

import codecs
import os
import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from rag.folder import Listed
from rag.types import Document, Kind

BOMS = (  # longest first: UTF-32-LE begins with UTF-16-LE's mark
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
DETECTION_BYTES = 256 * 1024  # what charset-normalizer looks at; its time grows with length, its verdict hardly

CODE = frozenset(
    ".py .pyi .js .mjs .ts .tsx .jsx .c .h .cc .cpp .hpp .cs .java .kt .go .rs .rb .php .swift .scala .sh .bash "
    ".sql .r .jl .lua .pl .toml .ini .cfg .conf .yaml .yml .json .css .xml".split()
)


class Unreadable(Exception):
    """A file that is not indexed; the message is the reason shown in the report."""


def read_document(sources: Path, listed: Listed, max_bytes: int) -> Document:
    """Read one listed file.

    Raises Unreadable with the reason: too large, empty, binary, not permitted, vanished, or changing while it was read.
    """
    if listed.size > max_bytes:
        limit = f"{max_bytes / 2**20:g} MB"
        raise Unreadable(f"larger than {limit} ({listed.size / 2**20:.1f} MB); raise RAG_MAX_FILE_MB to index it")
    path = sources / listed.source
    try:
        if not path.is_file() and path.exists():  # it may have become a pipe, which would be waited on for ever
            raise Unreadable("not a regular file")
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
            info = os.fstat(file.fileno())
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from error
    if len(data) != info.st_size:
        raise Unreadable("changed while it was read; build again")
    text, encoding = decode(data)
    suffix = path.suffix.lower()
    extract, kind = FORMATS.get(suffix, (None, "code" if suffix in CODE else "text"))
    title = ""
    if extract is not None:
        text, title = extract(text)
    if not text.strip().strip("\ufeff").strip():
        raise Unreadable("empty")
    return Document(
        source=listed.source,
        text=text,
        sha256=sha256(data).hexdigest(),
        size=info.st_size,
        mtime_ns=info.st_mtime_ns,
        encoding=encoding,
        kind=kind,
        title=title or guess_title(text, kind, Path(listed.source)),
    )


def decode(data: bytes) -> tuple[str, str]:
    """Bytes → (text, encoding) such that `data.decode(encoding) == text`.

    A byte order mark decides; else UTF-8; else charset-normalizer's best guess (it is maintained, weighs coherence of
    language, and is already a dependency of most installations). Raises Unreadable for empty and for binary bytes.
    """
    if not data:
        raise Unreadable("empty")
    if data.startswith((b"%PDF-", b"{\\rtf")):  # these may be ASCII throughout
        raise Unreadable("binary, not text")
    text, encoding = _decode(data)
    if _binary(text):
        raise Unreadable("binary, not text")
    return text, encoding


def _decode(data: bytes) -> tuple[str, str]:
    for mark, encoding in BOMS:
        if data.startswith(mark):
            try:
                return data.decode(encoding), encoding
            except UnicodeDecodeError:
                break
    if wide := _wide(data):
        try:
            return data.decode(wide), wide
        except UnicodeDecodeError:
            pass
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return _detect(data)


def _detect(data: bytes) -> tuple[str, str]:
    from charset_normalizer import from_bytes

    if b"\0" in data[:8192]:
        raise Unreadable("binary, not text")
    if (western := _western(data)) is not None:
        return western, "cp1252"
    # A cut inside a character would make the right encoding look wrong: end the sample at a line's end.
    sample = data if len(data) <= DETECTION_BYTES else data[: data.rfind(b"\n", 0, DETECTION_BYTES) + 1 or DETECTION_BYTES]
    best = from_bytes(sample).best()
    if best is None:
        raise Unreadable("binary, or text in an unknown encoding; save it as UTF-8")
    try:
        text = data.decode(best.encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise Unreadable(f"looks like {best.encoding} but does not decode as it; save it as UTF-8") from error
    return text, best.encoding


WESTERN = frozenset("àâäáãåæçéèêëíìîïñóòôöõøœúùûüýÿßÀÂÄÁÃÅÆÇÉÈÊËÍÌÎÏÑÓÒÔÖÕØŒÚÙÛÜÝ‘’‚“”„–—…•€£§©®°«»¿¡·½¼¾²³µ×±™†‰\u00a0")
SYMBOL_IN_WORD = re.compile(r"[^\W\d_][¿¡³²½¼¾±§°·‚„‰][a-zß-ÿ]")


def _western(data: bytes) -> str | None:
    """Windows-1252, where it is beyond doubt: mostly ASCII, and the rest are Western letters and typographic marks.

    Statistical detection takes short German and French texts for Cyrillic or Baltic ones, having few letters to go by.
    Polish or Czech bytes read this way put symbols inside words, and go to the detection.
    """
    text = data.decode("cp1252", "replace")
    high = [char for char in text if ord(char) > 127]
    if len(high) > 0.2 * len(text) or not WESTERN.issuperset(high) or SYMBOL_IN_WORD.search(text):
        return None
    return text


def _wide(data: bytes) -> str | None:
    """UTF-16 without a mark, by its zeros: in Latin text every other byte is one."""
    head = data[: min(len(data), 8192) // 2 * 2]
    even, odd, half = head[0::2].count(0), head[1::2].count(0), len(head) // 2
    if half and len(data) % 2 == 0 and max(even, odd) > 0.4 * half and min(even, odd) < 0.02 * half:
        return "utf-16-be" if even > odd else "utf-16-le"
    return None


def _binary(text: str) -> bool:
    """Any NUL, or control characters in more than 1 % of the first 64 K (ESC is allowed: terminal logs)."""
    head = text[:65536]
    return "\0" in text or len(CONTROLS.findall(head)) > 0.01 * len(head)


# --- titles -----------------------------------------------------------------------------------------------------------

MARKDOWN_TITLE = re.compile(r"^#{1,2}[ \t]+(.+?)[ \t]*#*[ \t]*$", re.MULTILINE)
UNDERLINED_TITLE = re.compile(r"^(?P<title>\S[^\r\n]{2,120})\r?\n(=|-|~|\*|\^){3,}[ \t]*$", re.MULTILINE)


def guess_title(text: str, kind: Kind, path: Path) -> str:
    """The document's title: its first heading, else the first line that reads like one, else the file's name."""
    head = text[:4000]
    if kind == "code":
        return path.name
    if kind in ("markdown", "rst"):
        match = (MARKDOWN_TITLE if kind == "markdown" else UNDERLINED_TITLE).search(head)
        if match:
            return match.group(match.lastgroup or 1).strip()
    lines = [line.strip("\ufeff \t") for line in head.splitlines()]
    for line in [line for line in lines if line][:6]:
        words = line.split()
        if 3 <= len(words) <= 20 and line[0].isalnum() and line[-1] not in ".;,:" and sum(w[0].isalpha() for w in words) >= 3:
            return line
    stem = path.stem.replace("_", " ").strip()
    return "" if re.fullmatch(r"[\W\da-fA-F]*", stem) else stem  # a number or a hash tells nothing


# --- HTML -------------------------------------------------------------------------------------------------------------

BLOCKS = frozenset(
    "address article blockquote body dd details div dl dt fieldset figcaption figure form h1 h2 h3 h4 h5 h6 hr li "
    "main ol p pre section summary table tbody thead tr ul".split()
)
HEADINGS = frozenset("h1 h2 h3 h4 h5 h6".split())
SPACED = HEADINGS | frozenset(["p", "pre", "table", "ul", "ol", "dl", "blockquote", "section", "article"])
UNREAD = "script, style, noscript, template, svg, iframe, nav, header nav, footer, aside, form button, select"


def extract_html(markup: str) -> tuple[str, str]:
    """HTML → (text, title): one line a block, `# ` before headings, `- ` before list items, cells divided by ` | `.

    selectolax (lexbor, one small wheel) because it parses as browsers do and is some 20 times faster than the
    pure-Python parsers; nothing is fetched or run.
    """
    from selectolax.lexbor import LexborHTMLParser, LexborNode

    tree = LexborHTMLParser(markup)
    title_node = tree.css_first("title")
    title = " ".join(title_node.text().split()) if title_node else ""
    for node in tree.css(UNREAD):
        node.decompose()
    lines: list[str] = []
    words: list[str] = []
    marker = ""  # what the next line begins with: "## ", "- "

    def flush(verbatim: bool = False) -> None:
        nonlocal marker
        raw = "".join(words)
        words.clear()
        for line in raw.splitlines() if verbatim else [" ".join(raw.split())]:
            if line.strip():
                lines.append(marker + line)
                marker = ""

    # An explicit stack of (node, leaving): pages nest deeper than Python's recursion allows.
    stack: list[tuple[LexborNode, bool]] = [(tree.body, False)] if tree.body is not None else []
    while stack:
        node, leaving = stack.pop()
        tag = node.tag or ""
        if leaving:
            flush(verbatim=tag == "pre")
            marker = ""
            if tag in SPACED:
                lines.append("")
            continue
        if tag == "-text":
            words.append(node.text_content or "")
            continue
        if tag == "br":
            flush()
        elif tag in ("td", "th"):
            if words:
                words.append(" | ")
        elif tag in BLOCKS:
            flush()
            if tag in SPACED:
                lines.append("")
            if tag == "li":
                marker = "- "
            elif tag in HEADINGS:
                marker = "#" * int(tag[1]) + " "
            stack.append((node, True))
        stack.extend((child, False) for child in list(node.iter(include_text=True))[::-1])
    flush()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n") + "\n", title


Extractor = Callable[[str], tuple[str, str]]
FORMATS: dict[str, tuple[Extractor | None, Kind]] = {
    ".html": (extract_html, "html"),
    ".htm": (extract_html, "html"),
    ".md": (None, "markdown"),
    ".markdown": (None, "markdown"),
    ".rst": (None, "rst"),
    ".txt": (None, "text"),
}


def line_starts(text: str) -> Iterator[int]:
    """Offset of each line's first character; lines end at LF, CRLF or a lone CR."""
    yield 0
    for match in re.finditer(r"\r\n|\n|\r", text):
        yield match.end()

"""Files → documents. Every file under the sources folder becomes a Document or a stated reason why not.

The text of text files is kept exactly as decoded: no newline translation, nothing stripped, a byte order mark stays U+FEFF.
Formats whose text must be extracted (`rag.formats`) are read in a process of their own, and have a text of their own, which
the catalogue keeps.
"""

import os
import re
import stat
from hashlib import sha256
from pathlib import Path
from typing import cast

from rag.folder import Listed
from rag.formats import MODULES
from rag.formats.decoding import DETECTION_BYTES, decode
from rag.formats.extracted import Extracted, Unreadable
from rag.types import Document, Kind
from rag.worker import worker

__all__ = ["DETECTION_BYTES", "Unreadable", "decode", "guess_title", "read_document"]

FILE_SECONDS = 60.0  # as Settings has it
MOST_LINES = 3_000_000  # memory for cutting a text grows with its lines
KINDS: dict[str, Kind] = {".md": "markdown", ".markdown": "markdown", ".rst": "rst"}
CODE = frozenset(
    ".py .pyi .js .mjs .ts .tsx .jsx .c .h .cc .cpp .hpp .cs .java .kt .go .rs .rb .php .swift .scala .sh .bash "
    ".sql .r .jl .lua .pl .toml .ini .cfg .conf .yaml .yml .css .xml".split()
)
# What else people keep: not read, but told how it can be.
REMEDIES = {
    suffix: remedy
    for suffixes, remedy in {
        ".doc .dot .rtf .wps .pages": "{} is not read; save it as .docx or .odt",
        ".xls .xlsb .ods .numbers": "{} is not read; save it as .xlsx",
        ".ppt .pps .odp .key": "{} is not read; save it as .pptx",
        ".msg .pst .mbox": "{} is not read; save the messages as .eml",
        ".mobi .azw .azw3": "{} is not read; convert it to .epub",
        ".zip .tar .gz .tgz .bz2 .xz .7z .rar .zst": "an archive; unpack it",
        ".png .jpg .jpeg .gif .webp .tif .tiff .bmp .heic": "an image; run OCR over it to index its text",
        ".mp3 .wav .m4a .ogg .flac .mp4 .mov .mkv .avi .webm": "sound or video, which is not read",
    }.items()
    for suffix in suffixes.split()
}


def read_document(sources: Path, listed: Listed, max_bytes: int, seconds: float = FILE_SECONDS) -> Document:
    """Read one listed file, in at most `seconds`.

    Raises Unreadable with the reason: too large, too many lines, empty, binary, damaged, encrypted, not permitted, vanished, taking
    too long, or changing while it was read.
    """
    if listed.size > max_bytes:
        limit = f"{max_bytes / 2**20:g} MB"
        raise Unreadable(f"larger than {limit} ({listed.size / 2**20:.1f} MB); raise RAG_MAX_FILE_MB to index it")
    path = sources / listed.source
    try:
        with open(path, "rb", opener=_opened_at_once) as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise Unreadable("not a regular file")
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from error
    if len(data) != info.st_size:
        raise Unreadable("changed while it was read; build again")
    found = _read(data, path.suffix.lower(), seconds)
    if not found.text.strip().strip("\ufeff").strip():
        raise Unreadable("empty")
    if max(found.text.count("\n"), found.text.count("\r")) > MOST_LINES:
        raise Unreadable(f"has more than {MOST_LINES // 10**6} million lines; split it")
    kind = cast(Kind, found.kind)
    return Document(
        source=listed.source,
        text=found.text,
        sha256=sha256(data).hexdigest(),
        size=info.st_size,
        mtime_ns=info.st_mtime_ns,
        encoding=found.encoding,
        kind=kind,
        title=found.title or guess_title(found.text, kind, Path(listed.source)),
        places=found.places,
        unread=found.unread,
    )


def _opened_at_once(path: str, flags: int) -> int:
    """A file that has become a pipe since it was listed would be waited on for ever."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read(data: bytes, suffix: str, seconds: float) -> Extracted:
    if not data:
        raise Unreadable("empty")
    if suffix in MODULES:
        return worker.extract(data, suffix, seconds)
    try:
        text, encoding = decode(data)
    except Unreadable as error:
        if suffix in REMEDIES:
            raise Unreadable(REMEDIES[suffix].format(suffix)) from error
        raise
    return Extracted(text, kind=KINDS.get(suffix, "code" if suffix in CODE else "text"), encoding=encoding)


ORG_TITLE = re.compile(r"^#\+TITLE:[ \t]*(\S.*)$", re.MULTILINE | re.IGNORECASE)
MARKDOWN_TITLE = re.compile(r"^#{1,2}[ \t]+(\S.*)$", re.MULTILINE)
UNDERLINED_TITLE = re.compile(r"^(\S[^\r\n]{2,120})\r?\n(=|-|~|\*|\^){3,}[ \t]*$", re.MULTILINE)


def guess_title(text: str, kind: Kind, path: Path) -> str:
    """The document's title: its first heading, else the first line that reads like one, else the file's name."""
    head = text[:4000]
    if kind == "code":
        return path.name
    if kind == "table":
        return path.stem.replace("_", " ").strip()
    if path.suffix.lower() == ".org" and (match := ORG_TITLE.search(head)):
        return match[1].strip()
    if kind in ("markdown", "html", "rst"):
        match = (UNDERLINED_TITLE if kind == "rst" else MARKDOWN_TITLE).search(head)
        if match and (title := match[1].rstrip(" \t\r" if kind == "rst" else "# \t\r")):
            return title
    lines = [line.strip("\ufeff \t") for line in head.splitlines()]
    for line in [line for line in lines if line][:6]:
        words = line.split()
        if 3 <= len(words) <= 20 and line[0].isalnum() and line[-1] not in ".;,:" and sum(w[0].isalpha() for w in words) >= 3:
            return line
    stem = path.stem.replace("_", " ").strip()
    return "" if re.fullmatch(r"[\W\da-fA-F]*", stem) else stem  # a number or a hash tells nothing

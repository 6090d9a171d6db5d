"""Bytes → text, whatever the encoding: `data.decode(encoding) == text`, nothing stripped or translated."""

import codecs
import re

from rag.formats.extracted import Unreadable

BOMS = (  # longest first: UTF-32-LE begins with UTF-16-LE's mark
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
DETECTION_BYTES = 256 * 1024  # what charset-normalizer looks at; its time grows with length, its verdict hardly

ARCHIVE = "an archive; unpack it"
SIGNATURES = (  # some are ASCII throughout, and would pass for text
    (b"%PDF-", "a PDF under another name; rename it to .pdf"),
    (b"{\\rtf", "RTF, which is not read; save it as .docx"),
    (b"PK\x03\x04", ARCHIVE),
    (b"PK\x05\x06", ARCHIVE),
    (b"\x1f\x8b", ARCHIVE),
    (b"BZh9", ARCHIVE),
    (b"\xfd7zXZ\0", ARCHIVE),
    (b"7z\xbc\xaf\x27\x1c", ARCHIVE),
    (b"Rar!\x1a\x07", ARCHIVE),
    (b"\x28\xb5\x2f\xfd", ARCHIVE),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file; save it as .docx, .xlsx or .pptx"),
)


def decode(data: bytes) -> tuple[str, str]:
    """Bytes → (text, encoding) such that `data.decode(encoding) == text`.

    A byte order mark decides; else UTF-8; else charset-normalizer's best guess (it is maintained, weighs coherence of
    language, and is already a dependency of most installations). Raises Unreadable for empty and for binary bytes, naming what
    they are where they tell.
    """
    if not data:
        raise Unreadable("empty")
    for signature, reason in SIGNATURES:
        if data.startswith(signature):
            raise Unreadable(reason)
    if data[257:262] == b"ustar":
        raise Unreadable(ARCHIVE)
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
    ascii_bytes = len(data.translate(None, bytes(range(128, 256))))
    if ascii_bytes < 0.8 * len(data):
        return None
    text = data.decode("cp1252", "replace")
    high = {char for char in set(text) if ord(char) > 127}
    return text if WESTERN.issuperset(high) and not SYMBOL_IN_WORD.search(text) else None


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

"""Mail, by the standard library's email package: it knows the encodings, multiparts and folded headers of real mail."""

import email
from collections.abc import Iterator
from email import policy
from email.errors import MessageError
from email.message import EmailMessage, MIMEPart

from rag.formats.decoding import decode
from rag.formats.extracted import Extracted, Lines, Unreadable
from rag.formats.html import write_page

HEADERS = ("From", "To", "Cc", "Date", "Subject")


def extract(data: bytes, suffix: str) -> Extracted:
    """The headers a reader sees, then the text; of mail in HTML only, the page. Attachments are named, not read."""
    try:
        message = email.message_from_bytes(data, policy=policy.default)
        return _extract(message)
    # What damaged headers and parts make the parser raise, by its own issue list.
    except (MessageError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        raise Unreadable(f"damaged, or no mail: {error}") from error


def _extract(message: EmailMessage) -> Extracted:
    if not any(message[name] for name in HEADERS):
        raise Unreadable("damaged, or no mail: it has no From, To, Date or Subject")
    lines = Lines()
    for name in HEADERS:
        if value := str(message[name] or ""):
            lines.paragraph(f"{name}: {value}")
    kinds = set()
    unread = []
    for part in _parts(message):
        kind = part.get_content_type()
        if part.is_attachment() or kind not in ("text/plain", "text/html"):
            unread.append(part.get_filename() or kind)
            continue
        payload = part.get_payload(decode=True)
        text = _text(payload if isinstance(payload, bytes) else b"", part.get_content_charset())
        lines.gap()
        kinds.add(kind)
        if kind == "text/plain":
            _write(text, lines)
        elif text.strip():
            write_page(text, lines)
    lines.gap()
    for name in unread:
        lines.paragraph(f"Attachment: {name} (not read)")
    return lines.done(str(message["Subject"] or ""), "html" if kinds == {"text/html"} else "text")


def _parts(message: MIMEPart) -> Iterator[MIMEPart]:
    """What a mail program shows, part by part: of alternatives the plain text, of a page with its images the page."""
    kind = message.get_content_type()
    if not message.is_multipart() or kind == "message/rfc822":  # a mail within the mail is named as an attachment
        yield message
        return
    parts = [part for part in message.iter_parts() if isinstance(part, MIMEPart)]
    if kind == "multipart/alternative":
        body = message.get_body(("plain", "html"))
        parts = [part for part in parts if any(inner is body for inner in part.walk())] or parts[:1]
    elif kind == "multipart/related":
        parts = parts[:1]
    for part in parts:
        yield from _parts(part)


def _text(payload: bytes, charset: str | None) -> str:
    try:
        return payload.decode(charset or "utf-8")
    except (UnicodeDecodeError, LookupError):
        return decode(payload)[0] if payload else ""


def _write(text: str, lines: Lines) -> None:
    for line in text.splitlines():
        if line.strip():
            lines.add(line.rstrip())
        else:
            lines.gap()

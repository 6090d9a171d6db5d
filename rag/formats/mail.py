"""Mail, by the standard library's email package: it knows the encodings, multiparts and folded headers of real mail."""

import email
from email import policy
from email.errors import MessageError
from email.message import EmailMessage

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
    lines.gap()
    body = message.get_body(("plain", "html"))
    kind = "text"
    if body is not None:
        payload = body.get_payload(decode=True)
        text = _text(payload if isinstance(payload, bytes) else b"", body.get_content_charset())
        if body.get_content_type() == "text/html":
            kind = "html"
            if text.strip():
                write_page(text, lines)
        else:
            _write(text, lines)
    lines.gap()
    for part in message.walk():
        if part.is_multipart() and part.get_content_type() != "message/rfc822":
            continue
        if part is not body and part.is_attachment():
            name = part.get_filename() or part.get_content_type()
            lines.paragraph(f"Attachment: {name} (not read)")
    return lines.done(str(message["Subject"] or ""), kind)


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

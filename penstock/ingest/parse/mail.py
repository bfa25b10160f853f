"""Mail (EML, MBOX's single messages): header, text, attachments."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from email.message import EmailMessage, MIMEPart

from penstock.core.errors import BadDocument
from penstock.ingest.parse.archive import Member, read_members
from penstock.ingest.parse.encoding import decode
from penstock.ingest.parse.html import add_html
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.outline import Outline
from penstock.ingest.parse.plain import add_text

HEADERS = ("From", "To", "Cc", "Date")
KEPT = {"From": "from", "Date": "date"}
MAX_VALUE_CHARS = 512
MAX_PARTS = 2_000
POLICY = email.policy.default.clone(refold_source="none")


def read_mail(content: bytes, outline: Outline, limits: ParseLimits) -> None:
    """The same text is often there twice, plain and as HTML: it is read once."""
    if content.startswith(b"From "):
        content = content.partition(b"\n")[2]
    message = email.message_from_bytes(content, policy=POLICY)
    assert isinstance(message, EmailMessage)
    add_header(outline, subject=_header(message, "Subject"), fields={name: _header(message, name) for name in HEADERS})
    body, attachments = _parts(message)
    for part in body:
        text = _text(part)
        if part.get_content_type() == "text/html":
            add_html(text, outline, main_only=False)
        else:
            add_text(text, outline)
    read_attachments(iter(attachments), outline, limits)


def add_header(outline: Outline, *, subject: str, fields: dict[str, str]) -> None:
    """The message's title and who wrote it to whom; its first message gives the document's attributes."""
    if not outline.title:
        outline.title = subject
        for name, key in KEPT.items():
            if fields.get(name):
                outline.attributes[key] = fields[name][:MAX_VALUE_CHARS]
    outline.heading(subject, 1)
    outline.paragraph("\n".join(f"{name}: {value}" for name, value in fields.items() if value))


def read_attachments(attachments: Iterator[Member], outline: Outline, limits: ParseLimits) -> None:
    """Attachments of a message that has a text of its own may all be unreadable: pictures, mostly."""
    if limits.max_depth <= 0:
        return
    title, before = outline.title, len(outline)
    try:
        read_members(attachments, outline, limits)
    except BadDocument as error:
        if outline.is_full:
            raise
        outline.drop_after(before)
        outline.skipped([f"attachments ({error.reason})"])
    outline.title = title


def _header(message: EmailMessage, name: str) -> str:
    try:
        return str(message.get(name, "")).strip()
    except (ValueError, IndexError, AttributeError, TypeError, LookupError):
        # The standard library's parser of addresses fails on some that are malformed.
        raw = next((value for key, value in message.raw_items() if key.lower() == name.lower()), "")
        return str(raw).strip()


def _parts(message: MIMEPart) -> tuple[list[MIMEPart], list[Member]]:
    """What is the message's text, in order, and what is attached. Walks without recursion."""
    body: list[MIMEPart] = []
    attachments: list[Member] = []
    waiting: list[MIMEPart] = [message]
    count = 0
    while waiting:
        part = waiting.pop(0)
        count += 1
        if count > MAX_PARTS:
            raise BadDocument("too_large", f"It has more than {MAX_PARTS:,} parts.")
        kind = part.get_content_type()
        if kind == "multipart/alternative":
            waiting.insert(0, chosen) if (chosen := _chosen(part)) is not None else None
        elif part.is_multipart() and part.get_content_maintype() == "multipart":
            waiting[:0] = [inner for inner in part.iter_parts() if isinstance(inner, MIMEPart)]
        elif part.get_content_maintype() == "text" and not part.is_attachment() and not part.get_filename():
            body.append(part)
        else:
            attachments.append((_name(part), lambda part=part: _bytes(part)))  # type: ignore[misc]
    return body, attachments


def _chosen(part: MIMEPart) -> MIMEPart | None:
    """Of several forms of one text, the plain one, if there is anything in it."""
    forms = [inner for inner in part.iter_parts() if isinstance(inner, MIMEPart)]
    plain = [form for form in forms if form.get_content_type() == "text/plain" and _text(form).strip()]
    return plain[0] if plain else forms[-1] if forms else None


def _name(part: MIMEPart) -> str:
    try:
        name = part.get_filename()
    except (ValueError, LookupError, TypeError):
        name = None
    endings = {"message/rfc822": "message.eml", "text/html": "part.html", "text/plain": "part.txt"}
    return name or endings.get(part.get_content_type(), "attachment")


def _bytes(part: MIMEPart) -> bytes:
    if part.get_content_type() == "message/rfc822":
        inner = part.get_payload()
        if isinstance(inner, list) and inner and isinstance(inner[0], MIMEPart):
            return inner[0].as_bytes()
        return b""
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _text(part: MIMEPart) -> str:
    return decode(_bytes(part), declared=str(part.get_content_charset() or ""))

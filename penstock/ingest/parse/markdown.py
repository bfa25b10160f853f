"""Markdown as GitHub reads it: C code makes HTML of it in a fraction of a millisecond, and that is read as HTML is."""

from __future__ import annotations

import re

from cmarkgfm.cmark import Options, markdown_to_html_with_extensions

from penstock.core.errors import BadDocument
from penstock.core.types import AttributeValue
from penstock.ingest.parse.encoding import decode
from penstock.ingest.parse.html import add_html
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.outline import Outline

FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
FIELD = re.compile(r"([A-Za-z][\w .-]{0,40}):[ \t]*(.*)")
MAX_ATTRIBUTES = 16
MAX_VALUE_CHARS = 512
# Raw HTML in Markdown is read too, as HTML; nothing here is ever shown in a browser.
OPTIONS = Options.CMARK_OPT_UNSAFE | Options.CMARK_OPT_FOOTNOTES
EXTENSIONS = ("table", "strikethrough", "autolink")


def read_markdown(content: bytes, outline: Outline, limits: ParseLimits) -> None:  # noqa: ARG001 - a Reader
    text = decode(content).replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").lstrip("\ufeff")
    if match := FRONT_MATTER.match(text):
        _front_matter(match[1], outline)
        text = text[match.end() :]
    add_html(to_html(text), outline, main_only=False)


def to_html(text: str) -> str:
    """HTML of a text. Raises BadDocument."""
    try:
        html: str = markdown_to_html_with_extensions(text.encode("utf-8", "replace").decode(), OPTIONS, EXTENSIONS)
    except ValueError as error:
        raise BadDocument("corrupt", f"It cannot be read as Markdown: {error}.") from error
    return html


def _front_matter(head: str, outline: Outline) -> None:
    """Simple `name: value` lines: the title, and attributes to filter by. Nested YAML is left alone."""
    for line in head.split("\n"):
        if match := FIELD.fullmatch(line):
            name, value = match[1].strip(), _unquoted(match[2].strip())
            if name.lower() == "title":
                outline.title = value
            elif value and len(outline.attributes) < MAX_ATTRIBUTES:
                outline.attributes[name] = _typed(value)


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value


def _typed(value: str) -> AttributeValue:
    if value in {"true", "false"}:
        return value == "true"
    if re.fullmatch(r"-?\d{1,15}(\.\d{1,9})?", value):
        return float(value)
    return value[:MAX_VALUE_CHARS]

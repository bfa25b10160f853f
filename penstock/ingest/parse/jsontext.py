"""JSON, JSON Lines and notebooks: every value with the names that lead to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from penstock.core.errors import BadDocument
from penstock.ingest.parse.encoding import decode
from penstock.ingest.parse.html import add_html
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.markdown import to_html
from penstock.ingest.parse.outline import Outline
from penstock.ingest.parse.plain import add_text

MAX_DEPTH = 200
_decode = msgspec.json.Decoder().decode


def read_json(content: bytes, outline: Outline, limits: ParseLimits) -> None:
    """What is cut off or otherwise no JSON is read as text."""
    text = decode(content)
    try:
        value = _decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        if len(text.strip().splitlines()) > 1 and _is_lines(text):
            read_jsonl(content, outline, limits)
        else:
            add_text(text, outline)
        return
    if isinstance(value, dict) and isinstance(value.get("cells"), list) and "nbformat" in value:
        _notebook(value["cells"], outline)
    else:
        _write(value, outline)


def read_jsonl(content: bytes, outline: Outline, limits: ParseLimits) -> None:  # noqa: ARG001 - a Reader
    for line in decode(content).splitlines():
        if line.strip():
            try:
                outline.paragraph("\n".join(_lines(_decode(line), "")))
            except (msgspec.DecodeError, UnicodeEncodeError):
                outline.paragraph(line)


def _is_lines(text: str) -> bool:
    first = text.lstrip().partition("\n")[0]
    try:
        _decode(first)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return False
    return True


def _write(value: Any, outline: Outline) -> None:
    """Records of one form are a table; otherwise each part of the whole is a paragraph."""
    if isinstance(value, list) and (rows := _records(value)):
        outline.table(rows)
    elif isinstance(value, list):
        for part in value:
            outline.paragraph("\n".join(_lines(part, "")))
    elif isinstance(value, dict):
        flat = {name: part for name, part in value.items() if not isinstance(part, dict | list)}
        outline.paragraph("\n".join(_lines(flat, "")))
        for name, part in value.items():
            if isinstance(part, list) and (rows := _records(part)):
                outline.heading(str(name), 1)
                outline.table(rows)
            elif isinstance(part, dict | list):
                outline.paragraph("\n".join(_lines(part, str(name))))
    else:
        outline.paragraph(_shown(value))


def _records(values: Sequence[Any]) -> list[list[str]]:
    """Rows of a list of flat objects with the same few names; nothing for any other list."""
    if len(values) < 2 or not all(isinstance(value, dict) for value in values):
        return []
    names = list(values[0])
    if not 2 <= len(names) <= 30 or any(list(value) != names for value in values):
        return []
    if any(isinstance(part, dict | list) for value in values for part in value.values()):
        return []
    return [[str(name) for name in names], *([_shown(part) for part in value.values()] for value in values)]


def _lines(value: Any, path: str) -> Iterator[str]:
    """`path.to.it: value`, without recursion."""
    waiting: list[tuple[str, Any, int]] = [(path, value, 0)]
    while waiting:
        here, part, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise BadDocument("corrupt", "Its parts are nested too deeply.")
        inner: list[tuple[str, Any, int]] = []
        if isinstance(part, Mapping):
            inner = [(f"{here}.{name}" if here else str(name), item, depth + 1) for name, item in part.items()]
        elif isinstance(part, list):
            if all(not isinstance(item, dict | list) for item in part):
                yield f"{here}: {', '.join(map(_shown, part))}" if here else ", ".join(map(_shown, part))
            else:
                inner = [(here, item, depth + 1) for item in part]
        else:
            yield f"{here}: {_shown(part)}" if here else _shown(part)
        waiting += reversed(inner)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _notebook(cells: Sequence[Any], outline: Outline) -> None:
    for cell in cells:
        if not isinstance(cell, dict):
            continue
        source = cell.get("source", "")
        text = "".join(map(str, source)) if isinstance(source, list) else str(source)
        if cell.get("cell_type") == "markdown":
            add_html(to_html(text), outline, main_only=False)
        elif cell.get("cell_type") == "code":
            outline.code(text)
        else:
            add_text(text, outline)

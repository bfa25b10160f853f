"""The input of `/v1/responses`: a text, or items; what it asks, and what was said before."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.core.errors import InvalidRequest, UnsupportedParameter
from penstock.core.types import Message as Turn
from penstock.gateway.receive import converted
from penstock.gateway.wire.response_input import InputText, Item, Message, Refusal, SaidText, SourceFile
from penstock.gateway.wire.response_objects import FileSearchCall
from penstock.gateway.wire.responses import FileSearchCallItem, InputPart, MessageItem

WITHDRAWN = "This answer is not kept any more: a document that it rests on was deleted or replaced."


def read_items(asked: str | Sequence[Mapping[str, Any]]) -> list[Item]:
    """The items, each with an id; the last is the question. Raises InvalidRequest, UnsupportedParameter."""
    if isinstance(asked, str):
        return [Message(id=_new_id(), role="user", content=[InputText(text=asked)])]
    items = [_item(dict(given), f"input[{place}]") for place, given in enumerate(asked)]
    last = items[-1]
    if not isinstance(last, Message) or last.role != "user":
        raise InvalidRequest(
            "The last item is the question: a message whose role is 'user'.", param=f"input[{len(items) - 1}].role"
        )
    return items


def turns_of(items: Sequence[Item]) -> list[Turn]:
    """What was said, as an engine reads it."""
    return [Turn(role=item.role, content=item.text) for item in items if isinstance(item, Message)]


def cited_files(items: Sequence[Item]) -> list[str]:
    """Ids of the files that earlier answers in the input rest on, as they say themselves."""
    return [
        annotation.file_id
        for item in items
        if isinstance(item, Message)
        for part in item.content
        if isinstance(part, SaidText)
        for annotation in part.annotations
    ]


def own_words(items: Sequence[Item]) -> list[Item]:
    """The items without what earlier answers said: what stays when a document that they rest on goes."""
    return [
        Message(id=item.id, role="assistant", content=[SaidText(text=WITHDRAWN)])
        if isinstance(item, Message) and item.role == "assistant"
        else item
        for item in items
    ]


def _item(given: dict[str, Any], param: str) -> Item:
    kind = given.get("type", "message")
    if kind == "file_search_call":
        call = converted(given, FileSearchCallItem, param=param, strict=True)
        # Its results are text out of documents, which is not for keeping.
        return FileSearchCall(id=call.id or _new_id("fs"), queries=call.queries, status=call.status or "completed")
    if kind != "message":
        raise UnsupportedParameter(f"{param}.type", hint="Send messages.")
    parts = given.get("content")
    for place, part in enumerate(parts if isinstance(parts, list) else []):
        if isinstance(part, dict) and part.get("type") in ("input_image", "input_file", "input_audio"):
            raise UnsupportedParameter(f"{param}.content[{place}].type", hint="Messages are text.")
    message = converted(given, MessageItem, param=param, strict=True)
    pieces: list[str | InputPart] = [message.content] if isinstance(message.content, str) else [*message.content]
    said = message.role == "assistant"
    return Message(
        id=message.id or _new_id(),
        role=message.role,
        content=[
            _part(piece, f"{param}.content" if isinstance(piece, str) else f"{param}.content[{place}]", said=said)
            for place, piece in enumerate(pieces)
        ],
        status=message.status or "completed",
    )


def _part(piece: str | InputPart, param: str, *, said: bool) -> InputText | SaidText | Refusal:
    if isinstance(piece, str):
        return SaidText(text=piece) if said else InputText(text=piece)
    if said and piece.type == "refusal":
        return Refusal(refusal=piece.refusal)
    if said:
        return SaidText(text=piece.text, annotations=tuple(_sources(piece.annotations or [])))
    if piece.type != "input_text":
        raise InvalidRequest("It is 'input_text'; only an assistant's message has others.", param=f"{param}.type")
    return InputText(text=piece.text)


def _sources(annotations: Sequence[Mapping[str, Any]]) -> list[SourceFile]:
    found = []
    for annotation in annotations:
        file_id, filename, index = (annotation.get(name) for name in ("file_id", "filename", "index"))
        if isinstance(file_id, str) and isinstance(filename, str) and isinstance(index, int):
            found.append(SourceFile(file_id=file_id, filename=filename, index=index))
    return found


def _new_id(kind: str = "msg") -> str:
    return f"{kind}_{secrets.token_hex(16)}"

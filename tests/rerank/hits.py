"""Hits that are only texts."""

from __future__ import annotations

from penstock.core.types import Chunk, Hit


def hits_of(*texts: str, title: str = "") -> list[Hit]:
    return [
        Hit(
            store_id="vs_1",
            file_id=f"file_{place}",
            filename=f"{place}.md",
            chunk=Chunk(id=f"chunk_{place}", position=place, text=text),
            title=title,
            score=0.0,
        )
        for place, text in enumerate(texts)
    ]

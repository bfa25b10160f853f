"""How a model wants to be used: pooling, normalisation, prefixes, window. Read from the files beside its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from penstock.core.errors import ModelMissing
from penstock.core.types import Value
from penstock.models.described import positions_of, read_json

Pooling = Literal["mean", "cls", "max", "last"]

FAMILIES: tuple[tuple[str, str, str], ...] = (
    # (part of the model's name, prefix of a question, prefix of a passage), as the models' cards ask
    ("multilingual-e5-large-instruct", "Instruct: Given a question, retrieve passages that answer it\nQuery: ", ""),
    ("e5-", "query: ", "passage: "),
    ("bge-m3", "", ""),
    ("bge-large-en", "Represent this sentence for searching relevant passages: ", ""),
    ("bge-base-en", "Represent this sentence for searching relevant passages: ", ""),
    ("bge-small-en", "Represent this sentence for searching relevant passages: ", ""),
    ("mxbai-embed", "Represent this sentence for searching relevant passages: ", ""),
    ("snowflake-arctic-embed", "Represent this sentence for searching relevant passages: ", ""),
    ("nomic-embed-text", "search_query: ", "search_document: "),
)
"""For models whose files do not state their prompts. The first that matches counts; gte, MiniLM and mpnet need none."""


class Recipe(Value, frozen=True):
    """Pooling, whether rows are normalised in any case is ours to do, prefixes, and the window with special tokens."""

    pooling: Pooling
    query_prefix: str
    passage_prefix: str
    max_tokens: int


def read_recipe(folder: Path, *, name: str) -> Recipe:
    """What the files in `folder` say. Raises ModelMissing for a pooling that we do not know."""
    query, passage = _prefixes(folder, name)
    return Recipe(
        pooling=_pooling(folder, name), query_prefix=query, passage_prefix=passage, max_tokens=_window(folder)
    )


def _pooling(folder: Path, name: str) -> Pooling:
    config = read_json(folder / "1_Pooling" / "config.json")
    if not config:
        return "cls" if any(part in name.lower() for part in ("bge-", "mxbai-", "snowflake-arctic")) else "mean"
    if mode := config.get("pooling_mode"):
        asked = [str(mode)]
    else:
        asked = [
            key.removeprefix("pooling_mode_") for key, on in config.items() if key.startswith("pooling_mode_") and on
        ]
    names: dict[str, Pooling] = {
        "mean_tokens": "mean",
        "mean": "mean",
        "cls_token": "cls",
        "cls": "cls",
        "max_tokens": "max",
        "max": "max",
        "lasttoken": "last",
    }
    if len(asked) != 1 or asked[0] not in names:
        raise ModelMissing(
            f"{folder}: pooling {asked} is not supported (one of mean, cls, max, last token).", param="embed.model"
        )
    return names[asked[0]]


def _prefixes(folder: Path, name: str) -> tuple[str, str]:
    prompts = read_json(folder / "config_sentence_transformers.json").get("prompts") or {}
    query = str(prompts.get("query") or "")
    passage = str(prompts.get("document") or prompts.get("passage") or prompts.get("corpus") or "")
    if query or passage:
        return query, passage
    for part, of_query, of_passage in FAMILIES:
        if part in name.lower():
            return of_query, of_passage
    return "", ""


def _window(folder: Path) -> int:
    positions = positions_of(read_json(folder / "config.json"))
    said = read_json(folder / "sentence_bert_config.json").get("max_seq_length")
    return min(int(said), positions) if said else positions

"""What the JSON files beside a model's weights say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from penstock.core.errors import ModelMissing


def read_json(file: Path) -> dict[str, Any]:
    """The object in `file`; empty where there is no file. Raises ModelMissing for one that is damaged."""
    if not file.is_file():
        return {}
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ModelMissing(f"{file} is damaged: {error}. Fetch the model again.", param="embed.model") from error


def positions_of(config: dict[str, Any]) -> int:
    """The tokens of a text, special ones included, that a model with this config.json can tell apart."""
    positions = int(config.get("max_position_embeddings") or 512)
    if config.get("model_type") in {"roberta", "xlm-roberta", "mpnet", "camembert"}:
        positions -= int(config.get("pad_token_id", 1)) + 1  # they count positions from the one after the padding's id
    return positions

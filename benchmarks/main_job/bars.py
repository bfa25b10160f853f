"""The bars, and what was measured against each."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

FILE = Path(__file__).with_name("bars.toml")


class Bar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that must show itself."""

    what: str
    figure: str = ""
    elsewhere: str = ""
    corpus: str = ""
    """The bar is for this folder: other folders have the figure, and no verdict."""
    at_least: float | None = None
    at_most: float | None = None

    def met_by(self, value: float) -> bool:
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)


def read_bars(file: Path = FILE) -> list[Bar]:
    return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8"))["bar"], list[Bar])


def figure(results: Mapping[str, Any], path: str) -> float | None:
    """The number at a dotted path; None when it was not measured."""
    value: Any = results
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return float(value) if isinstance(value, int | float) else None


def compare(results: Mapping[str, Any], bars: list[Bar]) -> list[dict[str, Any]]:
    """Each bar with its measured value and whether it is met; None for both where nothing was measured."""
    rows = []
    for bar in bars:
        measured = figure(results, bar.figure) if bar.figure else None
        on = results.get("load" if bar.figure.startswith("load.") else "run", {}).get("corpus", "")
        judged = measured is not None and bar.corpus in ("", on)
        rows.append(
            msgspec.to_builtins(bar)
            | {"measured": measured, "on": on, "met": bar.met_by(measured) if judged and measured is not None else None}
        )
    return rows

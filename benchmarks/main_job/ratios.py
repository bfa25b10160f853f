"""Ours against the tutorial's, where both were measured in the same run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.main_job.bars import figure

PAIRS = {
    "ingest_rate": ("ingest.documents_per_s", "tutorial.ingest.documents_per_s"),
    "ingest_command": ("tutorial.ingest.command_s", "ingest.command_s"),
    "ingest_memory": ("ingest.peak_mb", "tutorial.ingest.peak_mb"),
    "search_rate": ("speed.search.together.per_s", "tutorial.speed.search.together.per_s"),
    "search_p50": ("speed.search.alone.p50_ms", "tutorial.speed.search.alone.p50_ms"),
    "server_memory": ("server.memory.resident_mb", "tutorial.server.memory.resident_mb"),
}
"""Rates: more than 1 is better for us. Memory and times under `p50`: less than 1 is."""


def ratios(results: Mapping[str, Any]) -> dict[str, float]:
    """Only those with both sides."""
    found = {}
    for name, (one, other) in PAIRS.items():
        ours, theirs = figure(results, one), figure(results, other)
        if ours is not None and theirs:
            found[name] = ours / theirs
    return found


def share_of_encode(results: Mapping[str, Any]) -> float | None:
    """Passages a second of a whole ingestion over those of the encoder alone."""
    whole, encoder = figure(results, "ingest.passages_per_s"), figure(results, "encode.penstock.passages.median")
    return whole / encoder if whole is not None and encoder else None

"""Real files of many kinds, with what a correct extraction must contain or how it must fail.

Needs the folder of test data (PENSTOCK_DATA); prints a line per file with `-s`.
"""

from __future__ import annotations

import json
import os
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from penstock.core.errors import BadDocument
from penstock.core.types import Document
from penstock.ingest.parser import ParseLimits, Parser

FOLDER = Path(os.environ.get("PENSTOCK_DATA", Path(__file__).parents[2] / "../shared/data")) / "ingest-a"
PHRASES_SHARE = 0.95
WALL_S, MEMORY_BYTES = 30.0, 512 * 1024 * 1024
REASONS = {
    "ocr": {"no_text"},
    "password": {"encrypted"},
    "error": {"corrupt", "unsupported", "too_large", "timeout", "memory"},
    "empty": {"empty"},
    "policy": {"forbidden"},
    "text": set(),
    "text-or-error": {"corrupt", "unsupported", "too_large"},
}


def normalised(text: str) -> str:
    """As the data's description says; the bars between a table's cells are how a Block writes a table, not its text."""
    text = unicodedata.normalize("NFKC", text).replace("\u00ad", "").replace("|", " ")
    return " ".join(text.split()).casefold()


def missing(document: Document, row: dict[str, Any]) -> list[str]:
    text = normalised(" ".join([document.title, *(block.text for block in document.blocks)]))
    return [phrase for phrase in [row["phrase"], *(row.get("also") or [])] if normalised(phrase) not in text]


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no test data at {FOLDER} (set PENSTOCK_DATA)")
async def test_every_row_of_the_manifest():
    rows = [json.loads(line) for line in (FOLDER / "manifest.jsonl").read_text().splitlines()]
    parser = Parser(limits=ParseLimits(), workers=1)
    wrong: list[str] = []
    phrases = found = 0
    try:
        for row in rows:
            content = (FOLDER / row["file"]).read_bytes()
            start = time.monotonic()
            lost: list[str] = []
            try:
                document = await parser.parse(content, filename=Path(row["file"]).name)
                lost = missing(document, row) if row["expect"].startswith("text") else []
                ended = "text"
            except BadDocument as error:
                ended = error.reason
            took = time.monotonic() - start
            if row["expect"] == "text":
                wanted = 1 + len(row.get("also") or [])
                phrases, found = phrases + wanted, found + (wanted - len(lost) if ended == "text" else 0)
            right = ended == "text" and not lost if row["expect"] == "text" else ended in REASONS[row["expect"]]
            right = right or (row["expect"] == "text-or-error" and ended == "text" and not lost)
            print(
                f"{'ok   ' if right else 'WRONG'} {row['expect']:13} {ended:11} {took * 1000:6.0f} ms",
                row["file"],
                lost or "",
            )
            if not right or took > WALL_S:
                wrong.append(f"{row['file']}: expected {row['expect']}, ended as {ended}, without {lost}")
    finally:
        peak_bytes = parser.peak_bytes
        await parser.stop()
    print(f"{found} of {phrases} phrases; {len(rows) - len(wrong)} of {len(rows)} rows")
    assert not wrong, "\n".join(wrong)
    assert found >= PHRASES_SHARE * phrases
    assert peak_bytes <= MEMORY_BYTES

"""A company's folder into a store: `python -m benchmarks.folder FOLDER_OR_TAR_ZST [--files 200] [--ids FILE]`.

Runs `penstock ingest` as a user would: everything; again without a change; again with some files edited. Beside it, the
encoder alone on the very passages that were stored, before and after, so that a machine that others use disturbs both.
With `--no-reuse` every text is encoded, also the copies.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from penstock.assemble import Penstock
from penstock.core.context import start_context
from penstock.core.types import Principal
from penstock.ingest.chunk import embedding_text
from penstock.settings import load_settings

GROUP = 256
"""Passages that ingestion encodes together."""


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="penstock-folder-") as place:
        work = Path(place)
        documents = _documents(arguments, work)
        figures = _measure(arguments, documents, work)
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a folder, or a .tar.zst (unpacked with the zstd tool)")
    parser.add_argument("--files", type=int, default=0, help="only so many, spread evenly; 0: all")
    parser.add_argument("--ids", type=Path, help="only the files that this list names, one a line")
    parser.add_argument("--edit", type=float, default=0.01, help="share of the files that are edited")
    parser.add_argument("--sample", type=int, default=768, help="passages that the encoder alone is given")
    parser.add_argument("--no-reuse", action="store_true", help="encode every text, as if none were there already")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


def _documents(arguments: argparse.Namespace, work: Path) -> Path:
    """A copy that may be edited."""
    source: Path = arguments.source
    if source.is_file():
        source = work / "unpacked"
        source.mkdir()
        subprocess.run(["tar", "--zstd", "-xf", arguments.source, "-C", source], check=True)
    files = sorted(path for path in source.rglob("*") if path.is_file())
    if arguments.ids:
        wanted = set(arguments.ids.read_text(encoding="utf-8").split("\n"))
        files = [path for path in files if any(path.as_posix().endswith(f"/{name}") for name in _ends(path, wanted))]
    if arguments.files:
        step = max(1, len(files) // arguments.files)
        files = files[::step][: arguments.files]
    documents = work / "documents"
    for path in files:
        target = documents / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return documents


def _ends(path: Path, wanted: set[str]) -> list[str]:
    """The ends of a path that the list has."""
    parts = path.parts
    return [name for start in range(len(parts)) if (name := "/".join(parts[start:])) in wanted]


def _measure(arguments: argparse.Namespace, documents: Path, work: Path) -> dict[str, object]:
    data = work / "data"
    files = sorted(path for path in documents.rglob("*") if path.is_file())
    full_s, said = _ingest(arguments, documents, data)
    print(said, file=sys.stderr)
    before = asyncio.run(_encoder_alone(arguments, data))
    again_s, said_again = _ingest(arguments, documents, data)
    edited = random.Random(arguments.seed).sample(files, max(1, round(arguments.edit * len(files))))  # noqa: S311 - a sample
    for path in edited:
        text = path.read_text(encoding="utf-8", errors="replace")
        path.write_text(f"{text}\n\nA sentence that was added on a later day.\n", encoding="utf-8")
    edited_s, said_edited = _ingest(arguments, documents, data)
    after = asyncio.run(_encoder_alone(arguments, data))
    print(said_again, said_edited, sep="\n", file=sys.stderr)
    alone = (before["passages_per_s"] + after["passages_per_s"]) / 2
    passages = before["passages"]
    return {
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "passages": passages,
        "full_s": round(full_s, 2),
        "passages_per_s": round(passages / full_s, 1),
        "encoder_alone_passages_per_s": round(alone, 1),
        "share_of_the_encoder_alone": round(passages / full_s / alone, 3),
        "again_s": round(again_s, 2),
        "edited_files": len(edited),
        "edited_s": round(edited_s, 2),
        "edited_share_of_full": round(edited_s / full_s, 4),
        "reused": "off" if arguments.no_reuse else "on",
        "load": os.getloadavg()[0],
    }


def _ingest(arguments: argparse.Namespace, documents: Path, data: Path) -> tuple[float, str]:
    """Seconds of the whole command, its start included, and what it said at its end."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    if arguments.no_reuse:
        environment["PENSTOCK_INGEST_REUSE_VECTORS"] = "false"
    command = [sys.executable, "-c", "from penstock.cli import main; main()", "ingest", str(documents)]
    began_s = time.perf_counter()
    done = subprocess.run([*command, "--data", str(data)], env=environment, capture_output=True, text=True, check=False)
    took_s = time.perf_counter() - began_s
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    return took_s, [line for line in done.stderr.splitlines() if " files read into " in line][-1]


async def _encoder_alone(arguments: argparse.Namespace, data: Path) -> dict[str, float]:
    """Passages a second of the encoder, given stored passages in the groups in which ingestion gives them."""
    settings = load_settings(environ={}, overrides={"data_dir": str(data)}).settings
    penstock = Penstock(settings=settings, environ=os.environ)
    await penstock.start()
    try:
        ctx = start_context(principal=Principal(), timeout_s=3600, priority="ingestion")
        store = await penstock.stores.get("default", "default")
        index = await penstock.indexes.of(store)
        rows = await penstock.ledger.all(store.id)
        budget = min(settings.ingest.chunk_tokens, penstock.encoder.tokenizer.max_tokens)
        texts: list[str] = []
        random.Random(arguments.seed).shuffle(rows)  # noqa: S311 - a sample
        for row in rows:
            entries, _ = await index.entries_of(row.file_id)
            texts += [embedding_text(entry.title, entry.chunk, max_tokens=budget) for entry in entries]
            if len(texts) >= arguments.sample:
                break
        texts = texts[: arguments.sample]
        await penstock.encoders.current.embed(texts[:64], ctx, kind="passage")
        began_s = time.perf_counter()
        for start in range(0, len(texts), GROUP):
            await penstock.encoders.current.embed(texts[start : start + GROUP], ctx, kind="passage")
        took_s = time.perf_counter() - began_s
        return {"passages": float(sum(row.chunks for row in rows)), "passages_per_s": len(texts) / took_s}
    finally:
        await penstock.stop()


if __name__ == "__main__":
    main()

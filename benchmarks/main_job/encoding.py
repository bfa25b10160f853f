"""The encoder alone, on the very texts that an ingestion gives it: runs `benchmarks.encode` on a sample of them."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.main_job.beir import Dataset, lines
from benchmarks.main_job.process import clean_environment, run
from penstock.config import Settings
from penstock.embed.recipe import read_recipe
from penstock.ingest.chunk import chunk_document, embedding_text
from penstock.ingest.records import document_of
from penstock.models.locate import Located, locate
from penstock.models.tokens import EncoderTokenizer


def model_files(settings: Settings) -> Located:
    """Where the encoder's files are. Raises ModelMissing."""
    return locate(settings.embed.model, revision=settings.embed.revision or None)


def encode_figures(
    data: Dataset, folder: Path, *, root: Path, texts: int, repeats: int, peer: Path | None
) -> dict[str, Any]:
    """What `benchmarks.encode` reports, in turns with sentence-transformers where `peer` is its Python.

    Writes its input into `folder`. Raises Failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    step = max(1, data.passages // texts)
    sample = list(itertools.islice(encoder_texts(data.corpus, step=step), texts))
    # As many questions as passages, whether the folder has that many or not.
    every = max(1, len(data.answerable) // texts)
    questions = list(itertools.islice(itertools.cycle(question.text for question in data.answerable[::every]), texts))
    for name, written in (("corpus.jsonl", sample), ("queries.jsonl", questions)):
        rows = [json.dumps({"_id": str(number), "text": text}) + "\n" for number, text in enumerate(written)]
        (folder / name).write_text("".join(rows), encoding="utf-8")
    figures = folder / "encode.json"
    command = [sys.executable, "-m", "benchmarks.encode", "--beir", str(folder), "--json", str(figures)]
    command += ["--texts", str(texts), "--repeats", str(repeats)]
    command += ["--peer-python", str(peer)] if peer else ["--no-peer"]
    run(command, env=clean_environment(), cwd=root)
    reported: dict[str, Any] = json.loads(figures.read_text(encoding="utf-8"))
    return reported | {"texts": len(sample)}


def encoder_texts(corpus: Path, *, step: int) -> Iterator[str]:
    """What the encoder reads of every `step`th document, with the default settings."""
    settings = Settings()
    found = model_files(settings)
    recipe = read_recipe(found.folder, name=found.name)
    tokenizer = EncoderTokenizer(file=found.folder / "tokenizer.json", max_tokens=recipe.max_tokens)
    tokenizer.start()
    budget = min(settings.ingest.chunk_tokens, tokenizer.max_tokens)
    for line in itertools.islice(lines(corpus), 0, None, step):
        record = {name: line[name] for name in ("_id", "text", "title") if name in line}
        document = document_of(json.dumps(record).encode())
        chunks = chunk_document(
            document,
            tokenizer=tokenizer,
            max_tokens=budget,
            merge_below_tokens=settings.ingest.merge_below_tokens,
            language=settings.ingest.language,
            namespace="bench",
        )
        yield from (embedding_text(document.title, chunk, max_tokens=budget) for chunk in chunks)

"""Runs over folders and large files: what is gone goes, what was done is not read again, no text is encoded twice."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from penstock.catalog.seen import SeenFiles
from penstock.config import IngestSettings
from penstock.core.context import Context
from penstock.core.errors import InvalidRequest
from penstock.core.ports import TextKind
from penstock.core.types import Store, Vectors
from penstock.ingest.source import walk
from penstock.pipeline.checkpoint import NAME, Checkpoint
from penstock.pipeline.document import Ingestion, Progress
from penstock.pipeline.intake import Intake
from penstock.telemetry.metrics import Metrics
from tests.hashing import HashingEmbedder
from tests.pipeline.test_document import RecordReader, World, context


class CountingEmbedder(HashingEmbedder):
    """Knows what it was asked to encode."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def embed(self, texts: Sequence[str], ctx: Context, *, kind: TextKind = "query") -> Vectors:
        self.texts += texts
        return await super().embed(texts, ctx, kind=kind)


class FolderReader(RecordReader):
    """Files of text, as records."""

    async def parse(self, content: bytes, source, *, tenant: str):  # type: ignore[no-untyped-def]
        if source.kind == "file":
            content = json.dumps({"_id": source.name, "text": content.decode()}).encode()
        return await super().parse(content, source, tenant=tenant)


class Intakes:
    """A store, and runs over paths into it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.embedder = CountingEmbedder()
        self.reader = FolderReader()
        self.folder = world.folder / "store"

    async def run(self, *paths: Path, in_step: bool = False, even_most: bool = False, stop_after: int = 0) -> Progress:
        self.embedder.texts.clear()
        self.reader.parsed.clear()

        async def make(seen, settled) -> Ingestion:  # type: ignore[no-untyped-def]
            def settle(source) -> None:  # type: ignore[no-untyped-def]
                settled(source)
                nonlocal stop_after
                stop_after -= 1
                if stop_after == 0:
                    raise RuntimeError("killed")

            return Ingestion(
                store=self.world.store, index=self.world.index, embedder=self.embedder, reader=self.reader,
                records=self.world.ledger, metrics=Metrics(), group_chunks=64, seen=seen,
                settled=settle if settled else None,
            )  # fmt: skip

        intake = Intake(
            store=self.world.store,
            folder=self.folder,
            fingerprint="f",
            sources=lambda resume: walk(paths, settings=IngestSettings(), resume=resume),
            make_run=make,
            seen=SeenFiles(database=self.world.database),
            detach=self._detach,
        )
        return await (intake.run_in_step(context(), even_most=even_most) if in_step else intake.run(context()))

    async def _detach(self, store: Store, file_id: str, ctx: Context) -> None:
        await self.world.ledger.remove(store.id, [file_id])

    async def names(self) -> set[str]:
        return {record.filename for record in await self.world.ledger.all(self.world.store.id)}


@pytest.fixture
async def intakes(tmp_path: Path) -> AsyncIterator[Intakes]:
    (tmp_path / "world").mkdir()
    world = World(tmp_path / "world")
    await world.start()
    yield Intakes(world)
    await world.stop()


def write(folder: Path, texts: dict[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder


def paragraphs(*words: str) -> str:
    return "\n\n".join(f"{word} stands in a paragraph of its own. " * 5 for word in words)


# --- no text is encoded twice ------------------------------------------------------------


async def test_of_a_changed_file_only_the_changed_passages_are_encoded(intakes: Intakes, tmp_path: Path) -> None:
    folder = write(tmp_path / "docs", {"a.txt": paragraphs("alpha", "beta", "gamma", "delta")})
    first = await intakes.run(folder)
    write(folder, {"a.txt": paragraphs("new", "alpha", "beta", "changed", "delta")})

    second = await intakes.run(folder)

    assert first.chunks >= 4
    assert sorted(intakes.embedder.texts) == sorted(
        text for text in intakes.embedder.texts if "new" in text or "changed" in text
    )
    assert 0 < len(intakes.embedder.texts) < second.chunks
    assert second.reused == second.chunks - len(intakes.embedder.texts)
    found = await intakes.world.found("gamma changed")
    assert any("changed" in text for text in found)
    assert not any("gamma" in text for text in found)


async def test_a_store_of_reused_vectors_equals_one_made_afresh(intakes: Intakes, tmp_path: Path) -> None:
    folder = write(tmp_path / "docs", {"a.txt": paragraphs("alpha", "beta"), "b.txt": paragraphs("beta", "gamma")})
    await intakes.run(folder)
    for text in (paragraphs("beta", "alpha"), paragraphs("gamma", "beta", "alpha"), paragraphs("x", "alpha", "beta")):
        write(folder, {"a.txt": text})
        await intakes.run(folder)
    fresh = World(write(tmp_path / "fresh", {}))
    await fresh.start()
    again = Intakes(fresh)
    await again.run(folder)

    assert await fresh.index.dump() == await intakes.world.index.dump()
    await fresh.stop()


async def test_copies_and_renames_are_not_encoded(intakes: Intakes, tmp_path: Path) -> None:
    folder = write(tmp_path / "docs", {"a.txt": paragraphs("alpha"), "copy.txt": paragraphs("alpha")})
    first = await intakes.run(folder)
    (folder / "a.txt").rename(folder / "z.txt")

    second = await intakes.run(folder, in_step=True)

    assert first.reused == first.chunks // 2
    assert intakes.embedder.texts == []
    assert (second.completed, second.removed) == (1, 1)
    assert await intakes.names() == {"copy.txt", "z.txt"}


# --- what is gone ------------------------------------------------------------------------


async def test_a_run_in_step_takes_out_what_is_gone_and_nothing_else_does(intakes: Intakes, tmp_path: Path) -> None:
    folder = write(tmp_path / "docs", {f"{n}.txt": f"number {n}" for n in range(4)})
    await intakes.run(folder)
    (folder / "3.txt").unlink()

    assert (await intakes.run(folder)).removed == 0
    assert len(await intakes.names()) == 4
    assert (await intakes.run(folder, in_step=True)).removed == 1
    assert await intakes.names() == {"0.txt", "1.txt", "2.txt"}


async def test_an_empty_folder_empties_no_store_unless_told_to(intakes: Intakes, tmp_path: Path) -> None:
    folder = write(tmp_path / "docs", {f"{n}.txt": f"number {n}" for n in range(30)})
    await intakes.run(folder)
    for file in sorted(folder.iterdir())[:20]:
        file.unlink()

    with pytest.raises(InvalidRequest, match="may not be mounted"):
        await intakes.run(folder, in_step=True)
    assert len(await intakes.names()) == 30
    assert (await intakes.run(folder, in_step=True, even_most=True)).removed == 20
    with pytest.raises(InvalidRequest, match="--even-most"):
        await intakes.run(write(tmp_path / "empty", {}), in_step=True)


# --- going on after a kill -----------------------------------------------------------------


def jsonl(path: Path, count: int) -> Path:
    path.write_text("".join(json.dumps({"_id": f"d{n}", "text": f"document number {n}"}) + "\n" for n in range(count)))
    return path


async def test_an_interrupted_run_goes_on_where_it_was(intakes: Intakes, tmp_path: Path) -> None:
    corpus = jsonl(tmp_path / "corpus.jsonl", 700)
    with pytest.raises(RuntimeError, match="killed"):
        await intakes.run(corpus, stop_after=1)
    assert (intakes.folder / NAME).exists()

    rest = await intakes.run(corpus)

    assert rest.skipped >= 256
    assert rest.seen == 700 - rest.skipped
    assert len(await intakes.names()) == 700
    assert not (intakes.folder / NAME).exists(), "a run that ended leaves nothing to go on from"
    assert (await intakes.run(corpus)).unchanged == 700


def test_a_checkpoint_holds_for_the_same_file_and_splitter_only(tmp_path: Path) -> None:
    first = Checkpoint(folder=tmp_path, fingerprint="one")
    first.note("file:1", 100, 5)

    assert Checkpoint(folder=tmp_path, fingerprint="one").resume("file:1") == (100, 5)
    assert Checkpoint(folder=tmp_path, fingerprint="one").resume("file:2") == (0, 0)
    assert Checkpoint(folder=tmp_path, fingerprint="two").resume("file:1") == (0, 0)
    (tmp_path / NAME).write_text('{"fingerp')
    assert Checkpoint(folder=tmp_path, fingerprint="one").resume("file:1") == (0, 0)

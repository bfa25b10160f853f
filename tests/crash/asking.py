"""`python -m tests.crash.asking`: asks the nodes whose folders it is given everything that they can be asked."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from pathlib import Path

from penstock.core.errors import DataDamaged, PenstockError
from penstock.core.types import Query
from tests.crash.script import Node
from tests.hashing import HashingEmbedder

QUESTIONS = ("f1 version3 words", "keeps these words", "part of version5 of f5", "f2 has version2 now")


async def asked(folder: Path) -> object:
    """Dump, hits of each question, rows of the ledger, originals. Raises what the damage makes it raise."""
    node = Node(folder)
    try:
        await node.start()
        hits = []
        for question in QUESTIONS:
            vector = (await HashingEmbedder().embed([question], node.ctx))[0]
            found = await node.index.search(Query(text=question, limit=10), vector, node.ctx)
            if found.missing:
                raise DataDamaged("The answer says that passages are damaged.")
            hits.append([f"{hit.chunk.text} {hit.score:.3f}" for hit in found.hits])
        rows = [(row.file_id, row.status, row.chunks) for row in await node.ledger.all(node.store.id)]
        names = sorted(path.name for path in (folder / "files").iterdir() if path.suffix != ".part")
        originals = [node.originals.read(name) for name in names]
        return await node.index.dump(), hits, rows, originals
    finally:
        await node.stop()


def serve() -> None:
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            try:
                answers = asyncio.run(asked(Path(line.strip())))
                said = f"answers {hashlib.sha256(repr(answers).encode()).hexdigest()}"
            except PenstockError:
                said = "found"
            sys.stdout.write(f"{said}\n")
            sys.stdout.flush()
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if status:
            sys.stdout.write(f"died of {status}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    serve()

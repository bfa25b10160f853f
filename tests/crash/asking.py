"""`python -m tests.crash.asking`: asks the nodes whose folders it is given everything that they can be asked.

For each it prints `answers`, a hash of what is said, and one of the order and the scores in which it is; or `found`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from pathlib import Path

from penstock.core.errors import DataDamaged, PenstockError
from penstock.core.types import Query
from tests.crash.script import Node, text_of
from tests.hashing import HashingEmbedder

QUESTIONS = ("f1 version3 words", "keeps these words", "part of version5 of f5", "f2 has version2 now")


async def asked(folder: Path) -> tuple[object, object]:
    """What is said: dump, ledger, originals, and whether each hit is a passage that was written; and the hits in their
    order with their scores. Raises what the damage makes it raise.
    """
    node = Node(folder)
    try:
        await node.start()
        hits, genuine = [], True
        for question in QUESTIONS:
            vector = (await HashingEmbedder().embed([question], node.ctx))[0]
            found = await node.index.search(Query(text=question, limit=10), vector, node.ctx)
            if found.missing:
                raise DataDamaged("The answer says that passages are damaged.")
            genuine = genuine and all(_words(hit.chunk.text) in _words(_written(hit.file_id)) for hit in found.hits)
            hits.append([f"{hit.chunk.text} {hit.score:.3f}" for hit in found.hits])
        rows = [(row.file_id, row.status, row.chunks) for row in await node.ledger.all(node.store.id)]
        names = sorted(path.name for path in (folder / "files").iterdir() if path.suffix != ".part")
        originals = [node.originals.read(name) for name in names]
        return (await node.index.dump(), rows, originals, genuine), hits
    finally:
        await node.stop()


def _written(file: str) -> str:
    """The text of one of the files, which are named after the versions that were ingested."""
    return text_of(file, int(file[1:]))


def _words(text: str) -> str:
    return " ".join(text.split())


def _hash(what: object) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()


def serve() -> None:
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            try:
                said = " ".join(["answers", *map(_hash, asyncio.run(asked(Path(line.strip()))))])
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

"""`penstock ingest`: documents into a store."""

from __future__ import annotations

import asyncio
from pathlib import Path

from penstock.assemble import Penstock
from penstock.cli.progress import IngestionView
from penstock.cli.session import OWNER, Session
from penstock.ingest.fetch import is_url
from penstock.ingest.source import total_bytes
from penstock.pipeline.document import Progress


async def ingest(
    session: Session, paths: list[str], store_name: str, *, in_step: bool = False, even_most: bool = False
) -> int:
    """Exit code 1 when files failed."""
    async with session.assembled() as penstock:
        progress = await read_into(penstock, session, paths, store_name, in_step=in_step, even_most=even_most)
    return 1 if progress.failed or progress.remark else 0


async def read_into(
    penstock: Penstock,
    session: Session,
    paths: list[str],
    store_name: str,
    *,
    in_step: bool = False,
    even_most: bool = False,
) -> Progress:
    """Bring the paths' documents into the named store, showing how it goes."""
    penstock.sources(paths)  # a path that is missing is said before a store is made for it
    store = await penstock.store_for_writing(OWNER.tenant, store_name)
    with IngestionView(title=store.name) as view:
        files = [Path(path) for path in paths if not is_url(path)]
        counting = asyncio.create_task(asyncio.to_thread(total_bytes, files), name="count-bytes")
        counting.add_done_callback(lambda task: view.expect(task.result()) if not task.exception() else None)
        progress = await penstock.bring_in(
            store,
            paths,
            session.context(priority="ingestion"),
            in_step=in_step,
            even_most=even_most,
            report=view.update,
        )
        await asyncio.wait({counting})
    view.finish(progress)
    return progress

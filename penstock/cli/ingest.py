"""`penstock ingest`: documents into a store."""

from __future__ import annotations

from pathlib import Path

from penstock.assemble import Penstock
from penstock.cli.progress import IngestionView
from penstock.cli.session import OWNER, Session
from penstock.pipeline.document import Progress


async def ingest(session: Session, paths: list[Path], store_name: str) -> int:
    """Exit code 1 when files failed."""
    async with session.assembled() as penstock:
        progress = await read_into(penstock, session, paths, store_name)
    return 1 if progress.failed else 0


async def read_into(penstock: Penstock, session: Session, paths: list[Path], store_name: str) -> Progress:
    """Bring the named store in step with the paths, showing how it goes."""
    sources = penstock.sources(paths)
    store = await penstock.store_for_writing(OWNER.tenant, store_name)
    with IngestionView(title=store.name) as view:
        progress = await penstock.ingest(store, sources, session.context(priority="ingestion"), report=view.update)
    view.finish(progress)
    return progress

"""Commands that only look: `stores`, `dump`, `config show`."""

from __future__ import annotations

import sys

import msgspec
from rich.console import Console
from rich.table import Table

from penstock.cli.session import OWNER, Session


async def stores(session: Session, *, as_json: bool) -> int:
    async with session.assembled(encoder=False) as penstock:
        rows = [
            {
                "id": store.id,
                "name": store.name,
                "embedder": store.embedder,
                "files": await penstock.ledger.counts(store.id),
            }
            for store in await penstock.stores.list(OWNER.tenant)
        ]
    if as_json:
        _write_json(rows)
        return 0
    table = Table("name", "id", "files", "embedder", box=None, header_style="bold")
    for row in rows:
        states = row["files"]
        assert isinstance(states, dict)
        table.add_row(
            str(row["name"]),
            str(row["id"]),
            ", ".join(f"{count} {state}" for state, count in sorted(states.items())),
            str(row["embedder"]),
        )
    Console().print(table if rows else "No stores yet. Read some documents first: penstock ingest PATH")
    return 0


async def dump(session: Session, name: str) -> int:
    async with session.assembled(encoder=False) as penstock:
        async for line in penstock.dump(await penstock.stores.get(OWNER.tenant, name)):
            sys.stdout.write(line + "\n")
    return 0


def settings(session: Session, *, as_json: bool) -> int:
    origins = session.loaded.origins
    if as_json:
        _write_json([{"key": origin.key, "value": origin.value, "source": origin.source} for origin in origins])
        return 0
    table = Table("setting", "value", "from", box=None, header_style="bold")
    for origin in origins:
        table.add_row(origin.key, str(origin.value), origin.source, style="" if origin.source == "default" else "cyan")
    Console().print(table)
    return 0


def _write_json(value: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")

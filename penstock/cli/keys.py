"""`penstock keys`: who may call. Works beside a running server, which knows within five seconds."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from penstock.assemble import CATALOG_FILE
from penstock.catalog.database import Database
from penstock.catalog.keys import SCOPES, Key, Keys, Scope, read_secret
from penstock.cli.session import Session
from penstock.core.types import Allowance, Priority

DAY_S = 86_400.0


async def create(
    session: Session,
    *,
    name: str,
    tenant: str,
    scope: Scope,
    groups: list[str],
    expires_days: float | None,
    priority: Priority = "interactive",
    allowance: Allowance = Allowance(),  # noqa: B008 - frozen
) -> int:
    """Print the key: the only time that it is shown."""
    async with _keys(session) as keys:
        secret = await asyncio.to_thread(read_secret, Path(session.settings.data_dir))
        _, token = await keys.create(
            secret=secret,
            tenant=tenant,
            name=name,
            scopes=(scope,) if scope == "worker" else SCOPES[: SCOPES.index(scope) + 1],
            groups=groups,
            expires_s=None if expires_days is None else time.time() + expires_days * DAY_S,
            priority=priority,
            allowance=allowance,
        )
    sys.stdout.write(f"{token}\n")
    sys.stderr.write("Keep it now: it cannot be shown again. From now on every request needs a key.\n")
    return 0


async def show(session: Session, *, as_json: bool) -> int:
    """All keys, by what may be shown of them."""
    async with _keys(session) as keys:
        every = await keys.every()
    if as_json:
        sys.stdout.write(json.dumps([_row(key) for key in every], indent=2) + "\n")
        return 0
    table = Table("id", "prefix", "name", "tenant", "scopes", "groups", "priority", "made", "state")
    for key in every:
        row = _row(key)
        table.add_row(*(str(row[column]) for column in row))
    Console().print(table if every else "There are no keys: the server answers this machine only.")
    return 0


async def revoke(session: Session, identifier: str) -> int:
    """End a key by its id or prefix."""
    async with _keys(session) as keys:
        key = await keys.revoke(identifier)
    sys.stderr.write(f"{key.prefix}… is revoked; a running server refuses it within five seconds.\n")
    return 0


async def there_are_keys(session: Session) -> bool:
    """Whether requests need a key; looks without making anything."""
    if not (Path(session.settings.data_dir) / CATALOG_FILE).exists():
        return False
    async with _keys(session) as keys:
        return bool(await keys.every())


@asynccontextmanager
async def _keys(session: Session) -> AsyncIterator[Keys]:
    folder = Path(session.settings.data_dir)
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    database = Database(path=folder / CATALOG_FILE, busy_timeout_s=session.settings.catalog.busy_timeout_s)
    try:
        await database.start()
        yield Keys(database=database)
    finally:
        await database.stop()


def _row(key: Key) -> dict[str, str]:
    return {
        "id": key.id,
        "prefix": f"{key.prefix}…",
        "name": key.name,
        "tenant": key.tenant,
        "scopes": " ".join(key.scopes),
        "groups": " ".join(key.groups),
        "priority": key.priority,
        "made": _day(key.created_s),
        "state": _state(key),
    }


def _state(key: Key) -> str:
    if key.revoked_s is not None:
        return f"revoked {_day(key.revoked_s)}"
    if key.expires_s is not None:
        return f"{'expired' if key.expires_s <= time.time() else 'until'} {_day(key.expires_s)}"
    return "valid"


def _day(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d")

"""API keys: made once, shown once, and known here only by a keyed hash."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast

import msgspec

from penstock.catalog.database import Database
from penstock.core.errors import DataDamaged, NotFound
from penstock.core.types import Allowance, Principal, Priority, Value

Scope = Literal["read", "write", "admin", "worker"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
"""Each includes those before it. `worker` stands alone: it opens what `penstock worker` needs, and nothing else."""
SECRET_BYTES = 32
KEY_BYTES = 24
"""192 bits: nobody guesses one."""
MARK = "psk_"
PREFIX_CHARS = len(MARK) + 8


class Key(Value, frozen=True):
    """What is known of a key. `prefix` is how its owner recognises it."""

    id: str
    tenant: str
    name: str
    prefix: str
    hash: bytes
    scopes: tuple[Scope, ...]
    groups: tuple[str, ...]
    created_s: float
    expires_s: float | None = None
    revoked_s: float | None = None
    priority: Priority = "interactive"
    allowance: Allowance = Allowance()

    def valid_until_s(self) -> float:
        """Unix time."""
        ends = [end for end in (self.expires_s, self.revoked_s) if end is not None]
        return min(ends, default=float("inf"))

    @property
    def principal(self) -> Principal:
        return Principal(
            tenant=self.tenant,
            key_id=self.id,
            groups=self.groups,
            scopes=self.scopes,
            priority=self.priority,
            allowance=self.allowance,
        )


FIELDS = Key.__struct_fields__
COLUMNS = ", ".join(FIELDS)


class Keys:
    """The keys of all tenants."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def create(
        self,
        *,
        secret: bytes,
        tenant: str = "default",
        name: str = "",
        scopes: Sequence[Scope] = ("read",),
        groups: Sequence[str] = (),
        expires_s: float | None = None,
        priority: Priority = "interactive",
        allowance: Allowance = Allowance(),  # noqa: B008 - frozen
    ) -> tuple[Key, str]:
        """The key's record, and the key itself, which nobody can show again."""
        token = f"{MARK}{secrets.token_urlsafe(KEY_BYTES)}"
        key = Key(
            id=f"key_{secrets.token_hex(8)}",
            tenant=tenant,
            name=name,
            prefix=token[:PREFIX_CHARS],
            hash=hash_of(token.encode(), secret),
            scopes=tuple(scopes),
            groups=tuple(groups),
            created_s=time.time(),
            expires_s=expires_s,
            priority=priority,
            allowance=allowance,
        )
        values = msgspec.structs.asdict(key)
        values["scopes"] = " ".join(key.scopes)
        values["groups"] = msgspec.json.encode(key.groups).decode()
        values["allowance"] = msgspec.json.encode(key.allowance).decode()
        marks = ", ".join("?" * len(FIELDS))
        await self._database.run(
            lambda connection: connection.execute(
                f"INSERT INTO keys ({COLUMNS}) VALUES ({marks})",  # noqa: S608 - a constant of ours
                tuple(values[field] for field in FIELDS),
            )
        )
        return key, token

    async def every(self) -> list[Key]:
        """All keys, the oldest first, those that are no longer valid too."""

        def work(connection: sqlite3.Connection) -> list[Key]:
            rows = connection.execute(f"SELECT {COLUMNS} FROM keys ORDER BY created_s, id")  # noqa: S608 - a constant of ours
            return [_key(row) for row in rows]

        return await self._database.run(work)

    async def revoke(self, identifier: str) -> Key:
        """End a key, by its id or its prefix. Raises NotFound when none, or more than one, goes by it."""

        def work(connection: sqlite3.Connection) -> Key:
            rows = connection.execute(
                f"SELECT {COLUMNS} FROM keys WHERE id = ? OR prefix = ?",  # noqa: S608 - a constant of ours
                (identifier, identifier),
            ).fetchall()
            if len(rows) != 1:
                raise NotFound("key", identifier)
            key = _key(rows[0])
            ended_s = time.time() if key.revoked_s is None else key.revoked_s
            connection.execute("UPDATE keys SET revoked_s = ? WHERE id = ?", (ended_s, key.id))
            return msgspec.structs.replace(key, revoked_s=ended_s)

        return await self._database.run(work)


def read_secret(folder: Path) -> bytes:
    """What keys are hashed with, made on first use; without this file no stolen catalog tells whether a key is right.

    Raises DataDamaged.
    """
    path = folder / "secret"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        secret = path.read_bytes()
    else:
        secret = secrets.token_bytes(SECRET_BYTES)
        with os.fdopen(handle, "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
    if len(secret) != SECRET_BYTES:
        raise DataDamaged(f"{path} does not hold {SECRET_BYTES} bytes. Restore it from a backup, or no key is valid.")
    return secret


def hash_of(token: bytes, secret: bytes) -> bytes:
    """Keyed SHA-256."""
    return hmac.digest(secret, token, hashlib.sha256)


def _key(row: Sequence[object]) -> Key:
    values = dict(zip(FIELDS, row, strict=True))
    values["scopes"] = tuple(cast("str", values["scopes"]).split())
    values["groups"] = tuple(msgspec.json.decode(cast("str", values["groups"])))
    values["allowance"] = msgspec.json.decode(cast("str", values["allowance"]))
    return msgspec.convert(values, Key)

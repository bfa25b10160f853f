"""Files that arrive in parts: what is declared, which parts are there, and what became of it."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from penstock.catalog.database import Database
from penstock.core.errors import Conflict, InvalidRequest, NotFound, TooLarge
from penstock.core.types import StoredFile, Value

PartialStatus = Literal["pending", "completed", "cancelled", "expired"]

LIFETIME_S = 3600.0
"""How long the parts of an upload may take, all together."""
MAX_PARTS = 10_000
MAX_PENDING = 1_000
"""Uploads that a tenant may have under way."""


class PartialUpload(Value, frozen=True):
    """An upload in parts. `size_bytes` is what its parts must come to."""

    id: str
    tenant: str
    filename: str
    purpose: str
    mime_type: str
    size_bytes: int
    status: PartialStatus
    file_id: str | None
    created_s: float
    expires_s: float


class Part(Value, frozen=True):
    """A part that is there."""

    id: str
    upload_id: str
    size_bytes: int
    created_s: float


FIELDS = PartialUpload.__struct_fields__
COLUMNS = ", ".join(FIELDS)


class PartialUploads:
    """The uploads of all tenants; every question names the tenant."""

    def __init__(self, *, database: Database, now_s: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now_s = now_s

    async def create(
        self, *, tenant: str, filename: str, purpose: str, mime_type: str, size_bytes: int
    ) -> PartialUpload:
        """Raises Conflict when the tenant has too many under way."""
        now_s = self._now_s()
        upload = PartialUpload(
            id=f"upload_{secrets.token_hex(12)}",
            tenant=tenant,
            filename=filename,
            purpose=purpose,
            mime_type=mime_type,
            size_bytes=size_bytes,
            status="pending",
            file_id=None,
            created_s=now_s,
            expires_s=now_s + LIFETIME_S,
        )

        def work(connection: sqlite3.Connection) -> None:
            pending = connection.execute(
                "SELECT count(*) FROM uploads WHERE tenant = ? AND status = 'pending' AND expires_s > ?",
                (tenant, now_s),
            ).fetchone()[0]
            if pending >= MAX_PENDING:
                raise Conflict(f"There are {pending} uploads under way. Complete or cancel some first.")
            marks = ", ".join("?" * len(FIELDS))
            connection.execute(
                f"INSERT INTO uploads ({COLUMNS}) VALUES ({marks})",  # noqa: S608 - a constant of ours
                msgspec.structs.astuple(upload),
            )

        await self._database.run(work)
        return upload

    async def get(self, tenant: str, identifier: str) -> PartialUpload:
        """Raises NotFound, the same for a foreign upload as for none."""
        return await self._database.run(lambda connection: self._one(connection, tenant, identifier))

    async def pending(self, tenant: str, identifier: str) -> PartialUpload:
        """The same; raises Conflict for one that takes no parts any more."""
        return await self._database.run(lambda connection: self._pending(connection, tenant, identifier))

    async def add_part(self, tenant: str, identifier: str, part: Part) -> None:
        """The part's bytes are durable already. Raises NotFound, Conflict, TooLarge."""

        def work(connection: sqlite3.Connection) -> None:
            upload = self._pending(connection, tenant, identifier)
            count, sum_bytes = connection.execute(
                "SELECT count(*), coalesce(sum(size_bytes), 0) FROM upload_parts WHERE upload_id = ?", (upload.id,)
            ).fetchone()
            if count >= MAX_PARTS:
                raise Conflict(f"The upload has {count} parts; there are at most {MAX_PARTS}.")
            # Parts may be sent again and left out when completing, but not without end.
            if sum_bytes + part.size_bytes > 2 * upload.size_bytes:
                raise TooLarge(f"The parts are far over the {upload.size_bytes} bytes of the upload.", param="data")
            connection.execute(
                "INSERT INTO upload_parts (id, upload_id, size_bytes, created_s) VALUES (?, ?, ?, ?)",
                msgspec.structs.astuple(part),
            )

        await self._database.run(work)

    async def parts(self, upload: PartialUpload, part_ids: Sequence[str]) -> list[Part]:
        """These parts in this order. Raises InvalidRequest unless they are the upload's, each once, and all of it."""

        def work(connection: sqlite3.Connection) -> list[Part]:
            rows = connection.execute(
                "SELECT id, upload_id, size_bytes, created_s FROM upload_parts WHERE upload_id = ?", (upload.id,)
            )
            known = {row[0]: Part(id=row[0], upload_id=row[1], size_bytes=row[2], created_s=row[3]) for row in rows}
            for place, part_id in enumerate(part_ids):
                if part_id not in known:
                    raise InvalidRequest("The upload has no such part.", param=f"part_ids[{place}]")
            if len(set(part_ids)) < len(part_ids):
                raise InvalidRequest("A part is named twice.", param="part_ids")
            parts = [known[part_id] for part_id in part_ids]
            sum_bytes = sum(part.size_bytes for part in parts)
            if sum_bytes != upload.size_bytes:
                raise InvalidRequest(
                    f"The parts have {sum_bytes} bytes together; the upload was declared with {upload.size_bytes}.",
                    param="part_ids",
                )
            return parts

        return await self._database.run(work)

    async def completed(self, upload: PartialUpload, file: StoredFile) -> PartialUpload:
        """The file is there, in the same transaction. Raises Conflict when the upload has ended in the meantime."""

        def work(connection: sqlite3.Connection) -> PartialUpload:
            self._pending(connection, upload.tenant, upload.id)
            fields = StoredFile.__struct_fields__
            connection.execute(
                f"INSERT INTO files ({', '.join(fields)}) VALUES ({', '.join('?' * len(fields))})",  # noqa: S608 - a constant of ours
                msgspec.structs.astuple(file),
            )
            connection.execute(
                "UPDATE uploads SET status = 'completed', file_id = ? WHERE id = ?", (file.id, upload.id)
            )
            connection.execute("DELETE FROM upload_parts WHERE upload_id = ?", (upload.id,))
            return self._one(connection, upload.tenant, upload.id)

        return await self._database.run(work)

    async def cancel(self, tenant: str, identifier: str) -> PartialUpload:
        """No parts any more; to cancel twice changes nothing. Raises NotFound; Conflict for one that is complete."""

        def work(connection: sqlite3.Connection) -> PartialUpload:
            upload = self._one(connection, tenant, identifier)
            if upload.status == "cancelled":
                return upload
            self._pending(connection, tenant, identifier)
            connection.execute("UPDATE uploads SET status = 'cancelled' WHERE id = ?", (identifier,))
            connection.execute("DELETE FROM upload_parts WHERE upload_id = ?", (identifier,))
            return self._one(connection, tenant, identifier)

        return await self._database.run(work)

    async def expire(self) -> None:
        """Give up parts of uploads that ran out of time; forget uploads a day after they ended, whatever their end."""
        now_s = self._now_s()

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "DELETE FROM upload_parts WHERE upload_id IN "
                "(SELECT id FROM uploads WHERE status = 'pending' AND expires_s <= ?)",
                (now_s,),
            )
            connection.execute("DELETE FROM uploads WHERE expires_s <= ?", (now_s - 86_400.0,))

        await self._database.run(work)

    async def wanted(self) -> set[str]:
        """Ids of all parts that are to be kept, of all tenants."""

        def work(connection: sqlite3.Connection) -> set[str]:
            return {row[0] for row in connection.execute("SELECT id FROM upload_parts")}

        return await self._database.run(work)

    def _one(self, connection: sqlite3.Connection, tenant: str, identifier: str) -> PartialUpload:
        row = connection.execute(
            f"SELECT {COLUMNS} FROM uploads INDEXED BY uploads_by_owner WHERE tenant = ? AND id = ?",  # noqa: S608 - a constant of ours
            (tenant, identifier),
        ).fetchone()
        if row is None:
            raise NotFound("upload", identifier)
        values: dict[str, Any] = dict(zip(FIELDS, row, strict=True))
        if values["status"] == "pending" and values["expires_s"] <= self._now_s():
            values["status"] = "expired"
        return PartialUpload(**values)

    def _pending(self, connection: sqlite3.Connection, tenant: str, identifier: str) -> PartialUpload:
        upload = self._one(connection, tenant, identifier)
        if upload.status != "pending":
            raise Conflict(f"The upload is {upload.status}: begin another one.")
        return upload

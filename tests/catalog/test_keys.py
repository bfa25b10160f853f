from __future__ import annotations

import base64
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.catalog.database import Database
from penstock.catalog.keys import Keys, hash_of, read_secret
from penstock.core.errors import DataDamaged, NotFound

SECRET = b"s" * 32


@pytest.fixture
async def keys(tmp_path: Path) -> AsyncIterator[Keys]:
    database = Database(path=tmp_path / "catalog.db")
    await database.start()
    yield Keys(database=database)
    await database.stop()


async def test_a_key_is_known_only_by_its_hash(keys: Keys, tmp_path: Path) -> None:
    key, token = await keys.create(secret=SECRET, tenant="t", name="n", scopes=("read", "write"), groups=("g", "h"))

    (known,) = await keys.every()
    assert known == key
    assert known.hash == hash_of(token.encode(), SECRET) != hash_of(token.encode(), b"x" * 32)
    assert (known.tenant, known.principal.groups, known.principal.scopes) == ("t", ("g", "h"), ("read", "write"))
    assert token.startswith(known.prefix)
    assert len(base64.urlsafe_b64decode(token.removeprefix("psk_"))) * 8 >= 128
    for file in tmp_path.iterdir():  # noqa: ASYNC240 - a test may wait for a disk
        assert token.encode() not in file.read_bytes()


async def test_no_two_keys_are_alike(keys: Keys) -> None:
    tokens = {(await keys.create(secret=SECRET))[1] for _ in range(20)}

    assert len(tokens) == 20


async def test_a_revoked_key_has_ended_for_good(keys: Keys) -> None:
    key, _ = await keys.create(secret=SECRET, expires_s=4e9)
    assert key.valid_until_s() == 4e9

    revoked = await keys.revoke(key.prefix)
    again = await keys.revoke(key.id)

    assert revoked.revoked_s is not None
    assert again.revoked_s == revoked.revoked_s == (await keys.every())[0].valid_until_s()
    with pytest.raises(NotFound):
        await keys.revoke("key_none")


def test_the_secret_is_made_once_and_read_by_its_owner_only(tmp_path: Path) -> None:
    secret = read_secret(tmp_path)

    assert read_secret(tmp_path) == secret
    assert len(secret) == 32
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    (tmp_path / "secret").write_bytes(b"short")
    with pytest.raises(DataDamaged):
        read_secret(tmp_path)

"""`/v1/uploads`: parts become a file, once; whatever goes wrong leaves nothing."""

from __future__ import annotations

import asyncio
import hashlib
import random
from pathlib import Path
from typing import Any

import httpx
import pytest

from penstock.catalog.parts import MAX_PART_BYTES
from penstock.run.housekeeper import Housekeeper
from tests.gateway.conftest import client_of
from tests.gateway.test_files import END, FORM, part
from tests.gateway.world import Live, World

PATH = "/v1/uploads"
CONTENT = bytes(random.Random(1).randbytes(300_000))
PIECES = [CONTENT[:120_000], CONTENT[120_000:250_000], CONTENT[250_000:]]


async def begin(client: httpx.AsyncClient, size: int = len(CONTENT), **more: Any) -> str:
    body = {"filename": "big.bin", "purpose": "assistants", "bytes": size, "mime_type": "text/plain", **more}
    response = await client.post(PATH, json=body)
    assert response.status_code == 200, response.text
    identifier: str = response.json()["id"]
    return identifier


async def send(client: httpx.AsyncClient, upload_id: str, piece: bytes) -> str:
    response = await client.post(f"{PATH}/{upload_id}/parts", files={"data": ("blob", piece)})
    assert response.status_code == 200, response.text
    identifier: str = response.json()["id"]
    return identifier


def parts_of(world: World) -> list[Path]:
    return list((world.folder / "parts").iterdir())


def files_of(world: World) -> list[Path]:
    return list((world.folder / "files").iterdir())


async def test_parts_become_a_file_in_the_order_that_is_said(client: httpx.AsyncClient, world: World) -> None:
    upload_id = await begin(client, filename="../../größe.txt")
    ids = await asyncio.gather(*(send(client, upload_id, piece) for piece in reversed(PIECES)))
    md5 = hashlib.md5(CONTENT).hexdigest().upper()

    done = (await client.post(f"{PATH}/{upload_id}/complete", json={"part_ids": ids[::-1], "md5": md5})).json()

    assert (done["status"], done["bytes"], done["file"]["filename"]) == ("completed", len(CONTENT), "größe.txt")
    assert (await client.get(f"/v1/files/{done['file']['id']}")).json() == done["file"]
    assert (await client.get(f"/v1/files/{done['file']['id']}/content")).content == CONTENT
    assert (len(parts_of(world)), len(files_of(world))) == (0, 1)
    again = await client.post(f"{PATH}/{upload_id}/complete", json={"part_ids": ids[::-1]})
    assert again.json() == done  # a client that lost the answer asks again
    assert (await client.post(f"{PATH}/{upload_id}/cancel")).status_code == 409
    late = await client.post(f"{PATH}/{upload_id}/parts", files={"data": ("blob", b"x")})
    assert (late.status_code, len(parts_of(world))) == (409, 0)


async def test_the_file_is_found_like_any_other(client: httpx.AsyncClient) -> None:
    text = b"A penstock is a pipe.\n" * 3
    upload_id = await begin(client, len(text), filename="a.txt")
    ids = [await send(client, upload_id, text[:10]), await send(client, upload_id, text[10:])]
    file = (await client.post(f"{PATH}/{upload_id}/complete", json={"part_ids": ids})).json()["file"]

    store = (await client.post("/v1/vector_stores", json={"file_ids": [file["id"]]})).json()
    while (await client.get(f"/v1/vector_stores/{store['id']}")).json()["status"] == "in_progress":
        await asyncio.sleep(0.01)

    found = await client.post(f"/v1/vector_stores/{store['id']}/search", json={"query": "What is a penstock?"})
    assert found.json()["data"][0]["file_id"] == file["id"]


async def test_a_cancelled_upload_leaves_nothing(client: httpx.AsyncClient, world: World) -> None:
    upload_id = await begin(client)
    part_id = await send(client, upload_id, PIECES[0])

    for _ in range(2):
        assert (await client.post(f"{PATH}/{upload_id}/cancel")).json()["status"] == "cancelled"

    assert parts_of(world) == []
    assert (await client.post(f"{PATH}/{upload_id}/complete", json={"part_ids": [part_id]})).status_code == 409


async def test_what_was_not_completed_in_time_is_given_up(client: httpx.AsyncClient, world: World) -> None:
    upload_id, other = await begin(client), await begin(client)
    await send(client, upload_id, PIECES[0])
    await send(client, other, PIECES[0])
    past = "UPDATE uploads SET expires_s = 1.7e9 WHERE id = ?"
    await world._database.run(lambda connection: connection.execute(past, (upload_id,)))

    refused = await client.post(f"{PATH}/{upload_id}/parts", files={"data": ("blob", b"x")})
    assert (refused.status_code, "expired" in refused.text) == (409, True)
    await Housekeeper(kept=world.kept, partial=world.uploads.partial_keeper).tidy()

    assert len(parts_of(world)) == 1
    assert (await client.post(f"{PATH}/{upload_id}/cancel")).status_code == 404
    assert (await client.post(f"{PATH}/{other}/cancel")).status_code == 200


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"part_ids": ["part_none"]}, "part_ids[0]"),
        ({"part_ids": []}, "part_ids"),
        ({"part_ids": [0, 1]}, "part_ids"),
        ({"part_ids": [0, 1, 1]}, "part_ids"),
        ({"part_ids": [0, 1, 2], "md5": "0" * 32}, "md5"),
        ({"part_ids": [0, 1, 2], "md5": "none"}, "md5"),
        ({"part_ids": [0, 1, 2], "colour": "red"}, "colour"),
    ],
)
async def test_a_wrong_completion_is_named_and_can_be_put_right(
    client: httpx.AsyncClient, world: World, change: dict[str, Any], param: str
) -> None:
    upload_id = await begin(client)
    ids = [await send(client, upload_id, piece) for piece in PIECES]
    named = [ids[part] if isinstance(part, int) else part for part in change["part_ids"]]

    refused = await client.post(f"{PATH}/{upload_id}/complete", json={**change, "part_ids": named})

    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
    assert files_of(world) == []
    assert (await client.post(f"{PATH}/{upload_id}/complete", json={"part_ids": ids})).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"filename": ""}, 400, "filename"),
        ({"filename": "a\0.txt"}, 400, "filename"),
        ({"filename": "x" * 300}, 400, "filename"),
        ({"bytes": 0}, 400, "bytes"),
        ({"bytes": 10**30}, 400, "bytes"),
        ({"bytes": 200 * 1024 * 1024}, 413, "bytes"),
        ({"purpose": "fine-tune"}, 400, "purpose"),
        ({"expires_after": {"anchor": "created_at", "seconds": 3600}}, 400, "expires_after"),
    ],
)
async def test_what_cannot_be_uploaded_is_said_before_it_comes(
    client: httpx.AsyncClient, body: dict[str, Any], status: int, param: str
) -> None:
    whole = {"filename": "a.txt", "purpose": "assistants", "bytes": 10, "mime_type": "text/plain", **body}

    refused = await client.post(PATH, json=whole)

    assert (refused.status_code, refused.json()["error"]["param"]) == (status, param)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (part("data", b"x", "blob"), 400),
        (part("file", b"x", "blob") + END, 400),
        (part("data", b"x") + END, 400),
        (part("data", b"x", "blob") + part("data", b"x", "blob") + END, 400),
        (part("data", b"x", "blob") + part("more", b"x") + END, 400),
        (part("data", b"x" * 30, "blob") + END, 413),
        (b"", 400),
    ],
)
async def test_a_wrong_part_leaves_nothing(client: httpx.AsyncClient, world: World, body: bytes, status: int) -> None:
    upload_id = await begin(client, 10)

    refused = await client.post(f"{PATH}/{upload_id}/parts", content=body, headers=FORM)

    assert refused.status_code == status, refused.text
    assert parts_of(world) == []


async def test_a_part_over_the_limit_is_refused_before_it_has_come(make_live: Any) -> None:
    live: Live = await make_live()
    async with httpx.AsyncClient(base_url=live.url) as client:
        upload_id = await begin(client, 90 * 1024 * 1024)
    reader, writer = await live.connect()
    head = f"POST {PATH}/{upload_id}/parts HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {FORM['content-type']}\r\n"

    writer.write(f"{head}content-length: {MAX_PART_BYTES + 10**6}\r\n\r\n".encode())

    assert b"413" in await reader.readline()
    writer.close()


async def test_a_lost_connection_leaves_nothing(make_live: Any) -> None:
    live: Live = await make_live()
    async with httpx.AsyncClient(base_url=live.url) as client:
        upload_id = await begin(client, 3_000_000)
    _, writer = await live.connect()
    head = f"POST {PATH}/{upload_id}/parts HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {FORM['content-type']}\r\n"
    writer.write(f"{head}content-length: 3000000\r\n\r\n".encode() + part("data", b"x" * 1_500_000, "blob"))
    await writer.drain()
    while not parts_of(live.world):
        await asyncio.sleep(0.01)

    writer.transport.abort()
    while parts_of(live.world):
        await asyncio.sleep(0.01)


async def test_what_a_crash_leaves_is_gone_at_the_next_start_and_what_counted_is_there(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    await world.start()
    async with client_of(world) as client:
        upload_id = await begin(client)
        ids = [await send(client, upload_id, piece) for piece in PIECES]
    await world.stop()
    (world.folder / "parts" / "0123.part").write_bytes(b"half of a part")
    (world.folder / "parts" / "part_unknown").write_bytes(b"a part without its row")
    (world.folder / "files" / "0123.part").write_bytes(b"half put together")
    again = World(folder=world.folder)
    await again.start()

    left = {path.name for path in parts_of(again)}
    async with client_of(again) as client:
        done = await client.post(f"{PATH}/{upload_id}/complete", json={"part_ids": ids})

    assert left == set(ids)
    assert done.status_code == 200
    assert [len(path.read_bytes()) for path in files_of(again)] == [len(CONTENT)]
    await again.stop()


async def test_completing_cancelling_and_sending_at_once_ends_in_one_way(
    client: httpx.AsyncClient, world: World
) -> None:
    for _ in range(5):
        upload_id = await begin(client)
        ids = [await send(client, upload_id, piece) for piece in PIECES]
        path = f"{PATH}/{upload_id}"

        answers = await asyncio.gather(
            client.post(f"{path}/complete", json={"part_ids": ids}),
            client.post(f"{path}/cancel"),
            client.post(f"{path}/complete", json={"part_ids": ids}),
            client.post(f"{path}/parts", files={"data": ("blob", b"x" * 1000)}),
        )

        done, cancelled = answers[0].status_code == 200, answers[1].status_code == 200
        assert done != cancelled
        assert {answer.status_code for answer in answers} <= {200, 409}
        assert parts_of(world) == []

"""Uploads: what is kept is whole, and what is wrong is said and leaves nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from penstock.core.errors import InvalidRequest
from penstock.gateway.multipart import clean_name
from tests.gateway.world import Live, World

PATH = "/v1/files"
BOUNDARY = "b0undary"
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    more = f'; filename="{filename}"' if filename is not None else ""
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()
PURPOSE = part("purpose", b"assistants")


def left_behind(world: World) -> list[Path]:
    return list((world.folder / "files").iterdir())


async def upload(client: httpx.AsyncClient, content: bytes = b"Some text.", name: str = "a.txt") -> dict[str, Any]:
    response = await client.post(PATH, data={"purpose": "assistants"}, files={"file": (name, content)})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def test_what_is_uploaded_comes_back_as_it_was(client: httpx.AsyncClient, world: World) -> None:
    content = bytes(range(256)) * 5_000 + b"\r\n--b0undar"
    file = await upload(client, content, "größe.bin")

    assert (file["bytes"], file["filename"]) == (len(content), "größe.bin")
    assert (await client.get(f"{PATH}/{file['id']}")).json() == file
    response = await client.get(f"{PATH}/{file['id']}/content")
    assert response.content == content
    assert response.headers["content-disposition"] == "attachment"
    again = await upload(client, content, "again.bin")
    assert again["id"] != file["id"]
    assert len(left_behind(world)) == 1
    assert (await client.delete(f"{PATH}/{file['id']}")).json() == {"id": file["id"], "deleted": True, "object": "file"}
    assert (await client.get(f"{PATH}/{again['id']}/content")).content == content
    assert (await client.delete(f"{PATH}/{file['id']}")).status_code == 404
    assert (await client.delete(f"{PATH}/{again['id']}")).status_code == 200
    assert left_behind(world) == []


async def test_files_are_listed_page_by_page(client: httpx.AsyncClient) -> None:
    names = [(await upload(client, b"x", f"{n}.txt"))["filename"] for n in range(3)]

    first = (await client.get(PATH, params={"limit": 2})).json()
    rest = (await client.get(PATH, params={"limit": 2, "after": first["last_id"]})).json()

    assert [file["filename"] for file in first["data"] + rest["data"]] == names[::-1]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert (await client.get(PATH, params={"purpose": "user_data"})).json()["data"] == []
    assert (await client.get(PATH, params={"after": "file-none"})).status_code == 400


@pytest.mark.parametrize(
    ("headers", "body", "status", "param"),
    [
        (FORM, PURPOSE + END, 400, "file"),
        (FORM, part("file", b"x", "a.txt") + END, 400, "purpose"),
        (FORM, PURPOSE + part("file", b"x") + END, 400, "file"),
        (FORM, PURPOSE + part("file", b"x", "a") + part("file", b"y", "b") + END, 400, "file"),
        (FORM, part("purpose", b"fine-tune") + part("file", b"x", "a") + END, 400, "purpose"),
        (FORM, part("purpose", b"\xff") + part("file", b"x", "a") + END, 400, "purpose"),
        (FORM, PURPOSE + PURPOSE + part("file", b"x", "a") + END, 400, "purpose"),
        (FORM, PURPOSE + part("expires_after[anchor]", b"x") + part("file", b"x", "a") + END, 400, "expires_after"),
        (FORM, PURPOSE + part("file", b"x", "a") + part("purpose2", b"y" * 9000) + END, 413, None),
        (FORM, PURPOSE + part("file", b"x", "a"), 400, None),
        (FORM, PURPOSE + part("file", b"x", "a")[:-20], 400, None),
        (FORM, b"", 400, None),
        (FORM, b"no form at all" * 100, 400, None),
        (FORM, PURPOSE + b"--" + BOUNDARY.encode() + b"\r\nX: " + b"y" * 20_000 + b"\r\n\r\n\r\n" + END, 400, None),
        (FORM, b"".join(part(f"f{n}", b"") for n in range(40)) + END, 400, None),
        ({"content-type": "multipart/form-data"}, PURPOSE + END, 415, None),
        ({"content-type": "multipart/form-data; boundary=\xff\xfe"}, PURPOSE + END, 415, None),
        ({"content-type": "application/json"}, b"{}", 415, None),
        ({}, b"x", 415, None),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_wrong_form_is_refused_and_leaves_nothing(
    reader: httpx.AsyncClient, shared: World, headers: dict[str, str], body: bytes, status: int, param: str | None
) -> None:
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    response = await reader.post(PATH, content=body, headers=raw)

    assert response.status_code == status, response.text
    assert response.json()["error"]["param"] == param
    assert left_behind(shared) == []
    assert (await reader.get(PATH)).json()["data"] == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\report.pdf", "report.pdf"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("a\r\nb\u200b.txt", "ab.txt"),
        ("  größe.md ", "größe.md"),
        ("日本語.txt", "日本語.txt"),
    ],
)
def test_a_name_is_shown_as_it_is_and_leads_nowhere(given: str, kept: str) -> None:
    assert clean_name(given) == kept


@pytest.mark.parametrize("given", ["", "..", ".", "/", "a/", "\u202e", "a\0.txt", "x" * 10_000, "ü" * 200])
def test_a_name_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(InvalidRequest):
        clean_name(given)


async def test_a_file_over_the_limit_is_refused_early(make_live: Any) -> None:
    live: Live = await make_live()
    limit = live.world.settings.ingest.max_file_bytes
    reader, writer = await live.connect()
    head = f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {FORM['content-type']}\r\n"

    writer.write(f"{head}content-length: {limit + 10**6}\r\n\r\n".encode())
    status = await reader.readline()

    assert b"413" in status
    assert left_behind(live.world) == []
    writer.close()


async def test_a_lost_connection_leaves_nothing(make_live: Any) -> None:
    live: Live = await make_live()
    _, writer = await live.connect()
    head = f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {FORM['content-type']}\r\n"
    writer.write(f"{head}content-length: 3000000\r\n\r\n".encode() + PURPOSE + part("file", b"x" * 1_500_000, "a.txt"))
    await writer.drain()
    while not left_behind(live.world):
        await asyncio.sleep(0.01)

    writer.transport.abort()
    while left_behind(live.world):
        await asyncio.sleep(0.01)

    async with httpx.AsyncClient(base_url=live.url) as client:
        assert (await client.get(PATH)).json()["data"] == []

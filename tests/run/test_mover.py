"""The whole program moves its stores to another encoder while questions and files come."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.embed.tiny_encoders import WIDTH, make
from tests.program import penstock, start

FILES = 60


class Server:
    def __init__(self, data: Path, **settings: str) -> None:
        self.process = start("serve", "--port", "0", "--data", data, output=None, **settings)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"http://\S+:(\d+)", line):
                self.client = httpx.Client(base_url=f"http://127.0.0.1:{found[1]}/v1", timeout=30.0)
                return
        raise AssertionError(self.process.communicate()[1])

    def stop(self) -> str:
        self.client.close()
        self.process.terminate()
        try:
            return self.process.communicate(timeout=40)[1]
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def upload(self, store: str, name: str, text: str) -> None:
        file = self.client.post("/files", data={"purpose": "assistants"}, files={"file": (name, text.encode())}).json()
        self.client.post(f"/vector_stores/{store}/files", json={"file_id": file["id"]}).raise_for_status()

    def settled(self, store: str, count: int) -> None:
        deadline_s = time.monotonic() + 60
        while self.client.get(f"/vector_stores/{store}").json()["file_counts"]["completed"] < count:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)

    def names(self, store: str, query: str) -> set[str]:
        found = self.client.post(f"/vector_stores/{store}/search", json={"query": query, "max_num_results": 50})
        assert found.status_code == 200, found.text
        return {hit["filename"] for hit in found.json()["data"]}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def run(**settings: str) -> Server:
        servers.append(Server(tmp_path / "data", **settings))
        return servers[-1]

    yield run
    for server in servers:
        if server.process.poll() is None:
            server.process.kill()
            server.process.communicate()


@pytest.mark.timeout(240)
def test_stores_move_while_the_server_answers(tmp_path: Path, run: Callable[..., Server]) -> None:
    data, other = tmp_path / "data", make(tmp_path / "other")
    server = run()
    store = server.client.post("/vector_stores", json={"name": "docs"}).json()["id"]
    for number in range(FILES):
        server.upload(store, f"{number}.txt", f"Penstock number {number} carries water.")
    server.settled(store, FILES)
    assert server.stop() == ""

    server = run(PENSTOCK_EMBED_NEXT=str(other), PENSTOCK_SERVER_REQUEST_TIMEOUT_S="1")
    asked = late = 0
    deadline_s = time.monotonic() + 120
    while True:
        assert len(server.names(store, f"number {asked % FILES} water")) > 10
        asked += 1
        time.sleep(0.01)  # the documents' encoder has what the questions leave
        if asked % 10 == 5 and late < 3:
            server.upload(store, f"late{late}.txt", f"A late document about zanders number {late}.")
            late += 1
        if server.client.get(f"/vector_stores/{store}").json()["penstock"]["dimension"] == WIDTH:
            break
        assert time.monotonic() < deadline_s
    server.settled(store, FILES + late)
    server.upload(store, "last.txt", "The last document, about burbots.")
    server.settled(store, FILES + late + 1)
    assert "last.txt" in server.names(store, "burbots")
    assert {f"late{number}.txt" for number in range(late)} <= server.names(store, "zanders")
    said = server.stop()
    assert "all stores answer with embed.next" in said
    assert "Traceback" not in said

    # As it says: the next encoder becomes the one, and the former is not needed any more.
    server = run(PENSTOCK_EMBED_MODEL=str(other))
    assert "last.txt" in server.names(store, "burbots")
    assert len(server.names(store, "water")) == 50
    assert server.stop() == ""
    assert penstock("reembed", "docs", "--drop-former", "--data", data).returncode == 0

"""The whole program with keys: files come in over HTTP, are worked on, survive a kill, and leave; keys end in time."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.program import penstock, start

TEXT = b"# Refunds\n\nA refund takes 14 days after the goods have come back.\n"


class Server:
    """`penstock serve`, open to others, and what it says."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> None:
        self.process = start("serve", "--host", "0.0.0.0", "--port", "0", "--data", self.data)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"http://\S+:(\d+)", line):
                self.url = f"http://127.0.0.1:{found[1]}"
                return
        raise AssertionError(self.process.communicate()[1])

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def stop(self) -> str:
        assert self.process is not None
        self.process.terminate()
        return self.process.communicate(timeout=30)[1]

    def sdk(self, token: str) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=token, max_retries=0)


@pytest.fixture
def server(tmp_path: Path) -> Any:
    server = Server(tmp_path / "data")
    yield server
    if server.process is not None and server.process.poll() is None:
        server.kill()


def key(data: Path, *options: str) -> str:
    done = penstock("keys", "create", "--data", data, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_files_and_keys_of_a_running_server(server: Server) -> None:
    data = server.data
    refused = penstock("serve", "--host", "0.0.0.0", "--port", "0", "--data", data)
    assert "Without API keys" in refused.stderr
    writer = key(data, "--scope", "write", "--name", "writer")
    server.start()
    with server.sdk(writer) as sdk:
        store = sdk.vector_stores.create(name="shop")
        file = sdk.files.create(file=("refunds.md", TEXT), purpose="assistants")
        attached = sdk.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id, poll_interval_ms=50)
        assert attached.status == "completed", attached.last_error

        # Accepted, and then killed: the next start does the work.
        late = sdk.files.create(file=("travel.txt", b"Flights need a manager's approval."), purpose="assistants")
        sdk.vector_stores.files.create(store.id, file_id=late.id)
    server.kill()
    server.start()
    with server.sdk(writer) as sdk:
        while sdk.vector_stores.files.retrieve(late.id, vector_store_id=store.id).status == "in_progress":
            time.sleep(0.05)
        found = sdk.vector_stores.search(store.id, query="Who approves flights?")
        assert found.data[0].filename == "travel.txt"
        question: Any = [{"role": "user", "content": "How long does a refund take?"}]
        answer = sdk.chat.completions.create(model="penstock-extractive", messages=question)
        assert "14 days" in (answer.choices[0].message.content or "")

        # A key made beside the running server is known to it within five seconds, and one revoked is refused.
        reader = key(data)
        wait_for(server, reader, 200)
        assert httpx.post(f"{server.url}/v1/vector_stores", json={}, headers=bearer(reader)).status_code == 403
        listed = penstock("keys", "list", "--data", data)
        assert reader[:12] in listed.stdout
        assert reader not in listed.stdout
        assert penstock("keys", "revoke", reader[:12], "--data", data).returncode == 0
        wait_for(server, reader, 401)

        sdk.vector_stores.delete(store.id)
        assert not (data / "stores" / store.id).exists()
    assert server.stop() == ""
    assert server.process is not None
    assert server.process.returncode == 0


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def wait_for(server: Server, token: str, status: int) -> None:
    began_s = time.monotonic()
    while httpx.get(f"{server.url}/v1/models", headers=bearer(token)).status_code != status:
        assert time.monotonic() - began_s < 5.0
        time.sleep(0.1)

"""The whole program under kills: a server, workers beside it, a broker, and documents that come, change and go."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import httpx

from tests.brokers import Broker, free_port
from tests.embed.tiny_encoders import words
from tests.program import penstock, start

STORE = "stream"


class Program:
    """A server on one port for as long as the test goes on, and workers beside it; any of them may be killed."""

    def __init__(self, folder: Path, *, model: Path, broker: Broker | None, workers: int, lease_s: float = 2.0) -> None:
        self.data = folder / "data"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.server: subprocess.Popen[str] | None = None
        self.workers: list[subprocess.Popen[str] | None] = [None] * workers
        self._log = (folder / "log").open("a")
        self.log = folder / "log"
        self._environment = {
            "PENSTOCK_EMBED_MODEL": str(model),
            "PENSTOCK_EMBED_THREADS": "1",
            "PENSTOCK_EMBED_PRECISION": "fp32",  # in bf16 the last bits depend on the batch, and dumps compare them
            "PENSTOCK_INGEST_PARSE_WORKERS": "1",
            "PENSTOCK_INGEST_CHUNK_TOKENS": "40",
            "PENSTOCK_QUEUE_LEASE_S": str(lease_s),
            "PENSTOCK_QUEUE_INSIDE_WORKERS": "0" if workers else "2",
        }
        if broker is not None:
            self._environment |= {
                "PENSTOCK_QUEUE_BACKEND": broker.name,
                "PENSTOCK_QUEUE_URL_ENV": "BROKER_URL",
                "BROKER_URL": broker.url,
            }

    def start(self) -> None:
        self.start_server()
        for number in range(len(self.workers)):
            self.start_worker(number)

    def start_server(self) -> None:
        self.server = start(
            "serve", "--port", str(self.port), "--data", self.data, output=self._log, **self._environment
        )
        until_s = time.monotonic() + 60
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/readyz", timeout=1).status_code == 200:
                    return
            assert self.server.poll() is None, self.log.read_text()[-2000:]
            assert time.monotonic() < until_s, self.log.read_text()[-2000:]
            time.sleep(0.05)

    def start_worker(self, number: int) -> None:
        self.workers[number] = start("worker", "--server", self.url, output=self._log, **self._environment)

    def kill_server(self) -> None:
        assert self.server is not None
        self.server.kill()
        self.server.wait()

    def kill_worker(self, number: int) -> None:
        worker = self.workers[number]
        assert worker is not None
        worker.kill()
        worker.wait()

    def stop(self) -> None:
        for process in (*self.workers, self.server):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in (*self.workers, self.server):
            if process is not None:
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self._log.close()

    def dump(self, store: str = STORE) -> list[str]:
        """Canonical lines of a stopped server's store, by names, since ids of uploads differ from run to run."""
        done = penstock("dump", store, "--data", self.data, timeout_s=300, **self._environment)
        assert done.returncode == 0, done.stderr
        return canonical(done.stdout)


def canonical(dump: str) -> list[str]:
    """Lines in which names stand for ids, which are random for uploads; a chunk's id is made of its file's."""
    lines = [json.loads(line) for line in dump.splitlines()]
    names = {line["file_id"]: line["filename"] for line in lines if "filename" in line}
    assert len(names) == len(set(names.values())), "a file is there twice"
    kept = []
    for line in lines:
        line["file_id"] = names[line["file_id"]]  # a chunk of a file that the ledger does not know fails here
        for field in ("store_id", "chunk_id"):
            line.pop(field, None)
        kept.append(json.dumps(line, sort_keys=True))
    return sorted(kept)


class Stream(threading.Thread):
    """Uploads documents one after another; some replace one from before, some delete one, some come twice.

    It goes on through a server that dies: what was not answered is asked again. `wanted` is what must be there in the
    end: name -> text.
    """

    def __init__(self, url: str, *, documents: int, seed: int, store: str = "", prefix: str = "doc") -> None:
        super().__init__(name="stream", daemon=True)
        self._url = url
        self._documents = documents
        self._random = random.Random(seed)
        self._client = httpx.Client(base_url=f"{url}/v1", timeout=30)
        self.wanted: dict[str, str] = {}
        self.longest_s = 0.0
        self.statuses: dict[int, int] = {}
        self.failure: BaseException | None = None
        self.store = store
        self._prefix = prefix
        self._ids: dict[str, str] = {}

    def run(self) -> None:
        try:
            self.store = self.store or self._ask("POST", "/vector_stores", json={"name": STORE})["id"]
            for number in range(self._documents):
                self._one(number)
        except BaseException as error:  # noqa: BLE001 - raised by whoever started the thread
            self.failure = error
        finally:
            self._client.close()

    def _one(self, number: int) -> None:
        dice = self._random.random()
        text = f"{words(12, seed=number)} number{number}."
        if dice < 0.10 and self.wanted:
            name = self._random.choice(sorted(self.wanted))
            self._take_out(name)
            self._upload(name, text)
        elif dice < 0.15 and self.wanted:
            self._take_out(self._random.choice(sorted(self.wanted)))
        else:
            self._upload(f"{self._prefix}{number}.txt", text)
            if dice > 0.99:
                self._attach(self._ids[f"{self._prefix}{number}.txt"])  # once more

    def _upload(self, name: str, text: str) -> None:
        answer = self._ask("POST", "/files", files={"file": (name, text.encode())}, data={"purpose": "assistants"})
        self._ids[name] = answer["id"]
        self._attach(answer["id"])
        self.wanted[name] = text

    def _attach(self, file_id: str) -> None:
        self._ask("POST", f"/vector_stores/{self.store}/files", json={"file_id": file_id})

    def _take_out(self, name: str) -> None:
        self._ask("DELETE", f"/files/{self._ids[name]}", gone_is_fine=True)
        del self.wanted[name]

    def _ask(self, method: str, path: str, *, gone_is_fine: bool = False, **what: Any) -> Any:
        until_s = time.monotonic() + 120
        while time.monotonic() < until_s:
            began_s = time.monotonic()
            try:
                answer = self._client.request(method, path, **what)
            except httpx.TransportError:
                time.sleep(0.1)
                continue
            self.longest_s = max(self.longest_s, time.monotonic() - began_s)
            self.statuses[answer.status_code] = self.statuses.get(answer.status_code, 0) + 1
            if answer.status_code == 200:
                return answer.json()
            if answer.status_code == 404 and gone_is_fine:
                return None
            if answer.status_code == 503:
                time.sleep(min(2.0, int(answer.headers["retry-after"])))
                continue
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
        raise AssertionError(f"{method} {path} was not answered in time")


def counts(url: str, store: str) -> dict[str, int]:
    answer = httpx.get(f"{url}/v1/vector_stores/{store}", timeout=10).json()
    return dict(answer["file_counts"])


def wait_until_done(url: str, store: str, *, within_s: float) -> float:
    """Seconds until nothing of the store is in progress."""
    began_s = time.monotonic()
    while counts(url, store)["in_progress"]:
        took_s = time.monotonic() - began_s
        assert took_s < within_s, counts(url, store)
        time.sleep(0.1)
    return time.monotonic() - began_s

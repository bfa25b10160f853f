"""A running server and its language models: out of use and back, other settings, all of them gone."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.engine_loss import FakeProcess
from tests.program import penstock, start

TEXT = "# Mill\n\nThe oldest mill of the valley was built in 1823 by Anna Keller. It ground rye until 1901.\n"
QUESTION = "When was the oldest mill of the valley built?"
EXTRACTIVE = "penstock-extractive"


class Server:
    """`penstock up` with three fake engines, and the settings file that names them."""

    def __init__(self, folder: Path) -> None:
        self.data, self.config = folder / "data", folder / "penstock.toml"
        self.engines = [FakeProcess() for _ in range(3)]
        self.write(self.urls(0, 1))
        (folder / "mill.md").write_text(TEXT)
        arguments = ("up", folder / "mill.md", "--data", self.data, "--config", self.config, "--port", "0")
        self.process: subprocess.Popen[str] = start(*arguments)
        assert self.process.stdout is not None
        found = next(found for line in self.process.stdout if (found := re.search(r"http://\S+:\d+", line)))
        self.client = httpx.Client(base_url=found[0], timeout=30)

    def urls(self, *places: int) -> list[str]:
        return [self.engines[place].url for place in places]

    def write(self, urls: list[str], *, more: str = "") -> None:
        self.config.write_text(
            f'[[generate.engines]]\nmodel = "llama"\nurls = {json.dumps(urls)}\nprice_output = 1000000.0\n{more}'
        )

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = penstock(*arguments, "--data", self.data, "--config", self.config)
        assert done.returncode == 0, done.stderr
        return done

    def ask(self, **more: Any) -> dict[str, Any]:
        body = {"messages": [{"role": "user", "content": QUESTION}], "model": "llama", **more}
        answer = self.client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def replicas(self) -> dict[str, str]:
        engines = self.client.get("/engines").json()["data"]
        return {one["name"]: one["condition"] for engine in engines for one in engine["replicas"]}

    def stop(self) -> str:
        self.client.close()
        self.process.terminate()
        said = self.process.communicate(timeout=30)[1]
        for engine in self.engines:
            engine.stop()
        return said


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    one = Server(tmp_path_factory.mktemp("engines"))
    yield one
    one.stop()


def until(state: Callable[[], bool], within_s: float = 10.0) -> None:
    end_s = time.monotonic() + within_s
    while not state():
        assert time.monotonic() < end_s, "it did not come to be"
        time.sleep(0.05)


def requests_at(engine: FakeProcess) -> int:
    return int(httpx.get(f"http://127.0.0.1:{engine.port}/stats").json()["requests"])


def test_a_drained_server_gets_nothing_until_it_is_resumed(server: Server) -> None:
    first, second = server.urls(0, 1)
    server.cli("engines", "drain", "llama", first)
    before = requests_at(server.engines[0])
    for _ in range(4):
        assert server.ask()["model"] == "llama"

    assert server.replicas() == {first: "draining", second: "well"}
    assert requests_at(server.engines[0]) == before
    resumed = server.client.post("/engines/resume", json={"model": "llama", "replica": first})
    assert "draining" not in resumed.text
    for _ in range(4):
        server.ask()
    assert requests_at(server.engines[0]) > before
    unknown = server.client.post("/engines/drain", json={"model": "llama", "replica": "http://x/v1"})
    assert unknown.status_code == 404


def test_servers_and_models_come_and_go_with_the_settings(server: Server) -> None:
    more = f'[[generate.engines]]\nmodel = "spare"\nurls = {json.dumps(server.urls(0))}\n'
    server.write(server.urls(1, 2), more=more)
    server.cli("engines", "reload")
    until(lambda: set(server.replicas()) == set(server.urls(0, 1, 2)))

    assert server.ask(model="spare")["model"] == "spare"
    assert {model["id"] for model in server.client.get("/v1/models").json()["data"]} == {"llama", "spare", EXTRACTIVE}
    server.config.write_text("[[generate.engines]]\nmodel = 7\n")
    server.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert server.ask()["model"] == "llama"
    server.write(server.urls(0, 1))
    server.process.send_signal(signal.SIGHUP)
    until(lambda: set(server.replicas()) == set(server.urls(0, 1)))


def test_tokens_and_price_are_counted_by_tenant_and_model(server: Server) -> None:
    server.ask()
    [row] = [row for row in json.loads(server.cli("usage", "--json").stdout) if row["model"] == "llama"]
    assert server.client.get("/usage", params={"since": "2999-01-01"}).json()["data"] == []
    assert server.client.get("/usage", params={"since": "soon"}).status_code == 400
    metrics = server.client.get("/metrics").text

    assert row["tenant"] == "default"
    assert row["output_tokens"] == 16 * row["requests"]
    assert row["prompt_tokens"] > 0
    assert row["price"] == pytest.approx(row["output_tokens"])
    assert row["mean_first_token_ms"] >= 200
    assert f'penstock_generation_tokens_total{{kind="output",model="llama"}} {row["output_tokens"]:.1f}' in metrics
    assert re.search(r'penstock_engine_prefix_hit_ratio\{model="llama"\} 0\.\d', metrics)
    assert 'penstock_replica_condition{condition="well",model="llama"' in metrics


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("fault", ["status_500", "hang_headers"])
def test_with_all_models_down_the_answer_is_quoted_labelled_and_in_time(
    server: Server, fault: str, *, streamed: bool
) -> None:
    for engine in server.engines:
        engine.control(fault=fault)
    began_s = time.monotonic()
    body = {"messages": [{"role": "user", "content": QUESTION}], "model": "llama", "timeout": 2.0, "stream": streamed}
    answer = server.client.post("/v1/chat/completions", json=body)
    took_s = time.monotonic() - began_s
    for engine in server.engines:
        engine.control(fault="none")

    assert answer.status_code == 200
    assert took_s < 2.25
    last = json.loads(answer.text.split("data: ")[-2]) if streamed else answer.json()
    assert "1823" in answer.text
    assert last["model"] == last["penstock"]["model"] == EXTRACTIVE
    assert any("llama did not answer" in part for part in last["penstock"]["degraded"])
    assert last["penstock"]["alternatives"][0]["model"] == "llama"
    assert last["choices"][0]["finish_reason"] == "stop"
    until(lambda: set(server.replicas().values()) == {"well"})

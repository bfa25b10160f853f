"""`penstock bench serve` as its users meet it: against a server that it starts, and with wrong options."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from penstock.cli.main import app
from tests.program import start


def bench(*options: object) -> Result:
    """The command in this process: it starts enough others."""
    environment = {"COLUMNS": "200", "PENSTOCK_CONFIG": None, "PENSTOCK_DATA_DIR": None}
    return CliRunner().invoke(app, ["bench", "serve", *map(str, options)], env=environment)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a store of three passages."""
    folder = tmp_path_factory.mktemp("bench")
    rows = [{"_id": str(n), "title": f"Rule {n}", "text": f"Rule {n} is about bridges and harbours."} for n in range(3)]
    (folder / "corpus.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    read = ["ingest", str(folder / "corpus.jsonl"), "--data", str(folder / "data")]
    assert CliRunner().invoke(app, read).exit_code == 0
    return folder / "data"


def test_two_configurations_are_compared_on_servers_of_its_own(data: Path, tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text("[search]\nthreads = 1\n", encoding="utf-8")
    options = ["--against", tmp_path / "b.toml", "--kinds", "search=2,chat=1,stream=1", "--rate", "20"]
    options += ["--seconds", "0.6", "--warmup", "0.1", "--seed", "5", "--json", tmp_path / "out.json"]

    done = bench("--data", data, *options)

    assert done.exit_code == 0, done.stderr
    report = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [trial["label"] for trial in report["trials"]] == ["A", "B", "A"]
    assert report["configurations"] == {"A": {}, "B": {"search.threads": 1}}
    for trial in report["trials"]:
        served = trial["figures"]["served"]
        assert served["offered"] == served["ok"] > 0
        assert {"embed", "search", "generate"} <= set(trial["figures"]["stages_ms"])
        assert trial["server_stages_ms"]["embed"]["count"] >= served["offered"]
        assert served["first_token_ms"]["count"] > 0
        assert trial["usage"]["source"] == "proc"
        assert trial["usage"]["rss_mb_max"] > 50
    assert {ratio["figure"] for ratio in report["ratios"]} >= {"latency p50 ms", "goodput /s", "embed p50 ms"}
    assert "B against A" in done.stdout
    assert len(re.findall(r"^[AB] 20/s", done.stderr, flags=re.MULTILINE)) == 3


def test_a_running_server_is_metered_by_its_own_metrics(data: Path, tmp_path: Path) -> None:
    server = start("serve", "--data", data, "--port", "0")
    try:
        assert server.stdout is not None
        url = next(match.group(1) for line in server.stdout if (match := re.search(r"Open\s+(http\S+)", line)))
        options = ["--arrivals", "closed", "--callers", "2", "--seconds", "1", "--warmup", "0.2"]
        done = bench("--url", url, *options, "--json", tmp_path / "out.json")
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=30)

    assert done.exit_code == 0, done.stderr
    (trial,) = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["trials"]
    assert trial["figures"]["served"]["ok"] >= 2
    assert trial["usage"]["source"] == "metrics"
    assert "Closed loop" in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--url"),
        (["--url", "http://127.0.0.1:1", "--against", "b.toml"], "--data instead"),
        (["--url", "ftp://127.0.0.1"], "plain HTTP"),
        (["--url", "http://127.0.0.1:1"], "does not list its stores"),
        (["--data", "nowhere"], "no data folder"),
        (["--url", "x", "--arrivals", "sometimes"], "sometimes"),
        (["--url", "x", "--arrivals", "closed", "--rates", "5"], "closed loop"),
        (["--url", "x", "--kinds", "dance"], "dance"),
        (["--url", "x", "--trace", "nowhere.csv", "--store", "s"], "nowhere.csv"),
    ],
)
def test_wrong_options_are_named(options: list[str], said: str) -> None:
    done = bench(*options)

    assert done.exit_code == 2, done.stdout + done.stderr
    assert said in done.stderr

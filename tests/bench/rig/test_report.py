"""Tables and pictures of a report, and what a report must not give away."""

from __future__ import annotations

import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from penstock.bench.compare import ratios
from penstock.bench.figures import Slo
from penstock.bench.load import Stream
from penstock.bench.pictures import draw
from penstock.bench.report import Capacity, Report, configuration, describe_machine
from penstock.bench.tables import show
from penstock.bench.trial import Trial
from tests.bench.rig.samples import trial_of


def report_of(trials: list[Trial], *capacities: Capacity) -> Report:
    return Report(
        version="1",
        commit="abc1234",
        machine=msgspec.structs.replace(describe_machine(), load_average=0.0),
        began_at="2026-01-01T00:00:00+00:00",
        seed=7,
        load=[Stream(key="sk-secret").described()],
        duration_s=10.0,
        warmup_s=0.0,
        questions="built in",
        slo=Slo(latency_ms=100),
        pinned=False,
        configurations={},
        trials=trials,
        capacities=list(capacities),
        ratios=list(ratios(trials)) if trials[0].label else [],
    )


def compared() -> Report:
    return report_of(
        [
            trial_of(label, rate, latency_ms * (1 + rate / 40))
            for label, latency_ms in zip("ABA", (40.0, 20.0, 41.0), strict=True)
            for rate in (10.0, 20.0, 40.0)
        ]
    )


def shown(report: Report, width: int = 120) -> str:
    console = Console(file=StringIO(), width=width)
    show(report, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_tables_say_what_was_measured() -> None:
    text = shown(report_of([trial_of("", 20.0, 12.0), trial_of("", 20.0, 14.0)], Capacity("", 0, 160.0, 176.0)))

    assert re.search(r"20\s+20\s+20\s+20\s+100\s+13\s+13\s+13 \(12–14\)", text)
    assert "embed" in text
    assert "Capacity: 160/s with 99% of requests within 100 ms; 176/s was too much." in text
    assert "p99 rests on as few as 200 answers" in text
    assert "seed 7, commit abc1234" in text


def test_a_comparison_shows_ratio_and_noise() -> None:
    text = shown(compared())

    assert re.search(r"40\s+latency p99 ms\s.*0\.49", text)
    assert re.search(r"goodput /s .*within noise", text)


def test_no_key_is_written() -> None:
    assert "sk-secret" not in msgspec.json.encode(compared()).decode()


def test_a_configuration_is_what_differs_from_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PENSTOCK_DATA_DIR", "PENSTOCK_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "a.toml"
    engine = '[[generate.engines]]\nmodel = "m"\nurls = ["http://me:pw@10.0.0.1/v1"]\n'
    file.write_text(f"[search]\nthreads = 3\n{engine}", encoding="utf-8")

    found = configuration(file)

    assert found["search.threads"] == 3
    assert "http://10.0.0.1/v1" in repr(found)
    assert "pw" not in repr(found)


def test_pictures_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra 'bench' is not installed")

    latency, goodput = draw(compared(), tmp_path / "new")

    for path in (latency, goodput):
        svg = path.read_text(encoding="utf-8")
        assert svg.startswith("<?xml")
        assert svg.count("<use") > 10, "there are no points"
    assert [path.name for path in draw(compared(), tmp_path)] == ["latency.svg", "goodput.svg"]
    assert (tmp_path / "latency.svg").read_bytes() == latency.read_bytes(), "the same report, the same picture"


def test_without_the_plotting_library_it_says_what_to_install(tmp_path: Path) -> None:
    without = "import sys; sys.modules['matplotlib'] = None\nfrom penstock.bench.pictures import draw\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{without}draw(None, __import__('pathlib').Path({str(tmp_path)!r}))"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "penstock[bench]" in done.stderr

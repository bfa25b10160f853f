"""What the server costs, and what its own metrics say."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE

import pytest

from penstock.bench.exposition import read_exposition, spreads
from penstock.bench.meter import ProcMeter, Reading, usage
from penstock.telemetry.metrics import Metrics

BURN = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time\\nuntil = time.process_time() + 0.3\\n"
    "while time.process_time() < until: pass\\nprint('done', flush=True)\\ntime.sleep(60)"], stdout=subprocess.PIPE)
child.stdout.readline()
print('ready', flush=True)
sys.stdin.readline()
child.kill()
"""


async def test_a_process_is_metered_with_what_it_started() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", BURN, stdin=PIPE, stdout=PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    reading = await ProcMeter(process.pid).read()
    await process.communicate(b"\n")

    assert reading is not None
    assert reading.cpu_s >= 0.3
    assert reading.rss_bytes > 8_000_000
    with pytest.raises(OSError, match="No such"):
        await ProcMeter(process.pid).read()
    assert (await ProcMeter(os.getpid()).read()) is not None


def test_usage_is_that_of_the_counted_part() -> None:
    readings = [Reading(float(second), second * 0.5, 1_000_000 * (100 + second)) for second in range(11)]

    used = usage(readings, from_s=2.5, until_s=7.5, source="proc")

    assert used is not None
    assert used.cpu_cores == 0.5
    assert (used.rss_mb_mean, used.rss_mb_max) == (105.0, 107.0)
    assert usage(readings[:1], from_s=0, until_s=1, source="proc") is None


def test_histograms_are_read_by_what_they_grew() -> None:
    metrics = Metrics()
    metrics.stage_seconds.labels("embed").observe(5.0)
    before = read_exposition(metrics.exposition().decode())
    for _ in range(99):
        metrics.stage_seconds.labels("embed").observe(0.0015)
    metrics.stage_seconds.labels("embed").observe(0.15)
    after = read_exposition(metrics.exposition().decode())

    found = spreads(before, after, "penstock_stage_seconds", factor=1000.0)

    assert set(found) == {"embed"}
    assert found["embed"].count == 100
    assert 1.0 <= found["embed"].p50 <= 2.0
    assert found["embed"].mean == pytest.approx((99 * 1.5 + 150) / 100, abs=0.01)
    assert spreads(after, after, "penstock_stage_seconds") == {}
    assert after.value("process_cpu_seconds_total") is not None
    with pytest.raises(ValueError, match=r"\w"):
        read_exposition("<html>")

"""When requests are due: by the seed alone, at the rate that was asked for, in the shape that was asked for."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from penstock.bench.arrivals import Due, arrivals
from penstock.bench.load import Load, Stream
from penstock.bench.trace import read_trace
from penstock.core.errors import InvalidRequest

REPO = Path(__file__).resolve().parents[3]
TRACES = Path(os.environ.get("PENSTOCK_DATA") or REPO.parent / "shared" / "data") / "traces"
OPEN = [
    Stream(arrivals="poisson", rate=50),
    Stream(arrivals="constant", rate=50),
    Stream(arrivals="bursts", rate=50, burst_on_s=1, burst_off_s=4),
    Stream(arrivals="ramp", rate=80, ramp_from=20),
]


def drawn(stream: Stream, total_s: float = 100.0, seed: int = 1) -> Due:
    return arrivals(stream, total_s, np.random.default_rng(seed))


@pytest.mark.parametrize("stream", OPEN, ids=lambda stream: stream.arrivals)
def test_the_mean_rate_is_what_was_asked_for(stream: Stream) -> None:
    at_s = drawn(stream).at_s

    # A Poisson count of 5,000 lies within 4 standard deviations, 283, but for one seed in 16,000.
    assert abs(len(at_s) - 5000) < 283
    assert (np.diff(at_s) >= 0).all()
    assert at_s[0] >= 0
    assert at_s[-1] < 100


@pytest.mark.parametrize("stream", OPEN, ids=lambda stream: stream.arrivals)
def test_the_seed_decides_everything(stream: Stream) -> None:
    one, again, other = drawn(stream), drawn(stream), drawn(stream, seed=2)

    assert (one.at_s == again.at_s).all()
    assert (one.rank == again.rank).all()
    assert len(one.rank) != len(other.rank) or (one.rank != other.rank).any()


def test_poisson_gaps_are_exponential_and_constant_ones_are_not() -> None:
    poisson, constant = (np.diff(drawn(stream).at_s) for stream in OPEN[:2])

    assert poisson.std() / poisson.mean() == pytest.approx(1.0, abs=0.06)
    assert constant.std() < 1e-9


def test_bursts_come_only_while_they_are_on_and_five_times_as_dense() -> None:
    at_s = drawn(OPEN[2]).at_s

    assert (at_s % 5 < 1).all()
    assert len(at_s) / 20 == pytest.approx(250, rel=0.06)


def test_a_burst_that_the_end_cuts_short_is_cut_short() -> None:
    at_s = drawn(Stream(arrivals="bursts", rate=100, burst_on_s=2, burst_off_s=2), total_s=5.0).at_s

    assert at_s[-1] < 5
    assert (at_s > 4).sum() == pytest.approx(200, abs=60)


def test_a_ramp_climbs() -> None:
    counts, _ = np.histogram(drawn(OPEN[3]).at_s, bins=4, range=(0, 100))

    assert counts.tolist() == pytest.approx([27.5 * 25, 42.5 * 25, 57.5 * 25, 72.5 * 25], rel=0.15)


def test_a_stream_is_silent_outside_of_its_part() -> None:
    at_s = drawn(Stream(rate=100, start_s=10, stop_s=12)).at_s

    assert at_s.min() >= 10
    assert at_s.max() < 12
    assert len(at_s) == pytest.approx(200, abs=57)


def test_a_closed_stream_has_no_schedule() -> None:
    assert len(drawn(Stream(arrivals="closed")).at_s) == 0


def test_a_load_scales_as_a_whole() -> None:
    load = Load(streams=(Stream(name="a", rate=30), Stream(name="b", rate=10), Stream(name="c", arrivals="closed")))

    assert [stream.rate for stream in load.at(200).streams[:2]] == [150, 50]
    assert load.at(200).rate == 200


def ragpulse(folder: Path) -> Path:
    rows = [(0.0, 3, 7), (2.0, 40, 8), (2.0, 5, 7), (9.0, 900, 9)]
    lines = [
        json.dumps({"arrival_s": at, "tokens": {"user": size}, "hash_ids": {"user_input": [same]}, "more": 1})
        for at, size, same in rows
    ]
    path = folder / "ragpulse.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


def test_a_trace_keeps_its_order_its_weights_and_who_asks_the_same(tmp_path: Path) -> None:
    trace = read_trace(ragpulse(tmp_path))

    assert trace.arrival_s.tolist() == [0, 2, 2, 9]
    assert trace.size.tolist() == [3, 40, 5, 900]
    assert trace.identity.tolist() == [0, 1, 0, 2]
    assert trace.ticks_s == 1.0


def test_a_trace_is_replayed_faster_and_from_the_start_again(tmp_path: Path) -> None:
    stream = Stream(arrivals="trace", trace=str(ragpulse(tmp_path)), speed=10)

    due = drawn(stream, total_s=2.5)

    assert ((due.at_s[:4] * 10).astype(int) == [0, 2, 2, 9]).all()
    assert len(due.at_s) > 4
    assert due.identity[4] == due.identity[0]
    assert due.rank[:4].argmax() == 3


def test_a_trace_without_a_speed_gives_the_rate(tmp_path: Path) -> None:
    due = drawn(Stream(arrivals="trace", trace=str(ragpulse(tmp_path)), rate=40), total_s=50.0)

    assert len(due.at_s) / 50 == pytest.approx(40, rel=0.15)


@pytest.mark.parametrize(
    "text", ["", "arrival_s,prompt_tokens\n1,x\n2,3\n", "arrival_s,prompt_tokens\n1,2\n", "a\n1\n"]
)
def test_what_is_no_trace_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(InvalidRequest, match=r"trace\.csv"):
        read_trace(path)
    with pytest.raises(InvalidRequest, match="Cannot read"):
        read_trace(tmp_path / "missing.csv")


@pytest.mark.parametrize(("name", "rows"), [("ragpulse.jsonl.gz", 7106), ("azure_llm_2023_conv.csv", 19366)])
def test_the_public_traces_are_read(name: str, rows: int) -> None:
    if not (TRACES / name).exists():
        pytest.skip("the public traces are not here (PENSTOCK_DATA)")

    trace = read_trace(TRACES / name)

    assert len(trace.arrival_s) == rows
    at_s = drawn(Stream(arrivals="trace", trace=str(TRACES / name), rate=200), total_s=20.0).at_s
    assert len(at_s) > 0
    assert at_s[-1] < 20

"""The accounts: what counts as good, as refused, as failed; and that nothing is forgotten."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from penstock.bench.figures import Slo, quantiles
from penstock.bench.flight import Flight, code_of, stages_of_header
from penstock.bench.load import Load, Stream
from penstock.bench.plan import Shot
from penstock.bench.samples import Outcome, Recorder, pack, unpack
from tests.bench.rig.samples import LOAD, Row, figures_of, samples_of

BUSY = Outcome("reject", 503, "overloaded")
LIMITED = Outcome("reject", 429, "rate_limit_exceeded")
LATE = Outcome("error", 504, "deadline_exceeded")
LOST = Outcome("error", 0, "connection lost")


def test_quantiles_are_values_that_occurred() -> None:
    found = quantiles(np.arange(1.0, 1001.0))

    assert found is not None
    assert (found.count, found.p50, found.p95, found.p99, found.max) == (1000, 501, 951, 991, 1000)
    assert found.mean == 500.5
    assert quantiles(np.array([np.nan])) is None
    single = quantiles(np.array([np.nan, 7.0]))
    assert single is not None
    assert single.p99 == single.p50 == 7


def test_goodput_counts_what_was_answered_in_time_and_nothing_else() -> None:
    rows = [Row(1, 50), Row(2, 99), Row(3, 101), Row(4, 5, BUSY), Row(5, 5, LATE), Row(6, 5, LOST)]

    served = figures_of(rows).served

    assert (served.offered, served.ok, served.rejected, served.failed) == (6, 3, 1, 2)
    assert served.goodput_per_s == 0.2
    assert served.good_share == pytest.approx(2 / 6, abs=1e-4)
    assert served.latency_ms is not None
    assert served.latency_ms.count == 3, "refusals are quick, and must not make latency look better"


def test_the_warm_up_is_not_counted() -> None:
    load = Load(streams=(Stream(),), duration_s=10, warmup_s=2)

    served = figures_of([Row(1, 900), Row(3, 10)], load=load).served

    assert (served.offered, served.ok) == (1, 1)
    assert served.latency_ms is not None
    assert served.latency_ms.max == 10


def test_answers_that_came_after_the_run_do_not_count_as_throughput() -> None:
    served = figures_of([Row(9, 500), Row(9, 5000)]).served

    assert served.ok == 2
    assert served.answered_per_s == 0.1


def test_streams_are_judged_by_their_first_token_where_that_was_asked_for() -> None:
    rows = [
        Row(1, 5000, kind="stream", first_token_ms=80),
        Row(2, 5000, kind="stream", first_token_ms=300),
        Row(3, 5000, kind="chat"),
    ]

    found = figures_of(rows, slo=Slo(latency_ms=100, first_token_ms=200))

    assert found.served.good_share == pytest.approx(1 / 3, abs=1e-4)
    assert {part.name: part.offered for part in found.parts} == {"all stream": 2, "all chat": 1}
    assert found.served.first_token_ms is not None
    assert found.served.first_token_ms.count == 2


def test_refusals_are_told_apart_with_their_latency_and_their_advice() -> None:
    rows = [Row(1, 4, BUSY, retry_after=1), Row(2, 8, BUSY, retry_after=1), Row(3, 2, LIMITED, retry_after=0)]
    rows += [Row(4, 2, LIMITED), Row(5, 700, LATE), Row(6, 1, LOST)]

    found = figures_of(rows)

    busy, limited = found.refused
    assert (busy.status, busy.code, busy.count, busy.retry_after_integer) == (503, "overloaded", 2, 2)
    assert busy.latency_ms is not None
    assert busy.latency_ms.max == 8
    assert (limited.retry_after_integer, limited.retry_after_wrong, limited.retry_after_missing) == (0, 1, 1)
    assert {(failed.status, failed.code, failed.count) for failed in found.failures} == {
        (504, "deadline_exceeded", 1),
        (0, "connection lost", 1),
    }


def test_a_late_generator_says_so_and_is_charged() -> None:
    # Sent 40 ms late and answered at once: the request waited all the same.
    found = figures_of([Row(second / 10, 45, late_s=0.04) for second in range(90)])

    assert found.served.latency_ms is not None
    assert found.served.latency_ms.p50 == 45
    assert found.generator.lag_ms is not None
    assert found.generator.lag_ms.p99 == pytest.approx(40, abs=0.01)
    assert any("was late" in warning for warning in found.generator.warnings)
    punctual = figures_of([Row(second / 10, 45) for second in range(90)])
    assert not any("was late" in warning for warning in punctual.generator.warnings)
    exhausted = figures_of([Row(1, 45)], cpu_share=0.97)
    assert any("used up its core" in warning for warning in exhausted.generator.warnings)


def test_stages_are_those_of_good_answers() -> None:
    found = figures_of([Row(1, 10, stage_ms=4), Row(2, 10, stage_ms=6), Row(3, 10, LATE, stage_ms=900), Row(4, 10)])

    assert found.stages_ms["embed"].count == 2
    assert found.stages_ms["embed"].max == 6


def test_a_closed_loop_is_labelled() -> None:
    load = msgspec.structs.replace(LOAD, streams=(Stream(arrivals="closed"),))

    assert any("Closed loop" in warning for warning in figures_of([Row(1, 10)], load=load).generator.warnings)


def test_samples_travel_unchanged() -> None:
    sent = samples_of([Row(1, 50, degraded=True), Row(2, 5, BUSY, retry_after=1, kind="stream")])

    received = unpack(pack(sent))

    assert received.outcomes == sent.outcomes
    for column in ("stream", "kind", "outcome", "retry_after", "degraded"):
        assert (getattr(received, column) == getattr(sent, column)).all()
        assert getattr(received, column).dtype == getattr(sent, column).dtype
    assert np.array_equal(received.moments["first_token_s"], sent.moments["first_token_s"], equal_nan=True)


# --- one answer ---------------------------------------------------------------


def flown(kind: str, status: int, *pieces: bytes, timing: bytes = b"", retry_after: bytes = b"") -> Flight:
    flight = Flight(Shot(payload=b"", kind=kind, stream=0), due_s=10.0, now_s=10.001)  # type: ignore[arg-type]
    flight.sent_s, flight.status, flight.timing_header, flight.retry_after = 10.002, status, timing, retry_after
    for number, piece in enumerate(pieces):
        flight.received(piece, 11.0 + number)
    flight.finished(20.0)
    return flight


EMPTY = b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
TOKEN = b'data: {"choices":[{"delta":{"content":"W"}}]}\n\n'
LAST = b'data: {"choices":[],"penstock":{"degraded":["search"],"timings_ms":{"embed":1.5,"generate":20.25}}}\n\n'
DONE = b"data: [DONE]\n\n"


def test_the_first_token_is_the_first_with_text_and_the_last_event_has_the_stages() -> None:
    flight = flown("stream", 200, EMPTY, TOKEN, TOKEN, LAST + DONE)

    assert flight.end == "ok"
    assert flight.first_token_s == 12.0
    assert flight.stages_ms == {"embed": 1.5, "generate": 20.25}
    assert flight.degraded


def test_a_stream_that_breaks_off_is_a_failure_though_its_status_was_200() -> None:
    broken = b'event: error\ndata: {"error":{"code":"stage_unavailable"}}\n\n'

    assert flown("stream", 200, EMPTY, TOKEN).code == "stream without an end"
    flight = flown("stream", 200, EMPTY, TOKEN, broken)
    assert (flight.end, flight.code) == ("error", "in the stream: stage_unavailable")


def test_an_answer_is_read_for_what_the_accounts_need() -> None:
    refused = flown("search", 429, b'{"error":{"code":"rate_limit_exceeded"}}', retry_after=b"1.5")
    assert (refused.end, refused.code) == ("reject", "rate_limit_exceeded")
    assert flown("search", 500, b"<html>").end == "error"
    assert code_of(b"<html>") == ""
    searched = flown("search", 200, b'{"data":[]}', timing=b"embed;dur=1.5, search;dur=.25")
    assert searched.stages_ms == {"embed": 1.5, "search": 0.25}
    assert stages_of_header(b"cache;desc=hit") == {}

    recorder = Recorder(began_s=10.0)
    recorder.add(refused)
    recorder.add(searched)
    samples = recorder.samples(most_connections=1, cpu_share=0.0)
    assert samples.retry_after.tolist() == [0, -1]
    assert samples.moments["began_s"].tolist() == pytest.approx([0.0, 0.0], abs=1e-9)

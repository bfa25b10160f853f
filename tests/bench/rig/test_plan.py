"""What is sent: kinds and lengths by their shares, no question twice before all were asked, keys only in headers."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from penstock.bench.load import KINDS, Load, Stream, read_numbers, read_scenario, read_shares
from penstock.bench.plan import Plan, Target, plan
from penstock.bench.questions import Questions, built_in, read_questions
from penstock.core.errors import InvalidRequest

TARGET = Target(host="127.0.0.1", port=8000, store="my store")


def planned(*streams: Stream, questions: Questions | None = None, seed: int = 1, duration_s: float = 20.0) -> Plan:
    load = Load(streams=streams, duration_s=duration_s, warmup_s=0.0, seed=seed)
    return plan(load, questions or built_in(), TARGET)


def body(payload: bytes) -> dict[str, object]:
    head, _, content = payload.partition(b"\r\n\r\n")
    assert b"content-length: %d" % len(content) in head
    return json.loads(content)


def test_shares_of_kinds_and_lengths_are_kept() -> None:
    stream = Stream(rate=100, kinds={"search": 3, "stream": 1}, lengths={"short": 1, "long": 1})

    made = planned(stream)

    kinds = Counter(shot.kind for shot in made.shots)
    assert kinds["search"] / len(made.shots) == pytest.approx(0.75, abs=0.05)
    assert kinds["chat"] == 0
    texts = [str(body(shot.payload).get("query", "")) for shot in made.shots if shot.kind == "search"]
    short = sum(len(text.split()) < 8 for text in texts)
    assert short / len(texts) == pytest.approx(0.5, abs=0.05)


def test_the_same_seed_makes_the_same_bytes() -> None:
    stream = Stream(rate=50, kinds={"search": 1, "chat": 1})

    one, again, other = planned(stream), planned(stream), planned(stream, seed=2)

    assert [shot.payload for shot in one.shots] == [shot.payload for shot in again.shots]
    assert [shot.payload for shot in one.shots] != [shot.payload for shot in other.shots]


def test_no_question_repeats_before_all_of_its_length_were_asked() -> None:
    made = planned(Stream(arrivals="constant", rate=1, lengths={"short": 1}), duration_s=40.0)

    asked = [body(shot.payload)["query"] for shot in made.shots]
    assert len(asked) == 40
    assert len(set(asked)) == len(built_in().by_length["short"]) == 40


def test_requests_are_openai_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_KEY", "sk-of-the-test")
    search, stream = (
        planned(Stream(kinds={kind: 1}, key_env="BENCH_KEY", timeout_s=2.5)).shots[0].payload
        for kind in ("search", "stream")
    )

    assert search.startswith(b"POST /v1/vector_stores/my%20store/search HTTP/1.1\r\nhost: 127.0.0.1:8000\r\n")
    assert b"authorization: Bearer sk-of-the-test\r\n" in search
    assert b"x-request-timeout: 2.5\r\n" in search
    assert body(search)["max_num_results"] == 5
    assert body(stream)["stream"] is True
    assert "messages" in body(stream)


def test_a_missing_key_is_named_and_a_key_is_never_described() -> None:
    with pytest.raises(InvalidRequest, match="NOT_SET_ANYWHERE"):
        planned(Stream(key_env="NOT_SET_ANYWHERE"))
    assert "sk-secret" not in repr(Stream(key="sk-secret").described())


def test_closed_streams_have_an_endless_supply_in_the_seed_s_order() -> None:
    ((_, supply),) = planned(Stream(arrivals="closed")).closed
    ((_, again),) = planned(Stream(arrivals="closed")).closed

    assert list(islice(supply, 5000)) == list(islice(again, 5000))


def test_questions_of_a_file_are_split_into_thirds_by_length(tmp_path: Path) -> None:
    path = tmp_path / "queries.jsonl"
    path.write_text("\n".join(json.dumps({"_id": str(n), "text": "word " * n}) for n in range(1, 10)), encoding="utf-8")

    by_length = read_questions(path).by_length

    assert [len(text.split()) for length in ("short", "medium", "long") for text in by_length[length]] == [
        *range(1, 10)
    ]
    path.write_text('{"text": "only"}\n', encoding="utf-8")
    with pytest.raises(InvalidRequest, match="different questions"):
        read_questions(path)


def test_a_scenario_is_read_and_its_faults_are_named(tmp_path: Path) -> None:
    path = tmp_path / "spike.toml"
    path.write_text(
        '[[stream]]\nname = "people"\nrate = 20\nkinds = {stream = 1}\n'
        '[[stream]]\nname = "batch"\narrivals = "bursts"\nrate = 240\nstart_s = 5\nstop_s = 10\n',
        encoding="utf-8",
    )
    people, batch = read_scenario(path)
    assert (people.kinds, batch.arrivals, batch.stop_s) == ({"stream": 1.0}, "bursts", 10)

    for wrong, named in (
        ("[[stream]]\nrat = 3\n", "rat"),
        ("[[stream]]\nrate = -3\n", "rate"),
        ('[[stream]]\narrivals = "trace"\n', "trace"),
        ("[[stream]]\nkinds = {search = 0}\n", "zero"),
        ("[[stream]]\n[[stream]]\n", "same name"),
        ("", r"\[\[stream\]\]"),
    ):
        path.write_text(wrong, encoding="utf-8")
        with pytest.raises(InvalidRequest, match=named):
            read_scenario(path)


def test_shares_and_numbers_of_the_command_line() -> None:
    assert read_shares("search=3, chat", KINDS) == {"search": 3.0, "chat": 1.0}
    assert read_numbers("50,100", name="--rates") == (50.0, 100.0)
    assert read_numbers("", name="--rates") == ()
    for wrong in ("serch", "search=x", "search=-1", "search=0", "search=nan"):
        with pytest.raises(InvalidRequest):
            read_shares(wrong, KINDS)
    for wrong in ("a", "0", "-1", "nan", "inf"):
        with pytest.raises(InvalidRequest):
            read_numbers(wrong, name="--rates")

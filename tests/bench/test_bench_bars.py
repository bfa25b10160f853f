from __future__ import annotations

from benchmarks.main_job.bars import Bar, compare, figure, read_bars
from benchmarks.main_job.ratios import ratios, share_of_encode

RESULTS = {
    "run": {"corpus": "squad-dev-a"},
    "encode": {"penstock": {"passages": {"median": 60.0}}, "sentence_transformers": {"passages": {"median": 30.0}}},
    "ingest": {"passages_per_s": 45.0, "documents_per_s": 40.0, "peak_mb": None},
    "tutorial": {"ingest": {"documents_per_s": 20.0}},
}


def test_a_figure_is_found_by_its_path() -> None:
    assert figure(RESULTS, "ingest.documents_per_s") == 40.0
    assert figure(RESULTS, "ingest.peak_mb") is None
    assert figure(RESULTS, "nothing.here") is None
    assert figure(RESULTS, "ingest") is None


def test_bars_bound_from_below_or_above() -> None:
    assert Bar(what="", at_least=2.0).met_by(2.0)
    assert not Bar(what="", at_least=2.0).met_by(1.99)
    assert Bar(what="", at_most=2.0).met_by(2.0)
    assert not Bar(what="", at_most=2.0).met_by(2.01)


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    (row,) = compare(RESULTS, [Bar(what="x", figure="load.speed", at_least=1.0)])
    assert (row["measured"], row["met"]) == (None, None)


def test_a_bar_for_one_folder_gives_no_verdict_on_another() -> None:
    bars = [Bar(what="x", figure="ingest.documents_per_s", at_least=1.0, corpus=name) for name in ("squad-dev-a", "y")]
    here, elsewhere = compare(RESULTS, bars)
    assert (here["measured"], here["met"]) == (40.0, True)
    assert (elsewhere["measured"], elsewhere["met"]) == (40.0, None)


def test_every_bar_has_a_figure_or_says_what_measures_it() -> None:
    bars = read_bars()
    assert len(bars) >= 15
    for bar in bars:
        assert bool(bar.figure) != bool(bar.elsewhere), bar
        assert bar.elsewhere or (bar.at_least is None) != (bar.at_most is None), bar


def test_ratios_need_both_sides() -> None:
    assert ratios(RESULTS) == {"ingest_rate": 2.0}


def test_the_share_of_the_encoder() -> None:
    assert share_of_encode(RESULTS) == 0.75
    assert share_of_encode({}) is None

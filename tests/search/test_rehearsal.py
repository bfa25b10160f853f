"""A store whose last opening did not end is opened by another process first."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from penstock.core.errors import DataDamaged, Setup
from penstock.search import rehearsal


def killed_by(number: signal.Signals) -> str:
    return f"import os; os.kill(os.getpid(), {int(number)})"


@pytest.mark.parametrize("number", [signal.SIGBUS, signal.SIGSEGV, signal.SIGABRT])
def test_what_dies_of_reading_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(rehearsal, "OPEN", killed_by(signal.Signals(number)))
    with pytest.raises(DataDamaged, match="a file is damaged"):
        rehearsal.rehearse(tmp_path, tmp_path)


def test_what_others_kill_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "OPEN", killed_by(signal.SIGKILL))
    with pytest.raises(Setup, match="signal 9, as when memory runs out"):
        rehearsal.rehearse(tmp_path, tmp_path)


def test_an_opening_is_rehearsed_only_after_one_that_did_not_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearsed: list[Path] = []
    monkeypatch.setattr(rehearsal, "rehearse", lambda folder, _: rehearsed.append(folder))
    with rehearsal.opening(tmp_path, tmp_path):
        assert (tmp_path / rehearsal.MARK).exists()
    assert rehearsed == []
    assert not (tmp_path / rehearsal.MARK).exists()
    with pytest.raises(RuntimeError), rehearsal.opening(tmp_path, tmp_path):
        raise RuntimeError("killed")
    with rehearsal.opening(tmp_path, tmp_path):
        pass
    assert rehearsed == [tmp_path]

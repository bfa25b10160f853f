from __future__ import annotations

from pathlib import Path

import pytest

from penstock.flow.memory import give_back_memory

STATUS = Path("/proc/self/status")


def resident_kb() -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


@pytest.mark.skipif(not STATUS.exists(), reason="reads /proc")
def test_what_was_let_go_goes_back_to_the_system() -> None:
    # Pieces below the size that the C library maps one by one, with one kept at the end so that the heap cannot shrink.
    pieces = [bytearray(60_000) for _ in range(2_000)]
    kept = pieces[-1]
    del pieces
    before_kb = resident_kb()

    give_back_memory()

    assert len(kept) == 60_000
    assert resident_kb() < before_kb - 50_000

"""One process per data folder, told by name."""

import subprocess
import sys
from pathlib import Path

import pytest

from penstock.core.errors import DataInUse, Setup
from penstock.flow.datalock import DataLock, read_holder

HOLD = """
import sys
from pathlib import Path
from penstock.flow.datalock import DataLock
lock = DataLock(folder=Path(sys.argv[1]))
lock.acquire(address="http://127.0.0.1:8000")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_told_who_holds_the_folder(tmp_path, holder):
    with pytest.raises(DataInUse) as refused:
        DataLock(folder=tmp_path).acquire()
    assert str(holder.pid) in refused.value.message
    assert "http://127.0.0.1:8000" in refused.value.message


def test_a_killed_process_holds_nothing(tmp_path, holder):
    holder.kill()
    holder.wait()
    with DataLock(folder=tmp_path):
        assert read_holder(tmp_path).pid != holder.pid


def test_released_and_taken_again_in_one_process(tmp_path):
    first, second = DataLock(folder=tmp_path / "new" / "folder"), DataLock(folder=tmp_path / "new" / "folder")
    first.acquire()
    with pytest.raises(DataInUse):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_a_lock_file_that_says_nothing_still_locks(tmp_path):
    with DataLock(folder=tmp_path):
        (tmp_path / "lock").write_bytes(b"\xff not json")
        with pytest.raises(DataInUse, match="Another process"):
            DataLock(folder=tmp_path).acquire()


def test_a_folder_that_cannot_be_made_is_a_setup_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Setup, match="data folder"):
        DataLock(folder=tmp_path / "file" / "data").acquire()

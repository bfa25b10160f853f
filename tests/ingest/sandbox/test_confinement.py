"""What a process that parses can still do: compute, and use what is open."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.ingest.parser import ParseLimits, Parser

ROOT = Path(__file__).parents[3]
ATTEMPTS = """
import ctypes, json, os, signal, socket, sys
sys.path.insert(0, sys.argv[1])
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.sandbox import confine, seccomp

def zygote_first():
    global given_up
    given_up = confine.confine_zygote()

def trace():
    if ctypes.CDLL(None).ptrace(0, 0, 0, 0) != 0:
        raise PermissionError

attempts = {
    "open for reading": lambda: os.open("/etc/hostname", os.O_RDONLY),
    "open for writing": lambda: os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT),
    "list a folder": lambda: os.listdir("/"),
    "remove a file": lambda: os.unlink(sys.argv[3]),
    "socket": lambda: socket.socket(),
    "unix socket": lambda: socket.socket(socket.AF_UNIX),
    "fork": lambda: os.fork(),
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "signal the parent": lambda: os.kill(os.getppid(), signal.SIGTERM),
    "file in memory": lambda: os.memfd_create("x"),
    "pipe": lambda: os.pipe(),
    "new rights": lambda: os.setuid(0),
    "trace": trace,
    "a gigabyte": lambda: bytearray(1024**3),
}
calls = seccomp.Filter() if seccomp.is_available() else None
zygote_first()
niceness = os.nice(0)
confine.confine_child(ParseLimits(), calls, lasting=False)
ended = {}
for name, attempt in attempts.items():
    try:
        attempt()
        ended[name] = "done"
    except (OSError, MemoryError) as error:
        ended[name] = type(error).__name__
os.write(1, json.dumps({"ended": ended, "missing": given_up.missing, "niceness": niceness}).encode())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="system call filters are Linux's")
def test_nothing_can_be_reached(tmp_path: Path):
    mine = tmp_path / "mine.txt"
    mine.write_text("here")
    tmp_path.chmod(0o777)
    done = subprocess.run(
        [sys.executable, "-c", ATTEMPTS, str(ROOT), str(tmp_path / "new.txt"), str(mine)],
        capture_output=True, timeout=30, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert "done" not in found["ended"].values(), found
    assert found["ended"]["a gigabyte"] == "MemoryError"
    assert "no system call filter" not in found["missing"]
    assert found["niceness"] >= 10, "questions need the cores more"
    assert mine.exists()
    assert not (tmp_path / "new.txt").exists()


async def test_what_is_not_enforced_is_said():
    parser = Parser(limits=ParseLimits(), workers=1)
    try:
        confinement = await parser.confinement()
    finally:
        await parser.stop()
    words = len(confinement.missing)
    assert words == [confinement.memory, confinement.network, confinement.system_calls, confinement.user].count(False)

"""Giving up what a process that parses does not need."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.sandbox import seccomp
from penstock.ingest.sandbox.wire import Confinement

NEW_USER, NEW_NETWORK, NEW_IPC = 0x10000000, 0x40000000, 0x08000000
PARENT_DEATH_SIGNAL = 1
NOBODY = 65_534
GRACE_S = 2
NICENESS = 10
"""Questions need the cores more. A tenth of one is left even where all are taken, so no file runs out of its time."""
BYTES_PER_CHARACTER = 4
RESULT_OVERHEAD_BYTES = 64 * 1024 * 1024
"""Every block of a result costs some bytes beside its text."""
IS_LINUX = sys.platform.startswith("linux")


def confine_zygote() -> Confinement:
    """Give up rights for this process and all its children, as far as this system allows. Call it once, after all
    imports: from then on other users' files may be out of reach.
    """
    os.nice(NICENESS)
    network = _leave_network()
    user = _become_nobody()
    return Confinement(
        memory=IS_LINUX,  # macOS accepts the limit and does not hold it
        network=network,
        system_calls=seccomp.is_available(),
        user=user,
    )


def _leave_network() -> bool:
    """Into a namespace without any network: directly where we may, else through a user namespace of our own."""
    if not IS_LINUX:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return any(libc.unshare(flags | NEW_NETWORK | NEW_IPC) == 0 for flags in (0, NEW_USER))


def _become_nobody() -> bool:
    """Only root can; without root the process stays who it is."""
    if os.getuid() != 0:
        return False
    try:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    except OSError:
        return False  # in a user namespace without this user
    return True


def die_with_parent(parent: int) -> None:
    """Linux: be killed when the parent ends, however it ends."""
    if IS_LINUX:
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # it was gone before


def result_bytes(limits: ParseLimits) -> int:
    """The largest result that a child may write."""
    return BYTES_PER_CHARACTER * limits.max_output_chars + RESULT_OVERHEAD_BYTES


def confine_child(limits: ParseLimits, calls: seccomp.Filter | None, *, lasting: bool) -> None:
    """Give up everything but memory, time, and the descriptors that are open. There is no way back.

    A `lasting` process may live longer than one file may take.
    """
    if not lasting:
        # Where scans are read the zygote waits longer than text may take, and only this timer holds that limit.
        signal.setitimer(signal.ITIMER_REAL, limits.wall_s + (0 if limits.ocr_wall_s else GRACE_S))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a result over the limit is an error to tell, not a death
    bounds = [
        (resource.RLIMIT_CPU, int(limits.longest_s) + GRACE_S),
        (resource.RLIMIT_FSIZE, result_bytes(limits)),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 0),
    ]
    if IS_LINUX:
        bounds.append((resource.RLIMIT_AS, limits.memory_bytes))
    for kind, bound in bounds:
        _, hard = resource.getrlimit(kind)
        value = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(kind, (value, value))
    if calls is not None:
        calls.put_on()


def allow_longest() -> None:
    """The time for text ends where recognising begins. What bounds that is the limit of CPU time, and the zygote."""
    signal.signal(signal.SIGALRM, signal.SIG_IGN)

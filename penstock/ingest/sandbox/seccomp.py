"""Linux: a filter of system calls that a process puts on itself and can never take off.

What is allowed computes, manages memory, and reads and writes descriptors that are already open. Everything else,
known or not yet invented, fails with EPERM: opening files, sockets, processes, signals to others.
"""

from __future__ import annotations

import ctypes
import platform
import struct
import sys

LOAD, JUMP_EQUAL, JUMP_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050001, 0x80000000  # REFUSE: errno 1, EPERM
NUMBER_OFFSET, ARCHITECTURE_OFFSET = 0, 4
X32_BIT = 0x40000000
"""Another numbering of the same calls on x86-64: it would go round the list."""
NO_NEW_PRIVILEGES, SET_SECCOMP, FILTER_MODE = 38, 22, 2

# read write close lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn pread64 pwrite64 readv
# writev sched_yield mremap madvise getpid exit fcntl ftruncate gettimeofday getrusage times restart_syscall
# sigaltstack gettid futex clock_gettime exit_group set_robust_list getrandom rseq
CALLS = {
    "x86_64": (
        0xC000003E,
        (
            0, 1, 3, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20, 24, 25, 28, 39, 60, 72, 77, 96, 98, 100, 219,
            131, 186, 202, 228, 231, 273, 318, 334,
        ),
    ),
    "aarch64": (
        0xC00000B7,
        (
            63, 64, 57, 62, 222, 226, 215, 214, 134, 135, 139, 67, 68, 65, 66, 124, 216, 233, 172, 93, 25, 46, 169,
            165, 153, 128, 132, 178, 98, 113, 94, 99, 278, 293,
        ),
    ),
}  # fmt: skip


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def is_available() -> bool:
    """Whether there is a list for this machine and the kernel knows filters."""
    if not sys.platform.startswith("linux") or platform.machine() not in CALLS:
        return False
    # With a null filter a kernel that knows filters answers EFAULT (14), another EINVAL.
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(SET_SECCOMP, FILTER_MODE, 0, 0, 0)
    return ctypes.get_errno() == 14


class Filter:
    """The filter, made before it is needed: putting it on allocates nothing and opens nothing."""

    def __init__(self) -> None:
        architecture, calls = CALLS[platform.machine()]
        steps = [
            _step(LOAD, value=ARCHITECTURE_OFFSET),
            _step(JUMP_EQUAL, yes=1, value=architecture),
            _step(RETURN, value=KILL),
            _step(LOAD, value=NUMBER_OFFSET),
            _step(JUMP_AT_LEAST, yes=len(calls), value=X32_BIT),
            *(_step(JUMP_EQUAL, yes=len(calls) - place, value=call) for place, call in enumerate(calls)),
            _step(RETURN, value=REFUSE),
            _step(RETURN, value=ALLOW),
        ]
        self._bytes = b"".join(steps)
        self._program = _Program(len(steps), self._bytes)
        self._prctl = ctypes.CDLL(None, use_errno=True).prctl

    def put_on(self) -> None:
        """Raises OSError."""
        if self._prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) or self._prctl(
            SET_SECCOMP, FILTER_MODE, ctypes.byref(self._program), 0, 0
        ):
            raise OSError(ctypes.get_errno(), "The system call filter cannot be put on.")


def _step(code: int, *, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)

"""What goes between the three processes. Decoded into fixed shapes; nothing here can carry code."""

from __future__ import annotations

import msgspec

from penstock.core.types import Document, FailureReason
from penstock.ingest.parse.limits import ParseLimits


class Confinement(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What holds a parsing process. Sent once by the zygote when it is ready."""

    memory: bool
    """An upper bound of memory."""
    network: bool
    """A network namespace of its own, with nothing in it."""
    system_calls: bool
    """A filter that leaves no call to open a file, a socket or a process."""
    user: bool
    """Another user than the server's: one without rights."""

    @property
    def missing(self) -> tuple[str, ...]:
        """What is not enforced here, in words."""
        words = {
            "memory": "no memory limit",
            "network": "no network namespace of its own",
            "system_calls": "no system call filter",
            "user": "the same user as the server",
        }
        return tuple(text for name, text in words.items() if not getattr(self, name))


class Job(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Parse one file. Two descriptors go along: its content, and an empty file for the result."""

    number: int
    filename: str
    size_bytes: int
    limits: ParseLimits


class Serve(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Read files in turn from the socket that goes along."""

    number: int
    limits: ParseLimits


class Cancel(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Nobody waits for this job any more."""

    number: int


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """How a child ended: exit code, or minus the signal's number."""

    number: int
    code: int
    timed_out: bool = False
    peak_bytes: int = 0


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The file cannot be read, and why."""

    reason: FailureReason
    message: str


class Read(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    document: Document


class File(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What a resident is given."""

    filename: str
    content: bytes


class Elsewhere(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A resident does not read this kind of file."""


Request = Job | Serve | Cancel
Reply = Confinement | Ended
Outcome = Read | Failed

encode = msgspec.msgpack.Encoder().encode
_request = msgspec.msgpack.Decoder(Request)
_reply = msgspec.msgpack.Decoder(Reply)
_outcome = msgspec.msgpack.Decoder(Outcome)
_answer = msgspec.msgpack.Decoder(Outcome | Elsewhere)
_file = msgspec.msgpack.Decoder(File)

LENGTH_BYTES = 4


def decode_request(body: bytes) -> Request:
    message: Request = _request.decode(body)
    return message


def decode_reply(body: bytes) -> Reply:
    message: Reply = _reply.decode(body)
    return message


def decode_outcome(body: bytes) -> Outcome:
    message: Outcome = _outcome.decode(body)
    return message


def decode_answer(body: bytes) -> Outcome | Elsewhere:
    message: Outcome | Elsewhere = _answer.decode(body)
    return message


def decode_file(body: bytes) -> File:
    message: File = _file.decode(body)
    return message


def packed(message: Request | Reply | Outcome | Elsewhere | File) -> bytes:
    """A message with its length before it."""
    body = encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body

"""Which model answers, decided from values alone: nothing here calls, waits or remembers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from penstock.core.context import Priority


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A model as the choice sees it. `level` says which complexity (0 to 1) it is trusted with."""

    model: str
    level: float
    price: float
    """Of this request, estimated, in the price table's currency."""
    context_tokens: int
    healthy: bool
    first_token_s: float
    tokens_per_s: float


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the choice depends on."""

    complexity: float
    prompt_tokens: int
    output_tokens: int
    priority: Priority
    remaining_s: float


class PassedOver(msgspec.Struct, frozen=True):
    """A model that was not taken, and why; whether it could have been."""

    model: str
    why: str
    able: bool = False


class Choice(msgspec.Struct, frozen=True):
    """For the response's metadata."""

    model: str
    reason: str
    alternatives: tuple[PassedOver, ...] = ()


def decide(candidates: Sequence[Candidate], asked: Asked, *, last_resort: str) -> Choice:
    """The cheapest model that is trusted with the question, is well, has room, and is quick enough.

    Where none is trusted, the most trusted of the rest. Work that nobody waits for takes the cheapest trusted one
    whatever its speed, as long as the deadline allows. `last_resort` when no model can serve it.
    """
    passed: list[PassedOver] = []
    able: list[Candidate] = []
    for candidate in candidates:
        why = _why_not(candidate, asked)
        if why:
            passed.append(PassedOver(candidate.model, why))
        else:
            able.append(candidate)
    if not able:
        return Choice(last_resort, "no language model can serve this request", tuple(passed))
    trusted = [one for one in able if one.level >= asked.complexity]
    if trusted:
        tie = _speed if asked.priority == "interactive" else _level
        taken = min(trusted, key=lambda one: (one.price, tie(one), one.model))
        reason = f"the cheapest that is trusted with complexity {asked.complexity:.2f}"
    else:
        taken = max(able, key=lambda one: (one.level, -one.price))
        reason = f"none is trusted with complexity {asked.complexity:.2f}; this one comes closest"
    passed += [PassedOver(one.model, _why_rather(one, asked), able=True) for one in able if one is not taken]
    return Choice(taken.model, reason, tuple(passed))


def expected_s(candidate: Candidate, asked: Asked) -> float:
    """How long the whole answer takes."""
    return candidate.first_token_s + asked.output_tokens / max(candidate.tokens_per_s, 1e-6)


def split(versions: Sequence[tuple[str, float]], request_id: str) -> str:
    """One of several versions, by weight; the same request always the same one."""
    total = sum(weight for _, weight in versions)
    digest = hashlib.blake2b(request_id.encode(), digest_size=8).digest()
    point = int.from_bytes(digest, "big") / 2**64 * total
    for name, weight in versions:
        point -= weight
        if point < 0:
            return name
    return versions[-1][0]


def _why_not(candidate: Candidate, asked: Asked) -> str:
    if not candidate.healthy:
        return "not well"
    if asked.prompt_tokens + asked.output_tokens > candidate.context_tokens:
        return f"context of {candidate.context_tokens} tokens is too small"
    took_s = expected_s(candidate, asked)
    if took_s > asked.remaining_s:
        return f"needs about {took_s:.1f} s, {asked.remaining_s:.1f} s are left"
    return ""


def _why_rather(candidate: Candidate, asked: Asked) -> str:
    if candidate.level < asked.complexity:
        return f"trusted up to complexity {candidate.level:.2f}"
    return "dearer or slower"


def _speed(candidate: Candidate) -> float:
    return candidate.first_token_s


def _level(candidate: Candidate) -> float:
    return -candidate.level

"""An event loop whose clock jumps: when nothing is ready, time is at once that of the next timer.

Nothing sleeps, so hours pass in milliseconds, and one seed gives one order of events. With a seed, tasks that are ready
at the same moment run in a shuffled order, because no order among them is promised by a real machine either.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

TICK_S = 1e-9
"""What one turn of the loop takes; without it, a timer that is set again for now would stop the time."""


class Stuck(AssertionError):
    """Every task waits, and no timer will wake one."""


class VirtualLoop(asyncio.BaseEventLoop):
    """`on_idle` is called before each jump: everything that could happen at this moment has happened."""

    def __init__(self, *, seed: int | None = None) -> None:
        super().__init__()
        self._virtual_s = 1000.0
        self._selector = _Jump(self)
        self._clock_resolution = TICK_S
        self.on_idle: Callable[[], None] | None = None
        self.complaints: list[str] = []
        if seed is not None:
            self._ready = _Shuffled(random.Random(seed))
        self.set_exception_handler(self._complain)

    def time(self) -> float:
        return self._virtual_s

    def now_s(self) -> float:
        """The loop is a Clock too."""
        return self._virtual_s

    def advance(self, seconds: float) -> None:
        self._virtual_s += max(seconds, TICK_S)

    def _process_events(self, event_list: object) -> None:
        """There are no files and no sockets here."""

    def _write_to_self(self) -> None:
        """No other thread wakes this loop."""

    def _complain(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.complaints.append(f"{context['message']}: {context.get('exception')!r}")


class _Jump:
    """In the place of a selector: instead of waiting for a timer, be there."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[object]:
        if timeout is None:
            raise Stuck("every task waits, and no timer is set")
        if timeout > 0 and self._loop.on_idle is not None:
            self._loop.on_idle()
        self._loop.advance(timeout)
        return []

    def close(self) -> None:
        """Nothing is open."""


class _Shuffled(deque[Any]):
    """Ready callbacks: one of the first four is next."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng

    def popleft(self) -> Any:
        chosen = int(self._rng.random() * min(4, len(self)))
        if chosen:
            self[0], self[chosen] = self[chosen], self[0]
        return super().popleft()


def run_virtual(
    main: Callable[[VirtualLoop], Coroutine[Any, Any, T]], *, seed: int | None = None, collect: bool = True
) -> T:
    """Run `main` to its end. Left-over tasks, and errors that nobody has seen, are failures."""
    loop = VirtualLoop(seed=seed)
    asyncio.set_event_loop(loop)
    try:
        result = loop.run_until_complete(main(loop))
        left = sorted(task.get_name() for task in asyncio.all_tasks(loop))
        if collect:
            gc.collect()  # A future that dies with an unseen exception complains now.
        assert not left, f"tasks left behind: {left}"
        assert not loop.complaints, loop.complaints
        return result
    finally:
        _cancel_all(loop)
        asyncio.set_event_loop(None)
        loop.close()


def _cancel_all(loop: VirtualLoop) -> None:
    loop.on_idle = None
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=60))


def virtual(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A test on a virtual clock: its first argument is the loop, which is also its Clock."""

    def run(**fixtures: Any) -> None:
        async def main(loop: VirtualLoop) -> None:
            await test(loop, **fixtures)

        run_virtual(main)

    functools.update_wrapper(run, test)
    del run.__wrapped__  # type: ignore[attr-defined] # pytest would look through it and ask for a fixture 'loop'
    return _without_first_argument(run, test)


def _without_first_argument(run: Callable[..., None], test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    import inspect

    signature = inspect.signature(test)
    run.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])  # type: ignore[attr-defined]
    return run

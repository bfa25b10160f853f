"""Runs the gateway on a socket: listening, stopping.

Stop order: not ready (load balancers look elsewhere) → after `drain_s` sockets close → running answers finish, at most
`shutdown_timeout_s` → what still runs is cut, each stream with an event that says so. Then `serve` returns, and
whoever assembled the parts stops them: stages outlive the requests that use them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import signal
import socket
from collections.abc import Generator
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from penstock.config import ServerSettings
from penstock.core.errors import PortBusy
from penstock.gateway.protocol import patient_protocol
from penstock.gateway.readiness import Readiness

SIGNALS = (signal.SIGINT, signal.SIGTERM)
BACKLOG = 2048
ENDING_S = 3.0
"""How long requests that were cut may take to let go of their stages."""


def _allow_files() -> None:
    """Raise this process's soft limit of open files to its hard one: a stream takes two."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # where "no limit" is more than the system will give
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def bind(*, host: str, port: int) -> socket.socket:
    """A listening address, taken before anything else is started; port 0 takes a free one. Raises PortBusy."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise PortBusy(_why_not(host, port, error)) from error
    bound.setblocking(False)
    return bound


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is in use. Stop what listens there, or take another: --port {port + 1}."
    if error.errno == errno.EACCES:
        return f"This user may not listen on port {port}. Take one above 1023: --port 8000."
    return f"Cannot listen on {host}:{port}: {error.strerror or error}."


class Server(uvicorn.Server):
    """uvicorn's server with our stop order. Returns after a signal instead of raising it again."""

    def __init__(self, config: uvicorn.Config, *, readiness: Readiness, drain_s: float) -> None:
        super().__init__(config)
        self._readiness = readiness
        self._drain_s = drain_s
        self.listening = asyncio.Event()
        """Set once connections are answered: the moment to say what to open."""
        self._loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        """Begin to stop; a second call stops without waiting."""
        if self._readiness.state == "stopping":
            self.should_exit = self.force_exit = True
            return
        self._readiness.stopping()
        if self._drain_s > 0:
            asyncio.get_running_loop().call_later(self._drain_s, setattr, self, "should_exit", True)
        else:
            self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's, and says so."""
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's, which only tells running requests to end; this waits until they have, and then returns."""
        await super().shutdown(sockets)
        running = list(self.server_state.tasks)
        if self.force_exit:  # then uvicorn has not even told them
            for task in running:
                task.cancel()
        if running:
            await asyncio.wait(running, timeout=ENDING_S)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self.stop)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handlers while serving. uvicorn's own would end the process before its stages are stopped."""
        self._loop = asyncio.get_running_loop()
        try:
            before = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        except ValueError:  # not the main thread: whoever runs us calls `stop`
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def make_server(*, app: ASGIApp, settings: ServerSettings, readiness: Readiness) -> Server:
    """The server, not yet running: `await server.serve(sockets=[bind(...)])` runs it until a signal or `stop`."""
    _allow_files()
    config = uvicorn.Config(
        app,
        loop="none",  # whoever runs us chose the loop
        http=patient_protocol(
            header_timeout_s=settings.header_timeout_s,
            reader_timeout_s=settings.reader_timeout_s,
            silent_peer_s=settings.silent_peer_s,
        ),
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive_s,  # type: ignore[arg-type]  # any number of seconds works
        timeout_graceful_shutdown=settings.shutdown_timeout_s,  # type: ignore[arg-type]  # likewise
    )
    return Server(config, readiness=readiness, drain_s=settings.drain_s)


async def serve(*, app: ASGIApp, sock: socket.socket, settings: ServerSettings, readiness: Readiness) -> None:
    """Serve until SIGTERM, SIGINT; a second signal cuts what still runs."""
    await make_server(app=app, settings=settings, readiness=readiness).serve(sockets=[sock])

"""`penstock worker`: reads, splits and embeds files for a server that runs elsewhere, or beside it."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys

from penstock.assemble import make_encoder, make_reader
from penstock.cli.session import Session
from penstock.core.errors import BadSetting, StageUnavailable
from penstock.pipeline.work import Leases, Work
from penstock.queue.build import make_broker
from penstock.run.remote import RemoteServer
from penstock.run.worker import UploadWorker

WAIT_FOR_SERVER_S = 60.0


async def work(session: Session, url: str | None) -> int:
    """Work until a signal. What is under way then is given back."""
    settings = session.settings
    url = url or settings.worker.server
    server = RemoteServer(url=url, key=os.environ.get(settings.worker.key_env, ""))
    encoder = make_encoder(settings)
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
    queue = None
    await asyncio.to_thread(encoder.start)
    try:
        reader = make_reader(settings, encoder)
        await _hello(server, name, encoder.model, reader.fingerprint, backend=settings.queue.backend)
        if settings.queue.backend != "sqlite":
            queue = make_broker(settings=settings.queue, environ=os.environ)
            await queue.start()
        leases: Leases = server if queue is None else queue
        worker = UploadWorker(
            work=Work(
                name=name,
                server=server,
                queue=leases,
                embedder=encoder,
                make_reader=lambda: make_reader(settings, encoder),
                parallel_parses=2 * settings.ingest.parse_workers,
            ),
            lanes=settings.worker.groups,
        )
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        worker.start()
        sys.stdout.write(f"Worker {name} works for {url}.  Stop: Ctrl-C\n")
        sys.stdout.flush()
        await stopped.wait()
        await worker.stop()
    finally:
        if queue is not None:
            await queue.stop()
        await server.stop()
        await asyncio.to_thread(encoder.stop)
    return 0


async def _hello(server: RemoteServer, name: str, model: str, fingerprint: str, *, backend: str) -> None:
    """A server that is just starting is waited for."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + WAIT_FOR_SERVER_S
    while True:
        try:
            welcome = await server.hello(worker=name, model=model, fingerprint=fingerprint)
            break
        except StageUnavailable:
            if loop.time() > until_s:
                raise
            await asyncio.sleep(0.5)
    if welcome.backend != backend:
        raise BadSetting(
            f"The server has its jobs in {welcome.backend}, and this worker's queue.backend is {backend}. "
            "Give the worker the server's [queue] settings."
        )

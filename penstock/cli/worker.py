"""`penstock worker`: reads, splits and embeds files for a server that runs elsewhere, or beside it."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys

from penstock.assemble import make_reader
from penstock.cli.session import Session
from penstock.core.errors import BadSetting, StageUnavailable
from penstock.embed.build import EmbedStage
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
    stage = EmbedStage(settings=settings)
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
    broker = None
    if settings.queue.backend != "sqlite":
        broker = make_broker(settings=settings.queue, environ=os.environ)
    leases: Leases = broker or server
    steps = Work(
        name=name,
        server=server,
        queue=leases,
        encoders=stage.encoders,
        make_reader=lambda model: make_reader(settings, stage.encoder(model)),
        parallel_parses=2 * settings.ingest.parse_workers,
    )
    await asyncio.to_thread(stage.start)
    try:
        await _hello(server, name, steps.fingerprints(), backend=settings.queue.backend)
        if broker is not None:
            await broker.start()
        worker = UploadWorker(work=steps, lanes=settings.worker.groups)
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        worker.start()
        sys.stdout.write(f"Worker {name} works for {url}.  Stop: Ctrl-C\n")
        sys.stdout.flush()
        await stopped.wait()
        await worker.stop()
    finally:
        if broker is not None:
            await broker.stop()
        await server.stop()
        await stage.stop()
    return 0


async def _hello(server: RemoteServer, name: str, encoders: dict[str, str], *, backend: str) -> None:
    """A server that is just starting is waited for."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + WAIT_FOR_SERVER_S
    while True:
        try:
            welcome = await server.hello(worker=name, encoders=encoders)
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

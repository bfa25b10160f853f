"""`penstock serve` and `penstock up`: the server, and how it says that it is ready."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import webbrowser
from functools import partial
from pathlib import Path

import msgspec
from starlette.applications import Starlette

from penstock.assemble import Penstock
from penstock.catalog.keys import hash_of, read_secret
from penstock.cli.follow import Follower
from penstock.cli.ingest import read_into
from penstock.cli.keys import there_are_keys
from penstock.cli.reembed import Lines
from penstock.cli.renewal import Renewal
from penstock.cli.session import OWNER, Session
from penstock.config import Settings
from penstock.gateway.app import create_app
from penstock.gateway.auth import is_loopback, require_loopback
from penstock.gateway.keys import KeyAuthenticator
from penstock.gateway.readiness import Readiness
from penstock.gateway.serve import bind, make_server
from penstock.pipeline.suggest import suggest
from penstock.run.dispatch import Dispatch
from penstock.run.housekeeper import Housekeeper
from penstock.run.mover import Mover
from penstock.run.worker import UploadWorker

log = logging.getLogger("penstock.serve")

FIRST_QUESTION = "What do these documents say?"


async def serve(session: Session) -> int:
    """Serve what the data folder holds until a signal."""
    return await _serve(session, paths=[], store_name="", open_page=False, watch=False)


async def up(session: Session, paths: list[str], store_name: str, *, open_page: bool, watch: bool) -> int:
    """Read the paths, then serve; with `watch`, follow them."""
    return await _serve(session, paths=paths, store_name=store_name, open_page=open_page, watch=watch)


async def _serve(session: Session, *, paths: list[str], store_name: str, open_page: bool, watch: bool) -> int:
    settings = session.settings.server
    if not is_loopback(settings.host) and not await there_are_keys(session):
        require_loopback(settings.host)
    # The port is taken first: nothing is opened or read for a server that could not listen.
    bound = bind(host=settings.host, port=settings.port)
    try:
        address = _address(bound)
        async with session.assembled(address=address) as penstock:
            if paths:
                await read_into(penstock, session, paths, store_name)
            example = settings.example_question or await _example(penstock, session)
            readiness = Readiness()
            secret = await asyncio.to_thread(read_secret, Path(session.settings.data_dir))
            authenticator = KeyAuthenticator(keys=penstock.keys, hash_of=partial(hash_of, secret=secret))
            app = _app(penstock, _with_example(session.settings, example), readiness, authenticator)
            server = make_server(app=app, settings=settings, readiness=readiness)
            worker = UploadWorker(work=penstock.uploads.work, lanes=session.settings.queue.inside_workers)
            dispatch = Dispatch(uploads=penstock.uploads)
            dispatch.start()
            worker.start()
            housekeeper = Housekeeper(kept=penstock.kept, partial=penstock.uploads.partial_keeper)
            housekeeper.start()
            mover = Mover(moving=penstock.moving(report=Lines(log.info).update), linger_s=settings.request_timeout_s)
            if session.settings.embed.next:
                mover.start()
            follower = Follower(penstock, session, paths=paths if watch else [], store_name=store_name)
            follower.start()
            await authenticator.start()
            try:
                serving = asyncio.create_task(server.serve(sockets=[bound]), name="serve")
                renewal = Renewal(session=session, generation=penstock.generation)
                renewal.listen()
                readiness.ready()
                await _announce(penstock, address, example)
                if open_page:
                    await asyncio.to_thread(webbrowser.open, address)
                await serving
                await renewal.stop()
            finally:
                await follower.stop()
                await mover.stop()
                await authenticator.stop()
                await housekeeper.stop()
                await worker.stop()
                await dispatch.stop()
    finally:
        bound.close()
    return 0


def _app(penstock: Penstock, settings: Settings, readiness: Readiness, authenticator: KeyAuthenticator) -> Starlette:
    return create_app(
        questions=penstock.questions,
        stores=penstock.stores,
        ledger=penstock.ledger,
        metrics=penstock.metrics,
        settings=settings,
        readiness=readiness,
        uploads=penstock.uploads,
        tokenizer=penstock.encoder.tokenizer,
        engines=penstock.generation,
        usage=penstock.usage,
        authenticator=authenticator,
        ranking=penstock.ranking,
        pressure=penstock.pressure,
        kept=penstock.kept,
        limiter=penstock.limiter,
    )


async def _example(penstock: Penstock, session: Session) -> str:
    """A question to try, from the documents that are there."""
    stores = await penstock.stores.list(OWNER.tenant)
    usable = tuple(store for store in stores if store.embedder in penstock.encoders.models)
    ctx = session.context(timeout_s=session.settings.server.request_timeout_s)
    return (await suggest(penstock.questions, usable, ctx) if usable else None) or FIRST_QUESTION


def _with_example(settings: Settings, example: str) -> Settings:
    return msgspec.structs.replace(settings, server=msgspec.structs.replace(settings.server, example_question=example))


def _address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _announce(penstock: Penstock, address: str, example: str) -> None:
    names = ", ".join(store.name for store in await penstock.stores.list(OWNER.tenant)) or "none yet"
    sys.stdout.write(
        f"\nPenstock is ready.  Stores: {names}\n\n"
        f"  Open    {address}\n"
        f"  Or ask  curl -s {address}/v1/chat/completions -H 'Content-Type: application/json' \\\n"
        f'            -d \'{{"messages": [{{"role": "user", "content": "{example}"}}]}}\'\n'
        f"  API     base_url={address}/v1 with any OpenAI client\n"
        f"  Stop    Ctrl-C\n\n"
    )
    sys.stdout.flush()

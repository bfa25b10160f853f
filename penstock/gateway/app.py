"""The gateway in one place: operations become routes, and layers go round them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import msgspec
from starlette.applications import Starlette
from starlette.routing import Route

from penstock import __version__
from penstock.catalog.responses import KeptResponses
from penstock.config import Settings
from penstock.core.ports import Tokenizer
from penstock.flow.pressure import Pressure
from penstock.flow.ratelimit.local import LocalLimiter
from penstock.flow.ratelimit.quota import RateLimiter
from penstock.gateway.auth import Authenticator, Loopback
from penstock.gateway.deadlines import Deadlines
from penstock.gateway.directory import FileLedger, StoreCatalog
from penstock.gateway.doors import make_doors
from penstock.gateway.endpoint import Endpoint
from penstock.gateway.errors import Translated
from penstock.gateway.mcp.endpoint import Mcp
from penstock.gateway.mcp.resources import Resources
from penstock.gateway.mcp.tools import Tools
from penstock.gateway.observe import Observed
from penstock.gateway.openapi import describe
from penstock.gateway.operation import Call, Operation
from penstock.gateway.quotas import Quotas
from penstock.gateway.readiness import Readiness
from penstock.gateway.reply import Reply
from penstock.gateway.routes.chat import Chat
from penstock.gateway.routes.embeddings import Embeddings
from penstock.gateway.routes.engines import EngineRoutes, Engines, Usage
from penstock.gateway.routes.file_batches import FileBatches
from penstock.gateway.routes.files import Files
from penstock.gateway.routes.models import Models
from penstock.gateway.routes.page import Page
from penstock.gateway.routes.reference import Reference
from penstock.gateway.routes.rerank import Rerank
from penstock.gateway.routes.response_history import ResponseHistory
from penstock.gateway.routes.responses import Responses
from penstock.gateway.routes.service import Service
from penstock.gateway.routes.uploads import UploadsInParts
from penstock.gateway.routes.vector_store_changes import VectorStoreChanges
from penstock.gateway.routes.vector_store_files import VectorStoreFiles
from penstock.gateway.routes.vector_stores import VectorStores
from penstock.gateway.routes.work import WorkRoutes
from penstock.gateway.routing import Table
from penstock.gateway.streams import Streams
from penstock.pipeline.question import QuestionPipeline
from penstock.pipeline.ranking import Ranking
from penstock.pipeline.uploads import Uploads
from penstock.telemetry.metrics import Metrics

UPLOADS_AT_ONCE = 4


def create_app(
    *,
    questions: QuestionPipeline,
    stores: StoreCatalog,
    ledger: FileLedger,
    metrics: Metrics,
    settings: Settings,
    readiness: Readiness,
    authenticator: Authenticator | None = None,
    limiter: RateLimiter | None = None,
    uploads: Uploads | None = None,
    tokenizer: Tokenizer | None = None,
    engines: Engines | None = None,
    usage: Usage | None = None,
    ranking: Ranking | None = None,
    pressure: Pressure | None = None,
    kept: KeptResponses | None = None,
) -> Starlette:
    """The gateway over what was assembled. Opens and closes nothing: whoever made the parts does.

    Without an authenticator it trusts whoever reaches the loopback, so serve it nowhere else; without a `limiter`
    quotas are counted in this process. With `uploads` and the encoder's `tokenizer` files can be uploaded and texts
    embedded; with `engines` and their `usage` those can be operated; with a `ranking` texts are put in order; with
    `kept` there is /v1/responses. `pressure` is told of the doors.
    """
    operations = [
        *Chat(questions=questions, stores=stores, metrics=metrics).operations(),
        *VectorStores(stores=stores, ledger=ledger, questions=questions).operations(),
        *Models(router=questions.router).operations(),
        *Service(metrics=metrics, readiness=readiness).operations(),
        *Page(example=settings.server.example_question).operations(),
        *Reference().operations(),
    ]
    if uploads is not None and tokenizer is not None:
        operations += _uploading(uploads, settings, tokenizer)
    if engines is not None and usage is not None:
        operations += EngineRoutes(engines=engines, usage=usage).operations()
    if ranking is not None and tokenizer is not None:
        operations += Rerank(ranking=ranking, tokenizer=tokenizer).operations()
    if kept is not None:
        days = settings.server.keep_responses_days
        asking = Responses(questions=questions, stores=stores, kept=kept, metrics=metrics, keep_days=days)
        operations += [*asking.operations(), *ResponseHistory(kept=kept).operations()]
    doors = make_doors(settings=settings.flow, metrics=metrics, pressure=pressure)
    if uploads is not None:
        operations += _mcp(Tools(questions=questions, stores=stores, doors=doors, metrics=metrics), uploads)
    operations.append(_description(operations))
    who = authenticator or Loopback()
    quotas = Quotas(settings=settings.limits, limiter=limiter or LocalLimiter())
    streams = Streams(heartbeat_s=settings.server.heartbeat_s)
    make = partial(
        Endpoint,
        authenticator=who,
        settings=settings.server,
        doors=doors,
        quotas=quotas,
        streams=streams,
        deadlines=Deadlines(),
    )
    return _served([make(operation=each) for each in operations], metrics)


def _served(endpoints: Sequence[Endpoint], metrics: Metrics) -> Starlette:
    app = Starlette(
        routes=[
            Route(each.operation.path, each, methods=[each.operation.method], name=each.operation.name)
            for each in endpoints
        ]
    )
    app.router.redirect_slashes = False  # a path is right or wrong; redirects lose bodies
    # Every answer has an id and is counted, also one that says what went wrong. Starlette's own two layers are left
    # out: Translated does what they do, and in our shape.
    app.middleware_stack = Observed(Translated(Table(router=app.router)), metrics)
    return app


def _mcp(tools: Tools, uploads: Uploads) -> list[Operation]:
    return Mcp(tools=tools, resources=Resources(uploads=uploads)).operations()


def _uploading(uploads: Uploads, settings: Settings, tokenizer: Tokenizer) -> list[Operation]:
    max_chunk_tokens = tokenizer.max_tokens
    ours = min(settings.ingest.chunk_tokens, max_chunk_tokens)
    # Threads start with the first upload, and end with the process.
    executor = ThreadPoolExecutor(UPLOADS_AT_ONCE, thread_name_prefix="upload")
    in_stores = VectorStoreFiles(uploads=uploads, chunk_tokens=ours, max_chunk_tokens=max_chunk_tokens)
    return [
        *VectorStoreChanges(uploads=uploads, max_chunk_tokens=max_chunk_tokens).operations(),
        *Files(uploads=uploads, settings=settings, executor=executor).operations(),
        *UploadsInParts(uploads=uploads, settings=settings, executor=executor).operations(),
        *in_stores.operations(),
        *FileBatches(uploads=uploads, files=in_stores).operations(),
        *WorkRoutes(uploads=uploads, settings=settings.queue).operations(),
        *Embeddings(embedder=uploads.encoders.current, tokenizer=tokenizer).operations(),
    ]


def _description(operations: Sequence[Operation]) -> Operation:
    reply = Reply(body=msgspec.json.encode(describe(operations, version=__version__)))

    async def get(_call: Call) -> Reply:
        return reply

    return Operation(
        method="GET",
        path="/openapi.json",
        name="openapi",
        summary="This description.",
        handle=get,
        described=False,
        scope=None,
    )

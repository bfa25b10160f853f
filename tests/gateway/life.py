"""One life of everything that the API has, in an order that makes sense: each operation is asked at least once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx
from starlette.applications import Starlette
from starlette.routing import Route

from penstock.gateway.endpoint import Endpoint
from penstock.gateway.operation import Operation

TEXT = b"A penstock is a pipe.\nIt carries water under pressure to a turbine.\n"
QUESTION = "What is a penstock?"
CHAT = {"messages": [{"role": "user", "content": QUESTION}]}


class Step(NamedTuple):
    """What was asked, by the path's template, and what came back."""

    method: str
    path: str
    response: httpx.Response

    @property
    def streams(self) -> bool:
        return self.response.headers["content-type"].startswith("text/event-stream")


def operations_of(app: Starlette) -> list[Operation]:
    """Everything that the gateway answers and describes."""
    endpoints = [route.endpoint for route in app.routes if isinstance(route, Route)]
    found = [endpoint.operation for endpoint in endpoints if isinstance(endpoint, Endpoint)]
    return [operation for operation in found if operation.described]


class Life:
    """Asks, and remembers the ids that come back."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.ids: dict[str, str] = {"model": "penstock-extractive"}

    async def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Step:
        response = await self._client.request(method, path.format(**self.ids), json=body, **more)
        assert response.status_code == 200, (method, path, response.text)
        return Step(method, path, response)

    async def through(self) -> AsyncIterator[Step]:
        for steps in (self._files, self._uploads, self._stores, self._answers, self._service, self._end):
            async for step in steps():
                yield step

    def _keep(self, name: str, step: Step) -> Step:
        self.ids[name] = step.response.json()["id"]
        return step

    async def _files(self) -> AsyncIterator[Step]:
        form = {"data": {"purpose": "assistants"}, "files": {"file": ("a.txt", TEXT)}}
        yield self._keep("file_id", await self.ask("POST", "/v1/files", **form))
        yield await self.ask("GET", "/v1/files", params={"limit": 1, "purpose": "assistants", "order": "asc"})
        yield await self.ask("GET", "/v1/files", params={"purpose": "user_data"})
        yield await self.ask("GET", "/v1/files/{file_id}")
        yield await self.ask("GET", "/v1/files/{file_id}/content")

    async def _uploads(self) -> AsyncIterator[Step]:
        whole = {"filename": "b.txt", "purpose": "user_data", "bytes": len(TEXT), "mime_type": "text/plain"}
        yield self._keep("upload_id", await self.ask("POST", "/v1/uploads", whole))
        part = await self.ask("POST", "/v1/uploads/{upload_id}/parts", files={"data": ("blob", TEXT)})
        yield part
        ids = {"part_ids": [part.response.json()["id"]]}
        yield await self.ask("POST", "/v1/uploads/{upload_id}/complete", ids)
        self._keep("upload_id", await self.ask("POST", "/v1/uploads", whole))
        yield await self.ask("POST", "/v1/uploads/{upload_id}/cancel")

    async def _stores(self) -> AsyncIterator[Step]:
        store = "/v1/vector_stores/{vector_store_id}"
        expiry = {"anchor": "last_active_at", "days": 7}
        yield self._keep(
            "vector_store_id",
            await self.ask("POST", "/v1/vector_stores", {"name": "docs", "metadata": {"a": "b"}}),
        )
        yield await self.ask("POST", "/v1/vector_stores", {"expires_after": expiry, "description": "x"})
        yield await self.ask("POST", store, {"name": "other", "expires_after": expiry})
        yield await self.ask("GET", "/v1/vector_stores", params={"limit": 1})
        yield await self.ask("GET", store)
        chunking = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}}
        attached = {"file_id": self.ids["file_id"], "attributes": {"year": 1998}, "chunking_strategy": chunking}
        yield await self.ask("POST", f"{store}/files", attached)
        async with asyncio.timeout(30):
            while (step := await self.ask("GET", f"{store}/files/{{file_id}}")).response.json()[
                "status"
            ] == "in_progress":
                await asyncio.sleep(0.01)
        yield step
        yield await self.ask("GET", f"{store}/files", params={"filter": "completed"})
        yield await self.ask("GET", f"{store}/files/{{file_id}}/content")
        yield await self.ask("POST", f"{store}/files/{{file_id}}", {"attributes": {"year": 2026}})
        batch = {"file_ids": [self.ids["file_id"]], "attributes": {"year": 2026}, "chunking_strategy": chunking}
        yield self._keep("batch_id", await self.ask("POST", f"{store}/file_batches", batch))
        yield await self.ask("GET", f"{store}/file_batches/{{batch_id}}")
        yield await self.ask("GET", f"{store}/file_batches/{{batch_id}}/files")
        yield await self.ask("POST", f"{store}/file_batches/{{batch_id}}/cancel")
        newer = {"type": "gt", "key": "year", "value": 2000}
        yield await self.ask("POST", f"{store}/search", {"query": QUESTION, "filters": newer, "rewrite_query": True})
        yield await self.ask("POST", f"{store}/search", {"query": [QUESTION, "turbine"], "max_num_results": 1})

    async def _answers(self) -> AsyncIterator[Step]:
        search = {"type": "file_search", "vector_store_ids": [self.ids["vector_store_id"]]}
        responses: tuple[dict[str, Any], ...] = (
            {},
            {"tools": [], "model": "scripted"},
            {
                "tools": [
                    {
                        **search,
                        "max_num_results": 3,
                        "filters": {"type": "eq", "key": "year", "value": 2026},
                        "ranking_options": {"ranker": "auto", "score_threshold": 0.1},
                    }
                ],
                "include": ["file_search_call.results"],
                "instructions": "Be brief.",
                "metadata": {"a": "b"},
                "temperature": 0.1,
                "top_p": 0.9,
                "user": "somebody",
                "max_output_tokens": 100,
                "tool_choice": {"type": "file_search"},
            },
        )
        for more in responses:
            step = self._keep("response_id", await self.ask("POST", "/v1/responses", {"input": QUESTION, **more}))
            yield step
            yield await self.ask("POST", "/v1/responses", {"input": QUESTION, "stream": True, **more})
            yield await self.ask("GET", "/v1/responses/{response_id}")
        yield await self.ask("GET", "/v1/responses/{response_id}", params={"include[]": "file_search_call.results"})
        turns = [{"role": "user", "content": QUESTION}, *step.response.json()["output"]]
        turns.append({"role": "user", "content": "Sure?"})
        yield self._keep("response_id", await self.ask("POST", "/v1/responses", {"input": turns}))
        yield await self.ask("GET", "/v1/responses/{response_id}/input_items", params={"limit": 2})
        for more in ({}, {"model": "scripted"}, {"metadata": {"a": "b"}, "max_num_results": 1}):
            yield await self.ask("POST", "/v1/chat/completions", {**CHAT, **more})
            options = {"stream": True, "stream_options": {"include_usage": True}}
            yield await self.ask("POST", "/v1/chat/completions", {**CHAT, **more, **options})
        nothing = {"messages": [{"role": "user", "content": "Who painted the ceiling of a chapel?"}]}
        yield await self.ask("POST", "/v1/chat/completions", nothing)
        for form in ("float", "base64"):
            asked = {"model": "auto", "input": ["one", "two"], "encoding_format": form, "dimensions": 64}
            yield await self.ask("POST", "/v1/embeddings", asked)
        for version in ("v1", "v2"):
            asked = {"query": QUESTION, "documents": ["A pipe.", {"text": "A turbine."}], "return_documents": True}
            yield await self.ask("POST", f"/{version}/rerank", asked)
        yield await self.ask("GET", "/v1/models")
        yield await self.ask("GET", "/v1/models/{model}")

    async def _service(self) -> AsyncIterator[Step]:
        for path in ("/healthz", "/readyz", "/metrics", "/engines", "/usage"):
            yield await self.ask("GET", path)

    async def _end(self) -> AsyncIterator[Step]:
        store = "/v1/vector_stores/{vector_store_id}"
        yield await self.ask("DELETE", f"{store}/files/{{file_id}}")
        yield await self.ask("GET", "/v1/responses/{response_id}")  # withdrawn now
        yield await self.ask("GET", "/v1/responses/{response_id}/input_items")
        yield await self.ask("DELETE", "/v1/responses/{response_id}")
        yield await self.ask("DELETE", "/v1/files/{file_id}")
        yield await self.ask("DELETE", store)

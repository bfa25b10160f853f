from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import openai
import pytest

from tests.gateway import description
from tests.gateway.world import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATH = "/v1/embeddings"


@pytest.mark.parametrize("texts", ["one river", ["one river", "two rivers"]])
async def test_vectors_fit_openais_description(reader: httpx.AsyncClient, texts: Any) -> None:
    answer = (await reader.post(PATH, json={"model": "auto", "input": texts})).json()

    assert len(answer["data"]) == (1 if isinstance(texts, str) else len(texts))
    assert answer["usage"]["prompt_tokens"] == 2 * len(answer["data"])
    assert np.linalg.norm(answer["data"][0]["embedding"]) == pytest.approx(1.0, abs=1e-5)
    if description.FILE.exists():
        description.validate(description.answer_schema("POST", "/embeddings"), answer)


@pytest.mark.asyncio(loop_scope="function")
async def test_the_sdk_reads_base64_and_numbers_alike(live: Live) -> None:
    async with openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0) as sdk:
        packed = await sdk.embeddings.create(model="hashing-64", input=["The Rhine", "The Elbe"])
        plain = await sdk.embeddings.create(model="auto", input=["The Rhine", "The Elbe"], encoding_format="float")

    for one, other in zip(packed.data, plain.data, strict=True):
        np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-6)
    assert packed.data[0].embedding != packed.data[1].embedding


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"model": "auto", "input": ""}, 400, "input[0]"),
        ({"model": "auto", "input": []}, 400, "input"),
        ({"model": "auto", "input": [1, 2]}, 400, "input[0]"),
        ({"model": "auto", "input": [[1, 2]]}, 400, "input[0]"),
        ({"model": "auto", "input": ["x"] * 2_049}, 413, "input"),
        ({"model": "auto", "input": ["x", "word " * 127]}, 400, "input[1]"),
        ({"model": "none", "input": "x"}, 404, "model"),
        ({"model": "auto", "input": "x", "dimensions": 3}, 400, "dimensions"),
        ({"model": "auto", "input": "x", "encoding_format": "hex"}, 400, "encoding_format"),
        ({"model": "auto"}, 400, "input"),
    ],
)
async def test_wrong_requests_are_named(reader: httpx.AsyncClient, body: Any, status: int, param: str) -> None:
    response = await reader.post(PATH, json=body)

    assert response.status_code == status, response.text
    assert response.json()["error"]["param"] == param

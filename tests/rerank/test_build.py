"""Each setting of `[rerank]` and what it does."""

from __future__ import annotations

import pytest

from penstock.config import RerankSettings
from penstock.core.context import start_context
from penstock.core.errors import BadSetting
from penstock.core.types import Principal
from penstock.rerank.build import RerankStage
from tests.rerank import tiny_cross
from tests.rerank.hits import hits_of
from tests.rerank.server import RerankServer

CTX = start_context(principal=Principal(), timeout_s=86_400)  # from the import on, through every test of the run


def stage(environ: dict[str, str] | None = None, **settings) -> RerankStage:
    return RerankStage(settings=RerankSettings(**settings), environ=environ or {})


async def test_without_model_and_url_there_is_no_such_stage():
    none = stage()
    await none.start()
    assert none.reranker is None
    await none.stop()


async def test_a_model_is_run_here(tmp_path):
    folder = tiny_cross.make(tmp_path / "tiny")
    local = stage(model=str(folder), precision="fp32")
    await local.start()
    (hit,) = await local.reranker.rerank("w1", hits_of("w2"), CTX)
    assert local.reranker.model.startswith("tiny@")
    await local.stop()
    assert hit.score == pytest.approx(tiny_cross.reference(folder, "w1", "w2"), abs=1e-5)


async def test_a_url_is_called_in_its_shape_with_its_model_and_key():
    async with RerankServer() as server:
        for api, path, field in (("cohere", "/v1/rerank", "documents"), ("tei", "/rerank", "texts")):
            remote = stage({"KEY": "k1"}, url=server.url + path, model="m1", api=api, key_env="KEY")
            await remote.start()
            await remote.reranker.rerank("q", hits_of("a"), CTX)
            await remote.stop()
            body, headers = server.requests[-1]
            assert body[field] == ["a"]
            assert headers["Authorization"] == "Bearer k1"
        assert server.requests[0][0]["model"] == "m1"


def test_settings_that_cannot_work_are_refused_by_name():
    with pytest.raises(BadSetting, match=r"rerank\.url"):
        stage(url="gpu:8000/rerank")
    with pytest.raises(BadSetting, match="KEY is empty"):
        stage(url="http://gpu/rerank", key_env="KEY")

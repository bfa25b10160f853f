"""The contract of every Generator, on real vLLM: chat, streamed and whole, and completions."""

from collections.abc import AsyncIterator

import pytest

from penstock.core.ports import Generator
from penstock.generate.openai import OpenAIGenerator
from tests.contracts.test_generator import (
    test_a_generator_has_a_name,
    test_a_request_whose_time_is_up_is_not_started,
    test_answers_run_beside_each_other,
    test_closing_early_leaves_the_engine_usable,
    test_only_the_last_delta_has_a_finish_and_it_has_usage,
    test_the_same_prompt_with_the_same_seed_gives_the_same_answer,
)
from tests.vllm.server import MODEL, VllmServer

__all__ = [
    "test_a_generator_has_a_name",
    "test_a_request_whose_time_is_up_is_not_started",
    "test_answers_run_beside_each_other",
    "test_closing_early_leaves_the_engine_usable",
    "test_only_the_last_delta_has_a_finish_and_it_has_usage",
    "test_the_same_prompt_with_the_same_seed_gives_the_same_answer",
]
pytestmark = pytest.mark.timeout(900)
KINDS = {"chat": {}, "whole": {"streamed": False}, "completions": {"api": "completions"}}


@pytest.fixture(params=sorted(KINDS))
async def generator(request: pytest.FixtureRequest, replicas: list[VllmServer]) -> AsyncIterator[Generator]:
    engine = OpenAIGenerator(model="local", upstream_model=MODEL, url=replicas[0].url, **KINDS[request.param])
    await engine.start()
    yield engine
    await engine.stop()

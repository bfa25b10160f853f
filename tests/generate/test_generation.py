"""Other settings while answers are under way."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest

from penstock.bench.fake_llm import Behaviour, FakeLLM
from penstock.config import EngineSettings, GenerateSettings
from penstock.core.context import Context, start_context
from penstock.core.errors import BadSetting, NotFound
from penstock.core.types import Principal, Prompt
from penstock.generate.extractive import ExtractiveGenerator
from penstock.generate.generation import Generation


def context() -> Context:
    return start_context(principal=Principal(), timeout_s=5.0)


def settings_of(*servers: FakeLLM, **engine: object) -> GenerateSettings:
    return GenerateSettings(
        engines=(EngineSettings(**{"model": "llama", "urls": tuple(server.url for server in servers), **engine}),)
    )


async def answer(generation: Generation, model: str = "llama") -> str:
    prompt = Prompt(question="why?", passages=())
    routed = generation.router.choose(model, prompt, context())
    deltas = [delta async for delta in routed.generator.generate(prompt, context())]
    assert routed.generator.model == model
    return "".join(delta.text for delta in deltas)


def names(generation: Generation) -> list[str]:
    return [replica.name for state in generation.states() for replica in state.replicas]


@pytest.fixture
async def servers() -> AsyncIterator[list[FakeLLM]]:
    made = [FakeLLM(behaviour=Behaviour(token_ms=2.0, tokens=40)) for _ in range(3)]
    for server in made:
        await server.start()
    yield made
    for server in made:
        await server.stop()


async def made(settings: GenerateSettings, environ: dict[str, str] | None = None) -> Generation:
    def fail(name: str, error: BaseException) -> None:
        raise AssertionError(name) from error

    generation = Generation(settings=settings, environ=environ or {}, last_resort=ExtractiveGenerator(), on_death=fail)
    await generation.start()
    return generation


async def gone(generation: Generation, names_left: Sequence[str]) -> None:
    async with asyncio.timeout(2.0):
        while names(generation) != list(names_left):
            await asyncio.sleep(0.005)


async def test_a_server_that_goes_ends_its_answers_and_gets_no_new_ones(servers: list[FakeLLM]) -> None:
    first, second, _ = servers
    generation = await made(settings_of(first))
    running = asyncio.create_task(answer(generation))
    await first.until(lambda: first.slots_in_use == 1)

    changes = await generation.become(settings_of(second))
    for _ in range(3):
        await answer(generation)

    assert changes == [f"'llama' has {second.url}, too", f"'llama' lets go of {first.url}"]
    assert await running
    assert (len(first.seen), len(second.seen)) == (1, 3)
    await gone(generation, [second.url])
    await generation.stop()


async def test_a_server_that_is_wanted_again_stays(servers: list[FakeLLM]) -> None:
    first, second, _ = servers
    generation = await made(settings_of(first, second))
    running = asyncio.create_task(answer(generation))
    await first.until(lambda: first.slots_in_use + second.slots_in_use == 1)

    await generation.become(settings_of(second))
    await generation.become(settings_of(first, second))
    await running
    await asyncio.sleep(0.02)

    assert sorted(names(generation)) == sorted([first.url, second.url])
    await generation.stop()


async def test_a_model_whose_other_settings_change_is_made_anew_beside_the_old(servers: list[FakeLLM]) -> None:
    first = servers[0]
    generation = await made(settings_of(first))
    running = asyncio.create_task(answer(generation))
    await first.until(lambda: first.slots_in_use == 1)

    changes = await generation.become(settings_of(first, upstream_model="other"))
    await answer(generation)

    assert changes == ["'llama' is made anew"]
    assert await running
    assert [seen.model for seen in first.seen] == ["llama", "other"]
    await generation.become(GenerateSettings())
    with pytest.raises(NotFound):
        await answer(generation)
    await generation.stop()


async def test_keys_in_a_file_are_rotated(servers: list[FakeLLM], tmp_path: Path) -> None:
    first, file = servers[0], tmp_path / "keys"
    file.write_text("old\n")
    generation = await made(settings_of(first, key_file=str(file)))
    await answer(generation)

    file.write_text("new\n")
    assert await generation.become(settings_of(first, key_file=str(file))) == []
    await answer(generation)

    assert [seen.authorization for seen in first.seen] == ["Bearer old", "Bearer new"]
    await generation.stop()


async def test_settings_that_cannot_work_change_nothing(servers: list[FakeLLM], tmp_path: Path) -> None:
    first, second, _ = servers
    generation = await made(settings_of(first))
    wrong = (
        settings_of(second, key_env="MISSING"),
        settings_of(second, local="/models/x"),
        msgspec.structs.replace(settings_of(second), templates=str(tmp_path / "none")),
    )

    for settings in wrong:
        with pytest.raises(BadSetting):
            await generation.become(settings)

    assert names(generation) == [first.url]
    assert await answer(generation)
    await generation.stop()


async def test_templates_that_changed_are_used(servers: list[FakeLLM], tmp_path: Path) -> None:
    (tmp_path / "instructions.txt").write_text("Be brief.")
    settings = msgspec.structs.replace(settings_of(servers[0]), templates=str(tmp_path))
    generation = await made(settings)
    await answer(generation)
    before = servers[0].seen[-1].prompt_tokens

    (tmp_path / "instructions.txt").write_text("Be brief and use the language of the question.")
    await generation.become(settings)
    await answer(generation)

    assert servers[0].seen[-1].prompt_tokens == before + 7
    await generation.stop()


async def test_a_password_in_an_address_is_not_shown(servers: list[FakeLLM]) -> None:
    url = servers[0].url.replace("http://", "http://user:secret@")
    generation = await made(GenerateSettings(engines=(EngineSettings(model="llama", urls=(url,)),)))

    assert names(generation) == [servers[0].url]
    await generation.stop()

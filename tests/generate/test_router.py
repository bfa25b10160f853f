from collections.abc import AsyncIterator

import msgspec
import pytest

from penstock.bench.fake_llm import Behaviour, FakeLLM
from penstock.config import EngineSettings, GenerateSettings, SplitSettings
from penstock.core.context import Context, start_context
from penstock.core.errors import BadSetting, NotFound, StageUnavailable
from penstock.core.types import Chunk, Hit, Principal, Prompt
from penstock.generate.choice import Asked, Candidate, decide, split
from penstock.generate.complexity import complexity
from penstock.generate.extractive import MODEL, ExtractiveGenerator
from penstock.generate.generation import Generation
from penstock.generate.router import Routed

EASY = "When was it built?"
HARD = (
    "Compare the two gates step by step, explain why the first one failed in 1901, and then recommend which of them a "
    "plant with a high head should take; what would that cost, and what are the trade-offs?"
)


def prompt_of(question: str = EASY) -> Prompt:
    chunk = Chunk(id="chunk_1", position=0, text="The mill was built in 1823 by Anna Keller.")
    hit = Hit(
        store_id="vs_1", file_id="file_1", filename="a.md", title="Mill", score=0.9, dense=0.9, lexical=9.0, chunk=chunk
    )
    return Prompt(question=question, passages=(hit,))


def context(timeout_s: float = 5.0) -> Context:
    return start_context(principal=Principal(tenant="t"), timeout_s=timeout_s)


def candidate(model: str, **changes: object) -> Candidate:
    usual = Candidate(
        model=model,
        level=0.5,
        price=1.0,
        context_tokens=8000,
        healthy=True,
        first_token_s=0.2,
        tokens_per_s=100.0,
    )
    return msgspec.structs.replace(usual, **changes)


ASKED = Asked(complexity=0.3, prompt_tokens=1000, output_tokens=200, priority="interactive", remaining_s=10.0)
SMALL = candidate("small", level=0.4, price=0.1)
LARGE = candidate("large", level=0.9, price=2.0)


def test_the_cheapest_trusted_model_is_taken_and_the_others_are_explained() -> None:
    choice = decide([LARGE, SMALL], ASKED, last_resort="last")

    assert choice.model == "small"
    assert "cheapest" in choice.reason
    assert [(one.model, one.able) for one in choice.alternatives] == [("large", True)]


@pytest.mark.parametrize(
    ("small", "asked", "why"),
    [
        ({"healthy": False}, {}, "not well"),
        ({"context_tokens": 1100}, {}, "too small"),
        ({"tokens_per_s": 10.0}, {}, "are left"),
        ({}, {"complexity": 0.6}, "trusted up to"),
    ],
)
def test_a_model_that_cannot_serve_is_passed_over_and_says_why(small: dict, asked: dict, why: str) -> None:
    choice = decide(
        [LARGE, msgspec.structs.replace(SMALL, **small)], msgspec.structs.replace(ASKED, **asked), last_resort="last"
    )

    assert choice.model == "large"
    assert why in choice.alternatives[0].why


def test_when_none_is_trusted_the_most_trusted_answers_and_when_none_is_able_the_last_resort() -> None:
    harder = msgspec.structs.replace(ASKED, complexity=1.0)

    assert decide([SMALL, LARGE], harder, last_resort="last").model == "large"
    assert decide([candidate("a", healthy=False)], ASKED, last_resort="last").model == "last"


def test_equal_prices_go_by_speed_for_people_and_by_level_for_batches() -> None:
    quick, strong = candidate("quick", first_token_s=0.1), candidate("strong", level=0.9)
    batch = msgspec.structs.replace(ASKED, priority="batch")

    assert decide([strong, quick], ASKED, last_resort="last").model == "quick"
    assert decide([strong, quick], batch, last_resort="last").model == "strong"


def test_complexity_tells_easy_from_hard() -> None:
    assert complexity(prompt_of(EASY)) < 0.2
    assert 0.6 < complexity(prompt_of(HARD)) <= 1.0


def test_a_split_keeps_its_shares_and_a_request_its_side() -> None:
    versions = (("old", 9.0), ("new", 1.0))
    sides = [split(versions, f"req_{number}") for number in range(5000)]

    assert 0.08 < sides.count("new") / 5000 < 0.12
    assert sides == [split(versions, f"req_{number}") for number in range(5000)]


def generation(*servers: FakeLLM, fallback: tuple[str, ...] = (), **settings: object) -> Generation:
    engines = tuple(
        EngineSettings(
            model=f"m{place}",
            urls=(server.url,),
            level=0.3 + place / 2,
            price_output=1.0 + place,
            fallback=fallback if place == 0 else (),
        )
        for place, server in enumerate(servers)
    )

    def fail(name: str, error: BaseException) -> None:
        raise AssertionError(name) from error

    return Generation(
        settings=GenerateSettings(engines=engines, **settings),
        environ={},
        last_resort=ExtractiveGenerator(),
        on_death=fail,
    )


async def run(routed: Routed, question: str = EASY, timeout_s: float = 5.0) -> str:
    deltas = [delta async for delta in routed.generator.generate(prompt_of(question), context(timeout_s))]
    assert deltas[-1].finish is not None
    return "".join(delta.text for delta in deltas)


@pytest.fixture
async def servers() -> AsyncIterator[tuple[FakeLLM, FakeLLM]]:
    pair = FakeLLM(behaviour=Behaviour(answer="From the small one.")), FakeLLM(behaviour=Behaviour(answer="Large."))
    for server in pair:
        await server.start()
    yield pair
    for server in pair:
        await server.stop()


async def test_auto_sends_easy_questions_to_the_small_and_hard_ones_to_the_large(servers: tuple) -> None:
    generation_ = generation(*servers)
    await generation_.start()
    router = generation_.router

    easy, hard = (router.choose("auto", prompt_of(question), context()) for question in (EASY, HARD))

    assert await run(easy) == "From the small one."
    assert await run(hard, HARD) == "Large."
    assert (easy.choice.model, hard.choice.model) == ("m0", "m1")
    assert generation_.account.totals("t", "m0").output == 4
    assert generation_.account.totals("t", "m1").price == pytest.approx(2.0 * 1 / 1e6)
    await generation_.stop()


async def test_names_are_taken_at_their_word_and_unknown_ones_refused(servers: tuple) -> None:
    router = generation(*servers).router

    assert router.choose("m1", prompt_of(), context()).choice.reason == "asked for"
    assert router.choose(MODEL, prompt_of(), context()).generator.model == MODEL
    assert set(router.models()) == {"m0", "m1", MODEL}
    with pytest.raises(NotFound):
        router.choose("gpt-9", prompt_of(), context())


@pytest.mark.parametrize("fault", ["status_500", "hang_headers"])
async def test_all_models_down_is_an_extractive_answer_within_the_deadline(servers: tuple, fault: str) -> None:
    for server in servers:
        server.behaviour = Behaviour(fault=fault)
    generation_ = generation(*servers)
    await generation_.start()
    routed = generation_.router.choose("auto", prompt_of(), context(0.6))

    text = await run(routed, timeout_s=0.6)

    assert "1823" in text
    assert routed.generator.model == MODEL
    await generation_.stop()


async def test_without_a_model_that_is_able_the_answer_says_so(servers: tuple) -> None:
    too_long = prompt_of("word " * 20_000)

    routed = generation(*servers).router.choose("auto", too_long, context())
    deltas = [delta async for delta in routed.generator.generate(prompt_of(), context())]
    alone = generation().router.choose("auto", too_long, context())
    undiminished = [delta async for delta in alone.generator.generate(prompt_of(), context())]

    assert routed.generator.model == alone.generator.model == MODEL
    assert [one.split(":")[0] for one in deltas[-1].degraded] == ["m0 did not answer", "m1 did not answer"]
    assert [one.model for one in routed.alternatives] == ["m0", "m1"]
    assert undiminished[-1].degraded == ()


async def test_a_model_falls_back_on_those_it_names(servers: tuple) -> None:
    servers[0].behaviour = Behaviour(fault="status_500")
    generation_ = generation(*servers, fallback=("m1",))
    await generation_.start()
    routed = generation_.router.choose("m0", prompt_of(), context())

    deltas = [delta async for delta in routed.generator.generate(prompt_of(), context())]

    assert "".join(delta.text for delta in deltas) == "Large."
    assert routed.generator.model == "m1"
    assert deltas[-1].degraded == ("m0 did not answer: stage_unavailable",)
    await generation_.stop()


async def test_an_answer_that_has_begun_does_not_fall_back(servers: tuple) -> None:
    servers[0].behaviour = Behaviour(fault="reset")
    generation_ = generation(*servers)
    await generation_.start()

    with pytest.raises(StageUnavailable):
        await run(generation_.router.choose("m0", prompt_of(), context()))

    totals = generation_.account.totals("t", "m0")
    assert (totals.requests, totals.broken) == (1, 1)
    await generation_.stop()


async def test_a_canary_gets_its_share_and_accounts_of_its_own(servers: tuple) -> None:
    generation_ = generation(*servers, splits=(SplitSettings(model="mixed", weights={"m0": 1.0, "m1": 1.0}),))
    await generation_.start()

    for _ in range(40):
        await run(generation_.router.choose("mixed", prompt_of(), context()))

    requests = [generation_.account.totals("t", model).requests for model in ("m0", "m1")]
    assert sum(requests) == 40
    assert min(requests) > 5
    await generation_.stop()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (GenerateSettings(engines=(EngineSettings(model="m"),)), "neither urls nor local"),
        (GenerateSettings(engines=(EngineSettings(model="m", urls=("http://x/v1",), key_env="K"),)), "which is empty"),
        (GenerateSettings(engines=(EngineSettings(model="m", urls=("http://x/v1",)),) * 2), "same model"),
        (GenerateSettings(splits=(SplitSettings(model="s", weights={"m": 1.0}),)), "no engine"),
        (GenerateSettings(delimiter_key_env="K"), "16 characters"),
        (
            GenerateSettings(engines=(EngineSettings(model="m", urls=("http://x/v1", "http://x/v1/")),)),
            "a server twice",
        ),
        (GenerateSettings(engines=(EngineSettings(model="auto", urls=("http://x/v1",)),)), "are taken"),
        (GenerateSettings(engines=(EngineSettings(model="m", urls=("http://x/v1",), fallback=("n",)),)), "no engine"),
        (GenerateSettings(engines=(EngineSettings(model="m", urls=("http://x/v1",), key_file="/none"),)), "key_file"),
    ],
)
def test_settings_that_cannot_work_say_which(settings: GenerateSettings, says: str) -> None:
    with pytest.raises(BadSetting, match=says):
        Generation(settings=settings, environ={}, last_resort=ExtractiveGenerator(), on_death=lambda name, error: None)


async def test_under_a_lesser_tier_auto_takes_less_and_a_named_model_stays() -> None:
    engines = tuple(
        EngineSettings(model=name, urls=("http://127.0.0.1:9/v1",), level=level, price_output=price)
        for name, level, price in (("small", 0.2, 1.0), ("large", 1.0, 9.0))
    )
    router = Generation(
        settings=GenerateSettings(engines=engines),
        environ={},
        last_resort=ExtractiveGenerator(max_sentences=2, abstain_below=0.05, cosines=False),
        on_death=lambda _name, _error: None,
    ).router
    hard = prompt_of(HARD)

    assert router.choose(None, hard, context()).choice.model == "large"
    assert router.choose(None, hard, context(), "smaller").choice.model == "small"
    assert router.choose(None, hard, context(), "extractive").generator.model == MODEL
    assert router.choose("large", hard, context(), "extractive").choice.model == "large"
    auto, named = router.outlook(None, hard, context()), router.outlook("large", hard, context())
    assert (auto.is_language_model, auto.may_replace, auto.asked) == (True, True, None)
    assert (named.is_language_model, named.may_replace) == (True, False)
    engine = router._models["large"].engine
    engine.first_token.observe(0.5)
    engine.token.observe(0.01)
    pace = router.outlook(None, hard, context(timeout_s=0.01)).asked
    assert pace is not None
    assert pace.first_token_s == pytest.approx(0.5, rel=0.1)
    assert router.outlook(None, prompt_of(EASY), context()).smaller is None

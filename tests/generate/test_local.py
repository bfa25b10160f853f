import asyncio
import contextlib
import gc
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from penstock.core.context import Context, start_context
from penstock.core.errors import DeadlineExceeded, ModelMissing, StageUnavailable
from penstock.core.types import Message, Principal, Prompt, Sampling

pytest.importorskip("openvino_genai", reason="needs penstock[local]")

from penstock.generate.local import LocalGenerator, LocalSettings
from tests.generate.tiny_llama.four_bit import make_four_bit

TINY = str(Path(__file__).parent / "tiny_llama" / "openvino")


def prompt_of(text: str, **sampling: object) -> Prompt:
    return Prompt(
        question=text, passages=(), messages=(Message(role="user", content=text),), sampling=Sampling(**sampling)
    )


def context(timeout_s: float = 20.0) -> Context:
    return start_context(principal=Principal(), timeout_s=timeout_s)


async def answer(engine: LocalGenerator, prompt: Prompt) -> str:
    return "".join([delta.text async for delta in engine.generate(prompt, context())])


async def freed(engine: LocalGenerator) -> None:
    async with asyncio.timeout(2.0):
        while engine.sequences:
            await asyncio.sleep(0.001)


@pytest.fixture
async def engine(capfd: pytest.CaptureFixture[str]) -> AsyncIterator[LocalGenerator]:
    """The pipeline itself says at its end whether every sequence's memory came back."""
    made = LocalGenerator(model="tiny", source=TINY)
    await made.start()
    yield made
    await made.stop()
    made._template = None
    gc.collect()
    assert "leaked" not in "".join(capfd.readouterr())


async def test_leaving_frees_the_sequence_at_the_next_step(engine: LocalGenerator) -> None:
    async with aclosing(engine.generate(prompt_of("go on", max_tokens=4000), context())) as deltas:
        await anext(deltas)
        assert engine.sequences == 1

    await freed(engine)


async def test_those_who_leave_at_any_moment_leave_nothing_behind(engine: LocalGenerator) -> None:
    async def leave_after(wait_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with (
                asyncio.timeout(wait_s),
                aclosing(engine.generate(prompt_of("go on", max_tokens=4000), context())) as deltas,
            ):
                async for _ in deltas:
                    pass

    await asyncio.gather(*(leave_after(0.001 * place) for place in range(60)))
    await freed(engine)


async def test_the_deadline_ends_an_answer_and_frees_its_sequence(engine: LocalGenerator) -> None:
    # Less than the 148 tokens take that this model says by itself, on any machine.
    with pytest.raises(DeadlineExceeded):
        async for _ in engine.generate(prompt_of("go on", max_tokens=4000), context(timeout_s=0.03)):
            pass

    await freed(engine)


async def test_the_limit_of_tokens_is_kept_and_named(engine: LocalGenerator) -> None:
    last = [delta async for delta in engine.generate(prompt_of("hello", max_tokens=5), context())][-1]

    assert last.finish == "length"
    assert last.usage is not None
    assert last.usage.output == 5


async def test_a_stop_text_ends_the_answer_before_it(engine: LocalGenerator) -> None:
    whole = await answer(engine, prompt_of("hello", max_tokens=48))
    stop = whole[10:14]

    cut = await answer(engine, prompt_of("hello", max_tokens=48, stop=(stop,)))

    assert cut == whole[: whole.index(stop)]
    await freed(engine)


async def test_a_draft_model_changes_nothing_in_a_greedy_answer() -> None:
    # In bf16 the last bits depend on how many tokens are computed together, and this model's words are nearly equal.
    exact = LocalGenerator(model="tiny", source=TINY, settings=LocalSettings(precision="fp32"))
    drafted = LocalGenerator(model="tiny", source=TINY, settings=LocalSettings(precision="fp32", draft=TINY))
    await exact.start()
    await drafted.start()

    plain = await answer(exact, prompt_of("What is a penstock?", max_tokens=24))
    quick = await answer(drafted, prompt_of("What is a penstock?", max_tokens=24))

    assert quick == plain
    await drafted.stop()
    await exact.stop()


async def test_a_model_in_four_bits_answers(tmp_path: Path) -> None:
    assert make_four_bit(Path(TINY), tmp_path) > 20
    assert (tmp_path / "openvino_model.bin").stat().st_size < 0.55 * (Path(TINY) / "openvino_model.bin").stat().st_size
    small = LocalGenerator(model="small", source=str(tmp_path))
    await small.start()

    deltas = [delta async for delta in small.generate(prompt_of("What is a penstock?", max_tokens=12), context())]

    assert "".join(delta.text for delta in deltas).strip()
    assert deltas[-1].usage is not None
    assert deltas[-1].usage.output == 12
    await small.stop()


async def test_the_settings_of_the_pipeline_reach_it() -> None:
    made = LocalGenerator(
        model="tiny", source=TINY, settings=LocalSettings(sequences=1, step_tokens=64, prefix_caching=False, cache_gb=1)
    )
    scheduler = made._scheduler()

    assert (scheduler.max_num_seqs, scheduler.max_num_batched_tokens) == (1, 64)
    assert not scheduler.enable_prefix_caching
    assert scheduler.cache_size == 1


async def test_answers_share_the_steps_of_one_thread(engine: LocalGenerator) -> None:
    steps = engine._running()
    pipeline = steps._pipeline
    threads: list[str] = []

    class Watched:
        """The pipeline, noting who steps it."""

        def __getattr__(self, name: str) -> object:
            return getattr(pipeline, name)

        def step(self) -> None:
            threads.append(threading.current_thread().name)
            pipeline.step()

    steps._pipeline = Watched()
    await asyncio.gather(*(answer(engine, prompt_of(f"hello {number}", max_tokens=20)) for number in range(16)))

    assert set(threads) == {"generate-steps"}
    # Sixteen answers of twenty tokens in far fewer steps than tokens: they shared them.
    assert len(threads) < 16 * 20 / 2


async def test_stopping_ends_what_is_under_way(engine: LocalGenerator) -> None:
    deltas = engine.generate(prompt_of("go on", max_tokens=4000), context())
    await anext(deltas)
    await engine.stop()

    with pytest.raises(StageUnavailable):
        async for _ in deltas:
            pass
    with pytest.raises(StageUnavailable):
        await answer(engine, prompt_of("hello"))


async def test_a_folder_without_a_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"tokenizer\.json"):
        await LocalGenerator(model="none", source=str(tmp_path)).start()

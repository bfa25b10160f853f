"""An engine in this process: OpenVINO GenAI's continuous batching (extra `local`), on the CPU or an Intel GPU.

All requests share one pipeline with a paged KV cache; one thread owns it, adds requests, steps, and hands each step's
tokens to the event loop in one call. Nothing here waits on the loop, and the loop waits for nothing here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import msgspec
import numpy as np
import openvino
import openvino_genai
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from penstock.core.context import Context
from penstock.core.errors import ModelMissing, Overloaded, PenstockError, StageUnavailable
from penstock.core.types import Delta, FinishReason, Prompt, Usage
from penstock.generate.faults import STAGE
from penstock.generate.hub import locate
from penstock.generate.steps import Piece, Request, Steps
from penstock.generate.stop import StopText
from penstock.generate.watch import Watch

PRECISIONS: dict[str, dict[str, str]] = {
    "auto": {},
    "fp32": {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"},
    "bf16": {"INFERENCE_PRECISION_HINT": "bf16"},
}


class LocalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the pipeline works."""

    device: str = "CPU"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    cache_gb: int = 1
    prefix_caching: bool = True
    step_tokens: int = 512
    """Tokens of prompts and answers in one step; long prompts are split over steps."""
    sequences: int = 128
    waiting: int = 256
    max_tokens: int = 512
    """Of an answer whose caller names no number."""
    draft: str = ""
    """Folder or hub name of a small model of the same vocabulary, for speculative decoding."""
    draft_tokens: int = 4


class LocalGenerator:
    """Answers from a model in this process. `start` loads it (seconds), `stop` ends the thread.

    `source` is a folder with an OpenVINO export, or its name on the hub. Raises ModelMissing, Overloaded when
    too many wait, DeadlineExceeded, StageUnavailable when the pipeline has failed.
    """

    def __init__(self, *, model: str, source: str, settings: LocalSettings | None = None) -> None:
        self.model = model
        self._source = source
        self._settings = settings or LocalSettings()
        self._steps: Steps | None = None
        self._encoder: ThreadPoolExecutor | None = None
        self._tokenizer: Tokenizer | None = None
        self._template: Any = None

    async def start(self) -> None:
        """Load the model. Raises ModelMissing."""
        loop = asyncio.get_running_loop()
        self._encoder = ThreadPoolExecutor(1, thread_name_prefix="encode")
        pipeline = await loop.run_in_executor(self._encoder, self._load)
        self._template = pipeline.get_tokenizer()
        self._steps = Steps(pipeline=pipeline, loop=loop)
        self._steps.start()

    async def stop(self) -> None:
        """End every answer and the thread."""
        if self._steps is not None:
            await asyncio.to_thread(self._steps.stop)
        if self._encoder is not None:
            self._encoder.shutdown()
        self._steps = self._encoder = None

    async def healthy(self, ctx: Context) -> bool:  # noqa: ARG002 - every engine's signature
        """Whether the step loop is alive."""
        return self.is_well

    @property
    def is_well(self) -> bool:
        """Whether it has been started and its thread lives."""
        return self._steps is not None and self._steps.failure is None

    @property
    def sequences(self) -> int:
        """Requests that the pipeline holds now."""
        return self._running().live

    async def generate(self, prompt: Prompt, ctx: Context) -> AsyncGenerator[Delta]:
        """Deltas; the last one has `finish` and `usage`. Closing it frees the sequence at the next step."""
        ctx.check(STAGE)
        steps = self._running()
        if steps.live >= self._settings.sequences + self._settings.waiting:
            raise Overloaded(f"'{self.model}' has {steps.live} requests waiting.")
        assert self._encoder is not None
        loop = asyncio.get_running_loop()
        ids = await loop.run_in_executor(self._encoder, self._encode, prompt)
        ctx.check(STAGE)
        request = Request(tokens=openvino.Tensor(np.array([ids], dtype=np.int64)), config=self._config(prompt))
        watch = Watch(ctx=ctx, stage=STAGE, on_expiry=request.fail)
        steps.add(request)
        try:
            async for delta in self._deltas(request, prompt, len(ids)):
                yield delta
        finally:
            watch.stop()
            steps.cancel(request)

    async def _deltas(self, request: Request, prompt: Prompt, prompt_tokens: int) -> AsyncGenerator[Delta]:
        decoding = DecodeStream(skip_special_tokens=True)
        stop = StopText(prompt.sampling.stop)
        output = 0
        while True:
            piece = await request.pieces.get()
            if isinstance(piece, PenstockError):
                raise piece
            output += len(piece.ids)
            text = stop.feed("".join(self._words(decoding, piece)))
            finish: FinishReason | None = "stop" if stop.met else piece.finish
            if finish is not None:
                text += stop.rest()
                yield Delta(text=text, finish=finish, usage=Usage(prompt=prompt_tokens, output=output))
                return
            if text:
                yield Delta(text=text)

    def _words(self, decoding: DecodeStream, piece: Piece) -> Sequence[str]:
        assert self._tokenizer is not None
        return [words for token in piece.ids if (words := decoding.step(self._tokenizer, token)) is not None]

    def _running(self) -> Steps:
        if self._steps is None:
            raise StageUnavailable(STAGE, f"'{self.model}' has not been started")
        if self._steps.failure is not None:
            raise StageUnavailable(STAGE, f"'{self.model}' has failed: {self._steps.failure}")
        return self._steps

    def _encode(self, prompt: Prompt) -> list[int]:
        assert self._tokenizer is not None
        turns = [{"role": turn.role, "content": turn.content} for turn in prompt.messages]
        text = self._template.apply_chat_template(
            turns or [{"role": "user", "content": prompt.question}], add_generation_prompt=True
        )
        # The template writes the special tokens itself.
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def _config(self, prompt: Prompt) -> Any:
        sampling = prompt.sampling
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens = sampling.max_tokens or self._settings.max_tokens
        config.do_sample = bool(sampling.temperature)
        if sampling.temperature:
            config.temperature = sampling.temperature
            config.top_p = 1.0 if sampling.top_p is None else sampling.top_p
        if sampling.seed is not None:
            config.rng_seed = sampling.seed
        if self._settings.draft:
            config.num_assistant_tokens = self._settings.draft_tokens
        config.set_eos_token_id(self._template.get_eos_token_id())
        return config

    def _load(self) -> Any:
        folder = locate(self._source)
        vocabulary = folder / "tokenizer.json"
        if not vocabulary.is_file():
            raise ModelMissing(f"{folder} has no tokenizer.json. Export the model with its fast tokenizer.")
        self._tokenizer = Tokenizer.from_file(str(vocabulary))
        properties: dict[str, Any] = dict(PRECISIONS[self._settings.precision])
        if self._settings.draft:
            draft = locate(self._settings.draft)
            properties["draft_model"] = openvino_genai.draft_model(str(draft), self._settings.device, **properties)
        try:
            return openvino_genai.ContinuousBatchingPipeline(
                str(folder), self._scheduler(), self._settings.device, properties
            )
        except RuntimeError as error:
            raise ModelMissing(
                f"{folder} is not a model that can be loaded here. Export it with "
                "`optimum-cli export openvino --task text-generation-with-past`."
            ) from error

    def _scheduler(self) -> Any:
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.cache_size = self._settings.cache_gb
        scheduler.enable_prefix_caching = self._settings.prefix_caching
        scheduler.max_num_batched_tokens = self._settings.step_tokens
        scheduler.max_num_seqs = self._settings.sequences
        scheduler.dynamic_split_fuse = True
        return scheduler

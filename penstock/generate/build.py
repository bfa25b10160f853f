"""Language models as the settings name them: engines, pools, prompts, accounts and the router over all of it.

    Accounted( PackedGenerator( Pool( OpenAIGenerator x urls ) ) )        or LocalGenerator in the place of the pool

Usage comes from the engine, so the account sees what was really sent.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from penstock.config import EngineSettings, GenerateSettings
from penstock.core.errors import BadSetting, Setup
from penstock.core.ports import Generator
from penstock.flow.lifecycle import OnDeath
from penstock.generate.account import Account, Accounted, Price
from penstock.generate.openai import OpenAIGenerator
from penstock.generate.pacing import KeyRing
from penstock.generate.packed import PackedGenerator
from penstock.generate.pool import Pool
from penstock.generate.prompt.pack import Packer
from penstock.generate.prompt.template import Templates
from penstock.generate.replica import Engine
from penstock.generate.router import Model, Router
from penstock.generate.stream import Limits
from penstock.generate.tokens import Estimate, Exact, TokenCount


class _Part(Protocol):
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class Generation:
    """All language models. `router` may be used between `start` and `stop`; `account` keeps its sums beyond."""

    def __init__(
        self,
        *,
        settings: GenerateSettings,
        environ: Mapping[str, str],
        last_resort: Generator,
        on_death: OnDeath,
    ) -> None:
        self.account = Account()
        self._environ = environ
        self._on_death = on_death
        self._parts: list[_Part] = []
        self._templates = Templates(folder=Path(settings.templates) if settings.templates else None)
        self._key = self._delimiter_key(settings)
        names = [engine.model for engine in settings.engines]
        for split in settings.splits:
            unknown = sorted(set(split.weights) - set(names))
            if unknown:
                raise BadSetting(f"generate.splits '{split.model}' names '{unknown[0]}', which is no engine.")
        if len(set(names)) < len(names):
            raise BadSetting("Two generate.engines have the same model. Give one of them another name.")
        self.router = Router(
            models=[self._model(engine, settings) for engine in settings.engines],
            last_resort=last_resort,
            splits={split.model: tuple(split.weights.items()) for split in settings.splits},
        )

    async def start(self) -> None:
        """Load local models, open connection pools, begin probing."""
        started: list[_Part] = []
        try:
            for part in self._parts:
                started.append(part)
                await part.start()
        except Setup:
            for part in reversed(started):
                await part.stop()
            raise

    async def stop(self) -> None:
        """End what is under way; pools before the engines they use."""
        for part in reversed(self._parts):
            await part.stop()

    def _model(self, engine: EngineSettings, settings: GenerateSettings) -> Model:
        tokens: TokenCount = Exact(file=Path(engine.tokenizer)) if engine.tokenizer else Estimate()
        inner, is_well = self._local(engine) if engine.local else self._pool(engine, tokens)
        price = Price(prompt=engine.price_prompt, cached=engine.price_cached, output=engine.price_output)
        packer = Packer(
            templates=self._templates,
            tokens=tokens,
            key=self._key,
            context_tokens=engine.context_tokens,
            passage_tokens=settings.passage_tokens,
            conversation_tokens=settings.conversation_tokens,
            strategy=settings.fusion,
        )
        return Model(
            engine=Accounted(engine=PackedGenerator(engine=inner, packer=packer), account=self.account, price=price),
            is_well=is_well,
            level=engine.level,
            context_tokens=engine.context_tokens,
        )

    def _pool(self, engine: EngineSettings, tokens: TokenCount) -> tuple[Engine, Callable[[], bool]]:
        if not engine.urls:
            raise BadSetting(f"generate.engines '{engine.model}' has neither urls nor local. Give one of them.")
        pool = Pool(model=engine.model, on_death=self._on_death, hedged=engine.hedged)
        keys = KeyRing(keys=self._keys(engine))
        limits = Limits(
            connect_s=engine.connect_timeout_s,
            first_token_s=engine.first_token_timeout_s,
            between_tokens_s=engine.between_tokens_timeout_s,
        )
        for url in engine.urls:
            replica = OpenAIGenerator(
                model=engine.model,
                url=url,
                upstream_model=engine.upstream_model,
                keys=keys,
                limits=limits,
                api=engine.api,
                streamed=engine.streamed,
                ask_usage=engine.ask_usage,
                limit_field=engine.limit_field,
                tokens=tokens,
            )
            self._parts.append(replica)
            pool.add(url, replica)
        self._parts.append(pool)
        return pool, lambda: pool.is_well

    def _local(self, engine: EngineSettings) -> tuple[Engine, Callable[[], bool]]:
        try:
            from penstock.generate.local import LocalGenerator, LocalSettings  # noqa: PLC0415 - the extra may be absent
        except ImportError as error:
            raise BadSetting(
                f"generate.engines '{engine.model}' is local and needs more: pip install 'penstock[local]'."
            ) from error
        local = LocalGenerator(model=engine.model, source=engine.local, settings=LocalSettings(draft=engine.draft))
        self._parts.append(local)
        return local, lambda: True

    def _keys(self, engine: EngineSettings) -> list[str]:
        if not engine.key_env:
            return []
        keys = [key.strip() for key in self._environ.get(engine.key_env, "").split(",") if key.strip()]
        if not keys:
            raise BadSetting(f"generate.engines '{engine.model}' takes its keys from {engine.key_env}, which is empty.")
        return keys

    def _delimiter_key(self, settings: GenerateSettings) -> bytes:
        if not settings.delimiter_key_env:
            return secrets.token_bytes(32)
        secret = self._environ.get(settings.delimiter_key_env, "").encode()
        if len(secret) < 16:
            raise BadSetting(f"generate.delimiter_key_env: {settings.delimiter_key_env} needs at least 16 characters.")
        return secret

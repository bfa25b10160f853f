"""One model as the settings name it, with everything that answers for it.

    Accounted( Admitted( PackedGenerator( Pool( OpenAIGenerator x urls ) ) ) )      Admitted where there is a limit
    Accounted( PackedGenerator( LocalGenerator ) )                                  which has one of its own

Usage comes from the engine, so the account sees what was really sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

import msgspec

from penstock.config import EngineSettings, GenerateSettings
from penstock.core.errors import BadSetting
from penstock.flow.lifecycle import OnDeath
from penstock.flow.ticker import Ticker
from penstock.generate.account import Account, Accounted, Price
from penstock.generate.admitted import Admitted
from penstock.generate.openai import OpenAIGenerator
from penstock.generate.pacing import KeyRing
from penstock.generate.packed import PackedGenerator
from penstock.generate.pool import Pool
from penstock.generate.prompt.pack import Packer
from penstock.generate.prompt.template import Templates
from penstock.generate.replica import Engine
from penstock.generate.router import Model
from penstock.generate.states import EngineState, ReplicaState
from penstock.generate.stream import Limits
from penstock.generate.tokens import Estimate, Exact, TokenCount

PROBE_EVERY_S = 0.5
PROBE_PROVIDER_EVERY_S = 15.0
"""Servers that want an API key are somebody else's: they are asked how they are less often."""


class Backend(Protocol):
    """What stands behind the prompt: a pool of servers, or a model in this process."""

    @property
    def engine(self) -> Engine: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def is_well(self) -> bool: ...
    def state(self, in_hand: int) -> EngineState: ...


class ServedModel:
    """Made from settings without I/O but reading its vocabulary and keys; `start` and `stop` once each."""

    def __init__(
        self,
        *,
        settings: EngineSettings,
        shared: GenerateSettings,
        templates: Templates,
        delimiter_key: bytes,
        account: Account,
        environ: Mapping[str, str],
        on_death: OnDeath,
        ticker: Ticker,
    ) -> None:
        self.settings = settings
        if bool(settings.urls) == bool(settings.local):
            raise BadSetting(
                f"generate.engines '{settings.model}' has neither urls nor local, or both. Give one of them."
            )
        tokens = _tokens(settings)
        keys = keys_of(settings, environ) if settings.urls else []
        self.servers = _servers(settings, tokens, keys, on_death, ticker) if settings.urls else None
        self.backend: Backend = self.servers or _local(settings)
        price = Price(prompt=settings.price_prompt, cached=settings.price_cached, output=settings.price_output)
        packer = Packer(
            templates=templates,
            tokens=tokens,
            key=delimiter_key,
            context_tokens=settings.context_tokens,
            passage_tokens=shared.passage_tokens,
            conversation_tokens=shared.conversation_tokens,
            strategy=shared.fusion,
        )
        packed: Engine = PackedGenerator(engine=self.backend.engine, packer=packer)
        if self.servers is not None and settings.max_in_flight is not None:
            packed = Admitted(engine=packed, pool=self.servers.pool, places_each=settings.max_in_flight)
        self.accounted = Accounted(
            engine=packed,
            account=account,
            price=price,
            tokens=tokens,
        )
        self.model = Model(
            engine=self.accounted,
            is_well=self.backend.is_well,
            level=settings.level,
            context_tokens=settings.context_tokens,
            fallback=settings.fallback,
        )

    async def start(self) -> None:
        """Load a local model, or open connection pools and begin to probe."""
        await self.backend.start()

    async def stop(self) -> None:
        """End what is under way."""
        await self.backend.stop()

    def state(self) -> EngineState:
        """How it stands now."""
        return self.backend.state(self.accounted.in_hand)

    def differs_only_in_servers(self, settings: EngineSettings) -> bool:
        """Whether it can become what these settings say by changing replicas."""
        same = msgspec.structs.replace(settings, urls=self.settings.urls) == self.settings
        return same and self.servers is not None and bool(settings.urls)

    async def change(self, settings: EngineSettings, keys: Sequence[str], retire: Callable[[str], None]) -> None:
        """Take over urls and keys; `retire` is called for every server that is to go."""
        assert self.servers is not None
        self.servers.keys.replace(keys)
        self.settings = settings
        await self.servers.become(settings.urls, retire)

    async def idle(self, within_s: float) -> None:
        """Wait until nothing is under way, or the time is up."""
        try:
            async with asyncio.timeout(within_s):
                await self.accounted.idle.wait()
        except TimeoutError:
            return


class Servers:
    """A pool of OpenAI-compatible servers, and the connections to each."""

    def __init__(
        self, *, pool: Pool, keys: KeyRing, urls: Sequence[str], connect: Callable[[str], OpenAIGenerator]
    ) -> None:
        self.pool = pool
        self.keys = keys
        self._connect = connect
        self._servers: dict[str, OpenAIGenerator] = {}
        for url in urls:
            self._add(url)

    @property
    def engine(self) -> Pool:
        return self.pool

    async def start(self) -> None:
        for server in self._servers.values():
            await server.start()
        await self.pool.start()

    async def stop(self) -> None:
        """Pools before the engines they use."""
        await self.pool.stop()
        for server in self._servers.values():
            await server.stop()

    async def become(self, urls: Sequence[str], retire: Callable[[str], None]) -> None:
        """Have exactly these servers: new ones take requests from now on, others get no more."""
        wanted = {replica_name(url): url for url in urls}
        for name, url in wanted.items():
            if name not in self._servers:
                await self._add(url).start()
            else:
                self.pool.resume(name)
        for name in self._servers.keys() - wanted.keys():
            self.pool.drain(name)
            retire(name)

    async def remove(self, name: str, *, within_s: float) -> None:
        """Wait for what is under way there, then let go of the server, unless it is wanted again by then."""
        if await self.pool.remove(name, within_s=within_s):
            await self._servers.pop(name).stop()

    def is_well(self) -> bool:
        return self.pool.is_well

    def state(self, in_hand: int) -> EngineState:
        pool = self.pool
        return EngineState(
            model=pool.model,
            kind="servers",
            in_hand=in_hand,
            replicas=tuple(
                ReplicaState(name=one.name, condition=one.condition, in_hand=one.in_hand) for one in pool.replicas
            ),
            attempts=pool.attempts,
            retries=pool.retries,
            hedges=pool.hedges,
            prefix_hit_ratio=pool.prefixes.hit_rate,
            waiting_for_provider=self.keys.waiting,
        )

    def _add(self, url: str) -> OpenAIGenerator:
        server = self._connect(url)
        name = replica_name(url)
        self._servers[name] = server
        self.pool.add(name, server)
        return server


def replica_name(url: str) -> str:
    """A server's address as it may be shown: without a user and password."""
    parts = urlsplit(url.rstrip("/"))
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _servers(
    settings: EngineSettings, tokens: TokenCount, keys: list[str], on_death: OnDeath, ticker: Ticker
) -> Servers:
    ring = KeyRing(keys=keys)
    limits = Limits(
        connect_s=settings.connect_timeout_s,
        first_token_s=settings.first_token_timeout_s,
        between_tokens_s=settings.between_tokens_timeout_s,
    )

    def connect(url: str) -> OpenAIGenerator:
        return OpenAIGenerator(
            model=settings.model,
            url=url,
            upstream_model=settings.upstream_model,
            keys=ring,
            limits=limits,
            api=settings.api,
            streamed=settings.streamed,
            ask_usage=settings.ask_usage,
            limit_field=settings.limit_field,
            tokens=tokens,
            ticker=ticker,
        )

    every_s = settings.probe_every_s
    if every_s is None:
        every_s = PROBE_PROVIDER_EVERY_S if keys else PROBE_EVERY_S
    pool = Pool(model=settings.model, on_death=on_death, hedged=settings.hedged, probe_every_s=every_s)
    return Servers(pool=pool, keys=ring, urls=settings.urls, connect=connect)


class InProcess:
    """A model in this process as a backend."""

    def __init__(self, settings: EngineSettings) -> None:
        try:
            from penstock.generate.local import LocalGenerator, LocalSettings  # noqa: PLC0415 - the extra may be absent
        except ImportError as error:
            raise BadSetting(
                f"generate.engines '{settings.model}' is local and needs more: pip install 'penstock[local]'."
            ) from error
        self.engine = LocalGenerator(
            model=settings.model,
            source=settings.local,
            settings=LocalSettings(
                device=settings.device,
                precision=settings.precision,
                cache_gb=settings.cache_gb,
                prefix_caching=settings.prefix_caching,
                step_tokens=settings.step_tokens,
                sequences=settings.sequences,
                draft=settings.draft,
                draft_tokens=settings.draft_tokens,
            ),
        )

    async def start(self) -> None:
        await self.engine.start()

    async def stop(self) -> None:
        await self.engine.stop()

    def is_well(self) -> bool:
        return self.engine.is_well

    def state(self, in_hand: int) -> EngineState:
        replica = ReplicaState(name="local", condition="well" if self.engine.is_well else "sick", in_hand=in_hand)
        return EngineState(model=self.engine.model, kind="local", in_hand=in_hand, replicas=(replica,))


def _local(settings: EngineSettings) -> Backend:
    return InProcess(settings)


def _tokens(settings: EngineSettings) -> TokenCount:
    if settings.tokenizer:
        return Exact(file=Path(settings.tokenizer))
    own = Path(settings.local) / "tokenizer.json"
    return Exact(file=own) if settings.local and own.is_file() else Estimate()


def keys_of(settings: EngineSettings, environ: Mapping[str, str]) -> list[str]:
    """The API keys of an engine. Raises BadSetting where it should have some and has none."""
    if settings.key_file:
        try:
            text = Path(settings.key_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadSetting(f"generate.engines '{settings.model}': cannot read its key_file: {error}.") from error
        where, keys = "key_file", text.split()
    elif settings.key_env:
        where = settings.key_env
        keys = [key.strip() for key in environ.get(settings.key_env, "").split(",") if key.strip()]
    else:
        return []
    if not keys:
        raise BadSetting(f"generate.engines '{settings.model}' takes its keys from {where}, which is empty.")
    return keys

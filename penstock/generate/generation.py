"""All language models together: started, stopped, changed while they serve, and the router over them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from penstock.config import EngineSettings, GenerateSettings
from penstock.core.errors import BadSetting, NotFound, PenstockError
from penstock.core.ports import Generator
from penstock.flow.lifecycle import OnDeath, Tasks
from penstock.flow.ticker import Ticker
from penstock.generate.account import Account, Bill
from penstock.generate.pool import Pool
from penstock.generate.prompt.template import Templates
from penstock.generate.router import Router
from penstock.generate.served import ServedModel, keys_of, replica_name
from penstock.generate.states import EngineState

RETIRE_WITHIN_S = 300.0
"""How long answers of an engine that is no longer in the settings may run on; no request takes longer."""


class Generation:
    """`router` may be used between `start` and `stop`; `account` keeps its sums beyond."""

    def __init__(
        self,
        *,
        settings: GenerateSettings,
        environ: Mapping[str, str],
        last_resort: Generator,
        on_death: OnDeath,
        observe: Callable[[Bill], None] | None = None,
    ) -> None:
        self.account = Account(observe=observe)
        self._environ = environ
        self._on_death = on_death
        self._settings = settings
        self._ticker = Ticker(shortest_s=settings.tick_ms / 1000)
        self._templates = Templates(folder=Path(settings.templates) if settings.templates else None)
        self._delimiter_key = _delimiter_key(settings, environ)
        _check(settings, last_resort.model)
        self._served = {engine.model: self._made(engine, settings) for engine in settings.engines}
        self._leaving: set[ServedModel] = set()
        self._retiring = Tasks(name="retire", on_death=on_death)
        self.router = Router(
            models=[served.model for served in self._served.values()],
            last_resort=last_resort,
            splits=_splits(settings),
        )
        self._last_resort = last_resort.model

    async def start(self) -> None:
        """Load local models, open connection pools, begin probing."""
        await _start(list(self._served.values()))

    async def stop(self) -> None:
        """End what is under way."""
        await self._retiring.stop()
        # A task that is stopped before it began has not stopped its model.
        for served in (*self._leaving, *reversed(self._served.values())):
            await served.stop()

    async def become(self, settings: GenerateSettings) -> Sequence[str]:
        """Take over other settings while answers are under way; says what changed.

        A model of which only `urls` or keys differ keeps its pool; any other difference makes it anew, and the old one
        ends when its answers have. Raises Setup, with nothing changed, when the new settings cannot work; the
        delimiter's key stays as it was at the start.
        """
        _check(settings, self._last_resort)
        templates = Templates(folder=Path(settings.templates) if settings.templates else None)
        stays = templates == self._templates and _shared(settings) == _shared(self._settings)
        fresh: dict[str, ServedModel] = {}
        keys: dict[str, Sequence[str]] = {}
        before, self._templates = self._templates, templates
        try:
            for engine in settings.engines:
                old = self._served.get(engine.model)
                if old is None or not stays or not old.differs_only_in_servers(engine):
                    fresh[engine.model] = self._made(engine, settings)
                else:
                    keys[engine.model] = keys_of(engine, self._environ)
            await _start(list(fresh.values()))
        except PenstockError:
            self._templates = before
            raise
        changes = []
        served = {engine.model: fresh.get(engine.model) or self._served[engine.model] for engine in settings.engines}
        for engine in settings.engines:
            if engine.model in fresh:
                changes.append(f"'{engine.model}' is {'new' if engine.model not in self._served else 'made anew'}")
            else:
                changes += await self._change_servers(served[engine.model], engine, keys[engine.model])
        gone = [one for name, one in self._served.items() if served.get(name) is not one]
        changes += [f"'{name}' is gone" for name in self._served if name not in served]
        self._served, self._settings = served, settings
        self.router.replace([one.model for one in served.values()], _splits(settings))
        self._leaving.update(gone)
        for one in gone:
            self._retiring.start(f"model {one.settings.model}", self._retire(one))
        return changes

    async def _change_servers(self, served: ServedModel, engine: EngineSettings, keys: Sequence[str]) -> Sequence[str]:
        servers = served.servers
        assert servers is not None

        def retire(name: str) -> None:
            self._retiring.start(f"server {name}", servers.remove(name, within_s=RETIRE_WITHIN_S))

        before = {replica_name(url) for url in served.settings.urls}
        await served.change(engine, keys, retire)
        after = {replica_name(url) for url in engine.urls}
        return [
            *(f"'{engine.model}' has {name}, too" for name in sorted(after - before)),
            *(f"'{engine.model}' lets go of {name}" for name in sorted(before - after)),
        ]

    async def _retire(self, served: ServedModel) -> None:
        await served.idle(RETIRE_WITHIN_S)
        await served.stop()
        self._leaving.discard(served)

    # --- for whoever operates it ------------------------------------------------------

    def states(self) -> tuple[EngineState, ...]:
        """How every engine stands now."""
        return tuple(served.state() for served in self._served.values())

    def drain(self, model: str, replica: str) -> None:
        """Give a replica nothing new until `resume`. Raises NotFound."""
        self._pool_of(model, replica).drain(replica)

    def resume(self, model: str, replica: str) -> None:
        """A replica takes requests again. Raises NotFound."""
        self._pool_of(model, replica).resume(replica)

    def _pool_of(self, model: str, replica: str) -> Pool:
        served = self._served.get(model)
        if served is None:
            raise NotFound("engine", model, param="model")
        if served.servers is None:
            raise NotFound("replica", replica, param="replica")
        return served.servers.pool

    def _made(self, engine: EngineSettings, settings: GenerateSettings) -> ServedModel:
        return ServedModel(
            settings=engine,
            shared=settings,
            templates=self._templates,
            delimiter_key=self._delimiter_key,
            account=self.account,
            environ=self._environ,
            on_death=self._on_death,
            ticker=self._ticker,
        )


async def _start(models: Sequence[ServedModel]) -> None:
    """All or none."""
    started: list[ServedModel] = []
    try:
        for served in models:
            started.append(served)
            await served.start()
    except PenstockError:
        for served in reversed(started):
            await served.stop()
        raise


def _shared(settings: GenerateSettings) -> tuple[object, ...]:
    return settings.fusion, settings.passage_tokens, settings.conversation_tokens


def _splits(settings: GenerateSettings) -> dict[str, tuple[tuple[str, float], ...]]:
    return {split.model: tuple(split.weights.items()) for split in settings.splits}


def _check(settings: GenerateSettings, last_resort: str) -> None:
    """Raise BadSetting where names do not fit together."""
    names = [engine.model for engine in settings.engines]
    if len(set(names)) < len(names):
        raise BadSetting("Two generate.engines have the same model. Give one of them another name.")
    for split in settings.splits:
        unknown = sorted(set(split.weights) - set(names))
        if unknown:
            raise BadSetting(f"generate.splits '{split.model}' names '{unknown[0]}', which is no engine.")
    taken = {*names, *(split.model for split in settings.splits)} & {last_resort, "auto"}
    if taken or any(split.model in names for split in settings.splits):
        raise BadSetting(
            f"generate: each engine and each split needs a name of its own; 'auto' and '{last_resort}' are taken."
        )
    for engine in settings.engines:
        if len({replica_name(url) for url in engine.urls}) < len(engine.urls):
            raise BadSetting(f"generate.engines '{engine.model}' names a server twice.")
        unknown = sorted(set(engine.fallback) - set(names))
        if unknown:
            raise BadSetting(f"generate.engines '{engine.model}' falls back on '{unknown[0]}', which is no engine.")


def _delimiter_key(settings: GenerateSettings, environ: Mapping[str, str]) -> bytes:
    if not settings.delimiter_key_env:
        return secrets.token_bytes(32)
    secret = environ.get(settings.delimiter_key_env, "").encode()
    if len(secret) < 16:
        raise BadSetting(f"generate.delimiter_key_env: {settings.delimiter_key_env} needs at least 16 characters.")
    return secret

"""The rerank stage as the settings name it: Guarded(CrossEncoder or RemoteReranker), or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from penstock.config import RerankSettings
from penstock.core.errors import BadSetting
from penstock.core.ports import Reranker
from penstock.flow.batcher import BatchReport
from penstock.flow.breaker import Breaker, State
from penstock.rerank.cross import CrossEncoder
from penstock.rerank.guarded import GuardedReranker
from penstock.rerank.order import STAGE
from penstock.rerank.remote import RemoteReranker

PATIENCE = 0.9
"""A call that had this share of its time and gave no answer speaks against the reranker."""


class RerankStage:
    """`reranker` is None where the settings name no model and no URL. It may be used between `start` and `stop`."""

    def __init__(
        self,
        *,
        settings: RerankSettings,
        environ: Mapping[str, str],
        observe_batch: Callable[[BatchReport], None] | None = None,
        observe_breaker: Callable[[State], None] | None = None,
    ) -> None:
        self.reranker: Reranker | None = None
        self._part: CrossEncoder | RemoteReranker | None = None
        if settings.url:
            self._part = RemoteReranker(
                url=_checked(settings.url), model=settings.model, api=settings.api, key=_key(settings, environ)
            )
        elif settings.model:
            self._part = CrossEncoder(model=settings.model, precision=settings.precision, observe=observe_batch)
        if self._part is not None:
            breaker = Breaker(name=STAGE, patience_s=PATIENCE * settings.timeout_s, observe=observe_breaker)
            self.reranker = GuardedReranker(reranker=self._part, breaker=breaker)

    async def start(self) -> None:
        """Load the model, or open the connection pool. Raises ModelMissing."""
        if self._part is not None:
            await self._part.start()

    async def stop(self) -> None:
        if self._part is not None:
            await self._part.stop()


def _checked(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise BadSetting(f"Setting 'rerank.url' = {url!r} is wrong: give the whole URL, http://…/rerank.")
    return url


def _key(settings: RerankSettings, environ: Mapping[str, str]) -> str:
    if not settings.key_env:
        return ""
    key = environ.get(settings.key_env, "").strip()
    if not key:
        raise BadSetting(f"rerank.key_env: the environment variable {settings.key_env} is empty.")
    return key

"""The limiter that the settings ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from penstock.config import LimitSettings
from penstock.core.errors import BadSetting
from penstock.flow.ratelimit.fallback import FallbackLimiter
from penstock.flow.ratelimit.local import LocalLimiter
from penstock.flow.ratelimit.quota import RateLimiter


def make_limiter(
    *, settings: LimitSettings, environ: Mapping[str, str], observe: Callable[[bool], None]
) -> RateLimiter:
    """Counting in this process, or in Redis and here while that is away. Raises BadSetting."""
    if not settings.redis_url_env:
        return LocalLimiter()
    url = environ.get(settings.redis_url_env, "")
    if not url:
        raise BadSetting(
            f"limits.redis_url_env names the variable {settings.redis_url_env}, and it is empty. "
            "Set it to the URL of your Redis, as in redis://127.0.0.1:6379/0."
        )
    try:
        from penstock.flow.ratelimit.redis import RedisLimiter  # noqa: PLC0415 - an extra that not everybody has
    except ImportError as error:
        raise BadSetting("limits.redis_url_env needs the extra 'redis': pip install 'penstock[redis]'.") from error
    return FallbackLimiter(
        shared=RedisLimiter(url=url), local=LocalLimiter(), gateways=settings.gateways, observe=observe
    )

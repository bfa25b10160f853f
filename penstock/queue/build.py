"""The queue that the settings name. A broker's client is imported only where it is used."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from penstock.config import QueueSettings
from penstock.core.errors import BadSetting
from penstock.core.ports import Queue
from penstock.queue.sqlite import SqliteQueue, Transactions

EXTRAS = {"nats": "nats", "rabbitmq": "rabbitmq", "redis": "redis"}


def make_queue(*, settings: QueueSettings, environ: Mapping[str, str], database: Transactions) -> Queue:
    """Not yet started. Raises BadSetting."""
    if settings.backend == "sqlite":
        return SqliteQueue(database=database, lease_s=settings.lease_s)
    return make_broker(settings=settings, environ=environ)


def make_broker(*, settings: QueueSettings, environ: Mapping[str, str]) -> Queue:
    """The broker's queue alone, for a process that has no catalog. Raises BadSetting."""
    url = url_of(settings, environ)
    try:
        if settings.backend == "nats":
            from penstock.queue.nats import NatsQueue  # noqa: PLC0415 - an extra

            return NatsQueue(url=url, name=settings.name, lease_s=settings.lease_s)
        if settings.backend == "rabbitmq":
            from penstock.queue.rabbitmq import RabbitQueue  # noqa: PLC0415 - an extra

            return RabbitQueue(url=url, name=settings.name)
        from penstock.queue.redis import RedisQueue  # noqa: PLC0415 - an extra

        return RedisQueue(url=url, name=settings.name, lease_s=settings.lease_s)
    except ModuleNotFoundError as error:
        extra = EXTRAS[settings.backend]
        raise BadSetting(
            f"queue.backend is '{settings.backend}', whose client is not installed: pip install 'penstock[{extra}]'"
        ) from error


def url_of(settings: QueueSettings, environ: Mapping[str, str]) -> str:
    """The broker's address. Raises BadSetting where there is none, or where a password stands in the settings."""
    if settings.url_env:
        url = environ.get(settings.url_env, "")
        if not url:
            raise BadSetting(f"queue.url_env names the variable {settings.url_env}, which is not set.")
        return url
    if not settings.url:
        raise BadSetting(f"queue.backend is '{settings.backend}': set queue.url, or queue.url_env.")
    if urlsplit(settings.url).password:
        raise BadSetting("queue.url has a password. Put it into an environment variable, and name that one in url_env.")
    return settings.url

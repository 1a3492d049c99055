"""The one way to Redis: how we connect, how keys begin, and what an unreachable Redis is called."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import redis
from redis.backoff import ExponentialBackoff
from redis.client import Pipeline
from redis.retry import Retry

from mooring.errors import MooringError, Refused, StoreGarbled, StoreUnavailable

LEDGER: Final = "mooring:ledger:"
VIEW: Final = "mooring:view:"
QUEUE: Final = "mooring:queue:"  # Celery's `global_keyprefix`

T = TypeVar("T")
_AT_ONCE: Final = 250  # about a millisecond

# Redis answers these while it starts, fails over or has no memory left: all pass without our doing.
_UNAVAILABLE = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ClusterDownError,
)
# The same from within a script or a pipeline, or of a kind that the client has no class for: the code stands
# at the beginning, after a dash or after a colon.
# https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors
_PASSES = re.compile(
    r"(?:^|-|: )(BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|NOREPLICAS|OOM|READONLY|TRYAGAIN)\b"
)
# What Redis and our scripts say to a value of another kind, or to text where a number belongs.
_GARBLED = re.compile(r"WRONGTYPE|not an integer|not a valid float|attempt to (compare|perform arithmetic)")


class _Pipeline(Pipeline):
    def execute(self, raise_on_error: bool = True) -> list[Any]:
        try:
            return super().execute(raise_on_error)
        except (*_UNAVAILABLE, redis.ResponseError) as error:
            if (ours := _named(error)) is None:
                raise
            raise ours from error


class _Redis(redis.Redis):
    """A client whose connection errors are `StoreUnavailable`, and errors about values of the wrong kind
    `StoreGarbled`; what a caller did wrong stays as it is."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except (*_UNAVAILABLE, redis.ResponseError) as error:
            if (ours := _named(error)) is None:
                raise
            raise ours from error

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


def connect(url: str) -> redis.Redis:
    """A client for `url` (`redis://`, `rediss://` or `unix://`), safe to share between threads.

    It connects on first use and again after a fork. Two quick retries carry it over a dropped
    connection; what lasts longer is for the caller to decide, who gets `StoreUnavailable` within
    seconds. Raises Refused when `url` is not a Redis URL.
    """
    try:
        return _Redis.from_url(
            url,
            decode_responses=False,
            socket_connect_timeout=2,
            socket_timeout=5,
            health_check_interval=30,
            retry=Retry(ExponentialBackoff(cap=0.2, base=0.05), retries=2),
        )
    except ValueError as error:
        # The error may repeat the URL, and the URL may hold a password.
        raise Refused(
            "MOORING_REDIS_URL is not a Redis URL: write redis://host:6379/0, rediss://… or unix://…"
        ) from error


def batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """`items` in parts for one script each: while a script runs, Redis answers nobody else."""
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]


def broker_url(url: str) -> str:
    """`url` as Celery's transport writes it, which has a scheme of its own for Unix sockets."""
    return "redis+socket://" + url.removeprefix("unix://") if url.startswith("unix://") else url


def healed(client: redis.Redis, keys: Sequence[str], ask: Callable[[], T]) -> T:
    """What `ask` gives. Where `keys` hold what is not ours they are deleted, and it is asked once more.

    For what is rebuilt when it is lost; it would be in the way for good otherwise.
    """
    try:
        return ask()
    except StoreGarbled:
        client.delete(*keys)
        return ask()


def in_one_trip(client: redis.Redis, write: Callable[[redis.Redis], object]) -> None:
    """What `write` writes to the client that it is given, in one round trip. Where Redis holds what is not
    ours each write goes by itself, and mends its own keys as it does."""
    pipe = client.pipeline(transaction=False)
    try:
        write(pipe)
        pipe.execute()
    except StoreGarbled:
        write(client)


def _named(error: redis.RedisError) -> MooringError | None:
    """What we call `error`; None when it is the caller's own mistake."""
    if isinstance(error, _UNAVAILABLE):
        return StoreUnavailable(f"Redis does not answer ({type(error).__name__}): {error}")
    text = str(error)
    if _GARBLED.search(text):
        return StoreGarbled(f"Redis holds what is not ours: {text}")
    if passing := _PASSES.search(text):
        return StoreUnavailable(f"Redis takes no writes ({passing[1]}): {text}")
    return None

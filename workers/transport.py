"""kombu's Redis transport, for workers that outlive a Redis that goes away or takes no writes, and whose
tasks outlive them.

Closing a channel gives back the tasks that its worker holds. When the connection is gone, kombu 5.7 finds
no connection to give them back on and raises AttributeError, which Celery takes for the end of the world:
the process ends. So it does where Redis has become a replica, is full, or cannot save what it has: who waits
for tasks is told so by an error of its own, who has done one by another. As errors of the connection they
lead to a new one instead, like any other, and one that takes no writes is none: it is tried again until it
does. The tasks are wanted in Redis all the same, and beat finds whatever is lost.

A worker that is killed gives nothing back, and Redis itself does only after the visibility timeout. So each
task that is taken bears who has it, and whoever comes in the place of one that is gone gives it back. What
ends whoever takes it is dropped in the end: beat finds what was wanted of it, and turns count for themselves.

Besides, it hears whether anybody listens to events (workers/events.py).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import orjson
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.redis import Channel, QoS, Transport
from kombu.utils.json import dumps
from redis.exceptions import (
    ConnectionError,
    ExecAbortError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from workers import events
from workers.living import gone, us

_log = logging.getLogger(__name__)
# Among the properties of a message that is not acknowledged: who has it, and how often it was given back.
_TAKER, _TIMES = "taken-by", "given-back"
_MOST: Final = 3
_NO_WRITES: Final = (OutOfMemoryError, ReadOnlyError)
_TRIED: Final = "takes-writes"  # a key of nobody


class MarkedQoS(QoS):
    """What is not acknowledged yet, in Redis, and who has it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)  # type: ignore[no-untyped-call]
        self._us = us()

    def append(self, message: Any, delivery_tag: str) -> None:
        message._raw["properties"][_TAKER] = self._us
        super().append(message, delivery_tag)  # type: ignore[no-untyped-call]

    def ack(self, delivery_tag: str) -> None:
        with self._over(delivery_tag):
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        with self._over(delivery_tag):
            super().reject(delivery_tag, requeue)  # type: ignore[no-untyped-call]

    @contextmanager
    def _over(self, delivery_tag: str) -> Iterator[None]:
        """A task is over also where Redis cannot be told so: kombu logs that and goes on, and would wait
        for ever for the end of the one that this process may have. It is done again in time."""
        try:
            yield
        except Exception:
            self._quick_ack(delivery_tag)
            raise

    def give_back(self) -> None:
        """Put each task back on its queue that a process has taken which is known to be gone."""
        with self.channel.conn_or_acquire() as client:
            for tag in client.zrange(self.unacked_index_key, 0, -1):
                if told := self._given_back(client, tag.decode()):
                    _log.warning(told)

    def _given_back(self, client: Any, tag: str) -> str:
        """What has become of the task; "" for nothing."""

        def give(pipe: Any) -> str:
            held = _held(pipe.hget(self.unacked_key, tag))
            pipe.multi()
            if held is None or not gone(str(held.message["properties"].get(_TAKER))):
                return ""
            self._remove_from_indices(tag, pipe)  # type: ignore[no-untyped-call]
            if held.times >= _MOST:
                return f"{held.task} is dropped: {1 + held.times} processes that had taken it were killed"
            held.message["properties"][_TIMES] = 1 + held.times
            self.channel._do_restore_message(
                held.message, held.exchange, held.routing_key, pipe, leftmost=False
            )
            return f"{held.task} is done again: the process that had taken it was killed"

        # Watched: another one may have given it back meanwhile, and a third have taken it.
        return str(client.transaction(give, self.unacked_key, value_from_callable=True))


@dataclass(frozen=True, slots=True)
class _Held:
    """A message that is not acknowledged, as kombu keeps it."""

    message: dict[str, Any]
    exchange: str
    routing_key: str
    task: str
    times: int


def _held(text: bytes | None) -> _Held | None:
    """None for what is none: whoever may write to a queue may have put anything on it."""
    try:
        message, exchange, routing_key = orjson.loads(text or b"")
        times = message["properties"].get(_TIMES, 0)
        task = str(message["headers"].get("task"))[:100]
        return _Held(message, str(exchange), str(routing_key), task, times if type(times) is int else _MOST)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


class SteadyChannel(Channel):
    """See the module."""

    QoS = MarkedQoS
    _kept: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        """One for each pool of connections. kombu makes one for each command: a third of what it costs to
        send a task."""
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[no-untyped-call]
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()  # type: ignore[no-untyped-call]
        return self._kept

    def _put_fanout(self, exchange: str, message: Any, routing_key: str, **options: Any) -> None:
        if exchange != events.EXCHANGE or options.get("_publish_batch") is not None:
            super()._put_fanout(exchange, message, routing_key, **options)  # type: ignore[no-untyped-call]
            return
        payload: str = dumps(message)  # type: ignore[no-untyped-call]
        topics: list[str] = self._get_publish_topics(exchange, routing_key)  # type: ignore[no-untyped-call]
        with self.conn_or_acquire() as client:
            events.heard(sum(client.publish(topic, payload) for topic in topics))

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        params: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[no-untyped-call]
        kind: Any = params["connection_class"]  # of TCP, of TLS or of a Unix socket

        class Named(kind):  # type: ignore[misc]
            def read_response(self, *args: Any, **options: Any) -> Any:
                try:
                    return super().read_response(*args, **options)
                except ResponseError as error:
                    if (ours := _named(error)) is None:
                        raise
                    raise ours from error

        return {**params, "connection_class": Named}

    def _brpop_start(self, timeout: float | None = None) -> None:
        try:
            super()._brpop_start(timeout)  # type: ignore[no-untyped-call]
        except _NO_WRITES:
            self._in_poll = False  # nothing was asked: who closes it would wait for the answer
            raise


def _named(error: ResponseError) -> Exception | None:
    """What is raised in the place of an error of no class of its own that says that Redis takes no writes, to
    whatever it is the answer: where it cannot save, it does not even answer a PING."""
    text = str(error)
    # https://github.com/redis/redis/blob/7.2.0/src/blocked.c: disconnectOrRedirectAllBlockedClients
    if text.startswith("UNBLOCKED"):
        return ConnectionError("Redis is no master any more")
    if text.startswith("MISCONF"):  # its disk may be full
        return ReadOnlyError("Redis cannot save what it has, and takes nothing new")
    if text.startswith("NOREPLICAS"):
        return ReadOnlyError("Redis has fewer replicas than it is to write to")
    return None


class SteadyTransport(Transport):
    """See the module."""

    Channel = SteadyChannel
    connection_errors: tuple[type[Exception], ...] = (
        *Transport.connection_errors,
        AttributeError,
        *_NO_WRITES,
    )

    def establish_connection(self) -> Any:
        """As kombu does; raises what Redis says where it takes no writes."""
        made = super().establish_connection()  # type: ignore[no-untyped-call]
        try:
            self._avail_channels[-1].client.set(_TRIED, "", px=1)
        except NoPermissionError:  # who may not do that takes no tasks
            pass
        except _NO_WRITES:
            self.close_connection(made)  # type: ignore[no-untyped-call]
            raise
        return made


def use() -> None:
    """Have every `redis://` broker URL of this process lead to it."""
    for scheme in ("redis", "rediss"):
        if scheme in TRANSPORT_ALIASES:
            TRANSPORT_ALIASES[scheme] = f"{__name__}:{SteadyTransport.__name__}"


def give_back(channel: SteadyChannel) -> None:
    """Have tasks done again at once whose workers were killed on this machine."""
    # Where Redis takes no writes just now, it does so itself when their time is over.
    with suppress(ExecAbortError):
        channel.qos.give_back()

"""kombu's Redis transport, for workers that outlive a Redis that goes away while they hold tasks.

Closing a channel gives back the tasks that its worker holds. When the connection is gone, kombu 5.7 finds
no connection to give them back on and raises AttributeError, which Celery takes for the end of the world:
the process ends. As an error of the connection it leads to a new one instead, like any other; the tasks
are wanted in Redis all the same, and beat finds whatever is lost.
"""

from __future__ import annotations

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.redis import Transport


class SteadyTransport(Transport):
    """See the module."""

    connection_errors: tuple[type[Exception], ...] = (*Transport.connection_errors, AttributeError)


def use() -> None:
    """Have every `redis://` broker URL of this process lead to it."""
    for scheme in ("redis", "rediss"):
        if scheme in TRANSPORT_ALIASES:
            TRANSPORT_ALIASES[scheme] = f"{__name__}:{SteadyTransport.__name__}"

"""Redis users: what each tier may do there. The one place that says so; whoever sets up a Redis asks here.

The embedded Redis of `mooring up`, that of the chart and of compose.yaml (charts/mooring/files/redis.sh), and
docs/security.md take the rules from here; tests hold that these are enough, and that the web tier's reach no
more.

Redis 6.2 is the oldest that reads them: https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mooring.names import INTAKE
from mooring.store.connection import LEDGER, QUEUE, VIEW


@dataclass(frozen=True, slots=True)
class User:
    """A user by name, and the rules that begin with nothing and say what is allowed."""

    name: str
    rules: tuple[str, ...]

    def words(self, password: str) -> tuple[str, ...]:
        """The user as the arguments of ACL SETUSER; behind `user`, as a line of Redis' configuration."""
        return (self.name, "reset", "on", f">{password}", *self.rules)


# Commands by name: categories hold too much. `@connection` has CLIENT PAUSE, which stops Redis for everybody.
WEB: Final = User(
    "mooring-web",
    (
        *(f"~{LEDGER}*", f"~{VIEW}*", f"~{QUEUE}{INTAKE}"),
        *("+auth", "+hello", "+ping", "+select", "+evalsha", "+script|load", "+time"),
        *("+hget", "+hset", "+hgetall", "+hvals", "+zcard", "+zadd", "+xadd", "+xrevrange"),
        *("+rpush", "+lpush", "+lrange"),
    ),
)

# All channels: Celery subscribes by patterns, which a rule would have to name letter by letter.
ENGINE: Final = User("mooring", ("~mooring:*", "&*", "+@all", "-@admin", "-@dangerous", "+info"))

USERS: Final = (WEB, ENGINE)

"""What an observer has seen of the objects that an app waits for, told with the wish that it be looked at:
then nobody need ask for them once more. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import orjson

from mooring.keys import ObjectKey
from mooring.store.proofs import Proof
from workers.health import Health, HealthStatus
from workers.proof import mark

_MOST: Final = 20  # objects; of more, a list of their kinds is shorter


@dataclass(frozen=True, slots=True)
class Sight:
    """How one object is, as built-in kinds are judged. `mark` and `counted` are what its record is held
    against (workers/proof.py)."""

    health: Health
    mark: bytes
    counted: bool


@dataclass(frozen=True, slots=True)
class Sighted:
    """`version` is that of the Application that waits for `objects`, "" for one that is to be looked at as a
    whole; `objects` are empty where they are to be asked for."""

    version: str
    objects: Mapping[ObjectKey, Sight] = field(default_factory=dict)

    def to_wish(self) -> str:
        """As a wish holds it."""
        if not self.objects or len(self.objects) > _MOST:
            return self.version
        told = [
            [str(key), one.health.status, one.health.message, one.mark.hex(), one.counted]
            for key, one in sorted(self.objects.items())
        ]
        return f"{self.version} {orjson.dumps(told).decode()}"

    @classmethod
    def from_wish(cls, text: str) -> Self:
        """Inverse of `to_wish`. Never raises: of what makes no sense, the objects are to be asked for."""
        version, _, told = text.partition(" ")
        try:
            return cls(version, dict(map(_read, orjson.loads(told)))) if told else cls(version)
        except (ValueError, TypeError):
            return cls(version)

    def health(
        self, version: str, keys: Collection[ObjectKey], records: Mapping[ObjectKey, Proof]
    ) -> dict[ObjectKey, Health] | None:
        """How the objects `keys` of the Application at `version` are; None unless each was seen just as its
        record has it, and nothing newer was said of the Application since."""
        found: dict[ObjectKey, Health] = {}
        if version != self.version:
            return None
        for key in keys:
            one, record = self.objects.get(key), records.get(key)
            if one is None or record is None or mark(record, counted=one.counted) != one.mark:
                return None
            found[key] = one.health
        return found


def _read(told: Any) -> tuple[ObjectKey, Sight]:
    key, status, message, mark_, counted = told
    health = Health(HealthStatus(status), str(message))
    return ObjectKey.parse(key), Sight(health, bytes.fromhex(mark_), bool(counted))

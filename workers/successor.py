"""What a worker that comes late has to ask: does the operation that took over want this object too?"""

from __future__ import annotations

import time

from mooring.keys import ObjectKey
from workers.applyset import store as parents
from workers.apps.store import Claim
from workers.engine import Engine

# How long a worker that has lost its operation waits to hear what the newer one wants, in seconds.
_SUCCESSOR_S = 30.0


class Successor:
    """The operation that was claimed after ours, asked by a worker that comes late."""

    def __init__(self, engine: Engine, claim: Claim) -> None:
        self._engine = engine
        self._claim = claim
        self._deadline = 0.0

    def wants(self, key: ObjectKey) -> bool:
        """Whether it has the object too. Until it has ended nobody can say: then that is waited for.

        True when it does not end in time: the object then stays for it, or for the next one, to judge. Where
        the app itself is gone, its inventory tells: a deletion of all that it had has taken the object out.
        """
        self._deadline = self._deadline or time.monotonic() + _SUCCESSOR_S
        while True:
            app = self._engine.applications.get(self._claim.key)
            if app is None or app.metadata.uid != self._claim.uid:
                return self._is_kept(key)
            operation = app.status.operation_state
            if operation is None or operation.phase != "Running":
                return any(one.key == key and not one.requires_pruning for one in app.status.resources)
            if time.monotonic() > self._deadline:
                return True
            time.sleep(0.2)

    def _is_kept(self, key: ObjectKey) -> bool:
        engine = self._engine
        parent = parents.read(engine.own, engine.settings.namespace, self._claim.key, engine.installation)
        return key in parent.inventory.entries

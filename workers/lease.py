"""A lease in Redis: any number of processes of a kind may run, one at a time acts."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable

import redis

from mooring.errors import MooringError

_log = logging.getLogger("mooring")
_TTL_S = 10

_RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""


def hold(client: redis.Redis, key: str, who: str, waiting: Callable[[], None]) -> None:
    """Wait for the lease `key`, calling `waiting` every second, and keep it from then on.

    A process that loses it ends, since another one acts: whoever started it starts it again. `who` is what it
    is called in the log. Raises StoreUnavailable while it waits.
    """
    token = secrets.token_hex(8)
    while not client.set(key, token, nx=True, px=_TTL_S * 1000):
        waiting()
        if client.pttl(key) == -1:  # a lease without an end is nobody's
            client.delete(key)
            continue
        time.sleep(1)
    _log.info("%s holds the lease", who)
    keeping = threading.Thread(target=_keep, args=(client, key, token, who), daemon=True, name=f"{who} lease")
    keeping.start()


def _keep(client: redis.Redis, key: str, token: str, who: str) -> None:
    renew = client.register_script(_RENEW)
    missed = 0
    while True:
        time.sleep(_TTL_S / 4)
        try:
            held = bool(renew([key], [token, _TTL_S * 1000]))
            missed = 0
        except MooringError:
            missed += 1
            held = missed < 3
        if not held:
            _log.error("%s has lost its lease and ends; whoever holds it goes on", who)
            os._exit(1)

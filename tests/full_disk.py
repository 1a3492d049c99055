"""A Redis that cannot save what it has, as where its disk is full, and so takes no writes."""

from __future__ import annotations

from pathlib import Path

import redis

from tests.stories.ship import until


def fill(client: redis.Redis) -> None:
    """A directory is in the way of its snapshot. Returns once one has failed."""
    snapshot = _snapshot(client)
    snapshot.unlink(missing_ok=True)
    snapshot.mkdir()
    client.config_set("save", "3600 1")
    client.bgsave()
    until("a snapshot to fail", lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")


def clear(client: redis.Redis) -> None:
    """Undoes it, as far as it was done."""
    if (snapshot := _snapshot(client)).is_dir():
        snapshot.rmdir()
    client.config_set("save", "")


def _snapshot(client: redis.Redis) -> Path:
    return Path(str(client.config_get("dir")["dir"]), str(client.config_get("dbfilename")["dbfilename"]))

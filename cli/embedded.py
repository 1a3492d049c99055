"""The embedded Redis of `mooring up`, and how other commands on this machine find it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mooring.errors import Refused


@dataclass(frozen=True, slots=True)
class Urls:
    """One Redis, as each tier reaches it."""

    engine: str = field(repr=False)
    web: str = field(repr=False)


@contextmanager
def running(state_dir: Path) -> Iterator[Urls]:
    """Runs a Redis that keeps its data below `state_dir`, with a user for each tier; gives their URLs.

    Raises Refused when another process runs one there, DevclusterError when there is no redis-server.
    """
    from devcluster.redis import RedisServer
    from mooring.store import acl

    directory = state_dir / "redis"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused(
                f"another `mooring up` uses {directory}: end it, or set MOORING_STATE_DIR"
            ) from error
        with RedisServer(directory, append_only=True, users=acl.USERS) as server:
            urls = Urls(server.url_for(acl.ENGINE), server.url_for(acl.WEB))
            _write(_url_file(state_dir), urls.engine)
            try:
                yield urls
            finally:
                _url_file(state_dir).unlink(missing_ok=True)


def find(state_dir: Path) -> str:
    """URL of the Redis that a running `mooring up` has there; "" when there is none."""
    try:
        return _url_file(state_dir).read_text().strip()
    except OSError:
        return ""


def _url_file(state_dir: Path) -> Path:
    return state_dir / "redis" / "url"


def _write(path: Path, text: str) -> None:
    """For the owner's eyes only: the URL holds the password."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)

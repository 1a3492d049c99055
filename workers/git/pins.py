"""The addresses at which a host may be asked, while a stranger has named it.

A name is resolved, and what it resolves to is judged; a second answer of DNS, a moment later, must not lead
elsewhere. Nothing is pinned for whoever names his own repositories.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from mooring.errors import GitRefused

_PINNED: ContextVar[tuple[str, ...]] = ContextVar("pinned", default=())


@contextmanager
def pinned(addresses: Collection[str]) -> Iterator[None]:
    """Whoever is asked here is at one of `addresses`; at any, where there are none."""
    token = _PINNED.set(tuple(addresses))
    try:
        yield
    finally:
        _PINNED.reset(token)


def check_peer(sock: socket.socket) -> None:
    """Before anything is said to it. Raises GitRefused when it is at another address."""
    permitted = _PINNED.get()
    if permitted:
        peer = ipaddress.ip_address(str(sock.getpeername()[0]).partition("%")[0])
        if peer not in {ipaddress.ip_address(each.partition("%")[0]) for each in permitted}:
            raise GitRefused(f"the host is at {peer} now, which it was not a moment ago: it is not asked")


def resolving(host: str, port: int) -> dict[str, str]:
    """What git is told so that it looks for the host nowhere else; https://git-scm.com/docs/git-config"""
    permitted = ",".join(f"[{each}]" if ":" in each else each for each in _PINNED.get())
    return {"http.curloptResolve": f"{host}:{port}:{permitted}"} if permitted else {}

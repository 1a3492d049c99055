"""Whose request it is, when proxies stand in between."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from mooring.settings_web import Network


def client_address(peer: str, forwarded_for: str, trusted: Iterable[Network]) -> str:
    """The address to count failures under.

    `peer` is who connected, `forwarded_for` the X-Forwarded-For header, whose entries are believed from
    the right for as long as the one who added them is in `trusted`. Of an IPv6 address only the network
    counts, since one machine has a whole /64 to choose from.
    """
    trusted = tuple(trusted)
    address = peer
    for hop in reversed(forwarded_for.split(",")):
        if not _within(address, trusted) or not hop.strip():
            break
        address = hop.strip()
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return peer  # a trusted proxy that writes nonsense, or a Unix socket
    if parsed.version == 6:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def _within(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)

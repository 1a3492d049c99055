"""Whose request it is, when proxies stand in between."""

from __future__ import annotations

import ipaddress
import re
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
    parsed = _parsed(address) or _parsed(peer)  # a trusted proxy may write nonsense
    if parsed is None:
        return peer  # a Unix socket
    if parsed.version == 6:
        return str(ipaddress.ip_network((int(parsed), 64), strict=False))
    return str(parsed)


def _within(address: str, networks: tuple[Network, ...]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address, which a proxy may have given its port. One of IPv4 stays one on a socket of IPv6."""
    if match := re.fullmatch(r"\[([^\]]*)\](?::\d+)?|([^:]*):\d+", address):
        address = match[1] or match[2]
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, ipaddress.IPv6Address) else parsed

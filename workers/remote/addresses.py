"""Which addresses may be asked when somebody names a host.

https://cheatsheetseries.owasp.org/cheatsheets/Server_Side_Request_Forgery_Prevention_Cheat_Sheet.html
"""

from __future__ import annotations

import ipaddress
from typing import Final

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Where clouds hand out the credentials of their machines, besides link-local addresses: AWS and Google over
# IPv6, Alibaba, Oracle, Azure. Nobody keeps charts there.
_METADATA: Final = frozenset(
    ipaddress.ip_address(text)
    for text in ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.0.0.192", "168.63.129.16")
)


def may_be_asked(address: str, *, vouched: bool) -> bool:
    """Whether the host at `address`, as DNS gave it, may be asked.

    `vouched`: an Application or an operator names it, so it may be in a private network. Link-local addresses
    and the metadata of clouds, nobody vouches for.
    """
    ip: _Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip
    return not ip.is_link_local and ip not in _METADATA and (vouched or _is_public(ip))


def _is_public(ip: _Address) -> bool:
    # IPv6 that carries an address of IPv4: NAT64 is reserved, 6to4 is not.
    # https://www.iana.org/assignments/iana-ipv6-special-registry
    if isinstance(ip, ipaddress.IPv6Address) and ip.sixtofour is not None:
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)

"""The Git hosts we receive from: one file each, with nothing in it but what is that host's own.

A host is a module with the functions of `Host`. All are pure: headers and bytes in, a value out.
"""

from __future__ import annotations

from typing import Final, Protocol

from mooring.delivery import Event
from webhook.hosts import azure_devops, bitbucket, bitbucket_server, gitea, github, gitlab, gogs
from webhook.hosts.payload import Headers


class Host(Protocol):
    """What each module of this package offers."""

    NAME: str
    """As it stands in URLs and settings."""

    PROOF: tuple[str, ...]
    """The headers of which one must show that the sender knows the secret."""

    def sent(self, headers: Headers) -> bool:
        """Whether a request with these headers comes from this kind of host."""

    def verify(self, headers: Headers, body: bytes, secrets: tuple[bytes, ...]) -> bool:
        """Whether the request was made with one of `secrets`. Constant in time over their content."""

    def parse(self, headers: Headers, body: bytes) -> Event:
        """What the request says. Raises MalformedPayload for whatever the host would not send."""


# In the order in which to ask: Gitea and Gogs send GitHub's headers beside their own, for old receivers.
_ALL: Final[tuple[Host, ...]] = (gitea, gogs, github, gitlab, bitbucket, bitbucket_server, azure_devops)

BY_NAME: Final[dict[str, Host]] = {host.NAME: host for host in _ALL}


def sender(headers: Headers) -> Host | None:
    """The host that sends such headers, or None."""
    return next((host for host in _ALL if host.sent(headers)), None)

"""Where Argo CD's users keep the credentials of their repositories, whom they trust to be the host, and
settings."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from workers.applyset.store import CONFIG_MAP
from workers.cluster.api import Api
from workers.git.credentials import SECRET_TYPE, RepoSecret
from workers.installation import SECRET

# https://argo-cd.readthedocs.io/en/stable/operator-manual/declarative-setup/#ssh-known-host-public-keys
KNOWN_HOSTS: Final = "argocd-ssh-known-hosts-cm"
TLS_CERTS: Final = "argocd-tls-certs-cm"
CONFIG: Final = "argocd-cm"


def repo_secrets(api: Api, namespace: str) -> tuple[RepoSecret, ...]:
    """All of the namespace, by name.

    https://argo-cd.readthedocs.io/en/stable/operator-manual/declarative-setup/#repositories
    """
    found = []
    for live in api.list(SECRET, namespace, f"{SECRET_TYPE} in (repository,repo-creds)", cached=True):
        secret = RepoSecret.from_labels(
            live.key.name, live.labels, decoded((live.body or {}).get("data") or {})
        )
        if secret is not None:
            found.append(secret)
    return tuple(sorted(found, key=lambda secret: secret.name))


def known_hosts(api: Api, namespace: str) -> str:
    """The keys of ssh hosts, as lines of a known_hosts file; empty where there are none."""
    return _config(api, namespace, KNOWN_HOSTS).get("ssh_known_hosts", "")


def tls_certificates(api: Api, namespace: str) -> dict[str, str]:
    """PEM certificates by the name of the one host that they vouch for.

    https://argo-cd.readthedocs.io/en/stable/operator-manual/declarative-setup/#repositories-using-self-signed-tls-certificates-or-are-signed-by-custom-ca
    """
    return {host.lower(): pem for host, pem in _config(api, namespace, TLS_CERTS).items()}


def config(api: Api, namespace: str) -> dict[str, str]:
    """What Argo CD's users set of Argo CD itself.

    https://argo-cd.readthedocs.io/en/stable/operator-manual/argocd-cm-yaml/
    """
    return _config(api, namespace, CONFIG)


def _config(api: Api, namespace: str, name: str) -> dict[str, str]:
    live = api.get(CONFIG_MAP, namespace, name)
    return {} if live is None else dict((live.body or {}).get("data") or {})


def decoded(data: Mapping[str, Any]) -> dict[str, str]:
    """A Secret's `data` as text. What is no text is left out: no field that we read is binary."""
    fields: dict[str, str] = {}
    for name, value in data.items():
        try:
            fields[name] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
    return fields

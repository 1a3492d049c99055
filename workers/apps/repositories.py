"""Where Argo CD's users keep the credentials of their repositories, whom they trust to be the host, and
settings."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from mooring.errors import ClusterRefused
from workers.applyset.store import CONFIG_MAP
from workers.cluster.api import Api
from workers.cluster.live import Live
from workers.clusters.secret import ClusterSecret, read
from workers.git.credentials import SECRET_TYPE, RepoSecret
from workers.installation import SECRET
from workers.signatures.keys import ALLOWED_SIGNERS, GPG_KEYS, SSH_SIGNERS, Keys

# https://argo-cd.readthedocs.io/en/stable/operator-manual/declarative-setup/#ssh-known-host-public-keys
KNOWN_HOSTS: Final = "argocd-ssh-known-hosts-cm"
TLS_CERTS: Final = "argocd-tls-certs-cm"
CONFIG: Final = "argocd-cm"
CLUSTERS: Final = f"{SECRET_TYPE}=cluster"  # their label
_OF_ARGO_CD: Final = f"{SECRET_TYPE} in (repository,repo-creds,cluster)"


@dataclass(frozen=True, slots=True)
class Secrets:
    """What Argo CD's Secrets of a namespace say of repositories and of clusters, in order of their names."""

    repositories: tuple[RepoSecret, ...]
    clusters: tuple[ClusterSecret, ...]


def secrets(api: Api, namespace: str, *, cached: bool) -> Secrets:
    """All of the namespace, by one list: who needs the ones mostly needs the others. `cached` is whether the
    answer may be slightly old. Raises ClusterRefused, with what to do, where they may not be listed.

    https://argo-cd.readthedocs.io/en/stable/operator-manual/declarative-setup/
    """
    try:
        found = api.list(SECRET, namespace, _OF_ARGO_CD, cached=cached)
    except ClusterRefused as error:
        if error.code != HTTPStatus.FORBIDDEN:
            raise
        raise ClusterRefused(
            f"credentials, and which clusters there are, are in Secrets that may not be listed ({error}): "
            'bind that user to a Role there with {apiGroups: [""], resources: [secrets], verbs: [list]}',
            code=error.code,
            reason=error.reason,
        ) from error
    repositories, clusters = list[RepoSecret](), list[ClusterSecret]()
    for live in sorted(found, key=lambda live: live.key):
        if live.labels.get(SECRET_TYPE) == "cluster":
            clusters.append(cluster_secret(live))
        elif secret := RepoSecret.from_labels(
            live.key.name, live.labels, decoded((live.body or {}).get("data") or {})
        ):
            repositories.append(secret)
    return Secrets(tuple(repositories), tuple(clusters))


def cluster_secret(live: Live) -> ClusterSecret:
    """What one of them says, or what is wrong with it."""
    data = (live.body or {}).get("data") or {}
    version = f"{live.uid}/{live.resource_version}"
    return read(live.key.name, data, live.labels, live.annotations, version)


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


def signing_keys(api: Api, namespace: str) -> Keys:
    """The public keys that commits may be signed with: GPG's where Argo CD has them, and SSH's.

    https://argo-cd.readthedocs.io/en/release-3.3/user-guide/gpg-verification/#manage-public-keys-in-declarative-setup
    """
    gpg = sorted(_config(api, namespace, GPG_KEYS).items())
    return Keys(tuple(gpg), _config(api, namespace, SSH_SIGNERS).get(ALLOWED_SIGNERS, ""))


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

"""The Secrets in which Argo CD's users keep the credentials of their repositories."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from workers.cluster.api import Api
from workers.git.credentials import SECRET_TYPE, RepoSecret
from workers.installation import SECRET


def repo_secrets(api: Api, namespace: str) -> tuple[RepoSecret, ...]:
    """All of the namespace, by name.

    https://argo-cd.readthedocs.io/en/stable/operator-manual/declarative-setup/#repositories
    """
    found = []
    for live in api.list(SECRET, namespace, f"{SECRET_TYPE} in (repository,repo-creds)"):
        secret = RepoSecret.from_labels(
            live.key.name, live.labels, decoded((live.body or {}).get("data") or {})
        )
        if secret is not None:
            found.append(secret)
    return tuple(sorted(found, key=lambda secret: secret.name))


def decoded(data: Mapping[str, Any]) -> dict[str, str]:
    """A Secret's `data` as text. What is no text is left out: no field that we read is binary."""
    fields: dict[str, str] = {}
    for name, value in data.items():
        try:
            fields[name] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
    return fields

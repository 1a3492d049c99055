"""Who owns an object, by its ownerReferences or, as with Argo CD, where Kubernetes leaves them out. Pure.

https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from mooring.keys import ObjectKey
from workers.cluster.live import Live

_ORDINAL: Final = re.compile(r"(.+)-\d+")
# https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-service-account-name
_ACCOUNT: Final = "kubernetes.io/service-account.name"
_ACCOUNT_UID: Final = "kubernetes.io/service-account.uid"


class Kin:
    """The objects of a look at some namespaces, and who of them owns whom. StatefulSets are known by their
    whole objects alone to own their claims."""

    def __init__(self, objects: Iterable[Live]) -> None:
        self._by_uid: dict[str, Live] = {}
        self._by_key: dict[ObjectKey, Live] = {}
        self._claims: dict[tuple[str, str], Live] = {}  # namespace, name without its ordinal
        for live in objects:
            self._by_uid[live.uid] = live
            self._by_key[live.key] = live
            if (live.key.group, live.key.kind) == ("apps", "StatefulSet"):
                for template in _templates(live.body):
                    self._claims[live.key.namespace, f"{template}-{live.key.name}"] = live

    def owners(self, live: Live) -> tuple[Live, ...]:
        """Who owns `live`, its controller first. A reference counts as it does for Kubernetes: only if uid,
        group, kind and name are those of one object, which is in the same namespace or in none."""
        said = sorted(live.owner_references, key=lambda one: not one.get("controller"))
        found = (owner for one in said if (owner := self._named(live, one)) is not None)
        return tuple({one.uid: one for one in found}.values() if said else self._implied(live))

    def top_level(self, live: Live) -> bool:
        """Whether nobody is said to own `live`, not even somebody who is not there."""
        return not live.owner_references and not any(True for _ in self._implied(live))

    def _named(self, live: Live, reference: Mapping[str, Any]) -> Live | None:
        owner = self._by_uid.get(str(reference.get("uid")))
        if owner is None or owner.uid == live.uid:
            return None
        group, slash, _ = str(reference.get("apiVersion", "")).partition("/")
        told = (group if slash else "", reference.get("kind"), reference.get("name"))
        same = told == (owner.key.group, owner.key.kind, owner.key.name)
        return owner if same and owner.key.namespace in ("", live.key.namespace) else None

    def _implied(self, live: Live) -> Iterator[Live]:
        key = live.key
        owner: Live | None = None
        match key.group, key.kind:
            case "", "Endpoints":
                owner = self._by_key.get(ObjectKey("", "Service", key.namespace, key.name))
            case "", "PersistentVolumeClaim":
                numbered = _ORDINAL.fullmatch(key.name)
                owner = self._claims.get((key.namespace, numbered[1])) if numbered else None
            case "", "Secret" if account := live.annotations.get(_ACCOUNT):
                owner = self._by_key.get(ObjectKey("", "ServiceAccount", key.namespace, account))
                if owner is not None and live.annotations.get(_ACCOUNT_UID) != owner.uid:
                    owner = None
        if owner is not None:
            yield owner


def _templates(body: Mapping[str, Any] | None) -> Iterator[str]:
    """The names of a StatefulSet's volumeClaimTemplates."""
    for one in ((body or {}).get("spec") or {}).get("volumeClaimTemplates") or ():
        if name := (one.get("metadata") or {}).get("name"):
            yield str(name)

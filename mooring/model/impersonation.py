"""As which service account the syncs of an app act: `AppProject.spec.destinationServiceAccounts`. Pure.

https://argo-cd.readthedocs.io/en/stable/operator-manual/app-sync-using-impersonation/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mooring.errors import Refused
from mooring.model.globs import glob
from mooring.model.project import AppProject, Cluster, DestinationServiceAccount, spelt

SETTING: Final = "application.sync.impersonation.enabled"  # of ConfigMap argocd-cm
_FIELD: Final = "spec.destinationServiceAccounts"
_PREFIX: Final = "system:serviceaccount:"
# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
_NAMESPACE: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_NAME: Final = re.compile(r"(?!.{254})[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    namespace: str
    name: str

    @classmethod
    def of_user(cls, user: str) -> ServiceAccount | None:
        """Inverse of `user`; None for whoever is no service account."""
        namespace, _, name = user.removeprefix(_PREFIX).partition(":")
        return cls(namespace, name) if user.startswith(_PREFIX) and name else None

    @property
    def user(self) -> str:
        """https://kubernetes.io/docs/reference/access-authn-authz/authentication/#service-account-tokens"""
        return f"{_PREFIX}{self.namespace}:{self.name}"

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def service_account(
    project: AppProject, cluster: Cluster, namespace: str, home: str, config: Mapping[str, str]
) -> ServiceAccount | None:
    """Who writes for an app of `project` that goes to `namespace` of `cluster` and is itself in the namespace
    `home`; None for Mooring itself. `config` is the data of argocd-cm.

    A project that names service accounts is obeyed unless SETTING is "false": nobody has wider rights than
    it says because a key is not set. With "true" every project must name one.

    Raises Refused where none is named for that destination, and for rules that make no sense.
    """
    rules, name = project.spec.destination_service_accounts, project.metadata.name
    said = config.get(SETTING, "")
    if said not in ("", "true", "false"):
        raise Refused(
            f"ConfigMap argocd-cm: {SETTING} is {said!r}: say true or false", condition="InvalidSpecError"
        )
    if said == "false" or not (rules or said):
        return None
    _check(rules, name)
    for number, rule in enumerate(rules):
        fits = any(glob(spelt(rule.server)).fullmatch(server) for server in cluster.spellings)
        if fits and glob(rule.namespace).fullmatch(namespace):
            return _named(rule, f"AppProject {name}: {_FIELD}[{number}]", namespace or home)
    there = " or ".join(cluster.servers) or "that cluster"
    raise Refused(
        f"project {name} names no service account for {there} namespace {namespace or '(none)'}, and nothing "
        f"is written with other rights: add one to {_FIELD}",
        condition="InvalidSpecError",
    )


def turned_off(project: AppProject, config: Mapping[str, str]) -> str:
    """What to tell where SETTING keeps the service accounts of `project` from being heeded; else ""."""
    if config.get(SETTING) != "false" or not project.spec.destination_service_accounts:
        return ""
    return (
        f"project {project.metadata.name}: {_FIELD} is not heeded, and syncs have Mooring's own rights, "
        f"since {SETTING} in ConfigMap argocd-cm is false: take one of the two out"
    )


def _check(rules: tuple[DestinationServiceAccount, ...], project: str) -> None:
    """Raises Refused for what Argo CD takes no project with."""
    before: dict[tuple[str, str], int] = {}
    for number, rule in enumerate(rules):
        where = f"AppProject {project}: {_FIELD}[{number}]"
        for field, pattern in (("server", rule.server), ("namespace", rule.namespace)):
            if "!" in pattern:
                raise Refused(
                    f"{where}.{field}: {pattern!r} has a `!`, and nothing is left out here: the first entry "
                    "that fits counts",
                    condition="InvalidSpecError",
                )
        first = before.setdefault((rule.server, rule.namespace), number)
        if first != number:
            raise Refused(f"{where} is for the same as [{first}]: keep one", condition="InvalidSpecError")
        _named(rule, where, "default")


def _named(rule: DestinationServiceAccount, where: str, namespace: str) -> ServiceAccount:
    """The account of a rule, in `namespace` unless it says another."""
    said = rule.default_service_account
    own, colon, name = said.rpartition(":")
    if not _NAME.fullmatch(name) or (colon and not _NAMESPACE.fullmatch(own)):
        raise Refused(
            f"{where}.defaultServiceAccount: {said!r} is no service account: say its name, or namespace:name",
            condition="InvalidSpecError",
        )
    return ServiceAccount(own or namespace, name)

"""`mooring crds`: the kinds Application and AppProject, and the namespace that holds their objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import click
import yaml

from cli.confirm import confirm
from cli.home import Home, connect, home_options
from mooring.model.crd import crds as own_crds
from mooring.model.crd import is_ours
from mooring.settings import Settings
from workers.cluster.api import Create, Update
from workers.cluster.kinds import Kind

CRD = Kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False)
NAMESPACE = Kind("", "v1", "Namespace", "namespaces", namespaced=False)


class Step(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done about one CRD, and why nothing is."""

    step: Step
    why: str = ""


def judge(wanted: Mapping[str, Any], live: Mapping[str, Any] | None) -> Verdict:
    """What to do about a CRD that is `wanted`, given the one that the cluster has (None: none). Pure."""
    if live is None:
        return Verdict(Step.CREATE)
    if not is_ours(live):
        return Verdict(Step.LEAVE, "it is Argo CD's own: left alone, and used as it is")
    if _same(wanted["spec"], live.get("spec")):
        return Verdict(Step.LEAVE, "up to date")
    return Verdict(Step.UPDATE)


def _same(wanted: Any, live: Any) -> bool:
    """Whether `live` says all that `wanted` says; the API server fills in defaults beside it."""
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        return all(_same(value, live.get(key)) or value in ({}, [], None) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(live, list):
        pairs = zip(wanted, live, strict=False)
        return len(wanted) == len(live) and all(_same(one, other) for one, other in pairs)
    return bool(wanted == live)


@click.group()
def crds() -> None:
    """The kinds Application and AppProject in the home cluster."""


@crds.command()
@home_options
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def install(settings: Settings, yes: bool) -> None:
    """Install them, with the namespace for Applications. Argo CD's own are left alone."""
    home = connect(settings)
    if not yes:
        confirm(f"Install into {home.server}?")
    for line in install_into(home):
        click.echo(line)


def install_into(home: Home) -> list[str]:
    """Install what is missing; what was done, a line each. Raises ClusterRefused, ClusterUnavailable."""
    said = []
    for wanted in own_crds():
        name = wanted["metadata"]["name"]
        live = home.api.get(CRD, "", name)
        verdict = judge(wanted, live.body if live else None)
        if verdict.step is not Step.LEAVE:
            guard = Update(live.uid, live.resource_version) if live else Create()
            home.api.apply(CRD, wanted, guard=guard)
            kind = wanted["spec"]["names"]["kind"]
            home.api.discovery.await_kind(f"argoproj.io/{wanted['spec']['versions'][0]['name']}", kind)
        said.append(f"crd {name}: {verdict.why or f'{verdict.step}d'}")
    namespace = home.settings.namespace
    created = home.api.ensure_namespace(namespace)
    said.append(f"namespace {namespace}: {'created' if created else 'is there'}")
    return said


@crds.command(short_help="Print them as YAML.")
def show() -> None:
    """Print them as YAML, for `kubectl apply` or a repository of your own."""
    click.echo(manifests(), nl=False)


def manifests() -> str:
    """All CRDs as one YAML text. The chart ships exactly this."""
    return yaml.dump_all(own_crds(), Dumper=_NoAliases, sort_keys=False)


class _NoAliases(yaml.SafeDumper):
    """Writes out what stands in several places: people read and diff this."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

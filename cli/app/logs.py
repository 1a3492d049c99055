"""`mooring app logs`"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import click

from cli.app.words import find
from cli.exits import Missing
from cli.gostyle import Verb
from cli.home import Home, connect, home_options
from cli.named import app_argument
from mooring.errors import ClusterRefused
from mooring.model.application import Application
from mooring.settings import Settings
from mooring.text import printable

if TYPE_CHECKING:
    from workers.cluster.api import Api
    from workers.cluster.live import Live

_MOST: Final = 50  # streams at once: each is a connection and a thread


@dataclass(frozen=True, slots=True, order=True)
class Container:
    """One container of a pod."""

    namespace: str
    pod: str
    name: str


@click.command(cls=Verb)
@home_options
@app_argument
@click.option("-f", "--follow", is_flag=True, help="Go on with what they say from now on.")
@click.option("--tail", type=click.IntRange(0), default=0, metavar="N", help="Only the last N lines of each.")
@click.option("-c", "--container", default="", metavar="NAME", help="Only containers of this name.")
@click.option(
    "--kind", default="", metavar="KIND", help="Only pods of the Application's objects of this kind."
)
@click.option("--name", "of", default="", metavar="NAME", help="Only pods of the object with this name.")
@click.option(
    "--since-seconds", type=click.IntRange(1), metavar="S", help="Only what is not older than this."
)
@click.option("-p", "--previous", is_flag=True, help="Of the run before the last restart.")
def logs(
    settings: Settings,
    name: str,
    follow: bool,
    tail: int,
    container: str,
    kind: str,
    of: str,
    since_seconds: int | None,
    previous: bool,
) -> None:
    """Print what the pods of an Application's objects say; each line with its pod when there are several.

    With --follow it ends when the pods do, or with Ctrl-C. Pods that are created meanwhile are not followed.
    """
    from workers.impersonation import acting_api

    home = connect(settings)
    app = find(home, name)
    found = [one for one in containers(home, app, kind, of) if container in ("", one.name)]
    if not found:
        which = f" with a container {container}" if container else ""
        raise Missing(
            f"{app.key.name} has no pods{which}: `mooring app resources {app.key.name}` shows its objects"
        )
    if len(found) > _MOST:
        raise ClusterRefused(
            f"{app.key.name} has {len(found)} containers: choose some by --kind, --name and --container"
        )
    query = [("tailLines", str(tail))] if tail else []
    query += [("sinceSeconds", str(since_seconds))] if since_seconds else []
    query += [("follow", "true")] if follow else []
    query += [("previous", "true")] if previous else []
    output = _Output(prefixed=len(found) > 1, safe=sys.stdout.isatty())
    api = acting_api(home.there(app), home.applications, app)
    with ThreadPoolExecutor(len(found) if follow else 1) as executor:
        running = [executor.submit(_print, api, one, query, output) for one in found]
        for one in running:
            one.result()


class _Output:
    """Whole lines of many streams on one standard output."""

    def __init__(self, *, prefixed: bool, safe: bool) -> None:
        self._prefixed = prefixed
        self._safe = safe
        self._lock = Lock()

    def line(self, container: Container, text: str) -> None:
        text = printable(text) if self._safe else text
        with self._lock:
            click.echo(f"[{container.pod}/{container.name}] {text}" if self._prefixed else text)


def _print(api: Api, container: Container, query: Sequence[tuple[str, str]], output: _Output) -> None:
    query = [*query, ("container", container.name)]
    with api.log(container.namespace, container.pod, query) as chunks:
        for line in _lines(chunks):
            output.line(container, line)


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")


def containers(home: Home, app: Application, kind: str = "", name: str = "") -> list[Container]:
    """The containers of all pods that the Application's objects are or run, by namespace and pod."""
    pods: dict[str, Live] = {}
    api = home.there(app)
    for item in app.status.resources:
        if kind.lower() not in ("", item.kind.lower()) or name not in ("", item.name):
            continue
        served = api.discovery.preferred(item.group, item.kind)
        runs_pods = (item.group, item.kind) in _RUN_PODS or _may_select(item.group)
        if served is None or not runs_pods:
            continue
        live = api.get(served, item.namespace, item.name)
        for pod in _pods(api, live) if live is not None else ():
            pods[pod.uid] = pod
    return sorted(
        Container(pod.key.namespace, pod.key.name, container["name"])
        for pod in pods.values()
        for container in ((pod.body or {}).get("spec") or {}).get("containers") or ()
    )


_RUN_PODS: Final = frozenset(
    (
        ("", "Pod"),
        ("", "ReplicationController"),
        *(("apps", kind) for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")),
        ("batch", "Job"),
        ("batch", "CronJob"),
    )
)


def _may_select(group: str) -> bool:
    """Whether kinds of this group may run pods by a selector as Deployments do: custom resources only."""
    return "." in group and not group.endswith(".k8s.io")


def _pods(api: Api, live: Live) -> Iterator[Live]:
    from workers.cluster.kinds import Kind

    pod = Kind("", "v1", "Pod", "pods", namespaced=True)
    job = Kind("batch", "v1", "Job", "jobs", namespaced=True)
    namespace = live.key.namespace
    if live.key.kind == "Pod":
        yield live
    elif live.key.kind == "CronJob":
        for each in api.list(job, namespace):
            owners = (each.body or {}).get("metadata", {}).get("ownerReferences") or ()
            if any(owner.get("uid") == live.uid for owner in owners):
                yield from _pods(api, each)
    elif chosen := label_selector((live.body or {}).get("spec") or {}):
        yield from api.list(pod, namespace, chosen)


def label_selector(spec: Mapping[str, Any]) -> str:
    """`spec.selector` of a workload as the API server takes it in a query; "" where it selects nothing. Pure.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/label-selector/
    """
    selector = spec.get("selector")
    if not isinstance(selector, Mapping):
        return ""
    if "matchLabels" not in selector and "matchExpressions" not in selector:
        plain = selector if all(isinstance(value, str) for value in selector.values()) else {}
        return ",".join(f"{key}={value}" for key, value in plain.items())  # a ReplicationController's
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for one in selector.get("matchExpressions") or ():
        key, values = one["key"], ",".join(one.get("values") or ())
        match one["operator"]:
            case "In":
                parts.append(f"{key} in ({values})")
            case "NotIn":
                parts.append(f"{key} notin ({values})")
            case "Exists":
                parts.append(key)
            case "DoesNotExist":
                parts.append(f"!{key}")
    return ",".join(parts)

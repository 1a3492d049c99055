"""Whatever Git has: an object that was just applied does not differ from itself, a diff that was applied
leaves none, and what is ignored is none. Found out on a real API server.

Each run tells the same stories; with EXAMPLES=300 in the environment, that many others of each.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mooring.keys import AppKey
from mooring.model.spec import IgnoreDifference
from mooring.settings import Settings
from tests.definitions import definition
from tests.workers.conftest import CRD
from tests.workers.test_apply import App
from workers.apply import Result
from workers.applyset.inventory import Inventory
from workers.cluster.api import MERGE_PATCH, Api
from workers.compare import Compared, compare
from workers.desired import Desired, desired
from workers.ignore.ignored import Ignore, ignoring
from workers.proof import proves
from workers.render.manifest import manifests_of
from workers.render.yaml_reader import read_documents
from workers.settled import without_settled

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("thing")]

_MORE: Final = int(os.environ.get("EXAMPLES", "0"))
TELL: Final = settings(
    max_examples=_MORE or 12,
    derandomize=not _MORE,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    phases=[Phase.generate, Phase.shrink] if _MORE else [Phase.generate],
)
GROUP = f"diff{secrets.token_hex(4)}.mooring.dev"
WAYS: Final = ((), ("ServerSideApply=true",), ("ServerSideApply=false",), ("Replace=true",))
_numbers = itertools.count()

Body = dict[str, Any]

# --- what Git may have ------------------------------------------------------------------------------
texts = st.sampled_from(["", "a", " b ", "1", "true", "null", "é☃", "two\nlines\n", "x" * 300, "~", "0x10"])
names = st.sampled_from(["a", "b", "c", "a.b", "d-e"])
values = st.sampled_from(["", "a", "B-1", "1.0"])
quantities = st.sampled_from(["1", 1, "1000m", "0.5", "500m", "1Gi", "1024Mi", "1e3", "100u", "0", "1.50"])
small = st.integers(0, 5)


def maps(keys: st.SearchStrategy[str], items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(keys, items, max_size=3)


def parts(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[Body]:
    """Some of these fields; one that is `null` is the same as one that is not there."""
    return st.fixed_dictionaries({}, optional={key: st.none() | value for key, value in optional.items()})


def some(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[Body]:
    return st.fixed_dictionaries({}, optional=cast("dict[Any, Any]", optional))


def each_once(key: str, items: st.SearchStrategy[Any], least: int = 0) -> st.SearchStrategy[list[Any]]:
    return st.lists(items, min_size=least, max_size=3, unique_by=lambda item: item[key])


def joined(one: st.SearchStrategy[Any], other: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(lambda a, b: {**a, **b}, one, other)


resources = some(
    limits=maps(st.sampled_from(["cpu", "memory"]), st.sampled_from(["2", "2000m", 2, "4Gi", "2e3"]))
)
ports = each_once(
    "containerPort",
    joined(
        st.fixed_dictionaries({"containerPort": st.integers(80, 84)}),
        some(protocol=st.sampled_from(["TCP", "UDP"])),
    ),
)
environment = each_once("name", st.fixed_dictionaries({"name": names, "value": texts}))
containers = each_once(
    "name",
    joined(
        st.fixed_dictionaries(
            {"name": st.sampled_from(["a", "b", "c"]), "image": st.sampled_from(["x:1", "y"])}
        ),
        some(
            env=environment,
            ports=ports,
            args=st.lists(texts, max_size=2),
            command=st.just([]),
            resources=resources,
            securityContext=some(capabilities=some(drop=st.just(["ALL"]))),
        ),
    ),
    least=1,
)
pods = joined(
    st.fixed_dictionaries({"containers": containers}),
    some(
        nodeSelector=maps(names, values),
        tolerations=st.lists(some(key=names, operator=st.just("Exists")), max_size=1).filter(
            lambda found: all("key" in one and "operator" in one for one in found)
        ),
        volumes=st.just([{"name": "v", "emptyDir": {}}]),
        securityContext=st.just({}),
        hostNetwork=st.just(False),
        terminationGracePeriodSeconds=st.sampled_from([0, 30]),
    ),
)
SELECTED: Final = {"app": "web"}


def template(pod: Body, **spec: Any) -> Body:
    return {"metadata": {"labels": SELECTED}, "spec": {**pod, **spec}}


peers = st.lists(some(podSelector=some(matchLabels=maps(names, values))).filter(bool), max_size=2)
strings = {
    "ConfigMap": parts(data=maps(names, texts), binaryData=maps(st.just("z"), st.just("AAE="))),
    "Secret": parts(
        data=maps(names, texts.map(lambda text: base64.b64encode(text.encode()).decode())),
        stringData=maps(names, texts),
    ),
}
specs: Final[Mapping[str, tuple[str, st.SearchStrategy[Body]]]] = {
    "ConfigMap": ("v1", strings["ConfigMap"]),
    "Secret": ("v1", strings["Secret"]),
    "ResourceQuota": (
        "v1",
        some(hard=maps(st.sampled_from(["requests.cpu", "limits.memory"]), quantities)).map(
            lambda spec: {"spec": spec}
        ),
    ),
    "Service": (
        "v1",
        joined(
            st.fixed_dictionaries(
                {
                    "ports": each_once(
                        "port",
                        joined(
                            st.builds(lambda port: {"port": port, "name": f"p{port}"}, st.integers(80, 83)),
                            some(
                                targetPort=st.sampled_from([80, "http", 8080]),
                                protocol=st.sampled_from(["TCP", "UDP"]),
                            ),
                        ),
                        least=1,
                    )
                }
            ),
            some(selector=maps(names, values), sessionAffinity=st.sampled_from(["None", "ClientIP"])),
        ).map(lambda spec: {"spec": spec}),
    ),
    "NetworkPolicy": (
        "networking.k8s.io/v1",
        joined(
            st.just({"podSelector": {}}),
            some(
                ingress=st.lists(
                    some(
                        **{
                            "from": peers,
                            "ports": st.lists(st.sampled_from([{"port": 80}, {"port": "http"}]), max_size=2),
                        }
                    ),
                    max_size=2,
                ),
                policyTypes=st.just(["Ingress"]),
            ),
        ).map(lambda spec: {"spec": spec}),
    ),
    "Deployment": (
        "apps/v1",
        st.builds(
            lambda pod, more: {
                "spec": {
                    "replicas": 0,
                    "selector": {"matchLabels": SELECTED},
                    "template": template(pod),
                    **more,
                }
            },
            pods,
            some(
                strategy=st.sampled_from(
                    [{}, {"rollingUpdate": {"maxSurge": "25%"}}, {"rollingUpdate": {"maxSurge": 2}}]
                ),
                paused=st.booleans(),
                minReadySeconds=small,
                revisionHistoryLimit=small,
            ),
        ),
    ),
    "CronJob": (
        "batch/v1",
        st.builds(
            lambda pod, more: {
                "spec": {
                    "schedule": "0 0 1 1 *",
                    "suspend": True,
                    "jobTemplate": {"spec": {"template": template(pod, restartPolicy="Never")}},
                    **more,
                }
            },
            pods,
            some(successfulJobsHistoryLimit=small, concurrencyPolicy=st.sampled_from(["Allow", "Forbid"])),
        ),
    ),
    "HorizontalPodAutoscaler": (
        "autoscaling/v2",
        st.builds(
            lambda amounts: {
                "spec": {
                    "maxReplicas": 3,
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"},
                    "metrics": [
                        {
                            "type": "Pods",
                            "pods": {
                                "metric": {"name": f"m{number}"},
                                "target": {"type": "AverageValue", "averageValue": amount},
                            },
                        }
                        for number, amount in enumerate(amounts)
                    ],
                }
            },
            st.lists(st.sampled_from(["1", "1000m", "0.5", "500m", 2]), min_size=1, max_size=3),
        ),
    ),
    "Thing": (
        f"{GROUP}/v1",
        some(
            size=quantities,
            mode=st.sampled_from(["slow", "quick"]),
            on=st.booleans(),
            count=small,
            # An apply that empties a map, a set or a list with keys of a custom resource makes `null` of it
            # for once, which most schemas refuse: the API server's own flaw.
            marks=st.lists(texts, min_size=1, max_size=3, unique=True),
            steps=st.lists(some(name=names, wait=small), max_size=2),
            panes=each_once("name", joined(st.fixed_dictionaries({"name": names}), some(colour=values)), 1),
            free=st.recursive(
                st.none() | st.booleans() | st.integers(-(2**40), 2**40) | texts,
                lambda inner: st.lists(inner, max_size=2) | maps(names, inner),
                max_leaves=5,
            ).map(lambda value: {"any": value}),
            labels=maps(names, texts).filter(bool),
            maybe=st.none() | texts,
            perhaps=st.none() | maps(names, values).filter(bool),
        ).map(lambda spec: {"spec": spec}),
    ),
}
SCHEMA: Final[Body] = {
    "type": "object",
    "properties": {
        "size": {"x-kubernetes-int-or-string": True, "default": "1000m"},
        "mode": {"type": "string", "enum": ["slow", "quick"], "default": "slow"},
        "on": {"type": "boolean", "default": True},
        "count": {"type": "integer"},
        "marks": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "steps": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "wait": {"type": "integer", "default": 3}},
            },
        },
        "panes": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string"},
                    "colour": {"type": "string", "default": "green"},
                    "clean": {"type": "boolean", "default": False},
                },
            },
        },
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "maybe": {"type": "string", "nullable": True},
        "perhaps": {
            "type": "object",
            "nullable": True,
            "default": {"a": "given"},
            "additionalProperties": {"type": "string"},
        },
        "nested": {
            "type": "object",
            "default": {},
            "properties": {"deep": {"type": "string", "default": "deeper"}},
        },
    },
}


def body_of(kind: str) -> st.SearchStrategy[Body]:
    """Manifests of `kind`, all of one name."""
    api_version, fields = specs[kind]
    metadata = parts(labels=maps(names, values), annotations=maps(names, texts))
    return st.builds(
        lambda metadata, fields: {
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {"name": "it", **metadata},
            **fields,
        },
        metadata,
        fields,
    )


pairs = st.sampled_from(sorted(specs)).flatmap(lambda kind: st.tuples(body_of(kind), body_of(kind)))


# --- a cluster --------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def thing(connection: Any) -> Iterator[None]:
    api = connection.api()
    made = api.create(CRD, definition(GROUP, "Thing", SCHEMA))
    connection.discovery.await_kind(f"{GROUP}/v1", "Thing")
    yield
    api.delete(CRD, made, any_version=True)


@dataclass
class Fresh(App):
    """An app of one object, whose manifests are read as those in Git are."""

    ignore: Ignore | None = None

    def wants(self, *bodies: Body, options: Sequence[str] = ()) -> tuple[Desired, ...]:
        documents, _ = read_documents(json.dumps(bodies[0]).encode(), "app.yaml")
        manifests, _ = manifests_of(documents, "app.yaml")
        find = self.api.discovery.find
        found, _ = desired(manifests, find, self.namespace, options, self.stamping, self.ignore)
        return found

    def becomes(self, body: Body, options: Sequence[str]) -> None:
        """What Git has is synced, and by that it is what the cluster has."""
        (outcome,) = self.syncs(body, options=options).outcomes
        assert outcome.result is not Result.FAILED, outcome.message
        self.in_sync(body, options)

    def in_sync(self, body: Body, options: Sequence[str]) -> None:
        found = self.differs(body, options)
        assert [(one.before, one.after) for one in found.differences] == []
        assert (found.notices, found.drifted) == ((), frozenset())
        # What is proved by that needs no dry-run any more, unless a controller has written a status since.
        (item,) = self.wants(body, options=options)
        live = self.api.get(item.kind, self.namespace, item.key.name)
        assert live is not None
        if self.ignore is None and (live.generation or item.key.kind in ("ConfigMap", "Secret", "Service")):
            assert proves(found.proofs[item.key], item.digest, "", live)

    def differs(self, body: Body, options: Sequence[str]) -> Compared:
        return compare(self.plans(body, options=options), self.api, self.executor, lambda _: "")


Begin = Callable[..., Fresh]


@pytest.fixture
def begin(api: Api, namespace: str) -> Iterator[Begin]:
    def fresh(ignore: Ignore | None = None) -> Fresh:
        key = AppKey("mooring", f"a{secrets.token_hex(4)}")
        return Fresh(api, executor, namespace, key, Inventory(), ignore)

    executor: Executor
    with ThreadPoolExecutor(4) as executor:
        yield fresh


def named(body: Body, number: int) -> Body:
    return {**body, "metadata": {**body["metadata"], "name": f"it-{number}"}}


# --- the properties ---------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", sorted(specs))
def test_an_object_just_applied_differs_from_nothing_and_a_diff_that_was_applied_leaves_none(
    kind: str, begin: Begin
) -> None:
    @TELL
    @given(body_of(kind), body_of(kind), st.sampled_from(WAYS))
    def tell(first: Body, second: Body, options: tuple[str, ...]) -> None:
        app, number = begin(), next(_numbers)
        app.becomes(named(first, number), options)
        app.becomes(named(second, number), options)

    tell()


def test_what_others_change_is_found_and_put_back(begin: Begin) -> None:
    """And what is found without asking the API server is what it would say itself."""

    @TELL
    @given(pairs)
    def tell(bodies: tuple[Body, Body]) -> None:
        app, number = begin(), next(_numbers)
        git, theirs = (named(body, number) for body in bodies)
        app.becomes(git, ())
        (item,), (other,) = app.wants(git), app.wants(theirs)
        drift = {k: v for k, v in other.body.items() if k not in ("apiVersion", "kind")}
        drift["metadata"] = {"labels": other.body["metadata"].get("labels") or {}}
        app.api.patch(item.kind, app.namespace, item.key.name, drift, MERGE_PATCH)
        asked = app.differs(git, ())
        planned = without_settled(app.plans(git))
        kept = {step.key for step in planned.kept}
        assert not kept & asked.drifted
        app.becomes(git, ())

    tell()


# What of each kind is left to others.
LEFT: Final[Mapping[str, Sequence[str]]] = {
    "ConfigMap": ["data"],
    "Secret": ["data"],
    "ResourceQuota": ["spec.hard"],
    "Service": ["spec.selector", "spec.sessionAffinity"],
    "NetworkPolicy": ["spec.ingress"],
    "Deployment": ["spec.paused", "spec.minReadySeconds", "spec.template.spec.containers"],
    "CronJob": ["spec.concurrencyPolicy"],
    "HorizontalPodAutoscaler": ["spec.metrics"],
    "Thing": ["spec.panes", "spec.free", "spec.mode", "spec.marks"],
}


def picked(body: Any, path: Sequence[str]) -> Body:
    """The part of `body` at `path`, nothing where there is none."""
    name, *rest = path
    if not isinstance(body, Mapping) or name not in body:
        return {}
    inner = picked(body[name], rest) if rest else body[name]
    return {name: inner} if inner or not rest else {}


def part(body: Body) -> Body:
    """What of it is left to others."""
    found: Body = {}
    for path in LEFT[body["kind"]]:
        place, inner = found, picked(body, path.split("."))
        while inner:
            ((name, value),) = inner.items()
            deeper = isinstance(value, Mapping) and name in ("spec", "template")
            place[name] = place.get(name, {}) if deeper else value
            place, inner = place[name], cast("Body", value) if deeper else {}
    return found


def test_what_is_ignored_is_no_difference_and_stays_where_that_is_asked_for(
    begin: Begin, tmp_path: Path
) -> None:
    @TELL
    @given(pairs, st.booleans(), st.booleans(), st.sampled_from(WAYS))
    def tell(bodies: tuple[Body, Body], jq: bool, respects: bool, way: tuple[str, ...]) -> None:
        left = LEFT[bodies[0]["kind"]]
        pointers = ["/" + path.replace(".", "/") for path in left]
        rule = {"jqPathExpressions": [f".{path}" for path in left]} if jq else {"jsonPointers": pointers}
        written = IgnoreDifference.read({"group": "*", "kind": bodies[0]["kind"], **rule}, "rule")
        app = begin(ignoring((written,), Settings(state_dir=str(tmp_path))))
        number = next(_numbers)
        git, theirs = (named(body, number) for body in bodies)
        options = (*way, f"RespectIgnoreDifferences={str(respects).lower()}")
        app.becomes(git, options)
        (item,), (other,) = app.wants(git, options=options), app.wants(theirs)
        patched = app.api.patch(item.kind, app.namespace, item.key.name, part(other.body), MERGE_PATCH)
        app.in_sync(git, options)

        app.becomes(git, options)
        after = app.api.get(item.kind, app.namespace, item.key.name)
        assert after is not None and after.body is not None and patched.body is not None
        if respects:
            assert part(after.body) == part(patched.body)

    tell()

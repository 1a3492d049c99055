"""What has come of an app's objects, told by what objects say of their owners, which anybody may write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hypothesis import given as each
from hypothesis import strategies as st

from mooring.keys import ObjectKey
from mooring.model.status import ResourceStatus
from tests.workers.objects import key, live
from workers.cluster.live import Live
from workers.health import BUILT_IN
from workers.tree import DEEPEST, Node, tree

WEB = live(key("web", "Deployment", "apps"))
POD = {"apiVersion": "v1", "kind": "Pod", "status": {"phase": "Pending"}}


def reference(to: Live, **more: Any) -> dict[str, Any]:
    """An ownerReference as a controller writes it."""
    group = f"{to.key.group}/v1" if to.key.group else "v1"
    return {"apiVersion": group, "kind": to.key.kind, "name": to.key.name, "uid": to.uid} | more


def owned(of: ObjectKey, *owners: Live, **more: Any) -> Live:
    return live(of, owner_references=tuple(map(reference, owners)), **more)


def named(*lives: Live) -> list[ResourceStatus]:
    """What an app's status says when these are its objects."""
    return [
        ResourceStatus(
            group=one.key.group,
            kind=one.key.kind,
            version="v1",
            namespace=one.key.namespace,
            name=one.key.name,
            status="Synced",
        )
        for one in lives
    ]


def told(nodes: tuple[Node, ...]) -> list[Any]:
    """Names, each with what is below it."""
    return [(node.key.name, told(node.children)) if node.children else node.key.name for node in nodes]


def every(nodes: tuple[Node, ...]) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from every(node.children)


def test_a_deployment_has_its_replica_sets_and_these_their_pods() -> None:
    new, old = (owned(key(f"web-{n}", "ReplicaSet", "apps"), WEB) for n in "ba")
    pod = owned(key("web-b-1", "Pod"), new, body=POD | {"metadata": {"name": "web-b-1"}})
    stranger = owned(key("other", "Pod"), live(key("other", "ReplicaSet", "apps")))
    found = tree(named(WEB), [pod, stranger, old, new, WEB], BUILT_IN)
    assert told(found) == [("web", ["web-a", ("web-b", ["web-b-1"])])]
    (last,) = [node for node in every(found) if node.key == pod.key]
    assert last.health is not None
    assert (last.health.status, last.status, found[0].status) == ("Progressing", "", "Synced")


def test_what_is_not_there_is_missing_and_owns_nothing() -> None:
    (one,) = tree(named(WEB), [owned(key("web-a", "ReplicaSet", "apps"), WEB)], BUILT_IN)
    assert one.health is not None
    assert (one.health.status, one.children) == ("Missing", ())


def test_a_reference_counts_only_if_all_of_it_names_one_object_that_may_own() -> None:
    good = reference(WEB)
    elsewhere = owned(key("web-a", "ReplicaSet", "apps", namespace="other"), WEB)
    forged = [
        live(key(f"f{n}", "Pod"), owner_references=(one,))
        for n, one in enumerate(
            (
                good | {"uid": "another"},
                good | {"name": "other"},
                good | {"kind": "StatefulSet"},
                good | {"apiVersion": "v1"},
                {},
                {"uid": None, "apiVersion": None},
            )
        )
    ]
    assert told(tree(named(WEB), [WEB, elsewhere, *forged], BUILT_IN)) == ["web"]
    newer = live(key("web-b", "ReplicaSet", "apps"), owner_references=(good | {"apiVersion": "apps/v2"},))
    assert told(tree(named(WEB), [WEB, newer], BUILT_IN)) == [("web", ["web-b"])]
    crew = live(key("crew", "ClusterRole", "rbac.authorization.k8s.io"))
    found = tree(named(crew), [crew, owned(key("a"), crew), owned(key("b", namespace="x"), crew)], BUILT_IN)
    assert told(found) == [("crew", ["a", "b"])], "what is in no namespace may own in any"


def test_of_several_owners_the_controller_counts_and_an_apps_own_object_is_below_nobody() -> None:
    db = live(key("db", "StatefulSet", "apps"))
    shared = live(
        key("shared"), owner_references=(reference(WEB), reference(db, controller=True), reference(db))
    )
    mine = owned(key("mine"), WEB)
    found = tree(named(WEB, db, mine), [shared, WEB, mine, db], BUILT_IN)
    assert told(found) == ["web", ("db", ["shared"]), "mine"]


def test_what_kubernetes_leaves_without_owner_has_the_one_that_argo_cd_says() -> None:
    template = {"metadata": {"name": "data"}}
    db = live(key("db", "StatefulSet", "apps"), body={"spec": {"volumeClaimTemplates": [template]}})
    account, service = live(key("crew", "ServiceAccount")), live(key("web", "Service"))
    said = {"kubernetes.io/service-account.name": "crew", "kubernetes.io/service-account.uid": account.uid}
    objects = [
        db,
        account,
        service,
        live(key("data-db-0", "PersistentVolumeClaim")),
        live(key("data-db-x", "PersistentVolumeClaim")),
        live(key("data-db-0", "PersistentVolumeClaim", namespace="other")),
        live(key("web", "Endpoints")),
        live(key("token", "Secret"), annotations=said),
        live(key("old", "Secret"), annotations=said | {"kubernetes.io/service-account.uid": "another"}),
    ]
    found = tree(named(db, account, service), objects, BUILT_IN)
    assert told(found) == [("db", ["data-db-0"]), ("crew", ["token"]), ("web", ["web"])]


def test_a_chain_ends_somewhere_and_says_how_much_more_there_is() -> None:
    chain = [live(key("c0"))]
    for n in range(1, 3000):
        chain.append(owned(key(f"c{n}"), chain[-1]))
    (node,) = tree(named(chain[0]), chain, BUILT_IN)
    for n in range(DEEPEST):
        assert (node.key.name, node.deeper) == (f"c{n}", 0)
        (node,) = node.children
    assert (node.key.name, node.deeper, node.children) == (f"c{DEEPEST}", 1, ())


def test_of_thousands_each_is_there_once() -> None:
    pods = [owned(key(f"p{n}", "Pod"), WEB) for n in range(5000)]
    found = tree(named(WEB), [WEB, *pods], BUILT_IN)
    assert len(found[0].children) == 5000


# Some objects, each with owners of any number among them, itself included; some of them are the app's.
families = st.integers(1, 12).flatmap(
    lambda count: st.tuples(
        st.lists(
            st.lists(st.tuples(st.integers(0, count - 1), st.booleans()), max_size=3),
            min_size=count,
            max_size=count,
        ),
        st.sets(st.integers(0, count - 1), max_size=3),
        st.randoms(use_true_random=False),
    )
)


@each(families)
def test_whatever_is_claimed_each_object_is_there_once_below_one_that_it_names(family: Any) -> None:
    claims, tops, random = family
    plain = [live(key(f"o{n}", namespace=f"n{n % 5 // 4}")) for n in range(len(claims))]
    objects = [
        replace(
            one,
            owner_references=tuple(
                reference(plain[owner], controller=controller) for owner, controller in said
            ),
        )
        for one, said in zip(plain, claims, strict=True)
    ]
    resources = named(*(objects[n] for n in sorted(tops)))
    found = tree(resources, objects, BUILT_IN)

    uids = Counter(node.key for node in every(found))
    assert set(uids.values()) <= {1}
    assert [node.key for node in found] == [one.key for one in resources]
    by_key = {one.key: one for one in objects}
    for node in every(found):
        for child in node.children:
            names = {said["name"] for said in by_key[child.key].owner_references}
            assert node.key.name in names
            assert node.key.namespace == child.key.namespace
    # All that can be reached is there, for so few are never too deep.
    reached, grew = {one.key for one in resources}, True
    while grew:
        more = {
            one.key
            for one in objects
            for said in one.owner_references
            if any(k.name == said["name"] and k.namespace == one.key.namespace for k in reached)
        }
        grew = not more <= reached
        reached |= more
    assert set(uids) == reached

    random.shuffle(objects)
    assert tree(resources, objects, BUILT_IN) == found, "in whatever order they are listed"

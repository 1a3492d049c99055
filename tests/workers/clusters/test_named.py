"""Which cluster is meant, where the Secrets that tell may not be read: a real API server says no."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from mooring.errors import ClusterRefused
from mooring.keys import IN_CLUSTER, ClusterRef
from mooring.model.project import Cluster
from mooring.model.spec import Destination
from workers.apps.home import HomeApplications
from workers.apps.store import Applications
from workers.cluster.api import Api
from workers.cluster.identity import Identity
from workers.clusters.named import NoCluster, cluster_of, home_secret, ref_of, secret_of
from workers.clusters.secret import ClusterSecret, read

pytestmark = pytest.mark.cluster

HOME = ClusterRef("https://home.example.org")


@pytest.fixture
def limited(api: Api, namespace: str) -> Applications:
    """Applications, as somebody sees them who has no right at all."""
    return HomeApplications(replace(api, identity=Identity("deckhand")), namespace)


@pytest.mark.parametrize("ask", [secret_of, ref_of, cluster_of])
def test_secrets_that_may_not_be_listed_are_no_unknown_cluster(
    limited: Applications, namespace: str, ask: Callable[..., Any]
) -> None:
    with pytest.raises(ClusterRefused) as told:
        ask(Destination(name="prod"), limited.home(), limited.clusters)
    said = str(told.value)
    assert (
        f'User "deckhand" cannot list resource "secrets" in API group "" in the namespace "{namespace}"'
        in said
    )
    assert (
        'bind that user to a Role there with {apiGroups: [""], resources: [secrets], verbs: [list]}' in said
    )


def test_nobody_reads_secrets_to_find_the_home_cluster(limited: Applications) -> None:
    home = limited.home()
    for destination in (Destination(name="in-cluster"), Destination(server=home)):
        assert secret_of(destination, home, limited.clusters) is None
        assert ref_of(destination, home, limited.clusters) == home
        assert isinstance(cluster_of(destination, home, limited.clusters), Cluster)


def test_two_secrets_that_say_otherwise_which_part_of_home_is_managed_are_refused() -> None:
    home = ClusterRef("https://home.example.org")
    all_ = ClusterSecret("", "https://kubernetes.default.svc", "", "s1")
    part = ClusterSecret("", home, "", "s2", namespaces=("shop",))
    other = ClusterSecret("", "https://other.example.org", "", "s3", namespaces=("elsewhere",))
    assert home_secret(home, lambda: (other,)) is None
    assert home_secret(home, lambda: (other, part)) == part
    assert home_secret(home, lambda: (all_, replace(all_, secret="s4"))) == all_
    with pytest.raises(NoCluster, match=r"2 cluster Secrets \(s1, s2\) say otherwise"):
        home_secret(home, lambda: (all_, part, other))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"server": IN_CLUSTER, "namespaces": "a\nb"}, "namespaces has a line break"),
        ({"server": HOME, "namespaces": b"\xff"}, "namespaces is no text"),
        (
            {"server": f"{HOME}:443/", "namespaces": "a", "clusterResources": b"\xff"},
            "clusterResources is no",
        ),
        ({"server": b"\xff", "namespaces": "a"}, "server is no text"),
        ({"server": "https://kubernetes\t.default.svc", "namespaces": "a"}, "server has a line break"),
        ({"namespaces": "a"}, "server is missing"),
        ({"server": b"\xff", "namespaces": b"\xff"}, "server is no text"),
        ({"server": "kubernetes.default.svc", "namespaces": "a"}, "server must be a URL"),
        ({"server": "http://home.example.org", "namespaces": "a"}, "server must be a URL"),
        ({"server": "https://me:hunter2@home.example.org", "namespaces": "a"}, "server must be a URL alone"),
    ],
)
def test_a_secret_that_may_be_homes_and_cannot_be_read_never_has_all_of_it_managed(
    fields: dict[str, str | bytes], told: str
) -> None:
    broken, part = secret("broken", **fields), secret("part", server=IN_CLUSTER, namespaces="shop")
    for known in ((broken,), (part, broken), (broken, part)):
        with pytest.raises(NoCluster, match=f"cluster Secret broken: {told}") as refused:
            home_secret(HOME, partial(tuple, known))
        assert "which part of the home cluster is managed" in str(refused.value)
        assert "hunter2" not in str(refused.value)


def test_what_is_wrong_elsewhere_or_narrows_nothing_keeps_nobody_from_home() -> None:
    part = secret("part", server=IN_CLUSTER, namespaces="team-a,\nteam-b", name="in\tcluster", config="{")
    others = (
        secret("a", server="https://prod.example.org", namespaces=b"\xff"),
        secret("b", server="http://prod.example.org", namespaces="a"),
        secret("c", server=b"\xff"),
        secret("d"),
    )
    assert all(one.wrong for one in others)
    assert home_secret(HOME, lambda: others) is None
    found = home_secret(HOME, lambda: (*others, part))
    assert found is not None and found.namespaces == ("team-a", "team-b")


def test_a_name_whose_secret_tells_no_server_is_no_known_cluster() -> None:
    known = (secret("prod", name="prod", server=b"\xff"),)
    destination = Destination(name="prod")
    assert ref_of(destination, HOME, lambda: known) is None
    assert cluster_of(destination, HOME, lambda: known) == Cluster((), ("prod",))


def secret(called: str, **fields: str | bytes) -> ClusterSecret:
    texts = {name: said.encode() if isinstance(said, str) else said for name, said in fields.items()}
    return read(called, {name: base64.b64encode(text).decode() for name, text in texts.items()})

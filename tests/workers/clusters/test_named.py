"""Which cluster is meant, where the Secrets that tell may not be read: a real API server says no."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mooring.errors import ClusterRefused
from mooring.keys import ClusterRef
from mooring.model.project import Cluster
from mooring.model.spec import Destination
from workers.apps.home import HomeApplications
from workers.apps.store import Applications
from workers.cluster.api import Api
from workers.cluster.identity import Identity
from workers.clusters.named import NoCluster, cluster_of, home_secret, ref_of, secret_of
from workers.clusters.secret import ClusterSecret

pytestmark = pytest.mark.cluster


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

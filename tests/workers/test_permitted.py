"""Which cluster an app's destination is to its project's rules, and whose that is."""

from __future__ import annotations

import pytest

from mooring.model.project import Cluster, default_project
from mooring.model.spec import Destination
from workers.clusters.named import cluster_of
from workers.clusters.secret import ClusterSecret
from workers.permitted import why_not_own

OURS = "https://10.0.0.1:6443"
HERE = Cluster(("https://kubernetes.default.svc", OURS), ("in-cluster",))


@pytest.mark.parametrize(
    ("destination", "cluster"),
    [
        (Destination(server="https://kubernetes.default.svc"), HERE),
        (Destination(server="https://kubernetes.default.svc/"), HERE),
        (Destination(server=OURS), HERE),
        (Destination(name="in-cluster"), HERE),
        (Destination(server="https://other.example.org/"), Cluster(("https://other.example.org",), ())),
        (Destination(name="production"), Cluster((), ("production",))),
        (Destination(), Cluster()),
    ],
)
def test_our_own_cluster_goes_by_all_its_names_and_another_by_what_is_said_of_it(
    destination: Destination, cluster: Cluster
) -> None:
    assert cluster_of(destination, f"{OURS}/") == cluster


def test_a_cluster_is_a_projects_own_where_a_secret_of_it_says_so() -> None:
    project = default_project("mooring")

    def own(*secrets: ClusterSecret) -> bool:
        return not why_not_own(project, HERE, secrets)

    assert own(ClusterSecret("anything", OURS, "default"))
    assert own(ClusterSecret("in-cluster", "", "default"))
    assert own(
        ClusterSecret("other", "https://other.example.org", "default"), ClusterSecret("", OURS, "default")
    )
    assert not own()
    assert not own(ClusterSecret("in-cluster", OURS, "other"))
    assert not own(ClusterSecret("in-cluster", OURS, ""))
    assert not own(ClusterSecret("other", "https://other.example.org", "default"))
    assert "no Secret of a cluster says `project: default`" in why_not_own(project, HERE, ())

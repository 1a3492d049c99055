"""Which cluster a destination means. Secrets are asked for only where it is not the home cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

from mooring.errors import Refused
from mooring.keys import IN_CLUSTER, IN_CLUSTER_NAME, ClusterRef
from mooring.model.project import Cluster
from mooring.model.spec import Destination
from workers.cluster.connect import server_ref
from workers.clusters.secret import ClusterSecret

# What these raise, who asks here is told: a Secret that cannot be read may well name the cluster.
Secrets = Callable[[], Sequence[ClusterSecret]]
_NEXT: Final = "give it a cluster Secret in Mooring's namespace, or correct spec.destination"


class NoCluster(Refused):
    """A destination that means no cluster that is known, or several."""

    def __init__(self, message: str) -> None:
        super().__init__(message, condition="InvalidSpecError")


def is_home(destination: Destination, home: ClusterRef) -> bool:
    """Whether it is the cluster that has the Applications, by one of its own names."""
    servers = IN_CLUSTER, home.rstrip("/")
    server = destination.server.rstrip("/")
    return server in servers or (not server and destination.name == IN_CLUSTER_NAME)


def secret_of(destination: Destination, home: ClusterRef, secrets: Secrets) -> ClusterSecret | None:
    """The Secret of the cluster that is meant; None for the home cluster, and for a destination that names
    none, or by two names at once: that is told elsewhere.

    Raises NoCluster for one that nobody knows, or several are, in Argo CD's words; as `secrets` does.
    """
    if is_home(destination, home) or bool(destination.server) == bool(destination.name):
        return None
    if destination.server:
        field, said = "server", _spelt(destination.server)
        found = [one for one in secrets() if one.server == said]
    else:
        field, said = "name", destination.name
        found = [one for one in secrets() if one.name == said]
    if len(found) != 1:
        several = f" {len(found)}" if found else " no"
        which = f" (Secrets {', '.join(one.secret for one in found)})" if found else ""
        raise NoCluster(
            f"spec.destination.{field}: there are{several} clusters with this {field}: {said}{which}: "
            + ("leave one" if found else _NEXT)
        )
    (one,) = found
    return None if one.server in (IN_CLUSTER, home.rstrip("/")) else one


def home_secret(home: ClusterRef, secrets: Secrets) -> ClusterSecret | None:
    """The Secret that says which part of the home cluster is managed; None where none does. What is wrong
    with how it opens the cluster does not matter here: that is Mooring's own. Raises NoCluster where two say
    otherwise, where one that is the home cluster's or may be it cannot be read, and as `secrets` does."""
    known = secrets()
    for one in known:
        if one.unclear and _may_be(one.server, home):
            raise NoCluster(
                f"{one.unclear}: correct it; nobody can tell before which part of the home cluster is managed"
            )
    found = [one for one in known if one.server and is_home(Destination(server=one.server), home)]
    if len({(one.namespaces, one.cluster_resources) for one in found}) > 1:
        raise NoCluster(
            f"{len(found)} cluster Secrets ({', '.join(one.secret for one in found)}) say otherwise which "
            "namespaces of the home cluster are managed: leave one"
        )
    return found[0] if found else None


def others(home: ClusterRef, secrets: Secrets) -> tuple[ClusterSecret, ...]:
    """The Secrets of all other clusters that can be told from one another. Raises as `secrets` does."""
    found: dict[str, ClusterSecret] = {}
    for one in secrets():
        if one.server and not one.wrong:
            try:
                known = secret_of(Destination(server=one.server), home, secrets)
            except NoCluster:  # two Secrets
                continue
            if known is not None:
                found[one.server] = known
    return tuple(found.values())


def ref_of(destination: Destination, home: ClusterRef, secrets: Secrets) -> ClusterRef | None:
    """Which cluster is meant; None for one that nobody knows. Raises as `secrets` does."""
    try:
        found = secret_of(destination, home, secrets)
    except NoCluster:
        return None
    if found is None:
        return home
    return ClusterRef(found.server) if found.server else None


def cluster_of(destination: Destination, home: ClusterRef | str, secrets: Secrets = tuple) -> Cluster:
    """What is meant, by all its names, so that none of them gets round a rule of a project; one that nobody
    knows by what is said of it. Raises as `secrets` does."""
    ours = ClusterRef(home.rstrip("/"))
    here = Cluster((IN_CLUSTER, ours), (IN_CLUSTER_NAME,))
    if is_home(destination, ours):
        return here
    try:
        found = secret_of(destination, ours, secrets)
    except NoCluster:
        found = None
    else:
        if found is None and destination.name and not destination.server:
            return Cluster(here.servers, (*here.names, destination.name))  # a Secret calls it so
    if found is not None:
        return Cluster((found.server,) if found.server else (), (found.name,) if found.name else ())
    server = destination.server.rstrip("/")
    return Cluster((server,) if server else (), (destination.name,) if destination.name else ())


def _may_be(server: str, home: ClusterRef) -> bool:
    """Whether what a Secret calls its server, in whatever spelling, may be the home cluster: also where it
    tells of no host."""
    host = _host(server)
    return not host or host in (_host(IN_CLUSTER), _host(home))


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _spelt(url: str) -> str:
    try:
        return server_ref(url)
    except ValueError:
        return url

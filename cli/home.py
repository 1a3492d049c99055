"""The way from a command line to the cluster that holds the Applications, and to Redis."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cli import embedded
from mooring.errors import Refused
from mooring.redis_url import FILE_VARIABLE, VARIABLE
from mooring.settings import Settings

if TYPE_CHECKING:
    import redis

    from mooring.model.application import Application
    from workers.apps.store import Applications
    from workers.cluster.api import Api

Command = TypeVar("Command", bound=Callable[..., Any])

_CLUSTER = (
    click.option("--kubeconfig", metavar="FILE", default="", help="kubeconfig of the home cluster."),
    click.option("--context", metavar="NAME", default="", help="Context of the kubeconfig."),
)
_HELP = "Namespace that holds the Applications.  [default: mooring]"


def home_options(command: Command) -> Command:
    """Adds --kubeconfig, --context and --namespace; the command gets a Settings as its first argument."""
    return _with_home(command, "--namespace")


def home_options_of_objects(command: Command) -> Command:
    """As `home_options` for a command whose --namespace is that of the app's objects, as argocd has it."""
    return _with_home(command)


def _with_home(command: Command, *names: str) -> Command:
    @wraps(command)
    def wrapped(*args: Any, kubeconfig: str, context: str, app_namespace: str, **rest: Any) -> Any:
        return command(chosen(kubeconfig, context, app_namespace), *args, **rest)

    flags = ("-N", "--app-namespace", *names, "app_namespace")
    for option in (click.option(*flags, metavar="NAMESPACE", default="", help=_HELP), *reversed(_CLUSTER)):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[return-value]


def chosen(kubeconfig: str = "", context: str = "", namespace: str = "") -> Settings:
    """The settings of the environment, with what the command line says in their place."""
    settings = Settings.from_env(os.environ)
    return replace(
        settings,
        kubeconfig=kubeconfig or settings.kubeconfig,
        context=context or settings.context,
        namespace=namespace or settings.namespace,
    )


@dataclass(frozen=True, slots=True)
class Reached:
    """The home cluster, which answers."""

    settings: Settings
    server: str
    api: Api


@dataclass(frozen=True, slots=True)
class Home(Reached):
    """The home cluster with its Applications."""

    applications: Applications

    def there(self, app: Application) -> Api:
        """The verbs in the cluster that `app` is deployed to. Raises Refused for one that nobody knows, and
        as the cluster does."""
        from workers.clusters.exec import allowed
        from workers.clusters.link import opened
        from workers.clusters.named import home_secret, secret_of

        applications = self.applications
        found = secret_of(app.spec.destination, applications.home(), applications.clusters)
        if found is None:
            said = home_secret(applications.home(), applications.clusters)
            return replace(self.api, namespaces=said.namespaces) if said else self.api
        if found.wrong:
            raise Refused(found.wrong)
        return opened(found, allowed(self.settings.cluster_exec)).api


def reach(settings: Settings) -> Reached:
    """Writes nothing there. Raises ClusterRefused and ClusterUnavailable saying what is wrong with the way to
    the cluster."""
    from workers.cluster.connect import connect as connect_cluster

    cluster = connect_cluster(settings.kubeconfig or None, settings.context or None)
    return Reached(settings, cluster.ref, cluster.api())


def connect(settings: Settings) -> Home:
    """Makes the installation's Secret where the Applications are files, as a start does.

    Raises what `reach` raises, and Refused when that Secret is lost.
    """
    from workers.apps.home import HomeApplications

    reached = reach(settings)
    api = reached.api
    applications: Applications
    if settings.apps_dir:
        from workers.apps.directory import DirectoryApplications
        from workers.installation import ensure

        installation = ensure(api, settings.namespace)
        directory = Path(settings.apps_dir)
        applications = DirectoryApplications(directory, api, settings.namespace, installation)
    else:
        applications = HomeApplications(api, settings.namespace)
    return Home(settings, reached.server, api, applications)


def redis_url(settings: Settings) -> str:
    """The Redis that is set, or the embedded one of a `mooring up` that runs. Raises Refused without one."""
    url = settings.redis_url or (settings.state_dir and embedded.find(settings.state_directory()))
    if not url:
        raise Refused(
            f"no Redis to ask: set {VARIABLE} or {FILE_VARIABLE}, or start `mooring up` on this machine"
        )
    return url


def redis_client(settings: Settings) -> redis.Redis:
    """A client of `redis_url`."""
    from mooring.store.connection import connect as connect_redis

    return connect_redis(redis_url(settings))

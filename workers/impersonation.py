"""Has the work on an app done in the name of the service account that its project names for it.

Whoever works on an app gets an engine of its own, whose `api` writes, and tries, as that account alone. Reads
stay Mooring's: they are shared, and what an object holds is compared only where that account may write it. So
do the inventory (`Engine.own`), claims, reports, kept renders and Events.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mooring.model.application import Application
from mooring.model.impersonation import ServiceAccount, service_account
from workers.apps.store import Applications
from workers.cluster.api import Api
from workers.cluster.identity import Identity
from workers.clusters.named import cluster_of

if TYPE_CHECKING:  # a command needs no Redis
    from workers.engine import Engine


def acting(engine: Engine, app: Application) -> Engine:
    """`engine` for the work on `app`. Raises Refused where nobody is named who may do it, and as
    `Applications.project` does; ClusterUnavailable."""
    api = acting_api(engine.own, engine.applications, app)
    return engine if api is engine.own else replace(engine, api=api)


def acting_api(api: Api, applications: Applications, app: Application) -> Api:
    """`api`, with whoever writes for `app`. Raises as `acting` does."""
    account = account_of(applications, app)
    return api if account is None else api.acting_as(Identity(account.user))


def account_of(applications: Applications, app: Application) -> ServiceAccount | None:
    """Who writes for `app`; None for Mooring itself. Raises as `acting` does."""
    destination = app.spec.destination
    return service_account(
        applications.project(app.spec.project_name),
        cluster_of(destination, applications.home(), applications.clusters),
        destination.namespace,
        app.key.namespace,
        applications.config(),
    )

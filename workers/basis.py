"""What a look at an app rests on besides the objects in the cluster. As long as that is as it was, only they
can have drifted, and metadata alone may prove that they have not (workers/reconcile.py).
"""

from __future__ import annotations

import functools
import os
import time
from dataclasses import replace
from typing import Final

from mooring import __version__
from mooring.model.application import Application
from mooring.model.status import TERMINATING
from mooring.names import STATE
from workers import orphans
from workers.applyset.parent import Parent
from workers.apps.conditions import REPOSITORY_WARNING
from workers.apps.patches import refresh_asked
from workers.apps.state import State
from workers.cluster.capabilities import capabilities
from workers.digest import digest
from workers.engine import Engine
from workers.render import cache, tools
from workers.sync_status import SYNCED

_TOOLS: Final = ("helm", "jsonnet", "kustomize")


def ground(engine: Engine) -> str:
    """The digest of what looks at all apps rest on: what renders, and for which cluster. Raises
    ClusterUnavailable."""
    served = capabilities(engine.api.discovery)
    settings, scope = engine.settings, engine.api.namespaces
    options = [settings.kustomize_enable_helm, settings.git_submodules, settings.yaml_duplicate_keys]
    # A tool that was never needed is not run for its version: this is on the way of each push.
    programs = _programs(os.environ.get("PATH", ""), int(time.monotonic()))
    return digest(
        [__version__, cache.VERSION, options, programs, served.kube_version, served.api_versions, scope]
    )


@functools.lru_cache(maxsize=1)
def _programs(path: str, second: int) -> list[str]:
    """Those on `path`, looked for once a second: each is looked for in all of its directories. A look that
    rests on one that was replaced in that second is not as the next one has it, and is done again."""
    return [repr(tools.program(name)) for name in _TOOLS]


def basis(app: Application, state: State, edition: str, parent: Parent, ground: str) -> str:
    """The digest of what a look that found `app` as Git has it rests on, and of what it said; "" where more
    than its objects is to be looked at each time. `edition` is `Applications.edition`, `parent` its inventory
    as the look has read it, or as it is now.

    Health has no part in it, nor has a commit that changes nothing for the app.
    """
    status, operation = app.status, app.status.operation_state
    plain = (
        status.sync is not None
        and status.sync.status == SYNCED
        and all(one.type == REPOSITORY_WARNING or orphans.is_count(one) for one in status.conditions)
        and bool(status.resources)
        and not any(one.hook or one.requires_pruning or one.status != SYNCED for one in status.resources)
        and (operation is None or operation.phase not in ("Running", TERMINATING))
        and app.operation is None
        and not app.metadata.deletion_timestamp
        and not refresh_asked(app)
        and not (state.bundle or state.leaving or state.hooks)
        and state.spec == edition
        and bool(state.inputs)  # else what was found was not what Git has
        and "Plugin" not in (status.source_type, *status.source_types)  # a plugin may be another one by now
        and not (app.spec.sync_policy and app.spec.sync_policy.managed_namespace_metadata)
    )
    if not plain:
        return ""
    annotations = {name: text for name, text in app.metadata.annotations.items() if name != STATE}
    remembered = replace(state, commit="", claim="").to_json()  # with the edition
    said = [str(one.key) + "/" + one.version for one in status.resources]
    inventory = [parent.uid, parent.resource_version]
    return digest([ground, annotations, app.metadata.finalizers, remembered, said, inventory])

"""What Mooring keeps about itself in a cluster: no application's, whoever renders it.

Whoever may push to one app's repository must not be able to rewrite the inventory of another, or to take
the installation's identity: with either, what is deployed would look like somebody else's. Told by the
name alone, so that it holds before the object exists; for another installation's, whose id we do not
know, by what the object says. Pure.
"""

from __future__ import annotations

from typing import Final

from mooring.keys import ObjectKey
from mooring.names import APPLYSET_TOOLING, ARGO_GROUP
from workers.applyset.parent import TOOL
from workers.bundles import PREFIX
from workers.cluster.live import Live
from workers.installation import SECRET_NAME

_APPLICATIONS: Final = f"applications.{ARGO_GROUP}"


def why_not_written(key: ObjectKey, live: Live | None, installation: str) -> str:
    """The reason why no application writes `key`; "" for an object like any other.

    `live` is the object as it is, None where it does not exist.
    """
    if (key.group, key.kind, key.name) == ("", "Secret", SECRET_NAME):
        return "is the identity of a Mooring installation: no application may have it; take it out of Git"
    if (key.group, key.kind) == ("", "Secret") and key.name.startswith(f"{PREFIX}{installation}-"):
        return "is what Mooring keeps of a deployed render: no application may have it; take it out of Git"
    inventory = (key.group, key.kind) == ("", "ConfigMap") and (
        key.name.startswith(f"{TOOL}-{installation}-")
        or (live is not None and live.annotations.get(APPLYSET_TOOLING, "").partition("/")[0] == TOOL)
    )
    if inventory:
        return "is the inventory of an application: no application may have it; take it out of Git"
    return ""


def why_not_deleted(key: ObjectKey, live: Live, home: str, installation: str) -> str:
    """The reason why no application deletes `key`, not even on request; "" for an object like any other.

    `home` is the namespace of the Applications: with it, or with their kind, all of them would go.
    """
    if (key.group, key.kind, key.name) == ("", "Namespace", home):
        return "the Applications live in it: delete it by hand if you mean it"
    if (key.group, key.kind, key.name) == ("apiextensions.k8s.io", "CustomResourceDefinition", _APPLICATIONS):
        return "all Applications would go with it: delete it by hand if you mean it"
    return why_not_written(key, live, installation)

"""Proof of no drift from metadata alone (DESIGN, mechanism 6). Pure."""

from __future__ import annotations

import hashlib
from typing import Final

import orjson

from mooring.keys import ObjectKey
from mooring.names import ARGO_GROUP, FIELD_MANAGER, STATE
from mooring.store.proofs import Proof
from workers.apps.patches import REFRESHES
from workers.cluster.live import Live
from workers.digest import digest

_DAY_S = 86_400
# The Deployment controller counts its rollouts in it, right after the apply whose answer is recorded.
ROLLOUT: Final = "deployment.kubernetes.io/revision"
# Annotations of an Application that Mooring writes, or takes off, as it works on that.
_OF_ITS_STATUS: Final = (STATE, *REFRESHES)


def record(body: str, schema: str, live: Live) -> Proof:
    """What to remember of `live` as the server answered it after an apply of the body digest `body`."""
    return Proof(
        body=body,
        schema=schema,
        uid=live.uid,
        resource_version=live.resource_version,
        generation=0 if _is_application(live) else live.generation or 0,
        meta=_meta(live),
        fields=_fields(live),
    )


def proves(proof: Proof | None, body: str, schema: str, live: Live) -> bool:
    """Whether `live` is certainly what an apply of `body` left behind.

    The same resourceVersion proves it for every kind. For kinds that count generations, and whose status is
    written by itself, an unchanged generation, metadata and managedFields entry of ours do too: only status
    has moved since. (PriorityClass has a generation that never moves, and no status.)
    """
    if proof is None or proof.body != body or proof.schema != schema or proof.uid != live.uid:
        return False
    if proof.resource_version == live.resource_version:
        return True
    return (
        counted(live)
        and proof.generation == live.generation
        and proof.meta == _meta(live)
        and proof.fields == _fields(live)
    )


def counted(live: Live) -> bool:
    """Whether the generation of `live` counts whatever is no status."""
    return bool(live.generation) and "status" in live.kind.subresources


def told_by_metadata(live: Live) -> bool:
    """Whether `mark` tells an edit of `live` from moves of its status alone. Of an Application the generation
    counts both, so that it proves nothing; but which fields are ours, and its labels, say what to look at."""
    return counted(live) or _is_application(live)


def mark(proof: Proof, *, counted: bool) -> bytes:
    """What stands for all that `proves` holds against an object: where that is `counted`, the same of two
    records between which only its status has moved."""
    stands = (proof.generation, proof.meta, proof.fields) if counted else (proof.resource_version,)
    return hashlib.sha256(orjson.dumps((proof.uid, *stands))).digest()[:16]


def due_again(key: ObjectKey, now: float, every_s: float) -> bool:
    """Whether a reconciliation at `now` (seconds since the epoch) takes no proof for `key`, but asks the
    API server: of those that come every `every_s` seconds, one a day does.

    Which one is told by a hash of the key, so that each reconciliation has its share of all objects.
    """
    parts = max(1, round(_DAY_S / every_s)) if every_s > 0 else 1
    mine = int.from_bytes(hashlib.sha256(str(key).encode()).digest()[:8], "big") % parts
    return parts == 1 or int(now // every_s) % parts == mine


def _meta(live: Live) -> str:
    annotations = dict(live.annotations)
    if ROLLOUT in annotations and not _sets(live, ROLLOUT):
        del annotations[ROLLOUT]
    if _is_application(live):
        annotations = {name: value for name, value in annotations.items() if name not in _OF_ITS_STATUS}
    return digest([dict(live.labels), annotations, list(live.finalizers), list(live.owner_references)])


def _sets(live: Live, annotation: str) -> bool:
    """Whether Git sets the annotation, told by what we own; a forged entry is none of those recorded."""
    owned = [
        (entry.get("fieldsV1") or {}).get("f:metadata", {}).get("f:annotations", {})
        for entry in live.managed_fields
        if entry.get("manager") == FIELD_MANAGER
    ]
    return any(f"f:{annotation}" in annotations for annotations in owned)


def _fields(live: Live) -> str:
    """Our managedFields entries without their time, which an equal-valued write may move."""
    entries = [
        {key: value for key, value in entry.items() if key != "time"}
        for entry in live.managed_fields
        if entry.get("manager") == FIELD_MANAGER
        # By the other one Mooring writes its status.
        and not (_is_application(live) and entry.get("operation") != "Apply")
    ]
    return digest(entries)


def _is_application(live: Live) -> bool:
    return (live.kind.group, live.kind.kind) == (ARGO_GROUP, "Application")

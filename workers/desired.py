"""What Git wants of one app, object by object, ready to be compared with a cluster. Pure.

Rendered manifests say what people wrote; desired objects have their kind looked up, their namespace
filled in, and our identity stamped on them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from mooring.errors import Refused
from mooring.keys import AppKey, ObjectKey
from mooring.model.annotations import annotations_of, foreign_is_drift
from mooring.model.hooks import wave_of
from mooring.model.sync_options import SyncOptions, sync_options
from workers.applyset.identity import stamp
from workers.applyset.inventory import Writer
from workers.cluster.kinds import Kind
from workers.ignore.ignored import Ignore, Ignored
from workers.render.manifest import Manifest, with_namespace

CRD = ("apiextensions.k8s.io", "CustomResourceDefinition")


@dataclass(frozen=True, slots=True)
class Desired:
    """One object as it shall be. `digest` covers the stamped body, what shapes its apply, and what is
    ignored."""

    key: ObjectKey
    kind: Kind
    body: dict[str, Any] = field(repr=False)  # it may hold a Secret's data
    digest: str
    options: SyncOptions
    where: str  # "path:line" in the repository
    served: bool = True  # False: its kind comes with a CRD of this same sync
    wave: int = 0
    ignored: Ignored | None = None  # what of it is left to others
    foreign_is_drift: bool = False  # whether what others have set besides is taken off

    @property
    def leaving(self) -> Desired:
        """The same as it is compared: with what is ignored left alone, whatever a sync does."""
        if self.ignored is None:
            return self
        return replace(self, options=replace(self.options, respect_ignore_differences=True))

    @property
    def left_alone(self) -> Ignored | None:
        """What of it not even a sync writes, once the object is there."""
        return self.ignored if self.options.respect_ignore_differences else None

    @property
    def writer(self) -> Writer:
        """How its sync options ask for it to be written. What is deleted and created anew is applied."""
        if self.options.replace and not self.options.force:
            return "replace"
        return "merge" if self.options.server_side_apply is False else "apply"


@dataclass(frozen=True, slots=True)
class Stamp:
    """Who stamps: the parts of an object's identity that are the same for all objects of an app."""

    installation: str
    app: AppKey
    applyset: str


FindKind = Callable[[str, str], Kind | None]


def desired(
    manifests: Sequence[Manifest],
    find: FindKind,
    default_namespace: str,
    options: Sequence[str],
    stamping: Stamp,
    ignore: Ignore | None = None,
    coming: Mapping[tuple[str, str], Kind] | None = None,
    *,
    foreign: bool = False,
) -> tuple[tuple[Desired, ...], tuple[str, ...]]:
    """The desired objects of `manifests` and warnings about those given twice (the last one counts).

    `options` are the app's own sync options as written, `ignore` its rules. `find(api_version, kind)` looks
    a kind up on the server; those that the same sync brings (`coming`, by default with the CRDs of
    `manifests`) need not exist yet. `foreign`: what others set is drift, where an object does not say
    otherwise. Raises Refused for a kind that nobody knows.
    """
    coming = kinds_of_crds(manifests) if coming is None else coming
    objects: dict[ObjectKey, Desired] = {}
    warnings: list[str] = []
    for manifest in manifests:
        name = (manifest.api_version, manifest.key.kind)
        kind = find(*name)
        served = kind is not None
        if kind is None:
            kind = coming.get(name)
        if kind is None:
            raise Refused(
                f"the cluster has no kind {name[1]} in {name[0]}: install its CustomResourceDefinition "
                "first, or correct apiVersion and kind",
                where=manifest.where,
            )
        placed = with_namespace(manifest, kind.namespaced, default_namespace)
        if placed.key in objects:
            warnings.append(f"{placed.key.title} is given twice: {objects[placed.key].where}, {placed.where}")
        body = stamp(placed.body, placed.key, stamping.app, stamping.installation, stamping.applyset)
        annotations = annotations_of(placed.body)
        own = sync_options(options, annotations)
        ignored = ignore.of(placed.key) if ignore else None
        said = foreign_is_drift(annotations)
        drifts = foreign if said is None else said
        objects[placed.key] = Desired(
            key=placed.key,
            kind=kind,
            body=body,
            digest=_digest(body, own, ignored, drifts),
            options=own,
            where=placed.where,
            served=served,
            wave=wave_of(annotations),
            ignored=ignored,
            foreign_is_drift=drifts,
        )
    return tuple(objects.values()), tuple(warnings)


def kinds_of_crds(manifests: Sequence[Manifest]) -> Mapping[tuple[str, str], Kind]:
    """The kinds that the CustomResourceDefinitions among `manifests` will serve, by apiVersion and kind."""
    kinds: dict[tuple[str, str], Kind] = {}
    for manifest in manifests:
        if (manifest.key.group, manifest.key.kind) == CRD:
            kinds |= {(kind.api_version, kind.kind): kind for kind in kinds_of_crd(manifest.body)}
    return kinds


def kinds_of_crd(body: Mapping[str, Any] | None) -> tuple[Kind, ...]:
    """The kinds that one CustomResourceDefinition serves; none where it is not valid."""
    spec = body.get("spec") if body else None
    names = spec.get("names") if isinstance(spec, dict) else None
    versions = spec.get("versions") if isinstance(spec, dict) else None
    if not isinstance(spec, dict) or not isinstance(names, dict) or not isinstance(versions, list):
        return ()
    return tuple(
        Kind(
            group=str(spec.get("group", "")),
            version=str(version.get("name", "")),
            kind=str(names.get("kind", "")),
            plural=str(names.get("plural", "")),
            namespaced=spec.get("scope") == "Namespaced",
            verbs=frozenset({"get", "list", "create", "patch", "update", "delete"}),
        )
        for version in versions
        if isinstance(version, dict) and version.get("served")
    )


def _digest(body: Mapping[str, Any], options: SyncOptions, ignored: Ignored | None, foreign: bool) -> str:
    shape: list[Any] = [body, options.server_side_apply, *(["replace"] if options.replace else [])]
    if ignored is not None:
        shape += [ignored.words, options.respect_ignore_differences, options.apply_out_of_sync_only]
    if foreign:
        shape.append("foreign is drift")
    data = orjson.dumps(shape, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(data).hexdigest()[:32]

"""`Application`: which manifests go to which cluster, as Argo CD's users have written it down."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal, Self, TypeVar, cast

import orjson
from pydantic import PrivateAttr

from mooring.errors import Refused
from mooring.keys import AppKey
from mooring.model.part import Metadata, Part
from mooring.model.spec import ApplicationSpec, Operation
from mooring.model.status import ApplicationStatus

# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_NAMESPACE = re.compile(r"(?=.{1,63}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")
_DEEPEST = 200  # what reads it and writes it anew ends at about 250
_NOTHING = zlib.compress(b"{}")
T = TypeVar("T")


class Application(Part):
    """Manifests of a Git repository, kept in a namespace of a cluster."""

    api_version: Literal["argoproj.io/v1alpha1"]
    kind: Literal["Application"]
    metadata: Metadata
    spec: ApplicationSpec
    status: ApplicationStatus = ApplicationStatus()
    operation: Operation | None = None

    _raw: bytes = PrivateAttr(default=_NOTHING)  # a twentieth of what the dict takes

    @classmethod
    def parse(cls, raw: dict[str, Any], *, namespace: str = "", before: Application | None = None) -> Self:
        """Read a manifest. `namespace` is for those from files, that need not name one. `before` is an
        earlier reading of the same object: what has not changed since is not read again.

        Raises Refused (condition InvalidSpecError) naming the application and the field.
        """
        if not isinstance(raw, dict):
            raise Refused("an Application must be a mapping", condition="InvalidSpecError")
        metadata = raw.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        namespace, name = metadata.get("namespace") or namespace, metadata.get("name")
        title = f"Application {namespace}/{name or '(without a name)'}"
        told = {**raw, "metadata": {**metadata, "namespace": namespace}}
        if before is not None:
            was = before.raw
            told = before.reused(told, was)
            status, had = told.get("status"), was.get("status")
            if isinstance(status, dict) and isinstance(had, dict):
                told["status"] = before.status.reused(status, had)
        # No schema judges a status: whoever may edit an Application may write anything there. What cannot be
        # written anew counts for nothing.
        status, may_be = told.get("status"), _may_be_deep(raw)
        if may_be and isinstance(status, dict) and (deep := {one for one in status if _is_deep(status[one])}):
            told["status"] = {name: value for name, value in status.items() if name not in deep}
            raw = {**raw, "status": {**raw["status"], **{name: {} for name in deep}}}
        for field in ("spec", "operation"):
            if may_be and told.get(field) is raw.get(field) and _is_deep(raw.get(field)):
                raise Refused(
                    f"{title}: {field}: is nested deeper than {_DEEPEST} levels", condition="InvalidSpecError"
                )
        app = cls.read(told, title)
        if not _NAME.match(app.metadata.name):
            raise Refused(f"{title}: metadata.name: is not a Kubernetes name", condition="InvalidSpecError")
        if not _NAMESPACE.match(app.metadata.namespace):
            raise Refused(f"{title}: metadata.namespace: is not a namespace", condition="InvalidSpecError")
        app._raw = _written(raw, title)
        return app

    @property
    def raw(self) -> dict[str, Any]:
        """What it was parsed from, as far as it can be written anew; each time another one."""
        return cast("dict[str, Any]", orjson.loads(zlib.decompress(self._raw)))

    def once(self, make: Callable[[Application], T]) -> T:
        """What `make`, a function of a module, makes of this very reading of the application: it is asked
        only once, however often that is listed."""
        if make not in self._made:
            self._made[make] = make(self)
        return cast("T", self._made[make])

    @cached_property
    def _made(self) -> dict[Any, Any]:
        return {}  # no field and no private attribute: readings are equal whatever was made of them

    @property
    def key(self) -> AppKey:
        return AppKey(self.metadata.namespace, self.metadata.name)


def unknown_fields(app: Application) -> tuple[str, ...]:
    """Paths of what the manifest says and no field of ours reads. `status` is nobody's wish: left out."""
    return tuple(path for path in app.unknown() if not path.startswith("status."))


def _written(raw: dict[str, Any], title: str) -> bytes:
    try:
        return zlib.compress(orjson.dumps(raw, option=orjson.OPT_NON_STR_KEYS), 1)
    except TypeError as error:  # from a file: YAML has values that JSON does not
        raise Refused(f"{title}: cannot be written as JSON: {error}", condition="InvalidSpecError") from error


def _may_be_deep(raw: dict[str, Any]) -> bool:
    """False for what has fewer brackets than it would take: to look is a third of reading it."""
    try:
        text = orjson.dumps(raw, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        return True
    return text.count(b"{") + text.count(b"[") >= _DEEPEST


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        if not level:
            return False
        inside = [one for one in level if isinstance(one, dict | list)]
        level = [one for each in inside for one in (each.values() if isinstance(each, dict) else each)]
    return True

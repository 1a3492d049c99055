"""`source.kustomize` as changes to the kustomization at the app's path.

Argo CD has `kustomize edit` make them. What comes out here is what that would write, so that the same build
follows. Pure.
https://argo-cd.readthedocs.io/en/stable/user-guide/kustomize/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mooring.errors import RenderFailed
from mooring.model.spec import Kustomize
from mooring.text import printable
from workers.render.kustomization import put, text, value

_HERE: Final = "spec.source.kustomize"
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_PRESERVE: Final = "*"  # of an image: what the kustomization has stays
_PRESERVED: Final = ("newName", "newTag", "digest")


@dataclass(frozen=True, slots=True)
class Edits:
    """The options, with what they name of the build environment replaced."""

    options: Kustomize
    images: tuple[str, ...]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    @classmethod
    def of(cls, options: Kustomize, substitute: Callable[[str], str]) -> Edits:
        """`substitute` replaces what a text names. Argo CD does so in images and labels whatever is asked."""
        return cls(
            options,
            tuple(map(substitute, options.images)),
            {name: substitute(told) for name, told in options.common_labels.items()},
            {
                name: substitute(told) if options.common_annotations_envsubst else told
                for name, told in options.common_annotations.items()
            },
        )

    def __bool__(self) -> bool:
        """Whether anything is changed by them."""
        asked = self.options
        return bool(
            (asked.name_prefix or asked.name_suffix or asked.namespace)
            or (self.images or asked.replicas or self.labels or self.annotations)
            or (asked.patches or asked.components)
        )


def edit(kustomization: dict[str, Any], edits: Edits, components: Sequence[str]) -> None:
    """Changes `kustomization` in place; `components` are those of the options that are there.

    Raises RenderFailed for what cannot be, naming the option.
    """
    options = edits.options
    for name, told in (
        ("namePrefix", options.name_prefix),
        ("nameSuffix", options.name_suffix),
        ("namespace", options.namespace),
    ):
        if told:
            put(kustomization, name, told)
    if edits.images:
        images = _merged([_image(told) for told in edits.images], _list(kustomization, "images", "imageTags"))
        put(kustomization, "imageTags", None)
        put(kustomization, "images", images)
    if options.replicas:
        wanted = [{"name": each.name, "count": _count(each.name, each.count)} for each in options.replicas]
        replicas = _merged(wanted, _list(kustomization, "replicas"))
        put(kustomization, "replicas", replicas)
    if edits.labels:
        _label(kustomization, edits)
    if edits.annotations:
        found = value(kustomization, "commonAnnotations")
        force = options.force_common_annotations
        put(kustomization, "commonAnnotations", _added(found, edits.annotations, force, "Annotations"))
    if options.patches:
        patches = [each.to_dict() for each in options.patches]
        put(kustomization, "patches", [*_list(kustomization, "patches"), *patches])
    if components:
        present = _list(kustomization, "components")
        more = [each for each in dict.fromkeys(components) if each not in present]
        put(kustomization, "components", [*present, *more])


def _label(kustomization: dict[str, Any], edits: Edits) -> None:
    options, force = edits.options, edits.options.force_common_labels
    if not options.label_without_selector:
        if options.label_include_templates:
            raise RenderFailed(f"{_HERE}.labelIncludeTemplates: set labelWithoutSelector too")
        found = value(kustomization, "commonLabels")
        put(kustomization, "commonLabels", _added(found, edits.labels, force, "Labels"))
        return
    labels = _list(kustomization, "labels")
    for each in labels:
        templates = bool(value(each, "includeTemplates"))
        if not value(each, "includeSelectors") and templates == options.label_include_templates:
            put(each, "pairs", _added(value(each, "pairs"), edits.labels, force, "Labels"))
            break
    else:
        added: dict[str, Any] = {"pairs": dict(edits.labels)}
        labels.append(added | ({"includeTemplates": True} if options.label_include_templates else {}))
    put(kustomization, "labels", labels)


def _added(found: Any, more: Mapping[str, str], force: bool, what: str) -> dict[str, str]:
    present = dict(found) if isinstance(found, dict) else {}
    twice = sorted(present.keys() & more.keys())
    if twice and not force:
        raise RenderFailed(
            f"{_HERE}.common{what}: the kustomization has {printable(twice[0])} already; set "
            f"forceCommon{what} to replace it"
        )
    return {**present, **more}


def _image(told: str) -> dict[str, str]:
    """`name=new:tag`, `name:tag`, `name@digest` and what lies between."""
    name, separator, wanted = told.partition("=")
    if not separator:
        name, wanted = "", told
    new, tag, digest = _split(wanted)
    if new == told:
        raise RenderFailed(
            f"{_HERE}.images: {printable(told)!r} changes nothing: give name=new, name:tag or name@digest"
        )
    image = {"name": name or new, "newName": new if name else "", "newTag": tag, "digest": digest}
    return {field: text for field, text in image.items() if text}


def _split(image: str) -> tuple[str, str, str]:
    """Name, tag and digest. A colon before the first slash is a port's."""
    slash = max(image.find("/"), 0)
    name, at, digest = image[slash:].partition("@")
    name, _, tag = name.partition(":")
    return image[:slash] + name, tag, digest if at else ""


def _merged(wanted: Iterable[dict[str, Any]], present: Iterable[Any]) -> list[Any]:
    """What is wanted, and of the rest what is present; by name, of which each counts once."""
    by_name = {each["name"]: each for each in wanted}
    for each in present:
        name = text(each, "name")
        given = by_name.get(name)
        if given is None:
            by_name[name] = each
            continue
        for field in _PRESERVED:
            if given.get(field) == _PRESERVE:
                given[field] = text(each, field)
    for each in by_name.values():
        for field in _PRESERVED:
            if isinstance(each, dict) and each.get(field) in (_PRESERVE, ""):
                del each[field]
    return [by_name[name] for name in sorted(by_name, key=str.encode)]


def _count(name: str, count: int | str) -> int:
    if isinstance(count, str) and not _NUMBER.fullmatch(count):
        raise RenderFailed(f"{_HERE}.replicas: the count of {printable(name)} is no number: {count!r}")
    return int(count)


def _list(holder: Any, *names: str) -> list[Any]:
    return [each for name in names for each in _as_list(value(holder, name))]


def _as_list(found: Any) -> list[Any]:
    return list(found) if isinstance(found, list) else []

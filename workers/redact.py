"""Masks: what leaves the workers for people to read (read models, diffs, errors, logs) holds no secret value.

A mask says whether two values of one key are equal, and nothing else: not a length, not a hash.
"""

from __future__ import annotations

import base64
import binascii
import copy
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

import orjson

from mooring.names import ARGO, LAST_APPLIED, OURS

MASK: Final = "++++++++"
_LONGER: Final = "++++"
# ConfigMap argocd-cm: annotations of Secrets that are secret themselves, with commas between them.
# https://argo-cd.readthedocs.io/en/stable/operator-manual/argocd-cm-yaml/
ANNOTATIONS: Final = "resource.sensitive.mask.annotations"
# What a Secret's own fields are, and those of metadata. Of others the API server knows nothing: one that is
# misspelled, or not indented as it should be, may well hold the values.
# https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/secret-v1/
_FIELDS: Final = frozenset(("apiVersion", "kind", "metadata", "data", "stringData", "immutable", "type"))
_MAPPINGS: Final = frozenset(("metadata", "data", "stringData"))
_KINDS: Final = ("secret", "secrets")
_METADATA: Final = frozenset(
    (
        *(
            "annotations",
            "creationTimestamp",
            "deletionGracePeriodSeconds",
            "deletionTimestamp",
            "finalizers",
        ),
        *("generateName", "generation", "labels", "managedFields", "name", "namespace", "ownerReferences"),
        *("resourceVersion", "selfLink", "uid"),
    )
)
# What is shorter is found in anything; it is only known where nothing else is beside it.
_TELLING: Final = 4
_TELLING_LINE: Final = 16  # of many lines


Named = Callable[[str], bool]  # whether an annotation of Secrets is secret itself


def _none(_: str) -> bool:
    return False


def sensitive(config: Mapping[str, str]) -> Named:
    """Which annotations the data of ConfigMap `argocd-cm` names as secret."""
    return frozenset(name.strip() for name in config.get(ANNOTATIONS, "").split(",")).__contains__


def masked(body: dict[str, Any], annotations: Named = _none) -> dict[str, Any]:
    """`body` as people may see it: when it is a Secret, a copy without its values; otherwise itself."""
    return masked_together(body, annotations=annotations)[0]


def masked_together(*bodies: dict[str, Any], annotations: Named = _none) -> tuple[dict[str, Any], ...]:
    """Versions of one object (wanted, live …), masked so that a diff of the results is still true.

    Of each key, the first value met becomes eight plus signs, each further *different* one four more, as
    Argo CD shows them; equal values have equal masks, be they in `data`, `stringData` or the last-applied
    annotation. So do the `annotations` that are named, and others in which a value of any of these versions
    is repeated. Bodies that are no Secrets come back as they are; none is changed in place.
    """
    masks = _Masks(annotations, _Values(filter(is_secret, bodies)))
    return tuple(_masked_secret(body, masks) if is_secret(body) else body for body in bodies)


def is_secret(body: Mapping[str, Any]) -> bool:
    """Whether it holds secret values."""
    # Anything named so, however it is spelled, that is not clearly of another group: showing too little is
    # the lesser harm.
    return str(body.get("kind")).lower() in _KINDS and "/" not in str(body.get("apiVersion", ""))


class _Values:
    """The values of some versions of a Secret, in the forms in which others may repeat them."""

    def __init__(self, bodies: Iterable[Mapping[str, Any]]) -> None:
        plain = {value for body in bodies for value in _plain_values(body)}
        self._forms = frozenset(form for value in plain for form in _forms(value))

    def repeated_in(self, text: str) -> bool:
        return any(form == text or (len(form) >= _TELLING and form in text) for form in self._forms)


class _Masks:
    """Which mask stands for which value, key by key; and which annotations have one."""

    def __init__(self, annotations: Named, values: _Values) -> None:
        self._annotations = annotations
        self._values = values
        self._of: dict[str, dict[bytes, str]] = {}

    def of(self, key: str, value: bytes) -> str:
        known = self._of.setdefault(key, {})
        return known.setdefault(value, MASK + _LONGER * len(known))

    def annotation(self, name: str, value: Any) -> Any:
        if name == LAST_APPLIED:
            return _masked_annotation(value, self)
        if self._annotations(name) or (not _is_ours(name) and self._values.repeated_in(str(value))):
            return self.of(f"annotation {name}", _as_is(value))
        return value


def _is_ours(name: str) -> bool:
    """Whether an annotation says who has an object, and what is to be done with it: a name in it may well be
    a value, too."""
    return name.partition("/")[0] in (ARGO, OURS)


def _masked_secret(body: dict[str, Any], masks: _Masks) -> dict[str, Any]:
    shown = {
        name: value if name in _MAPPINGS or (name in _FIELDS and _is_plain(value)) else MASK
        for name, value in copy.deepcopy(body).items()
    }
    # The API server lets stringData win over data, so it does not matter which is masked first.
    for field, plain in (("data", _decoded), ("stringData", _as_is)):
        values = shown.get(field)
        if isinstance(values, dict):
            shown[field] = {key: masks.of(str(key), plain(value)) for key, value in values.items()}
        elif values is not None:
            shown[field] = MASK
    if isinstance(metadata := shown.get("metadata"), dict):
        shown["metadata"] = _masked_metadata(metadata, masks)
    return shown


def _masked_metadata(metadata: Mapping[str, Any], masks: _Masks) -> dict[str, Any]:
    shown = {name: value if name in _METADATA else MASK for name, value in metadata.items()}
    if isinstance(labels := shown.get("labels"), dict):
        shown["labels"] = {name: value if _is_plain(value) else MASK for name, value in labels.items()}
    annotations = shown.get("annotations")
    if isinstance(annotations, dict):
        shown["annotations"] = {name: masks.annotation(str(name), it) for name, it in annotations.items()}
    elif annotations is not None:
        shown["annotations"] = MASK
    return shown


def _is_plain(value: Any) -> bool:
    return not isinstance(value, dict | list)


def _masked_annotation(text: Any, masks: _Masks) -> str:
    """The last-applied configuration with its values masked; all of it when it cannot be read."""
    applied = _read(text)
    return orjson.dumps(_masked_secret(applied, masks)).decode() if applied is not None else MASK


def _read(text: Any) -> dict[str, Any] | None:
    try:
        applied = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return applied if isinstance(applied, dict) else None


def _plain_values(body: Mapping[str, Any]) -> Iterator[bytes]:
    """All values of a Secret, those of its last-applied configuration too."""
    for field, plain in (("data", _decoded), ("stringData", _as_is)):
        values = body.get(field)
        yield from map(plain, values.values()) if isinstance(values, dict) else ()
    metadata = body.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    applied = _read(annotations.get(LAST_APPLIED)) if isinstance(annotations, dict) else None
    if applied is not None:
        yield from _plain_values(applied)


def _forms(value: bytes) -> Iterator[str]:
    if not value:
        return
    yield base64.b64encode(value).decode()
    yield base64.urlsafe_b64encode(value).decode()
    text = value.decode("utf-8", "replace")
    for part in (text, *(line for line in text.splitlines() if len(line) >= _TELLING_LINE)):
        yield part
        yield part.strip() or part
        yield json.dumps(part)[1:-1]
        yield quote(part, safe="")


def _decoded(value: Any) -> bytes:
    if not isinstance(value, str):
        return _as_is(value)
    try:
        # The API server does not mind lines in it.
        return base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        return _as_is(value)


def _as_is(value: Any) -> bytes:
    return (value if isinstance(value, str) else repr(value)).encode("utf-8", "surrogatepass")

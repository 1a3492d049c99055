"""Whether an object that a trial refuses may well be accepted once the rest of its sync is there. Pure.

The server judges what is tried as if it were alone. What it refuses for want of another object of the same
sync is no fault: whether it is to be had is seen when it is written.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from mooring.errors import ClusterRefused, SchemaRefused
from mooring.keys import ObjectKey

_RBAC: Final = "rbac.authorization.k8s.io"
# What the server says about the object itself comes before this.
_ITSELF: Final = re.compile(r"^.*? is (?:forbidden|invalid): ")
_POLICY: Final = "ValidatingAdmissionPolicy"
# How messages call kinds, where that is not their name.
_CALLED: Final = {"ResourceQuota": "quota"}
# Decide whether others may be written, often without being named: those in the namespace alone, or all.
_NEARBY: Final = (("", "LimitRange"), ("", "ResourceQuota"))
# The trial itself does not work out: that says nothing about the object.
_UNTRIED: Final = ("failed calling webhook", "does not support dry run")


def untried(error: Exception) -> bool:
    """Whether the object was not judged at all, since a webhook that judges it cannot be asked by a trial.

    https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#side-effects
    """
    return any(text in str(error) for text in _UNTRIED)


def awaits(error: ClusterRefused, key: ObjectKey, written: Collection[ObjectKey]) -> bool:
    """Whether `error`, the server's answer to the trial of `key`, may be due to one of the objects `written`
    by the same sync not being there yet, or not being as it will be."""
    text = str(error)
    if isinstance(error, SchemaRefused) or (error.code == 422 and _POLICY not in text):
        return False  # its own fields are wrong
    others = [other for other in written if other != key]
    rest = _ITSELF.sub("", text, count=1)
    if any(_names(rest, other) for other in others):
        return True
    if error.code != 403:
        return False
    return any(_decides(other, key, rest) for other in others)


def _names(text: str, other: ObjectKey) -> bool:
    """Whether the words name the very object: its kind somewhere, and its name as a word of its own."""
    called = _CALLED.get(other.kind, other.kind).lower()
    if called not in text.replace(" ", "").lower():
        return False
    return re.search(rf"(?<![\w.-]){re.escape(other.name)}(?![\w-]|\.\w)", text) is not None


def _decides(other: ObjectKey, key: ObjectKey, text: str) -> bool:
    name = (other.group, other.kind)
    if name == ("", "Namespace"):  # its labels say which pods it takes
        return other.name == key.namespace
    if name in _NEARBY:
        return other.namespace == key.namespace
    # Who may do what, we among them.
    return other.group == _RBAC and ("RBAC" in text or "cannot" in text)

"""Which right is missing, and who is to give it: the app's service account lacks it, or Mooring. Pure."""

from __future__ import annotations

import re
from typing import Final

from mooring.errors import ClusterRefused
from mooring.model.impersonation import ServiceAccount

# https://github.com/kubernetes/apiserver/blob/master/pkg/endpoints/handlers/responsewriters/errors.go
_DENIED: Final = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]*)" '
    r'in API group "(?P<group>[^"]*)" '
    r'(?:in the namespace "(?P<namespace>[^"]*)"|at the cluster scope)'
)


class NotPermitted(ClusterRefused):
    """Somebody whom an app acts as lacks a right, or Mooring that to act as him."""


def not_permitted(error: ClusterRefused, user: str) -> NotPermitted | None:
    """`error`, the answer to a request in the name of `user`, with the rule to add; None where no right was
    missing: other refusals have the same code."""
    denied = _DENIED.search(str(error)) if error.code == 403 else None
    if denied is None:
        return None
    whose = ServiceAccount.of_user(user)
    called = f"service account {whose}" if whose else f"user {user}"
    if denied["user"] != user and denied["verb"].startswith("impersonate"):
        message = (
            f"Mooring ({denied['user']}) may not act as {called}, which the app's project names: whoever has "
            "installed Mooring must allow it to impersonate that (value rbac.impersonate of the chart)"
        )
        return NotPermitted(message, code=error.code, reason=error.reason)
    group, resource = denied["group"], denied["resource"]
    verbs, way_out = denied["verb"], ""
    if verbs in ("create", "patch"):  # an apply that creates needs both
        verbs, way_out = "create, patch", ", or leave that out of Git"
    role, where = "ClusterRole", "at cluster scope"
    if denied["namespace"]:
        role, where = "Role", f"in namespace {denied['namespace']}"
    message = (
        f"{called}, which the app's project has it act as, may not {denied['verb']} "
        f"{resource}{group and f'.{group}'} {where}: bind it to a {role} there with "
        f'{{apiGroups: ["{group}"], resources: ["{resource}"], verbs: [{verbs}]}}{way_out}'
    )
    return NotPermitted(message, code=error.code, reason=error.reason, causes=error.causes)

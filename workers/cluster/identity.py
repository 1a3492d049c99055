"""Who acts: every call to a cluster carries an identity, so that no right is used by accident."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mooring.errors import Refused


@dataclass(frozen=True, slots=True)
class Identity:
    """A user and groups to impersonate; without a user, Mooring acts as itself.

    Raises Refused when groups come without a user, or when a name could not be a header's value.
    https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/
    """

    user: str = ""
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.groups and not self.user:
            raise Refused("groups can only be impersonated together with a user: name the user")
        for name in (self.user, *self.groups):
            if not name.isprintable():
                raise Refused(f"{name!r} cannot be impersonated: it has unprintable characters")

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Request headers, in pairs as `Impersonate-Group` comes once per group."""
        if not self.user:
            return ()
        pairs = (("Impersonate-User", self.user), *(("Impersonate-Group", group) for group in self.groups))
        # http.client writes headers as Latin-1; the API server reads the bytes as UTF-8.
        return tuple((name, value.encode().decode("latin-1")) for name, value in pairs)


MOORING: Final = Identity()

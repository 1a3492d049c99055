"""Credentials that have to be files for OpenSSL, and never are one on disk."""

from __future__ import annotations

import os

from mooring.errors import ClusterRefused


class InMemory:
    """A file that has no name in any directory, and goes with the last who knows it.

    Linux only (https://man7.org/linux/man-pages/man2/memfd_create.2.html). Raises ClusterRefused where none
    can be had.
    """

    def __init__(self, content: bytes) -> None:
        self._descriptor = -1
        try:
            # Closed in children that run other programs.
            self._descriptor = os.memfd_create("mooring-credential")
            with os.fdopen(os.dup(self._descriptor), "wb") as file:
                file.write(content)
        except OSError as error:
            raise ClusterRefused(f"a credential cannot be kept in memory: {error}") from error

    @property
    def path(self) -> str:
        return f"/proc/self/fd/{self._descriptor}"

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

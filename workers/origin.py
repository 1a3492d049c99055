"""Where the files of a source come from, so that nobody else asks whether it is Git."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Protocol

from mooring.errors import MooringError
from workers.git.mirror import Mirror, checkout
from workers.render.files import Tree

_log = logging.getLogger(__name__)


class Origin(Protocol):
    """A place that has the files of a source, at one revision or another, as one project may see them."""

    @property
    def place(self) -> str:
        """Equal for those of which one is asked for all."""
        ...

    def resolve(self, revision: str, hint: str, timeout: float) -> str:
        """What the host says that `revision` ("" is its newest) is now: a commit, a version, a digest. Its
        files are here after that. `hint` is where it probably is.

        Raises Refused kinds when the host says no, Retryable ones when it may answer later.
        """
        ...

    def has(self, revision: str) -> bool:
        """Whether the files of what `resolve` gave are here: no host is asked."""
        ...

    def bring(self, revision: str) -> None:
        """Makes sure that they are. Raises as `resolve`."""
        ...

    def tree(self, revision: str) -> Tree:
        """The files of what `resolve` gave, and are here."""
        ...

    def keep(self, revision: str) -> None:
        """Keeps what was deployed for roll-backs. Never raises: it is a comfort."""
        ...


@dataclass(frozen=True, slots=True)
class GitOrigin:
    """A Git repository, as one credential sees it."""

    mirror: Mirror

    @property
    def place(self) -> str:
        return str(self.mirror.home)

    def resolve(self, revision: str, hint: str, timeout: float) -> str:
        return checkout(self.mirror, revision or "HEAD", hint or None, timeout=timeout).commit

    def has(self, revision: str) -> bool:
        return self.mirror.has(revision)

    def bring(self, revision: str) -> None:
        self.mirror.fetch_commit(revision)

    def tree(self, revision: str) -> Tree:
        return self.mirror.tree

    def keep(self, revision: str) -> None:
        try:
            self.mirror.keep(revision)
        except MooringError as error:
            _log.warning("commit %s of %s is not kept: %s", revision, self.mirror.remote.url, error)

"""Where the files of a source come from, so that nobody else asks whether it is Git."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import os
import tempfile
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import orjson

from mooring.errors import MooringError, RemoteFailed
from mooring.model.spec import Source
from mooring.revision import shortened
from mooring.settings import Settings
from workers.git.credentials import Credential
from workers.git.mirror import Mirror, checkout
from workers.remote.found import Found
from workers.remote.remotes import Remotes
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


@dataclass(frozen=True, slots=True)
class RemoteOrigin:
    """A chart of a chart repository or registry, or an artifact of a registry, as one credential gets it.

    What a version was is remembered on this disk, so that an app is looked at again without asking its host.
    """

    settings: Settings
    source: Source
    credential: Credential

    @property
    def place(self) -> str:
        everywhere = str(self._everywhere)
        return "\0".join((self.source.repo_url, self.source.chart, self.credential.identity, everywhere))

    def resolve(self, revision: str, hint: str, timeout: float) -> str:
        found = self._asked(revision, timeout)
        remotes_of(self.settings, timeout).tree(found, self.credential)
        self._remember(found)
        return found.version

    def current(self, revision: str, timeout: float, since: float) -> tuple[str, str]:
        """What the host says that `revision` is now, and the digest of its archive: none is fetched. An index
        that was asked for `since` (as `time.monotonic` has it) will do. Raises as `resolve`."""
        found = self._asked(revision, timeout, since)
        return found.version, found.digest

    def digest(self, revision: str) -> str:
        """That of the archive which is here of what `resolve` gave; "" where none is."""
        known = self._known(revision)
        return known.digest if known is not None else ""

    def has(self, revision: str) -> bool:
        return self._known(revision) is not None

    def bring(self, revision: str) -> None:
        self.tree(revision)

    def tree(self, revision: str) -> Tree:
        known, patience = self._known(revision), self.settings.git_timeout_s
        if known is None:
            self.resolve(revision, "", patience)
            known = self._known(revision)
        if known is None:
            raise RemoteFailed(f"what {shortened(revision)} was is not kept: it is asked for again")
        return remotes_of(self.settings, patience).tree(known, self.credential)

    def keep(self, revision: str) -> None:
        """Its archive is the last to be given up where there is no room for all."""
        with contextlib.suppress(MooringError, OSError):
            if self.has(revision):
                self._note(revision).touch()
                self.tree(revision)

    def _asked(self, revision: str, timeout: float, since: float = math.inf) -> Found:
        remotes, url, chart = remotes_of(self.settings, timeout), self.source.repo_url, self.source.chart
        if not chart:
            return remotes.artifact(url, revision, self.credential, trusted=True)
        return remotes.chart(
            url,
            chart,
            revision,
            self.credential,
            trusted=True,
            pass_credentials=self._everywhere,
            since=since,
        )

    @property
    def _everywhere(self) -> bool:
        return self.source.helm is not None and self.source.helm.pass_credentials

    def _note(self, revision: str) -> Path:
        name = hashlib.sha256(f"{self.place}\0{revision}".encode()).hexdigest()
        return notes_dir(self.settings) / name

    def _remember(self, found: Found) -> None:
        note = self._note(found.version)
        try:
            note.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, name = tempfile.mkstemp(dir=note.parent)
            with os.fdopen(descriptor, "wb") as file:
                file.write(orjson.dumps(asdict(found)))
            Path(name).replace(note)
        except OSError as error:
            raise RemoteFailed(
                f"what was found cannot be kept in {note.parent}: {error}", after=30
            ) from error

    def _known(self, revision: str) -> Found | None:
        try:
            return Found(**orjson.loads(self._note(revision).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None


def notes_dir(settings: Settings) -> Path:
    """Where it is remembered what versions and digests were. Raises Refused as `Settings.state_directory`."""
    return settings.state_directory() / "revisions"


@lru_cache(maxsize=4)
def remotes_of(settings: Settings, patience_s: float) -> Remotes:
    """Whoever asks hosts of charts, artifacts and files for this process, and for how long."""
    return Remotes(settings.state_directory(), replace(settings, git_timeout_s=patience_s))


# A forked child must not share connections and locks with its parent.
os.register_at_fork(after_in_child=remotes_of.cache_clear)

"""Keeps what this machine has of Git and other hosts small, without what no Application can go back to."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Final

from mooring.errors import MooringError
from mooring.model.application import Application
from mooring.model.pinned import revisions_of
from mooring.settings import Settings
from workers import checkout
from workers.apps.store import Applications
from workers.git.mirror import Mirror
from workers.origin import notes_dir

_log = logging.getLogger(__name__)
_DAY_S: Final = 86_400
_UNUSED_S: Final = 7 * _DAY_S
_TOGETHER_S: Final = 480  # for all of them: what is left has its turn the next time


def maintain(applications: Applications, settings: Settings) -> None:
    """Packs each mirror that an Application uses, lets go of commits that none may want back, and removes
    mirrors that none has used for a week. A mirror that was maintained within the day is left alone. Charts
    and artifacts that somebody may want back are the last to be given up."""
    deadline = time.monotonic() + _TOGETHER_S
    used, all_known = _used(applications, settings)
    _keep_archives(applications, settings, deadline)
    for home in _by_age(checkout.mirrors_dir(settings)):
        if home not in used:
            if all_known and _seconds_since(home / "used") > _UNUSED_S:
                Mirror.remove(home)
            continue
        (home / "used").touch()
        mirror, commits = used[home]
        left = deadline - time.monotonic()
        if left <= 0 or _seconds_since(home / "maintained") < 0.8 * _DAY_S:
            continue
        try:
            mirror.drop_kept(commits)
            mirror.maintain(left)
            (home / "maintained").touch()
        except MooringError as error:
            _log.warning("the mirror of %s: %s", mirror.remote.url, error)


def _used(applications: Applications, settings: Settings) -> tuple[dict[Path, tuple[Mirror, set[str]]], bool]:
    """The mirrors on this disk that Applications use, with their commits; and whether these are all."""
    listing = applications.list()
    used: dict[Path, tuple[Mirror, set[str]]] = {}
    all_known = not listing.broken
    for app in listing.apps:
        for source in filter(checkout.is_git, app.spec.all_sources):
            where = (applications, settings, source, app.spec.project_name)
            try:
                home = checkout.home_of(*where)
                if home.is_dir():
                    mirror = checkout.open_mirror(*where)
                    used.setdefault(home, (mirror, set()))[1].update(_commits(app))
            except MooringError as error:
                _log.info("which mirror %s uses is not known: %s", app.key, error)
                all_known = False
    return used, all_known


def _keep_archives(applications: Applications, settings: Settings, deadline: float) -> None:
    listing = applications.list()
    for app in listing.apps:
        for source in app.spec.all_sources:
            if checkout.is_git(source):
                continue
            try:
                origin = checkout.open_origin(applications, settings, source, app.spec.project_name)
            except MooringError as error:
                _log.info("what %s keeps is not known: %s", app.key, error)
                return
            for revision in _commits(app):
                if time.monotonic() > deadline:
                    return
                origin.keep(revision)
    notes = notes_dir(settings)
    if listing.broken or not notes.is_dir():
        return
    for note in notes.iterdir():
        if _seconds_since(note) > _UNUSED_S:
            note.unlink(missing_ok=True)


def _commits(app: Application) -> set[str]:
    """What the app is at, and what it may be rolled back to; of all its sources together."""
    operation = app.status.operation_state
    told = (*app.status.history, app.status.sync, operation.sync_result if operation else None)
    return {revision for part in told for revision in revisions_of(part)} - {""}


def _by_age(root: Path) -> list[Path]:
    """All mirrors, those first that have waited longest."""
    homes = [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
    return sorted(homes, key=lambda home: -_seconds_since(home / "maintained"))


def _seconds_since(marker: Path) -> float:
    """How long ago the file was touched; the mirror's own age where it never was."""
    for path in (marker, marker.with_name("about.json")):
        try:
            return time.time() - path.stat().st_mtime
        except OSError:
            continue
    return 0.0

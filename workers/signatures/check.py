"""Whether what an app is to be at is signed as its project wants: looked at before anything is rendered.

As in Argo CD, what counts of an annotated tag is its own signature, of anything else that of the commit.
https://argo-cd.readthedocs.io/en/release-3.3/user-guide/gpg-verification/
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from mooring.errors import Refused, RenderFailed, Retryable
from mooring.model.integrity import mistakes
from mooring.model.pinned import Pinned
from mooring.model.project import AppProject
from mooring.revision import is_commit, shortened
from mooring.settings import Settings
from workers import checkout
from workers.confine.run import Bounds, ToolLost
from workers.confine.scratch import scratch
from workers.engine import Engine
from workers.git.mirror import Mirror
from workers.origin import GitOrigin, Origin
from workers.signatures import gpg, ssh
from workers.signatures.keys import Keys
from workers.signatures.signed import Signed, of_commit, of_tag

_TOOLS: Final = {"gpg": "gpgv", "ssh": "ssh-keygen"}
_TRUSTED_S: Final = 3600  # keys and signatures expire
_SECONDS: Final = 20.0
_MEMORY: Final = 256 << 20
_PRINTED: Final = 1 << 20
_MOST_REMEMBERED: Final = 4096

Judge = Callable[[Signed], str]
_remembered: dict[bytes, str] = {}


def check(
    engine: Engine, project: AppProject, pinned: Pinned, origins: Sequence[Origin], named: Sequence[str]
) -> None:
    """Raises Refused unless each of the sources is signed by one of those whom the project wants for it;
    Retryable kinds where that cannot be told now. `named` are the revisions by which the sources are where
    `pinned` has them."""
    for path, wrong in mistakes(project.spec.signature_keys, project.spec.source_integrity):
        raise Refused(
            f"AppProject {project.metadata.name}: spec.{path}: {wrong}", condition="InvalidSpecError"
        )
    for number, (source, revision) in enumerate(zip(pinned.sources, pinned.revisions, strict=True)):
        origin, own = origins[number], source.target_revision
        wanted = project.signers(source.repo_url)
        if wanted is None or not isinstance(origin, GitOrigin):  # what else must be signed is refused before
            continue
        keys, hour = engine.applications.signing_keys(), int(engine.clock() // _TRUSTED_S)
        judge = partial(_why_not, keys=keys, wanted=wanted, settings=engine.settings, hour=hour)
        with checkout.patiently(engine.git_patience_s, engine.settings):
            patience = engine.git_patience_s
            why = why_not_signed(origin.mirror, revision, named[number] or own, own, judge, patience)
        if why:
            where = f"sources[{number}]: " if pinned.several else ""
            raise Refused(
                f"{where}{shortened(revision)} {why}; project {project.metadata.name} deploys only what is "
                f"signed by one of its {_rule(project)}",
                condition="ComparisonError",
            )


def _rule(project: AppProject) -> str:
    return "spec.signatureKeys" if project.spec.signature_keys else "spec.sourceIntegrity"


def why_not_signed(mirror: Mirror, commit: str, named: str, own: str, judge: Judge, patience_s: float) -> str:
    """Why the commit does not count as signed; "" where it does. `named` is the revision by which it was
    found; where that is its id, a tag that is the source's `own` revision speaks for it, too."""
    if is_commit(named):
        why = _of_commit(mirror, commit, judge)
        tag = mirror.tag_of(own, commit, patience_s) if why else ""
        return _of_tag(mirror, tag, own, judge) if tag else why
    why = ""
    for anew in (False, True):  # a tag that was not signed may have been replaced by one that is
        tag = mirror.tag_of(named, commit, patience_s, anew=anew)
        why = _of_tag(mirror, tag, named, judge) if tag else _of_commit(mirror, commit, judge)
        if not why:
            break
    return why


def _of_commit(mirror: Mirror, commit: str, judge: Judge) -> str:
    try:
        return judge(of_commit(mirror.tree.object(commit)[1]))
    except ValueError as error:
        return f"cannot be judged: {error}"


def _of_tag(mirror: Mirror, id_: str, revision: str, judge: Judge) -> str:
    try:
        tag = of_tag(mirror.tree.object(id_)[1])
    except ValueError as error:
        return f"cannot be judged: {error}"
    return f"by tag {tag.name}: {why}" if (why := judge(tag.signed)) else ""


def _why_not(signed: Signed, keys: Keys, wanted: frozenset[str], settings: Settings, hour: int) -> str:
    """Why it is not signed by one of the `wanted` keys; "" where it is. Remembered for the `hour`.

    Raises as `_asked`.
    """
    # By its digest: who can push has commits of a MiB, and the keys are read anew all the time.
    told = (signed.payload, signed.signature, keys.digest, sorted(wanted), settings.render_unconfined, hour)
    about = hashlib.sha256(repr(told).encode()).digest()
    why = _remembered.get(about)
    if why is None:
        why = _asked(signed, keys, wanted, settings)
        if len(_remembered) >= _MOST_REMEMBERED:
            _remembered.clear()
        _remembered[about] = why
    return why


def _asked(signed: Signed, keys: Keys, wanted: frozenset[str], settings: Settings) -> str:
    """The same, by a tool that is asked now.

    Raises Refused where this machine cannot tell, Retryable where it may later.
    """
    by = signed.by
    if not by:
        return "is not signed"
    if by not in _TOOLS:
        return f"is signed by {by}, which is neither GPG nor SSH"
    tool = shutil.which(_TOOLS[by])
    if tool is None:
        raise Refused(
            f"{_TOOLS[by]} is not on PATH, so signatures cannot be checked: install it where the workers run",
            condition="ComparisonError",
        )
    bounds = Bounds(
        seconds=_SECONDS,
        memory_bytes=_MEMORY,
        output_bytes=_PRINTED,
        processes=4,
        unconfined=settings.render_unconfined,
    )
    ask = gpg.why_not if by == "gpg" else ssh.why_not
    try:
        with scratch(settings.state_directory()) as directory:
            why = ask(signed, keys, wanted, Path(tool).resolve(), directory, bounds)
    except ToolLost as error:
        raise Retryable(f"signatures could not be checked: {error}") from error
    except RenderFailed as error:
        raise Refused(f"signatures could not be checked: {error}", condition="ComparisonError") from error
    return f"is not trusted: {why}" if why else ""

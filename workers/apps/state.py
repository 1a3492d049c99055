"""What we must remember of an app and Argo CD's schema cannot hold: the annotation `mooring.dev/state`.

Anybody who may edit the Application may write anything into it. So it can only cost us work: garbage
reads as "nothing remembered", and nothing in here permits anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from mooring.model.annotations import annotation
from mooring.model.application import Application
from mooring.model.pinned import Pinned
from mooring.names import ARGO, DELETION_APPROVED, OURS
from workers.digest import digest

APPROVALS: Final = (DELETION_APPROVED, DELETION_APPROVED.replace(ARGO, OURS))
_SKIP: Final = (f"{ARGO}/skip-reconcile", f"{OURS}/skip-reconcile")
_OWN: Final = (
    *("claim", "inputs", "commit", "spec", "tried", "failed", "bundle", "again"),
    *("deployed", "stands", "seen", "bad"),
    *("leaving", "hooks"),
)
LONGEST: Final = 64 * 1024  # characters; all annotations of an object together may have 256 KiB


@dataclass(frozen=True, slots=True)
class State:
    """`claim` is the id of the newest claim. `inputs` is the digest of what the last successful render
    read, `commit` the newest one at which that is still so, `spec` the digest of what the app
    and its project asked for when it was last looked at: an edit of either is seen by it (generation counts
    status writes too). `tried` is the digest of what was last synced, or begun to be: only other content is
    new, and what differs without it is drift. `failed` is the same, where that failed for good: it is not
    tried again by itself, whichever commit has it. `bundle` is the digest of the content that was deployed,
    where its render cannot be made again (workers/bundles.py), `again` that of the one that was rendered
    twice, with what came of it. `deployed` is the digest of what was given for the last sync that was begun
    (workers/rollback.py), `stands` that of the last that succeeded, `seen` that of what Git had when last
    looked at, `bad` are those that somebody rolled back from, with spaces between them. `leaving` are the
    objects that its deletion waits for to be gone, `hooks` those that are to end or to be gone: keys, with
    spaces between them. `others` are fields of other versions of Mooring: they are kept."""

    claim: str = ""
    inputs: str = ""
    commit: str = ""
    spec: str = ""
    tried: str = ""
    failed: str = ""
    bundle: str = ""
    again: str = ""
    deployed: str = ""
    stands: str = ""
    seen: str = ""
    bad: str = ""
    leaving: str = ""
    hooks: str = ""
    others: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_reproducible(self) -> bool:
        """Whether another render of what was deployed is certain to be the same."""
        return self.again == said_again(self.bundle, same=True)

    def to_json(self) -> str:
        """The annotation's value; "" when there is nothing to remember."""
        own = {name: getattr(self, name) for name in _OWN}
        fields = {**self.others, **{name: text for name, text in own.items() if text}}
        return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS).decode() if fields else ""

    @classmethod
    def from_json(cls, text: object) -> State:
        """Inverse of `to_json`. Never raises: a field that makes no sense is as if it were not there."""
        if not isinstance(text, str) or len(text) > LONGEST:
            return cls()
        try:
            fields = orjson.loads(text)
        except orjson.JSONDecodeError:
            return cls()
        if not isinstance(fields, dict):
            return cls()
        own = {name: fields.pop(name, "") for name in _OWN}
        return cls(
            **{name: text if isinstance(text, str) else "" for name, text in own.items()}, others=fields
        )


def spec_digest(app: Application, project: Any, customized: str = "") -> str:
    """What `State.spec` holds once this spec was looked at; 32 hexadecimal digits.

    `project` is the project's spec, JSON-ready, or why there is none: what it permits decides as much as
    the app's own words. So does what argocd-cm says of kinds, of which `customized` is the digest. An
    approval of deletions, and the app's own, are edits, too: somebody waits for them to be looked at. So it
    is once the app is no longer to be skipped.
    """
    annotations = app.metadata.annotations
    approval = [text for name in (*APPROVALS, *_SKIP) if (text := annotations.get(name))]
    deleted = app.metadata.deletion_timestamp
    going = [deleted, *app.metadata.finalizers] if deleted else []
    needs = [text] if (text := annotation(annotations, "depends-on")) else []
    return digest(
        [app.spec.to_dict(), project, *approval, *going, *needs, *([customized] if customized else [])]
    )


def content_digest(app: Application, pinned: Pinned, inputs: str) -> str:
    """The digest of what `inputs` of these sources are, synced to where `app` wants them; 32 hexadecimal
    digits."""
    sources = [source.to_dict() for source in pinned.sources]
    return digest([inputs, sources if pinned.several else sources[0], app.spec.destination.to_dict()])


def said_again(content: str, *, same: bool) -> str:
    """What `State.again` holds of `content`, which was rendered twice."""
    return f"{content} {'same' if same else 'differs'}"


def attempt_digest(content: str, user: str) -> str:
    """What `State.tried` and `State.failed` hold of that content, synced in the name of `user` ("": Mooring's
    own): what one may not write, another may."""
    return digest([content, user]) if user else content

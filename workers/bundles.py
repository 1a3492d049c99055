"""Keeps what was deployed of a render that may give something else the next time: passwords that are drawn,
certificates that are made. To correct drift, the very same is written again, never a new one.

It lies in Secrets of Mooring's namespace, sealed, in parts as large as a Secret may be. It is written before
the first of its objects is, under names of its own, so that what is deployed is never without.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mooring.errors import MooringError
from mooring.keys import AppKey, ClusterRef
from mooring.names import OURS
from workers.applyset.parent import TOOL
from workers.apps.state import State
from workers.cluster.api import Api
from workers.cluster.live import Live
from workers.installation import SECRET, Installation
from workers.render.kept import manifests_from_json, manifests_to_json, packed, unpacked
from workers.render.source import Drawn
from workers.sealed import Seal

PREFIX: Final = f"{TOOL}-render-"  # of their names; the installation's id follows
# Labels: whose it is, what it was rendered of, and which parts belong together.
_APP: Final = f"{OURS}/render-of"
_CONTENT: Final = f"{OURS}/render"
_BUNDLE: Final = f"{OURS}/bundle"
_PART: Final = f"{OURS}/part"  # an annotation: "0/3"
_NAMED: Final = f"{OURS}/app"  # another: whose it is, as people and `let_go` read it
_FOR: Final = f"{OURS}/cluster"  # one more: the URL of the cluster where it is deployed, unless that is home
_LARGEST: Final = 900 << 10  # a Secret holds 1 MiB, with its names


@dataclass(frozen=True, slots=True)
class Bundles:
    """Of all apps of one installation, in its home `namespace`.

    `content` is a digest of what was rendered: all that the render read, and where to. Every method may
    raise ClusterUnavailable and ClusterRefused.
    """

    api: Api
    namespace: str
    installation: Installation

    def parts(self, app: AppKey) -> Sequence[Live]:
        """The Secrets with all that is kept of the app: it can be asked for before anybody knows of what."""
        return self.api.list(SECRET, self.namespace, f"{_APP}={_whose(app)}")

    def open(self, app: AppKey, content: str, parts: Sequence[Live]) -> Drawn | None:
        """What is kept of `content` among `parts`. None when nothing is, a part is missing, or it was sealed
        by another installation, or for another app."""
        bundles: dict[str, list[Live]] = {}
        for live in parts:
            if live.labels.get(_CONTENT) == content:
                bundles.setdefault(live.labels.get(_BUNDLE, ""), []).append(live)
        for bundle, parts in sorted(bundles.items()):
            data = self._seal().open(f"{app} {content} {bundle}", _joined(parts))
            try:
                if data is not None:
                    kept = unpacked(data)
                    return {key: manifests_from_json(manifests) for key, manifests in kept.items()}
            except (AttributeError, TypeError, ValueError):
                continue
        return None

    def drawn(self, app: AppKey, content: str, state: State, parts: Sequence[Live]) -> Drawn:
        """What is kept of `content`, else of what was deployed before."""
        kept = self.open(app, content, parts)
        return self.before(app, state, parts) if kept is None else kept

    def before(self, app: AppKey, state: State, parts: Sequence[Live]) -> Drawn:
        """What is kept among `parts` of what was deployed before, of whichever sources: what is given for one
        of them may be the same still, and only the cluster's kinds, a tool or another source have changed.
        Nothing where that can be rendered again."""
        return {} if state.is_reproducible else self.open(app, state.bundle, parts) or {}

    def write(self, app: AppKey, content: str, drawn: Drawn, cluster: ClusterRef | None = None) -> None:
        """Keeps `drawn` as what was rendered of `content`, to be deployed to `cluster`: home unless given."""
        away = cluster if cluster is not None and cluster != self.api.cluster else None
        bundle = secrets.token_hex(5)
        kept = {key: manifests_to_json(manifests) for key, manifests in drawn.items()}
        sealed = self._seal().seal(f"{app} {content} {bundle}", packed(kept))
        parts = [sealed[start : start + _LARGEST] for start in range(0, len(sealed), _LARGEST)]
        for number, part in enumerate(parts):
            body = self._secret(app, content, bundle, f"{number}/{len(parts)}", part)
            if away is not None:
                body["metadata"]["annotations"][_FOR] = away
            self.api.create(SECRET, body)

    def keep_only(self, app: AppKey, content: str) -> None:
        """Lets go of whatever is kept of other contents of the app; of all for "". What cannot be let go
        of now stays, and is in nobody's way."""
        for live in self.api.list(SECRET, self.namespace, f"{_APP}={_whose(app)}", metadata_only=True):
            if live.key.name.startswith(PREFIX) and live.labels.get(_CONTENT) != content:
                self._delete(live)

    def let_go(self, gone: Callable[[AppKey, ClusterRef], bool]) -> None:
        """Lets go of all that is kept of apps that are `gone` from a cluster: asked once for the two, and
        after it is known what is kept: an app that came since has nothing among that."""
        answers: dict[tuple[AppKey, ClusterRef], bool] = {}
        for live in self.api.list(SECRET, self.namespace, _APP, metadata_only=True):
            app = self._app(live)
            if app is None:
                continue
            of = app, ClusterRef(live.annotations.get(_FOR, self.api.cluster))
            if of not in answers:
                answers[of] = gone(*of)
            if answers[of]:
                self._delete(live)

    def _app(self, live: Live) -> AppKey | None:
        """Whose it is, None when it is not certainly of this installation."""
        namespace, _, name = live.annotations.get(_NAMED, "").partition("/")
        app = AppKey(namespace, name)
        return app if live.key.name.startswith(f"{PREFIX}{self.installation.id}-{_whose(app)}-") else None

    def _delete(self, live: Live) -> None:
        with contextlib.suppress(MooringError):
            self.api.delete(SECRET, live, "background")

    def _seal(self) -> Seal:
        return Seal(self.installation.key, "pinned renders")

    def _secret(self, app: AppKey, content: str, bundle: str, part: str, data: bytes) -> dict[str, Any]:
        number = part.partition("/")[0]
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": f"{PREFIX}{self.installation.id}-{_whose(app)}-{bundle}-{number}",
                "namespace": self.namespace,
                "labels": {
                    "app.kubernetes.io/part-of": TOOL,
                    _APP: _whose(app),
                    _CONTENT: content,
                    _BUNDLE: bundle,
                },
                "annotations": {_NAMED: f"{app.namespace}/{app.name}", _PART: part},
            },
            "type": "Opaque",
            "immutable": True,
            "data": {"sealed": base64.b64encode(data).decode()},
        }


def _joined(parts: Sequence[Live]) -> bytes:
    """The parts in their order; something that nobody can open where one is missing."""
    found: dict[str, bytes] = {}
    for live in parts:
        try:
            data = base64.b64decode(((live.body or {}).get("data") or {})["sealed"], validate=True)
        except (KeyError, ValueError):
            continue
        found[live.annotations.get(_PART, "")] = data
    return b"".join(found.get(f"{number}/{len(parts)}", b"") for number in range(len(parts)))


def _whose(app: AppKey) -> str:
    return hashlib.sha256(str(app).encode()).hexdigest()[:20]

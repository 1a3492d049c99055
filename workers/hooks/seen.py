"""The hooks of an app as Git wants them, with what the cluster has of them and of those that ran before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mooring.keys import ObjectKey
from mooring.model.application import Application
from mooring.model.status import ResourceResult
from workers.applyset.parent import Parent
from workers.cluster.kinds import Kind
from workers.cluster.live import Live
from workers.desired import Stamp
from workers.engine import Engine
from workers.health import Judge
from workers.hooks.judge import why_not_our_hook
from workers.hooks.left import Left, left
from workers.hooks.results import RunId, hook_results
from workers.hooks.wanted import WantedHook


@dataclass(frozen=True, slots=True)
class Hooks:
    """`wanted` are those of Git, `before` is what is written down about those of the app's last operation,
    `lives` what was looked for of both (None: not there), `others` what all others have left."""

    wanted: tuple[WantedHook, ...]
    before: Mapping[RunId, ResourceResult]
    lives: Mapping[ObjectKey, Live | None]
    by: Stamp
    judge: Judge
    others: Left = field(default_factory=Left)

    @property
    def shown(self) -> tuple[Live, ...]:
        """The objects that hooks of this app have left, for people to see."""
        found = (live for live in self.lives.values() if live is not None)
        return (*(live for live in found if not why_not_our_hook(live, self.by)), *self.others.lives)

    @property
    def strays(self) -> tuple[Live, ...]:
        """Those that nothing is written down about, and that are kept until it was seen how they end."""
        known = {one.key for one in self.before.values()}
        return tuple(live for live in Left(self.shown).held if live.key not in known)


def see(
    engine: Engine,
    app: Application,
    wanted: tuple[WantedHook, ...] = (),
    parent: Parent | None = None,
    judge: Judge | None = None,
) -> Hooks:
    """Look at the objects of the hooks `wanted`, and of those of the app's last operation; with its `parent`,
    at what all of its hooks have left. `judge` tells their health (None: as it does now).

    Raises ClusterUnavailable or ClusterRefused when any request for the first two fails, Refused as
    `Judges.now` does.
    """
    by = Stamp(engine.installation.id, app.key, parent.applyset if parent is not None else "")
    hooks = parent.inventory.hooks if parent is not None else ()
    judge = judge or engine.judges.now()
    all_others = left(engine.api, engine.executor, by, hooks, judge, cached=True)
    before = hook_results(app.status.operation_state)
    kinds: dict[ObjectKey, Kind | None] = {
        hook.key: hook.kind if hook.served else None for hook in wanted if not hook.generates
    }
    for one in before.values():
        if one.key not in kinds:
            kinds[one.key] = engine.api.discovery.find(one.api_version, one.kind)

    def read(key: ObjectKey) -> Live | None:
        kind = kinds[key]
        return engine.api.get(kind, key.namespace, key.name) if kind is not None else None

    lives = dict(zip(kinds, engine.executor.map(read, kinds), strict=True))
    found = all_others()
    stay = parent.inventory.entries if parent is not None else {}
    others = tuple(live for live in found.lives if live.key not in lives and live.key not in stay)
    return Hooks(wanted, before, lives, by, judge, Left(others, found.unseen))

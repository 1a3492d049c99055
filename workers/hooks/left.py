"""What hooks have left: the objects of an app's hooks that are still there, of whichever operation.

A status tells of one operation's hooks alone, and Git has nothing of what they were called before. So each
hook carries a label that says whose it is, and the inventory remembers where hooks have been: where that was
written before the first of them was created, a list by that label misses none. What it finds is one of ours
only if its identity says so, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from mooring.errors import MooringError
from mooring.keys import AppKey
from mooring.model.sync_options import Consent, sync_options
from mooring.names import HOOK_OF
from workers.applyset.inventory import Place
from workers.cluster.api import Api
from workers.cluster.live import Live
from workers.desired import CRD, Stamp
from workers.health import BUILT_IN, HOOK_FINALIZER, Judge
from workers.hooks.judge import why_not_our_hook
from workers.observe import defined
from workers.records import why_not_deleted


@dataclass(frozen=True, slots=True)
class Left:
    """`lives` are the objects, without a body where their kind has no health. `unseen` says why nobody knows
    what there is at some places."""

    lives: tuple[Live, ...] = ()
    unseen: tuple[str, ...] = ()

    @property
    def held(self) -> tuple[Live, ...]:
        """Those that are kept until somebody has seen how they end."""
        return tuple(live for live in self.lives if HOOK_FINALIZER in live.finalizers)


def left(
    api: Api,
    executor: Executor,
    by: Stamp,
    places: Iterable[Place],
    judge: Judge = BUILT_IN,
    *,
    cached: bool = False,
) -> Callable[[], Left]:
    """Begin to look for what hooks of the app have left at `places`, whole where `judge` judges them; what is
    returned waits for it. `cached`: as the API server has seen it lately, for who only shows it. Neither
    raises for the cluster: see `Left.unseen`."""
    selector = f"{HOOK_OF}={by.applyset}"

    def listed(place: Place) -> tuple[Live, ...] | str:
        name = place.group, place.kind
        try:
            kind = api.discovery.preferred(*name)
            if kind is None:
                gone = cached or name not in defined(api)  # with its definition its objects are
                return () if gone else f"the cluster does not serve {place.group}/{place.kind} now"
            small = not judge.judges(*name)
            return api.list(kind, place.namespace, selector, metadata_only=small, cached=cached)
        except MooringError as error:
            return f"{place.kind} in namespace {place.namespace or '(none)'}: {error}"

    listing = [executor.submit(listed, place) for place in sorted(places)]

    def all_of_it() -> Left:
        lives: list[Live] = []
        unseen: list[str] = []
        for one in listing:
            found = one.result()
            if isinstance(found, str):
                unseen.append(found)
            else:
                lives += [live for live in found if not why_not_our_hook(live, by)]
        return Left(tuple(lives), tuple(unseen))

    return all_of_it


def why_it_stays(
    live: Live, app: AppKey, installation: str, options: Sequence[str], why_not: Callable[[Live], str]
) -> str:
    """Why `live`, which a hook of `app` has left, stays when the app is deleted with what it has; "" where it
    goes. As what is no hook does (workers/deletion.py). `options` are the app's sync options, `why_not(live)`
    which rule of its project keeps it from touching the object. Pure."""
    if why := why_not_deleted(live.key, live, app.namespace, installation):
        return why
    if sync_options(options, live.annotations).delete is Consent.NO:
        return "its sync option Delete=false, or helm.sh/resource-policy: keep, keeps it"
    if (live.key.group, live.key.kind) == CRD:
        return "all objects of its kind would go with it: delete it by hand if you mean it"
    return why_not(live)

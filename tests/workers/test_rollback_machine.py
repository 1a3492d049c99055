"""Whatever people do, in whatever order: what was rolled back from, or has failed for good, is not deployed
by itself again, and all else that Git has is.

The engine is the real one, on a real API server, Redis and Git host (tests/workers/skiff.py). Beside it
stands what the docs say of it, written again in a few lines that know nothing of what the engine remembers.
Each run tells the same stories; with EXAMPLES=500 in the environment, it tells that many others, and shrinks
what fails.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from devcluster.gitserver import GitServer
from mooring.model.status import OperationState, RevisionHistory, SyncResult
from mooring.names import REFRESH
from mooring.settings import Settings
from tests.workers.skiff import Skiff
from workers import pipeline
from workers.rollback import ROLLED_BACK

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("argo_kinds")]

NOWHERE = "f" * 40  # no commit
OPTIONS = ["PrunePropagationPolicy=background"]  # what is pruned is gone at once


@dataclass(frozen=True, slots=True)
class Content:
    """What a commit has in the app's directory."""

    a: str = "1"
    frozen: str = ""  # what an object says that cannot be changed, only deleted and made anew
    refused: bool = False  # with an object that the API server refuses
    remark: str = ""  # is read, and makes no difference

    def files(self) -> dict[str, str | None]:
        return {
            "shop/a.yaml": f"# {self.remark}\n{_manifest('a', self.a)}",
            "shop/extra.yaml": _manifest("extra", "1"),
            "shop/frozen.yaml": _manifest("frozen", self.frozen, immutable=True) if self.frozen else None,
            "shop/refused.yaml": _manifest("refused", "1", key="no/key") if self.refused else None,
        }


def _manifest(name: str, v: str, key: str = "v", **more: Any) -> str:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {key: v}, **more}
    return json.dumps(body, indent=1) + "\n"


@dataclass(frozen=True, slots=True)
class Given:
    """All that a render is given."""

    content: Content
    exclude: str

    def objects(self) -> dict[str, str]:
        found = {"a": self.content.a, "extra": "1", "frozen": self.content.frozen}
        return {name: v for name, v in found.items() if v and self.exclude != f"{name}.yaml"}

    def stands(self, there: dict[str, str]) -> bool:
        """Whether nothing need be written."""
        return self.objects() == there and not self.content.refused

    def fails(self, there: dict[str, str]) -> bool:
        """Whether the API server refuses to make this of what is `there`."""
        frozen = self.objects().get("frozen")
        return self.content.refused or bool(frozen and there.get("frozen", frozen) != frozen)


CONTENTS = st.builds(
    Content,
    a=st.sampled_from("123"),
    frozen=st.sampled_from(["", "", "x", "y"]),
    refused=st.sampled_from([False, False, False, True]),
    remark=st.sampled_from(["", "", "", "said otherwise"]),
)
EXCLUDES = st.sampled_from(["", "extra.yaml", "nothing.yaml"])


class Rollbacks(RuleBasedStateMachine):
    """One app of a monorepo, and everybody who has to do with it."""

    skiff: Skiff
    git: GitServer
    content: Content  # what Git has

    # --- the beginning ----------------------------------------------------------------------------
    @initialize(
        content=CONTENTS,
        auto=st.sampled_from([True, True, False]),
        limit=st.sampled_from([0, 1, 3]),
        retries=st.booleans(),
    )
    def create(self, content: Content, auto: bool, limit: int, retries: bool) -> None:
        self.repo = self.git.create(f"repo-{secrets.token_hex(5)}")
        self.namespace = f"test-{secrets.token_hex(5)}"
        self.app = f"shop-{secrets.token_hex(5)}"
        self.skiff.create_namespace(self.namespace)
        # What is so in Git and in the spec …
        self.contents: dict[str, Content] = {}  # by commit
        self.exclude, self.auto, self.limit = "", auto, limit
        self._commit(content)
        # … and what must therefore be so of the app.
        self.there: dict[str, str] = {}  # in the cluster
        self.left = set[Given]()  # what somebody rolled back from
        self.stands: Given | None = None  # what has made what is there
        self.tried: Given | None = None
        self.failed = False  # the last try, for good
        self.history: list[Given] = []
        self.operations = 0
        self.phase = ""  # how the last one has ended …
        self.noted: Given | None = None  # … and what it was about
        self.seen: tuple[int, OperationState | None] = (0, None)
        retry = {"retry": {"limit": 1, "backoff": {"duration": "5s"}}} if retries else {}
        self.skiff.create_app(
            self.app,
            {
                "source": {"repoURL": self.repo.url, "path": "shop", "targetRevision": "main"},
                "destination": {"server": "https://kubernetes.default.svc", "namespace": self.namespace},
                "syncPolicy": {**retry, "syncOptions": OPTIONS, **self._automated()},
                "revisionHistoryLimit": limit,
            },
        )
        self.skiff.settle()
        self._looked()

    def teardown(self) -> None:
        if hasattr(self, "namespace"):
            self.skiff.delete_app(self.app)
            self.skiff.settle()
            self.skiff.delete_namespace(self.namespace)

    def _automated(self) -> dict[str, Any]:
        return {"automated": {"prune": True, "selfHeal": True} if self.auto else None}

    # --- what happens -----------------------------------------------------------------------------
    @rule(content=CONTENTS)
    def push(self, content: Content) -> None:
        self._commit(content)
        self._told()
        self.skiff.settle()
        self._looked()

    @rule(contents=st.lists(CONTENTS, min_size=2, max_size=3))
    def pushes_in_quick_succession(self, contents: list[Content]) -> None:
        """The last of them wins, whether one before it failed, or waits for its next try."""
        for content in contents:
            self._commit(content)
            self._told()
            self.skiff.work()
            self._looked()
        self.skiff.settle()

    @rule(number=st.integers(0, 9))
    def revert(self, number: int) -> None:
        """Git has again what it had before."""
        earlier = [*self.contents.values()]
        self.push(earlier[number % len(earlier)])

    @rule()
    def push_something_else(self) -> None:
        """A commit of the monorepo that changes nothing for the app. Nobody need look at it for that."""
        self.contents[self.repo.commit({"bank/a.yaml": secrets.token_hex(4)})] = self.content
        self._told()
        self.skiff.settle()
        sync = self.skiff.app(self.app).status.sync
        assert sync is not None
        assert sync.revision == self.head

    @rule(number=st.integers(0, 2))
    def roll_back(self, number: int) -> None:
        """To an entry of the history, as `argocd app rollback` does."""
        history = self.skiff.app(self.app).status.history
        if not history:
            return
        entry = history[number % len(history)]
        assert entry.source is not None
        self._operate(self._given(entry), entry.revision, source=entry.source.to_dict())

    @rule(number=st.integers(0, 9))
    def sync_to_a_revision(self, number: int) -> None:
        revision = [*self.contents][-1 - number % len(self.contents)]
        self._operate(Given(self.contents[revision], self.exclude), revision)

    @rule()
    def sync_to_what_git_has(self) -> None:
        self._operate(self.wanted, "")

    @rule(content=CONTENTS, number=st.integers(0, 2))
    def roll_back_while_somebody_pushes(self, content: Content, number: int) -> None:
        """What he could not know of when he rolled back is newer, and wins."""
        before = self.content
        self._commit(content)
        found, self.content = self.content, before
        self.roll_back(number)
        self.content = found
        self._told()
        self.skiff.settle()
        self._looked()

    @rule()
    def sync_to_a_revision_that_is_nowhere(self) -> None:
        self.skiff.patch_app(self.app, {"operation": {"sync": {"revision": NOWHERE}}})
        self.skiff.settle()
        self._ended("Error", None)

    @rule(number=st.integers(0, 9))
    def try_a_revision(self, number: int) -> None:
        """A dry run says what would be, and changes nothing, nor what is deployed by itself after it."""
        revision = [*self.contents][-1 - number % len(self.contents)]
        what = Given(self.contents[revision], self.exclude)
        self._patch_operation({"revision": revision, "dryRun": True, "prune": True})
        self._ended("Failed" if what.fails(self.there) else "Succeeded", what)

    @rule(exclude=EXCLUDES)
    def change_a_parameter(self, exclude: str) -> None:
        self.exclude = exclude
        self.skiff.patch_app(
            self.app, {"spec": {"source": {"directory": {"exclude": exclude} if exclude else None}}}
        )
        self.skiff.settle()
        self._looked()

    @rule()
    def turn_automation_on_or_off(self) -> None:
        self.auto = not self.auto
        self.skiff.patch_app(self.app, {"spec": {"syncPolicy": self._automated()}})
        self.skiff.settle()
        self._looked()

    @rule(how=st.sampled_from(["normal", "hard"]))
    def refresh(self, how: str) -> None:
        self.skiff.patch_app(self.app, {"metadata": {"annotations": {REFRESH: how}}})
        self.skiff.settle()
        self._looked()

    @rule()
    def start_anew(self) -> None:
        """All that has to be remembered is on the Application."""
        self.skiff.start_anew()
        pipeline.reconcile(self.skiff.engine, "", "reconcile")
        self.skiff.settle()
        self._looked()

    @precondition(lambda self: self.auto and "a" in self.there)
    @rule()
    def drift(self) -> None:
        self.skiff.drift(self.namespace, "a", "drifted")
        self.there["a"] = "drifted"
        pipeline.reconcile(self.skiff.engine, "", "reconcile")
        self.skiff.settle()
        self._looked()

    # --- what must be so --------------------------------------------------------------------------
    @property
    def wanted(self) -> Given:
        """What Git has."""
        return Given(self.content, self.exclude)

    @property
    def head(self) -> str:
        return [*self.contents][-1]

    def _commit(self, content: Content) -> None:
        self.content = content
        self.contents[self.repo.commit(content.files())] = content

    def _told(self) -> None:
        pipeline.push(self.skiff.engine, self.repo.url, "main")

    def _given(self, told: RevisionHistory | SyncResult) -> Given:
        assert told.source is not None
        exclude = told.source.directory.exclude if told.source.directory else ""
        return Given(self.contents[told.revision], exclude)

    def _operate(self, what: Given, revision: str, **sync: Any) -> None:
        """Somebody has `what` synced, which may be to go back; after that the app is looked at again."""
        before = [entry.revision for entry in self.skiff.app(self.app).status.history]
        if what != self.wanted and (self.auto or revision in before):
            self.left |= {one for one in (self.stands, self.tried, self.wanted) if one is not None}
        self.left.discard(what)
        self._try(what)
        named = {"revision": revision} if revision else {}
        self._patch_operation({**named, **sync, "prune": True, "syncOptions": OPTIONS})
        self._looked()

    def _patch_operation(self, sync: Any) -> None:
        self.skiff.patch_app(self.app, {"operation": {"sync": sync}})
        self.skiff.settle()

    def _looked(self) -> None:
        """What the app does by itself once somebody has looked at it."""
        if not self.auto:
            return
        target = self._rolled_back_to() if self.wanted in self.left else self.wanted
        if target is None or (target == self.tried and (self.failed or target.stands(self.there))):
            return
        if target.stands(self.there):
            self.tried, self.stands, self.failed = target, target, False  # nothing need be written
        elif target == self.tried:
            self.there = target.objects()  # healed
            self._ended("Succeeded", target)
        else:
            self._try(target)

    def _rolled_back_to(self) -> Given | None:
        """What the app is to stay at, or was to be brought to in vain; None where nobody has noted it."""
        there = self.tried if self.stands is None or self.stands in self.left else self.stands
        return there if there in (*self.history[-1:], self.noted) else None

    def _try(self, what: Given) -> None:
        self.tried, self.failed = what, what.fails(self.there)
        if not self.failed:
            self.there, self.stands = what.objects(), what
            self.history = [*self.history, what][-self.limit :] if self.limit else []
        self._ended("Failed" if self.failed else "Succeeded", what)

    def _ended(self, phase: str, what: Given | None) -> None:
        self.operations += 1
        self.phase, self.noted = phase, what

    # --- and is -----------------------------------------------------------------------------------
    @invariant()
    def the_cluster_has_what_was_deployed_last(self) -> None:
        assert self.skiff.config_maps(self.namespace) == self.there

    @invariant()
    def nothing_else_was_tried(self) -> None:
        state = self.skiff.app(self.app).status.operation_state
        operations, before = self.seen
        self.seen = self.operations, state
        if operations == self.operations:
            assert state == before, "nothing was to be tried"
            return
        assert state is not None
        assert before is None or state.started_at != before.started_at, "it was to be tried"
        assert state.phase == self.phase, state.message
        if self.noted is not None:
            assert state.sync_result is not None
            assert self._given(state.sync_result) == self.noted

    @invariant()
    def the_history_is_of_what_was_deployed(self) -> None:
        assert [self._given(entry) for entry in self.skiff.app(self.app).status.history] == self.history

    @invariant()
    def the_app_says_how_it_is(self) -> None:
        status = self.skiff.app(self.app).status
        goes = any(condition.type == ROLLED_BACK for condition in status.conditions)
        assert goes == (self.auto and self.wanted in self.left)
        if self.auto:
            assert status.sync is not None
            assert self.contents[status.sync.revision] == self.content, "or one that changes nothing for it"
            apart = goes and self._rolled_back_to() is not None
            synced = self.wanted.stands(self.there) and not apart
            assert (status.sync.status == "Synced") == synced


def test_no_order_of_events_brings_back_what_was_left_or_has_failed_or_holds_up_what_is_new(
    skiff_settings: Settings, git_server: GitServer
) -> None:
    Rollbacks.skiff = Skiff(skiff_settings)
    Rollbacks.git = git_server
    more = int(os.environ.get("EXAMPLES", "0"))
    Rollbacks.TestCase.settings = settings(
        max_examples=more or 16,
        stateful_step_count=12,
        derandomize=not more,
        phases=[Phase.generate, Phase.shrink] if more else [Phase.generate],
        report_multiple_bugs=False,
    )
    Rollbacks.TestCase("runTest").runTest()

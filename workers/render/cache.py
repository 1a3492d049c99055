"""What renders gave, kept on this machine's disk: what was rendered once is not rendered again.

Two steps, as compiler caches have them. What is known beforehand (tool, options, capabilities) leads to the
paths that earlier renders of it have read; the ids that are there at this commit lead to what came out. So a
hit starts no tool and reads no file. Failures that cost as much as they may are kept too: such a source is
not tried again until something of it changes. One that a source brings about by itself, only slowly, is kept
for an hour: something on this machine may have been the reason after all.

Everything is sealed, for what a render gives may hold passwords. Any number of processes may share the
directory: a file appears whole or not at all, and one that cannot be read is as if it were not there.
"""

from __future__ import annotations

import logging
import os
import resource
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from mooring.errors import MooringError, RenderExceeded, RenderFailed, TooSlow
from workers.confine.run import NotConfined, ToolFailed, ToolLost
from workers.metrics import RENDERS
from workers.render.files import Files
from workers.render.kept import manifests_from_json, manifests_to_json, packed, unpacked
from workers.render.patience import within
from workers.render.readset import without_implied
from workers.render.source import Job, Product, Renderer
from workers.render.watched import Watched
from workers.sealed import Seal

_log = logging.getLogger(__name__)
VERSION: Final = 3  # to be raised when what is kept has another form
# Far more than any tool has, far less than a task. Other hosts have less to answer in.
_LONGEST_S: Final = 240.0
_TOO_LONG: Final = f"not rendered within {_LONGEST_S:.0f} s: make the source smaller"
_SLOW_S: Final = 2.0  # what fails sooner costs little more than to look here
_FAILED_S: Final = 3600.0
_QUICK_S: Final = 1.5  # less than any patience: what is ended by it, has taken long
_CHEAP_S: Final = 0.3  # of processors: what takes more does so at everybody's expense
_SLOW_FOR_S: Final = 600.0  # until somebody in a hurry tries again, unless it is seen to be quick before
_SHAPES: Final = 8  # sets of paths that are remembered for one set of options
_SWEEP: Final = 32  # this share of the room is written until it is looked whether it is enough
_LEAVE: Final = 0.8
_LARGEST: Final = 4  # nothing may have more than this share of the room


@dataclass(frozen=True, slots=True)
class _Shape:
    """The paths that a render has read, in its own files and in those of `refs`, and what it fetched."""

    own: tuple[str, ...]
    refs: Mapping[str, tuple[str, ...]]
    remotes: tuple[str, ...]

    @classmethod
    def of(cls, job: Job, remotes: Mapping[str, str]) -> _Shape:
        return cls(
            _paths(job.files),
            {name: _paths(files) for name, files in sorted(job.refs.items())},
            tuple(sorted(remotes)),
        )

    @classmethod
    def from_json(cls, data: Any) -> _Shape:
        return cls(
            tuple(map(str, data["own"])),
            {name: tuple(map(str, paths)) for name, paths in data["refs"].items()},
            tuple(map(str, data["remotes"])),
        )


class Cache:
    """Products of renders below one directory, in about `most` bytes. Safe for threads."""

    def __init__(self, directory: Path, key: bytes, most: int) -> None:
        """`key` is the installation's. The directory is made when it is needed."""
        self._directory = directory
        self._seal = Seal(key, "renders")
        self._most = most
        self._written = most  # by this process since it looked: it looks at its first write

    def product(
        self, job: Job, kind: str, renderer: Renderer, *, anew: bool = False, hurried: bool = False
    ) -> Product:
        """What `renderer` makes of `job`, or has made of the very same. `anew` looks at nothing that is kept.

        Raises what `renderer.render` does, RenderExceeded also when the very same job has exceeded its
        bounds before, RenderFailed also when it has failed slowly within the last hour; TooSlow where others
        wait behind it (`hurried`), instead of beginning with what was slow a while ago, for this very app.
        """
        bounds = [asdict(job.parameters.limits), job.parameters.seconds]
        refs = sorted((name, files.tree.shaped_by) for name, files in job.refs.items())
        asked = [VERSION, kind, job.inputs(renderer.inputs(job)), bounds, refs]
        question = self._seal.name(["question", asked])
        shapes = self._shapes(question)
        for shape in () if anew else shapes:
            found = self._answer(question, shape, job)
            if found is not None:
                RENDERS.labels(kind, "kept").inc()
                if isinstance(found, RenderFailed):
                    raise found
                return found
        slow = self._seal.name(["slow", question, asdict(job.app), job.source.repo_url])
        known = self._load(slow)
        if hurried and isinstance(known, float) and time.time() < known:
            raise TooSlow("not rendered quickly a while ago: it goes on in the pool slow")
        RENDERS.labels(kind, "rendered").inc()
        watched, began, used = Watched(job.fetch), time.monotonic(), _processor_s()
        try:
            with within(_LONGEST_S, lambda: RenderExceeded(_TOO_LONG)):
                product = renderer.render(replace(job, fetch=watched))
        except RenderExceeded as error:
            self._keep(question, shapes, job, watched.remotes, {"exceeded": str(error)})
            raise
        except RenderFailed as error:
            if time.monotonic() - began > _SLOW_S and _by_itself(error):
                told = {"failed": str(error), "until": time.time() + _FAILED_S}
                self._keep(question, shapes, job, watched.remotes, told)
            raise
        finally:
            if time.monotonic() - began >= _QUICK_S or _processor_s() - used >= _CHEAP_S:
                self._save(slow, time.time() + _SLOW_FOR_S)
            elif known:
                self._save(slow, 0.0)
        answer = {
            "manifests": manifests_to_json(product.manifests),
            "warnings": product.warnings,
            "pure": product.pure,
            "takes": product.takes,
        }
        self._keep(question, shapes, job, product.remotes, answer)
        return product

    def _answer(self, question: str, shape: _Shape, job: Job) -> Product | RenderFailed | None:
        if shape.refs.keys() != job.refs.keys():
            return None
        try:
            own = job.files.ids(shape.own)
            refs = {name: job.refs[name].ids(paths) for name, paths in shape.refs.items()}
            remotes = {address: job.fetch.digest(address) for address in shape.remotes}
        except MooringError:
            return None  # whoever renders finds out, and says it better
        kept = self._load(self._answer_name(question, own, refs, remotes))
        if kept is None:
            return None
        try:
            found = _unkept(kept, remotes)
        except (KeyError, TypeError, ValueError):
            return None
        if found is not None:
            job.files.remember(own)
            for name, ids in refs.items():
                job.refs[name].remember(ids)
        return found

    def _answer_name(
        self,
        question: str,
        own: Mapping[str, str | None],
        refs: Mapping[str, Mapping[str, str | None]],
        remotes: Mapping[str, str],
    ) -> str:
        ids = [sorted(own.items()), sorted((name, sorted(ids.items())) for name, ids in refs.items())]
        return self._seal.name(["answer", question, ids, sorted(remotes.items())])

    def _keep(
        self,
        question: str,
        shapes: list[_Shape],
        job: Job,
        remotes: Mapping[str, str],
        answer: dict[str, Any],
    ) -> None:
        shape = _Shape.of(job, remotes)
        own = {path: job.files.reads[path] for path in shape.own}
        refs = {
            name: {path: job.refs[name].reads[path] for path in paths} for name, paths in shape.refs.items()
        }
        self._save(self._answer_name(question, own, refs, remotes), answer)
        if not shapes or shapes[0] != shape:
            newest = [shape, *(one for one in shapes if one != shape)][:_SHAPES]
            self._save(question, [asdict(one) for one in newest])

    def _shapes(self, question: str) -> list[_Shape]:
        try:
            return [_Shape.from_json(one) for one in self._load(question) or []]
        except (KeyError, TypeError, AttributeError):
            return []

    def _load(self, name: str) -> Any:
        file = self._file(name)
        try:
            sealed = file.read_bytes()
            os.utime(file)  # what is used stays
        except OSError:
            return None
        data = self._seal.open(name, sealed)
        try:
            return None if data is None else unpacked(data)
        except ValueError:
            return None

    def _save(self, name: str, value: Any) -> None:
        sealed = self._seal.seal(name, packed(value))
        if len(sealed) > self._most / _LARGEST:
            return
        file = self._file(name)
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._directory.chmod(0o700)
            with tempfile.NamedTemporaryFile(dir=file.parent, prefix="new-", delete=False) as new:
                try:
                    new.write(sealed)
                    new.flush()
                    Path(new.name).rename(file)
                except BaseException:
                    Path(new.name).unlink(missing_ok=True)
                    raise
        except OSError as error:
            _log.warning("what was rendered is not kept: %s", error.strerror)
            return
        self._written += len(sealed)
        if self._written > self._most / _SWEEP:
            self._written = 0
            self._sweep()

    def _sweep(self) -> None:
        """Make room: what was not used for the longest time goes first."""
        files: list[tuple[float, int, Path]] = []
        for file in self._directory.glob("??/*"):
            try:
                about = file.stat()
            except OSError:
                continue  # another process has removed it
            files.append((about.st_mtime, about.st_size, file))
        room = self._most * _LEAVE
        began = time.time()
        for used, size, file in sorted(files, reverse=True):
            room -= size
            if room < 0 or (file.name.startswith("new-") and used < began - 3600):
                file.unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self._directory / name[:2] / name[2:]


def _unkept(kept: Any, remotes: Mapping[str, str]) -> Product | RenderFailed | None:
    """What was kept; None when it does not count any more."""
    if "exceeded" in kept:
        return RenderExceeded(str(kept["exceeded"]))
    if "failed" in kept:
        return RenderFailed(str(kept["failed"])) if time.time() < kept["until"] else None
    manifests = manifests_from_json(kept["manifests"])
    return Product(manifests, tuple(kept["warnings"]), remotes, bool(kept["pure"]), bool(kept["takes"]))


def _by_itself(error: RenderFailed) -> bool:
    """Whether the files alone are why: no host, no project, no machine that had a bad day."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MooringError) and not isinstance(cause, RenderFailed):
            return False
        if isinstance(cause, NotConfined | ToolLost | OSError):
            return False
        if isinstance(cause, ToolFailed) and cause.killed:
            return False
        cause = cause.__cause__
    return True


def _processor_s() -> float:
    """What this process and its children that have ended have used, in seconds of one processor."""
    mine, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime


def _paths(files: Files) -> tuple[str, ...]:
    return tuple(sorted(without_implied(files.reads)))

"""A bare mirror per repository *and credential*, and the one question a push asks of it.

Two Applications share a mirror only when they open the same repository with the same credential, so
an app without access never reads what another team's credential fetched.

A commit in a mirror is whole: packs appear in one rename, and loose objects are written children
first (`unpack-objects --strict`). What a killed git left behind is swept away before the next repair,
and a mirror that turns out to be damaged is cloned anew: the truth is at the host.

Where that would be too much, a mirror is partial: it has every commit and directory, and those files
that were read once or came with a push (`--filter=blob:none`). A fetch becomes partial when it turns out
larger than `Limits` has it; git's own lazy fetching, one file at a time and without our credential, is off.
https://git-scm.com/docs/partial-clone
"""

from __future__ import annotations

import contextlib
import contextvars
import errno
import fcntl
import hashlib
import itertools
import json
import logging
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Final
from urllib.request import getproxies, proxy_bypass

import git
from git.refs import SymbolicReference

from mooring.errors import GitFailed, GitRefused, MooringError
from mooring.revision import is_commit, is_range, resolve
from workers import metrics
from workers.git import smarthttp
from workers.git.credentials import Credential
from workers.git.lfs import Lfs
from workers.git.process import (
    FULL,
    TOO_LARGE,
    LocalDamage,
    TooLarge,
    UnknownCommit,
    environment,
    network_environment,
    run,
)
from workers.git.remote import Remote, parse
from workers.git.tree import COMMIT_ID, TreeReader

_log = logging.getLogger(__name__)
FETCH_TIMEOUT: Final = 120.0
_KEPT: Final = "refs/mooring/kept"
_SEEN: Final = "refs/mooring/seen"  # where the host's refs were when last asked: what we tell it we have
_TAGS: Final = "refs/mooring/tags"  # annotated tags that revisions were at, whose signatures are wanted
_MAX_HAVES: Final = 64
_MAX_LOOSE_PACK: Final = 1000  # objects; more stay one pack
_MAX_OPEN: Final = 64
_MAX_WANTS: Final = 10_000  # in one request
_PARTIAL: Final = "mooring-partial"  # a file in the mirror: not all files are here
_PROMISOR: Final = "mooring"  # git's name for a remote that has what is missing here
# https://git-scm.com/docs/git-check-ref-format
_NO_REF: Final = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|^[./-]|\.lock(/|$)|[./]$|^@$")
_HOW: Final = (
    "--quiet",
    "--no-tags",
    "--no-write-fetch-head",
    "--no-auto-maintenance",
    "--no-recurse-submodules",
    "--no-show-forced-updates",
    "--refmap=",
)
_LEFTOVERS: Final = (
    "walk-*",
    "*.lock",
    "refs/**/*.lock",
    "objects/**/*.lock",
    "objects/pack/tmp_*",
    "objects/pack/.tmp-*",
    "objects/??/tmp_obj_*",
    "objects/tmp_*",
    "objects/incoming-*",
)


@dataclass(frozen=True, slots=True)
class Limits:
    """In bytes of one pack: more than `whole` comes without its files, more than `most` not at all.

    A first fetch that takes longer than `whole_s` seconds counts as more than `whole`.
    """

    whole: int = 64 << 20
    most: int = 2 << 30
    whole_s: float = 10.0


class Mirror:
    """One repository on disk as one credential sees it. Safe to use from threads and processes."""

    _open: ClassVar[dict[Path, Mirror]] = {}
    _open_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(
        self,
        home: Path,
        remote: Remote,
        credential: Credential,
        limits: Limits,
        hosts: Collection[str] = (),
    ) -> None:
        self.home = home
        self.remote = remote
        self.credential = credential
        self.limits = limits
        self.git_dir = home / "mirror.git"
        self._doubt = home / "doubt"
        self._lfs = Lfs(home / "lfs", remote, credential, hosts) if credential.lfs else None
        fill = self._lfs.filled if self._lfs is not None else None
        self.tree = TreeReader(self.git_dir, self._doubt, self._bring, fill)
        self._http: smarthttp.SmartHttp | None = None
        self._http_lock = threading.Lock()

    @classmethod
    def open(
        cls,
        root: Path,
        url: str,
        credential: Credential,
        *,
        allow_file: bool = False,
        limits: Limits | None = None,
        hosts: Collection[str] = (),
    ) -> Mirror:
        """The mirror of `url` under `root`, made (empty) when it is not there; one object a process.

        `hosts` may be in a private network although only the Git host names them, for its large files.
        Raises GitRefused when `url` is none that git may be given.
        """
        remote = parse(url, allow_file=allow_file)
        home = cls.home_of(root, url, credential)
        with cls._open_lock:
            mirror = cls._open.pop(home, None)
            if mirror is None or not mirror.git_dir.is_dir() or mirror.credential != credential:
                # Whom to trust is no part of its identity, but a change must be heeded.
                if mirror is not None:
                    mirror.close()
                mirror = cls(home, remote, credential, limits or Limits(), hosts)
                mirror._create()
            cls._open[home] = mirror  # the last one opened is the last one closed
            for old in list(cls._open)[:-_MAX_OPEN]:
                cls._open.pop(old).close()
        return mirror

    @staticmethod
    def home_of(root: Path, url: str, credential: Credential) -> Path:
        """Where the mirror is, or would be."""
        name = f"{parse(url, allow_file=True).url}\0{credential.identity}"
        return root / hashlib.sha256(name.encode()).hexdigest()[:40]

    @classmethod
    def remove(cls, home: Path) -> None:
        """Removes the mirror at `home`; whoever opens it again gets a new one."""
        with cls._open_lock:
            mirror = cls._open.pop(home, None)
            if mirror is not None:
                mirror.close()
        gone = home.with_name(f".{home.name}.gone")
        shutil.rmtree(gone, ignore_errors=True)
        with contextlib.suppress(OSError):
            home.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    @classmethod
    def close_all(cls) -> None:
        """Ends the readers and connections of this process."""
        with cls._open_lock:
            while cls._open:
                cls._open.popitem()[1].close()

    @classmethod
    def _forget_all(cls) -> None:
        # In a forked child: pipes and connections are its parent's, so they are dropped, not ended.
        cls._open, cls._open_lock = {}, threading.Lock()

    def close(self) -> None:
        self.tree.close()

    @property
    def partial(self) -> bool:
        """Whether files may be missing here, to be brought as they are read."""
        return (self.git_dir / _PARTIAL).exists()

    def has(self, commit: str) -> bool:
        """Whether the commit is here, with everything in it (but for the files, where it is partial)."""
        return self.tree.has_commit(commit)

    # --- asking the host ----------------------------------------------------------------------

    def list_refs(
        self, names: Sequence[str] = (), timeout: float = FETCH_TIMEOUT, *, peeled: bool = True
    ) -> dict[str, str]:
        """Commit by full ref name (`HEAD`, `refs/heads/main`) as the host has them now.

        `names` limits it to refs that begin so; none means all. Of annotated tags the commit where `peeled`,
        else the tag itself. Raises GitFailed or GitRefused.
        """
        deadline = time.monotonic() + timeout
        for name in names:
            check_ref(name.removesuffix("/"))
        if (client := self._client(deadline)) is not None:
            ask = client.listed if client.dumb else client.refs
            with contextlib.suppress(smarthttp.NotSpoken), metrics.git("refs", "http"):
                return ask(names, deadline, peeled=peeled)
        # git's patterns match whole names from the right; a prefix that ends in / needs a star.
        patterns = [f"{name}*" if name.endswith("/") else name for name in names]
        patterns += [f"{name}^{{}}" for name in names if not name.endswith("/")]
        with metrics.git("refs", "git"):
            out = self._remote_git(["ls-remote", "--quiet", "--", self._url, *patterns], deadline)
        refs: dict[str, str] = {}
        for line in out.decode(errors="replace").splitlines():
            commit, _, name = line.partition("\t")
            if COMMIT_ID.fullmatch(commit) and (peeled or not name.endswith("^{}")):
                refs[name.removesuffix("^{}")] = commit  # a peeled tag comes right after the tag
        return refs

    def fetch_commit(self, commit: str, timeout: float = FETCH_TIMEOUT, *, or_refs: bool = True) -> None:
        """Brings the commit, with its whole history, here; nothing when it is here already.

        `or_refs`: when the host does not hand it out by id, bring all branches and tags. Raises
        UnknownCommit when the host does not have it, GitRefused when it refuses us, GitFailed when it
        may work later.
        """
        deadline = time.monotonic() + timeout
        if self._doubt.exists():
            self._clone_anew(commit, deadline)
        if self.has(commit):
            return
        try:
            self._fetch(commit, deadline)
        except UnknownCommit:
            if not or_refs:
                raise
            self.fetch_refs(timeout=deadline - time.monotonic())
            if not self.has(commit):
                raise
        except LocalDamage:
            self._repair(commit, deadline)
        if not self.has(commit):  # the host was told that we have what we lack
            self._clone_anew(commit, deadline)

    def fetch_refs(
        self, patterns: Sequence[str] = ("refs/heads/*", "refs/tags/*"), timeout: float = FETCH_TIMEOUT
    ) -> None:
        """Brings everything that the refs name here. For hosts that do not hand out commits by id."""
        for pattern in patterns:
            check_ref(pattern.removesuffix("/*"))
        self._git_fetch([f"+{p}:{_SEEN}/{p}" for p in patterns], time.monotonic() + timeout)

    def tag_of(
        self, revision: str, commit: str, timeout: float = FETCH_TIMEOUT, *, anew: bool = False
    ) -> str:
        """The id of the annotated tag by which `revision` is `commit`; "" where it is that as a branch, as a
        plain tag or by its id. The tag is here after that.

        The host is asked where that is not known from before, or `anew`. Raises GitFailed or GitRefused.
        """
        deadline = time.monotonic() + timeout
        if is_commit(revision):
            return ""
        revision = revision.strip() or "HEAD"
        seen = dict(self._refs(_SEEN))
        branches = (revision, f"refs/heads/{revision}") if not revision.startswith("refs/tags/") else ()
        if not anew:
            if any(seen.get(_seen_as(ref)) == commit for ref in branches):
                return ""
            known = dict(self._refs(_TAGS)).get(_tag_as(revision), "")
            if known and self._is_tag_of(known, commit):
                return known
        refs = self.list_refs(names_of(revision), max(deadline - time.monotonic(), 0.001), peeled=False)
        ref = resolve(revision, refs) or ""
        if not ref.startswith("refs/tags/") or refs[ref] == commit:
            return ""
        if not self.tree.object(refs[ref])[0]:
            self._fetch(refs[ref], deadline)
        if not self._is_tag_of(refs[ref], commit):
            return ""  # the tag is elsewhere by now
        self._write_ref(_tag_as(revision), refs[ref])
        return refs[ref]

    def _is_tag_of(self, tag: str, commit: str) -> bool:
        kind, data = self.tree.object(tag)
        return kind == "tag" and data.startswith(f"object {commit}\n".encode())

    # --- what stays -----------------------------------------------------------------------------

    def keep(self, commit: str) -> None:
        """Keeps the commit and all it names, until `drop_kept`. It must be here."""
        if not self.has(commit):
            raise GitFailed(f"commit {commit} is not in the mirror")
        self._write_ref(f"{_KEPT}/{commit}", commit)

    def kept(self) -> frozenset[str]:
        """The commits that are kept."""
        return frozenset(commit for name, commit in self._refs(_KEPT) if name.endswith(f"/{commit}"))

    def drop_kept(self, except_for: Collection[str]) -> None:
        """Keeps no other commits than these any longer."""
        with self._locked(exclusive=True, deadline=time.monotonic() + 10):
            repo = git.Repo(self.git_dir)
            for commit in self.kept() - set(except_for):
                SymbolicReference.delete(repo, f"{_KEPT}/{commit}")

    def note_seen(self, ref: str, commit: str) -> None:
        """Remembers where the host's ref is, so that the next fetch brings only what is new."""
        self._write_ref(_seen_as(ref), commit)

    def maintain(self, timeout: float = 3600) -> None:
        """Packs what is loose and drops what is neither kept nor at a ref and older than a day.

        Of a partial mirror nothing is dropped: git cannot tell what somebody was promised. Pushes go on
        meanwhile; only the sweeping is done alone.
        """
        deadline = time.monotonic() + timeout
        if self._lfs is not None:
            self._lfs.sweep()
        env = environment(_promisor("") if self.partial else None)
        self._sweep_alone(deadline)
        with self._locked(exclusive=False, deadline=deadline) as fd:
            args = [*self._here, "gc", "--quiet", "--prune=1.day.ago"]
            run(args, deadline=deadline, env=env, keep_fds=[fd])

    # --- inside -----------------------------------------------------------------------------------

    @property
    def _here(self) -> list[str]:
        return ["--git-dir", str(self.git_dir)]

    @property
    def _url(self) -> str:
        return self._http.remote.url if self._http is not None else self.remote.url

    def _client(self, deadline: float) -> smarthttp.SmartHttp | None:
        """Our own client, where the host is asked over HTTP and without a proxy in between."""
        if self.remote.endpoint.scheme not in ("http", "https") or _proxied(self.remote):
            return None
        with self._http_lock:
            if self._http is None:
                self._http = smarthttp.connect(self.remote, self.credential, deadline)
            return self._http

    def _fetch(self, commit: str, deadline: float) -> None:
        haves, client = self._haves(), self._client(deadline)
        if client is not None:
            try:
                with metrics.git("fetch", "http"):
                    self._ask_for([commit], haves, client, deadline)
                return
            except GitFailed as error:  # what our short way cannot do, git's long one may
                if time.monotonic() >= deadline:
                    raise
                _log.info("fetching %s with git itself: %s", self.remote.url, error)
        self._git_fetch([commit], deadline)

    def _ask_for(
        self, wants: Sequence[str], haves: Sequence[str], client: smarthttp.SmartHttp, deadline: float
    ) -> None:
        # `haves` were read before this: who notes one of a partial mirror has marked it as such first.
        if not self.partial:
            until = self._patience(deadline) if client.filters and not haves else deadline
            try:
                thin = client.pack(wants, haves, until, thin=True)
                self._unpack(thin, until, connected=not haves, limit=self._limit(client.filters))
                return
            except (TooLarge, GitFailed) as error:
                if not client.filters or not _is_large(error, until, deadline):
                    raise
            self._become_partial(deadline)
        # Never thin: what a delta builds on may be a file that is missing here.
        if haves or not client.filters:  # a push: its files come along, if they are not too many
            try:
                limit = self._limit(client.filters)
                self._unpack(client.pack(wants, haves, deadline), deadline, limit=limit)
                return
            except TooLarge:
                if not client.filters:
                    raise
                self._sweep_alone(deadline)
        trees = client.pack(wants, haves, deadline, blobs=False)
        self._unpack(trees, deadline, limit=self.limits.most)

    def _limit(self, filters: bool) -> int:
        return min(self.limits.whole, self.limits.most) if filters else self.limits.most

    def _patience(self, deadline: float) -> float:
        """Until when a first fetch may take, before the repository counts as large."""
        return min(deadline, time.monotonic() + self.limits.whole_s)

    def _become_partial(self, deadline: float) -> None:
        _log.info("%s is large: its files are fetched as they are read", self.remote.url)
        (self.git_dir / _PARTIAL).touch()
        self._sweep_alone(deadline)  # what came in vain

    def _bring(self, ids: Sequence[str]) -> bool:
        """Fetches missing objects by id, all at once; False when the mirror should have them.

        Raises UnknownCommit when the host has not all of them, GitRefused, GitFailed.
        """
        if not self.partial:
            return False
        deadline = time.monotonic() + FETCH_TIMEOUT
        for some in (ids[at : at + _MAX_WANTS] for at in range(0, len(ids), _MAX_WANTS)):
            client = self._client(deadline)
            if client is not None:
                try:
                    with metrics.git("fetch", "http"):
                        self._unpack(client.pack(some, (), deadline), deadline, limit=self.limits.most)
                    continue
                except smarthttp.NotSpoken:
                    pass
            self._fetch_by_git(some, deadline, None, self.limits.most, blobs=True)
        return True

    def _unpack(
        self, chunks: Generator[bytes], deadline: float, *, limit: int, connected: bool = False
    ) -> None:
        """Takes a pack in; `connected`: it builds on nothing that is here."""
        with contextlib.closing(chunks), self._locked(exclusive=False, deadline=deadline) as fd:
            # https://git-scm.com/docs/pack-format: "PACK", version, number of objects
            head = b""
            for chunk in chunks:
                head += chunk
                if len(head) >= 12:
                    break
            few = int.from_bytes(head[8:12], "big") <= _MAX_LOOSE_PACK
            if self.partial:  # one pack, so that it appears in one rename; --strict would miss the files
                how = ["index-pack", "--stdin", f"--promisor={_PROMISOR}"]
            elif connected:
                how = ["index-pack", "--stdin", "--check-self-contained-and-connected"]
            elif few:
                how = ["unpack-objects", "-q", "--strict"]
            else:
                how = ["index-pack", "--stdin", "--fix-thin", "--strict"]
            stdin = _at_most(limit, itertools.chain([head], chunks))
            run([*self._here, *how], deadline=deadline, stdin=stdin, keep_fds=[fd])

    def _git_fetch(self, refspecs: Sequence[str], deadline: float, into: Path | None = None) -> None:
        dumb = self._http is not None and self._http.dumb
        if dumb and into is None:
            self._walk(refspecs, deadline)
            return
        if not self.partial and not dumb:
            until = deadline if self._haves() or into else self._patience(deadline)
            try:
                self._fetch_by_git(refspecs, until, into, self._limit(filters=True))
                return
            except (TooLarge, GitFailed) as error:
                if not _is_large(error, until, deadline):
                    raise
            if into is None:
                self._become_partial(deadline)
            else:  # the caller holds the lock
                (self.git_dir / _PARTIAL).touch()
        self._fetch_by_git(refspecs, deadline, into, self.limits.most)

    def _walk(self, refspecs: Sequence[str], deadline: float) -> None:
        """Fetches from a host that merely hands out files, all of them: it cannot leave any out.

        git writes a commit there before what is in it. So that none is in the mirror half, this is done
        in a repository beside it, from which git then fetches in one pack.
        """
        with self._locked(exclusive=False, deadline=deadline) as fd, _on_disk():
            scratch = Path(tempfile.mkdtemp(prefix="walk-", dir=self.git_dir))
            try:
                run(["init", "--quiet", "--bare", "--template=", "--", str(scratch)], deadline=deadline)
                (scratch / "objects/info").mkdir(exist_ok=True)
                (scratch / "objects/info/alternates").write_text(f"{self.git_dir / 'objects'}\n")
                self._fetch_by_git([_named(spec) for spec in refspecs], deadline, scratch, self.limits.most)
                named = (spec.partition(":")[2] for spec in refspecs if ":" in spec)
                wanted = [*(f"+{name}:{name}" for name in named), *(s for s in refspecs if ":" not in s)]
                args = [*self._here, "fetch", *_HOW, "--", str(scratch), *wanted]
                env = environment() | {"GIT_ALLOW_PROTOCOL": "file"}
                run(args, deadline=deadline, env=env, keep_fds=[fd], file_limit=self.limits.most)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)

    def _fetch_by_git(
        self,
        refspecs: Sequence[str],
        deadline: float,
        into: Path | None,
        limit: int,
        *,
        blobs: bool = False,
    ) -> None:
        url, config = self._url, dict[str, str]()
        if self.partial:
            # Known by a name for the length of this command, so that nothing is written to its config.
            url, config = _PROMISOR, _promisor(self._url)
        if blobs:  # told of our commits, the host would think that we have their files
            config["fetch.negotiationAlgorithm"] = "noop"
        args = ["--git-dir", str(into or self.git_dir), "fetch", *_HOW, "--", url, *refspecs]
        if into is not None:  # the caller holds the lock
            with metrics.git("fetch", "git"):
                self._remote_git(args, deadline, config=config, limit=limit)
            return
        with self._locked(exclusive=False, deadline=deadline) as fd, metrics.git("fetch", "git"):
            self._remote_git(args, deadline, fd, config=config, limit=limit)

    def _remote_git(
        self,
        args: Sequence[str],
        deadline: float,
        *keep_fds: int,
        config: Mapping[str, str] | None = None,
        limit: int = 0,
    ) -> bytes:
        with network_environment(self.remote, self.credential, config) as env:
            return run(
                args,
                deadline=deadline,
                env=env,
                keep_fds=keep_fds,
                credential=self.credential,
                file_limit=limit,
            )

    def _haves(self) -> list[str]:
        refs = [*self._refs(_SEEN), *self._refs(_KEPT)]
        return list(dict.fromkeys(commit for _name, commit in refs))[:_MAX_HAVES]

    def _refs(self, prefix: str) -> Iterator[tuple[str, str]]:
        # Read as files: 0.1 ms, where GitPython takes 1, and 6 while other threads want the interpreter.
        refs: dict[str, str] = {}
        with contextlib.suppress(OSError):  # https://git-scm.com/docs/gitrepository-layout: packed-refs
            for line in (self.git_dir / "packed-refs").read_text().splitlines():
                commit, _, name = line.partition(" ")
                if name.startswith(f"{prefix}/"):
                    refs[name] = commit
        for folder, _folders, names in os.walk(self.git_dir / prefix):
            for name in names:
                path = Path(folder, name)
                with contextlib.suppress(OSError):  # gone meanwhile
                    refs[str(path.relative_to(self.git_dir))] = path.read_text().strip()
        return ((name, commit) for name, commit in refs.items() if COMMIT_ID.fullmatch(commit))

    def _write_ref(self, name: str, commit: str) -> None:
        # Written as git does it, by rename: two who write the same ref at once both succeed.
        path = self.git_dir / name
        with contextlib.suppress(OSError):
            if path.read_text().strip() == commit:
                return
        scratch = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.lock")
        with _on_disk():
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch.write_text(f"{commit}\n")
            scratch.rename(path)

    @contextlib.contextmanager
    def _locked(self, *, exclusive: bool, deadline: float) -> Iterator[int]:
        """Holds the mirror's lock, for all processes of the machine; yields its file descriptor.

        Fetches share it (git may add objects side by side); repair and maintenance have it alone. A
        child that inherits the descriptor holds the lock even when its parent was killed.
        """
        fd = os.open(self.home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            how = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
            while True:
                try:
                    fcntl.flock(fd, how | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() >= deadline:
                        raise GitFailed(f"the mirror of {self.remote.url} is busy") from error
                    time.sleep(0.02)
            yield fd
        finally:
            os.close(fd)

    def _create(self) -> None:
        with _on_disk():
            self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self.git_dir.is_dir():
                return
            with self._locked(exclusive=True, deadline=time.monotonic() + 10):
                if not self.git_dir.is_dir():
                    self._initialise()

    def _initialise(self) -> None:
        about = {"repository": self.remote.url, "credential": self.credential.kind.value}
        (self.home / "about.json").write_text(json.dumps(about, indent=2) + "\n")
        self._empty().rename(self.git_dir)

    def _empty(self) -> Path:
        fresh = self.home / "fresh.git"
        shutil.rmtree(fresh, ignore_errors=True)
        args = ["init", "--quiet", "--bare", "--template=", "--", str(fresh)]
        run(args, env=environment({"init.defaultBranch": "main"}), deadline=time.monotonic() + 10)
        return fresh

    def _sweep_alone(self, deadline: float) -> None:
        with self._locked(exclusive=True, deadline=deadline):
            self._sweep()

    def _sweep(self) -> None:
        """Removes what a killed git left. Only under the exclusive lock: then nobody else writes."""
        for pattern in _LEFTOVERS:
            for path in self.git_dir.glob(pattern):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)

    def _repair(self, commit: str, deadline: float) -> None:
        """Sweeps and tries again; when that is not enough, clones anew."""
        self._sweep_alone(deadline)
        try:
            self._git_fetch([commit], deadline)
        except LocalDamage:
            self._clone_anew(commit, deadline)

    def _clone_anew(self, commit: str, deadline: float) -> None:
        """Clones `commit` and the kept ones beside the doubtful mirror, then puts them in its place."""
        with self._locked(exclusive=True, deadline=deadline):
            fresh = self._empty()
            self._git_fetch([commit], deadline, fresh)
            for kept in self.kept():
                with contextlib.suppress(GitRefused):  # gone at the host: nothing can bring it back
                    self._git_fetch([f"+{kept}:{_KEPT}/{kept}"], deadline, fresh)
            if self.partial:
                (fresh / _PARTIAL).touch()
            doubtful = self.home / "doubtful.git"
            shutil.rmtree(doubtful, ignore_errors=True)
            with contextlib.suppress(FileNotFoundError):
                self.git_dir.rename(doubtful)
            fresh.rename(self.git_dir)
            self._doubt.unlink(missing_ok=True)
            shutil.rmtree(doubtful, ignore_errors=True)
        self.tree.close()


# A forked child must not share pipes and connections with its parent.
os.register_at_fork(after_in_child=Mirror._forget_all)


def _seen_as(ref: str) -> str:
    return f"{_SEEN}/by-name/{hashlib.sha256(ref.encode()).hexdigest()[:16]}"


def _tag_as(revision: str) -> str:
    return f"{_TAGS}/{hashlib.sha256(revision.encode()).hexdigest()[:16]}"


def check_ref(name: str) -> str:
    """`name` when it may be a ref's, whole or in part. Raises GitRefused otherwise."""
    if not name or len(name) > 1024 or _NO_REF.search(name):
        raise GitRefused(f"{name[:80]!r} is not a branch, a tag or a commit")
    return name


@dataclass(frozen=True, slots=True)
class Found:
    """Where the host says that a revision is. `ref` is "" for a revision that is a commit id."""

    ref: str
    commit: str


def checkout(
    mirror: Mirror,
    revision: str,
    hint: str | None = None,
    *,
    timeout: float = FETCH_TIMEOUT,
    resolve: Callable[[str, Mapping[str, str]], str | None] = resolve,
) -> Found:
    """The commit that the *host* says `revision` is at, fetched into the mirror.

    `hint` is the commit that a delivery names. It is fetched while the host is asked, which saves
    time when it is true, and nothing else: a pull-request head, a forgery or a force-push back is
    fetched in vain. Raises GitRefused when there is no such revision; GitFailed when it may work later.
    """
    deadline = time.monotonic() + timeout
    revision = revision.strip() or "HEAD"
    if is_commit(revision):
        mirror.fetch_commit(revision.lower(), timeout)
        return Found("", revision.lower())
    names = names_of(revision)
    if hint is None or not COMMIT_ID.fullmatch(hint) or mirror.has(hint) or not mirror._haves():
        refs = mirror.list_refs(names, timeout)
        found = _found(revision, refs, resolve)
    else:
        # Not a `with`: when the host names another commit, a hint that hangs is not waited for.
        pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hint")
        known = contextvars.copy_context()  # what its log lines are about
        hinted = pool.submit(known.run, partial(mirror.fetch_commit, hint, timeout, or_refs=False))
        pool.shutdown(wait=False)
        found = _found(revision, mirror.list_refs(names, timeout), resolve)
        if found.commit == hint:
            with contextlib.suppress(TimeoutError, MooringError):  # tried once more, thoroughly, below
                hinted.result(max(deadline - time.monotonic(), 0))
    mirror.fetch_commit(found.commit, max(deadline - time.monotonic(), 0.001))
    mirror.note_seen(found.ref, found.commit)
    return found


def names_of(revision: str) -> list[str]:
    """The refs to ask the host for: as few as tell what `revision` is. Raises GitRefused where it is none."""
    if is_range(revision):
        return ["refs/tags/"]
    check_ref(revision)
    if revision == "HEAD" or revision.startswith("refs/"):
        return [revision]
    return [f"refs/heads/{revision}", f"refs/tags/{revision}"]


def _found(
    revision: str, refs: Mapping[str, str], resolve: Callable[[str, Mapping[str, str]], str | None]
) -> Found:
    ref = resolve(revision, refs)
    if ref is None or not COMMIT_ID.fullmatch(refs[ref]):
        raise GitRefused(
            f"the repository has no branch, tag or version {revision!r}: correct spec.source.targetRevision"
        )
    return Found(ref, refs[ref])


def _named(refspec: str) -> str:
    """The refspec; for a commit id, one that gives it a name, as git has no other hold on it."""
    return refspec if ":" in refspec else f"+{refspec}:{_SEEN}/by-id/{refspec}"


def _promisor(url: str) -> dict[str, str]:
    named = f"remote.{_PROMISOR}"
    return {
        f"{named}.url": url,
        f"{named}.promisor": "true",
        f"{named}.partialCloneFilter": "blob:none",
    }


def _at_most(limit: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise TooLarge(TOO_LARGE)
        yield chunk


def _is_large(error: MooringError, until: float, deadline: float) -> bool:
    """Whether a whole fetch that had time until `until` failed for the size of the repository."""
    return isinstance(error, TooLarge) or until <= time.monotonic() < deadline


@contextlib.contextmanager
def _on_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise GitFailed(FULL if full else f"the Git mirrors cannot be written: {error}", after=30) from error


def _proxied(remote: Remote) -> bool:
    return remote.endpoint.scheme in getproxies() and not proxy_bypass(remote.endpoint.host)

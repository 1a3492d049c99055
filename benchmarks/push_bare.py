"""The bare loop: what a push costs at the very least, without a queue, a plan, a status or a guard.

Fetch the commit by its id, read the application's files, parse them, apply the one object that changed
over a kept connection. Once with git's own fetch, once with Mooring's, which asks over a kept connection
and has the host confirm the branch meanwhile.
"""

from __future__ import annotations

import http.client
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import yaml

from devcluster.cluster import Cluster
from devcluster.gitserver import Repository
from mooring.errors import ClusterUnavailable
from workers.git.credentials import credential_for
from workers.git.mirror import Mirror, checkout

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Times = dict[str, float]


class Bare:
    """A clone and a connection, kept as a program would keep them."""

    def __init__(self, cluster: Cluster, repo: Repository, directory: Path, namespace: str) -> None:
        self._cluster = cluster
        self._repo = repo
        self._namespace = namespace
        self._clone = directory / "bare.git"
        self._git("init", "--quiet", "--bare", str(self._clone), here=False)
        self._git("fetch", "--quiet", repo.url, "+refs/heads/main:refs/heads/seen")
        self._mirror = Mirror.open(directory / "mirrors", repo.url, credential_for(repo.url, ()))
        checkout(self._mirror, "main")
        self._connection = http.client.HTTPSConnection(
            urlsplit(cluster.server).netloc, context=ssl.create_default_context(cafile=str(cluster.ca))
        )

    def by_git(self, commit: str, app: str, name: str) -> Times:
        """The loop with the git program. Milliseconds by step."""

        def read() -> list[bytes]:
            listed = self._git("ls-tree", "--format=%(objectname)", commit, f"{app}/").split()
            given = b"".join(id_ + b"\n" for id_ in listed)
            return _blobs(self._git("cat-file", "--batch", given=given))

        return self._timed(
            {
                "fetch": lambda: self._git("fetch", "--quiet", self._repo.url, f"+{commit}:refs/heads/seen"),
                "read": read,
            },
            name,
        )

    def by_mirror(self, commit: str, app: str, name: str) -> Times:
        """The loop with Mooring's own fetch and reader. Milliseconds by step."""

        def read() -> list[bytes]:
            entries = [entry for entry in self._mirror.tree.walk(commit, app) if entry.is_file]
            return list(self._mirror.tree.read_many([entry.id for entry in entries]).values())

        return self._timed({"fetch": lambda: checkout(self._mirror, "main", commit), "read": read}, name)

    def connect_again(self) -> None:
        """Opens the connection anew with the next request: the server closes one that was long idle."""
        self._connection.close()

    def apply(self, body: dict[str, Any]) -> None:
        """One server-side apply. Raises ClusterUnavailable when it fails."""
        path = f"/api/v1/namespaces/{self._namespace}/configmaps/{body['metadata']['name']}"
        self._connection.request(
            "PATCH",
            f"{path}?fieldManager=bench&force=true",
            orjson.dumps(body),
            {
                "Authorization": f"Bearer {self._cluster.token}",
                "Content-Type": "application/apply-patch+yaml",
            },
        )
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise ClusterUnavailable(f"the bare apply failed: {said[:200].decode(errors='replace')}")

    def _timed(self, steps: dict[str, Callable[[], Any]], name: str) -> Times:
        times: Times = {}
        found: Any = None
        began = time.perf_counter()
        for step, run in steps.items():
            found = run()
            now = time.perf_counter()
            times[step], began = (now - began) * 1000, now
        bodies = [yaml.load(text, _LOADER) for text in found]
        now = time.perf_counter()
        times["parse"], began = (now - began) * 1000, now
        self.apply(next(body for body in bodies if body["metadata"]["name"] == name))
        times["apply"] = (time.perf_counter() - began) * 1000
        return times

    def _git(self, *arguments: str, given: bytes = b"", here: bool = True) -> bytes:
        where = ["--git-dir", str(self._clone)] if here else []
        done = subprocess.run(["git", *where, *arguments], input=given, stdout=subprocess.PIPE, check=True)
        return done.stdout


def _blobs(batch: bytes) -> list[bytes]:
    """The contents in what `git cat-file --batch` prints."""
    found: list[bytes] = []
    at = 0
    while at < len(batch):
        end = batch.index(b"\n", at)
        size = int(batch[at:end].rpartition(b" ")[2])
        found.append(batch[end + 1 : end + 1 + size])
        at = end + size + 2
    return found

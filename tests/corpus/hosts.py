"""The hosts that cases name besides Git's: chart repositories, a registry, a server of Git LFS, files.

Each is the real thing, and started when a case first needs it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import posixpath
import ssl
import stat
import tarfile
import urllib.parse
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import trustme
import yaml

from devcluster.chartserver import ChartServer
from devcluster.gitserver import Content, Executable, Symlink
from devcluster.lfsserver import LfsServer
from devcluster.registry import Registry, push_artifact
from mooring.settings import Settings
from workers.git.credentials import Credential, CredentialKind
from workers.git.lfs import Lfs
from workers.git.remote import parse
from workers.remote.oci import CHART, is_oci

_LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
_JOE: Final = Credential(CredentialKind.BASIC, "joe", "hunter2", lfs=True)
_ANYBODY: Final = Credential(plain_http=True)


def files_of(folder: Path) -> dict[str, Content]:
    """What lies below a directory, as it is given to `Repository.commit`."""
    files: dict[str, Content] = {}
    for place, folders, names in os.walk(folder):
        links = [name for name in folders if Path(place, name).is_symlink()]
        for file in (Path(place, name) for name in (*names, *links)):
            path = file.relative_to(folder).as_posix()
            if file.is_symlink():
                files[path] = Symlink(os.readlink(file))
            elif file.stat().st_mode & stat.S_IXUSR:
                files[path] = Executable(file.read_bytes())
            else:
                files[path] = file.read_bytes()
    return dict(sorted(files.items()))


def packed(files: Mapping[str, Content], top: str = "") -> bytes:
    """An archive of `files`, below the directory `top`: the same bytes for the same files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(posixpath.join(top, path))
            data = b""
            if isinstance(content, Symlink):
                member.type, member.linkname = tarfile.SYMTYPE, content.target
            else:
                executable = isinstance(content, Executable)
                text = content.content if isinstance(content, Executable) else content
                assert isinstance(text, bytes | str)
                data = text.encode() if isinstance(text, str) else text
                member.size, member.mode = len(data), 0o755 if executable else 0o644
            archive.addfile(member, io.BytesIO(data))
    return gzip.compress(out.getvalue(), mtime=0)


@dataclass(frozen=True)
class Chart:
    name: str
    version: str


@dataclass(frozen=True)
class Wares:
    """What a case has at such hosts, by the paths in its directory: `charts/<any>` and `oci/<name>/<tag>` as
    archives, `files/<name>` as they are."""

    data: Mapping[str, bytes]
    charts: Mapping[str, Chart]

    @classmethod
    def of(cls, folder: Path) -> Wares:
        data: dict[str, bytes] = {}
        charts: dict[str, Chart] = {}
        for each in sorted(folder.glob("charts/*")):
            told = yaml.safe_load((each / "Chart.yaml").read_text())
            path = each.relative_to(folder).as_posix()
            charts[path] = Chart(told["name"], str(told["version"]))
            data[path] = packed(files_of(each), told["name"])
        for each in sorted(folder.glob("oci/*/*")):
            data[each.relative_to(folder).as_posix()] = packed(files_of(each))
        for each in sorted(folder.glob("files/*")):
            data[each.relative_to(folder).as_posix()] = each.read_bytes()
        return cls(data, charts)

    @cached_property
    def place(self) -> str:
        """Where hosts have them: another place for other wares."""
        digest = hashlib.sha256()
        for path, data in self.data.items():
            digest.update(f"{path} {len(data)}\n".encode() + data)
        return digest.hexdigest()[:16]

    def digest(self, path: str) -> str:
        return hashlib.sha256(self.data[path]).hexdigest()

    def changed(self, path: str) -> Wares:
        """The same, with other bytes at `path`, whose meaning is the same."""
        data = self.data[path]
        other = data + b"\n" if path.startswith("files/") else gzip.compress(gzip.decompress(data), mtime=1)
        return replace(self, data={**self.data, path: other})

    def without(self, path: str) -> Wares:
        return replace(
            self,
            data={each: data for each, data in self.data.items() if each != path},
            charts={each: chart for each, chart in self.charts.items() if each != path},
        )


class Hosts:
    """All of them, and how they are asked. To be closed."""

    def __init__(self, directory: Path) -> None:
        self._root = directory / "served"
        self._stack = ExitStack()
        self._pushed: set[str] = set()
        self.settings = Settings(state_dir=str(directory / "state"), remote_hosts="127.0.0.1")

    def close(self) -> None:
        self._stack.close()

    @cached_property
    def lfs(self) -> LfsServer:
        return self._stack.enter_context(LfsServer(_JOE.username, _JOE.secret))

    def lfs_client(self, home: Path) -> Lfs:
        return Lfs(home, parse(f"{self.lfs.url}/corpus"), _JOE)

    def credential(self, *, locked: bool = False) -> Credential:
        return replace(_JOE, authorities=self._vouching) if locked else _ANYBODY

    def url(self, told: str, wares: Wares, *, locked: bool = False) -> str:
        """Where the chart repository or registry is that a case calls `told`, with its wares in it.

        `locked`: it has its archives at another host, and both want a user, for which they speak https.
        """
        if is_oci(told):
            scheme = "oci://" if told.startswith("oci://") else ""
            return f"{scheme}{self._registry.host}/{self._push(wares)}"
        first, second = (self._locked, self._elsewhere) if locked else (self._open, None)
        return f"{first.url}/{self._shelve(wares, second.url if second else '')}"

    def artifact(self, told: str, wares: Wares) -> str:
        """Where the artifact is that a case calls `told`."""
        return f"{self.url(told, wares)}/{posixpath.basename(told)}"

    def file(self, told: str, wares: Wares) -> str:
        """Where the file is that a case calls `told`."""
        parts = urllib.parse.urlsplit(told)
        place = f"{self.url('https://', wares)}/files/{posixpath.basename(parts.path)}"
        return f"{place}?{parts.query}" if parts.query else place

    @cached_property
    def _open(self) -> ChartServer:
        return self._stack.enter_context(ChartServer(self._root))

    @cached_property
    def _locked(self) -> ChartServer:
        return self._guarded()

    @cached_property
    def _elsewhere(self) -> ChartServer:
        return self._guarded()

    @cached_property
    def _authority(self) -> trustme.CA:
        return trustme.CA()

    @property
    def _vouching(self) -> str:
        return self._authority.cert_pem.bytes().decode()

    def _guarded(self) -> ChartServer:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority.issue_cert("127.0.0.1").configure_cert(tls)
        made = ChartServer(self._root, user=_JOE.username, password=_JOE.secret, tls=tls)
        return self._stack.enter_context(made)

    @cached_property
    def _registry(self) -> Registry:
        return self._stack.enter_context(Registry())

    def _shelve(self, wares: Wares, archives: str) -> str:
        """Lays them where chart servers find them, with an index; `archives` is the host that has these."""
        place = f"{wares.place}-elsewhere" if archives else wares.place
        folder = self._root / place
        if (folder / "index.yaml").exists():
            return place
        entries: dict[str, list[dict[str, object]]] = {}
        for path, data in wares.data.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            if chart := wares.charts.get(path):
                url = f"{archives}/{place}/{path}" if archives else path
                told = {"name": chart.name, "version": chart.version, "urls": [url]}
                entries.setdefault(chart.name, []).append({**told, "digest": wares.digest(path)})
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.yaml").write_text(yaml.safe_dump({"apiVersion": "v1", "entries": entries}))
        return place

    def _push(self, wares: Wares) -> str:
        if wares.place not in self._pushed:
            for path, data in wares.data.items():
                if chart := wares.charts.get(path):
                    tag, layer = chart.version.replace("+", "_"), (CHART, data)
                    push_artifact(self._registry.url, f"{wares.place}/{chart.name}", tag, [layer])
                elif path.startswith("oci/"):
                    _, name, tag = path.split("/")
                    push_artifact(self._registry.url, f"{wares.place}/{name}", tag, [(_LAYER, data)])
            self._pushed.add(wares.place)
        return wares.place

"""Dependencies that a chart declares and does not have: fetched by us, as the tool has no network, and laid
into its `charts/` as `helm dependency build` would.

https://helm.sh/docs/helm/helm_dependency_build/
"""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from mooring.errors import RemoteFailed, RemoteRefused, RenderFailed
from mooring.repourl import masked
from mooring.text import printable
from workers.remote.archive import unpack
from workers.remote.semver import newest
from workers.render.address import Address
from workers.render.files import Files
from workers.render.helm_chart import kept, metadata, names_in
from workers.render.source import Job

_LOCAL: Final = "file://"
_ALIASES: Final = ("@", "alias:")
# In the order in which Helm reads them: the later ones win.
_DECLARED: Final = ("Chart.yaml", "requirements.yaml")
_LOCKED: Final = ("Chart.lock", "requirements.lock")
# Of a dependency as Helm writes it down, those that are written even when empty first. The order counts.
_FIELDS: Final = ("name", "version", "repository", "condition", "tags", "enabled", "import-values", "alias")


@dataclass(frozen=True, slots=True)
class _Dependency:
    name: str
    version: str
    repository: str
    raw: Mapping[str, Any]

    @classmethod
    def of(cls, raw: Any, where: str) -> _Dependency:
        texts = [raw.get(field) or "" for field in _FIELDS[:3]] if isinstance(raw, dict) else []
        if not (texts and texts[0] and all(isinstance(text, str) for text in texts)):
            raise RenderFailed(
                "a dependency must have a name, and a version and a repository that are strings: quote them",
                where=where,
            )
        name, version, repository = texts
        return cls(name, version, repository, raw)

    @property
    def is_alias(self) -> bool:
        return self.repository.startswith(_ALIASES)


def complete(job: Job, chart: Path, path: str, work: Path) -> dict[str, str]:
    """Lays what is missing into the copy `chart` of the chart at `path`; `work` is an empty place to do so.

    Gives the digests of what was fetched, by address. When one dependency is missing, all are fetched, as
    Helm does it: in the versions of Chart.lock, else in the newest that are permitted. Raises RenderFailed
    when the lock does not fit what is declared, a local one is not there, and whatever fetching raises.
    """
    declared, where = _list(chart, path, _DECLARED)
    if not declared:
        return {}
    missing = {each.name for each in declared} - names_in(chart / "charts", posixpath.join(path, "charts"))
    if not missing:
        return {}
    locked = _locked(chart, path, declared, where)
    wanted = declared if locked is None else locked
    local = {each.name for each in wanted if not each.repository}
    charts = chart / "charts"
    charts.mkdir(exist_ok=True)
    for old in charts.glob("*.tgz"):  # Helm takes them away: they may be of another version
        if not _named(old, local):
            old.unlink()
    remotes: dict[str, str] = {}
    for number, each in enumerate({(w.name, w.version, w.repository): w for w in wanted}.values()):
        place = work / str(number)
        if not each.repository:
            continue  # it must be in charts/, or helm says that it is not
        if each.repository.startswith(_LOCAL):
            files = _copied(job, each, path, place, where)
        else:
            said = f"{where}: dependency {printable(each.name)}"
            try:
                tree, _, digest = job.fetch.chart(each.repository, each.name, each.version)
            except RemoteFailed as error:
                raise RemoteFailed(f"{said}: {error}", after=error.after) from error
            except RemoteRefused as error:
                raise RemoteRefused(f"{said}: {error}") from error
            remotes[str(Address("chart", (masked(each.repository), each.name, each.version)))] = digest
            Files(tree, digest, job.files.limits).copy([""], place)
            files = sorted(file.relative_to(place).as_posix() for file in place.rglob("*") if file.is_file())
        _pack(place, files, charts / f"mooring-{number}.tgz")
    return remotes


def _list(chart: Path, path: str, names: Sequence[str]) -> tuple[list[_Dependency], str]:
    """What the last of these files declares that declares something, and that file's path."""
    found, said = list[Any](), posixpath.join(path, names[0])
    for name in names:
        file, where = chart / name, posixpath.join(path, name)
        told = metadata(file.read_bytes(), where) if file.is_file() else {}
        if "dependencies" in told:
            found, said = told["dependencies"] or [], where
            if not isinstance(found, list):
                raise RenderFailed("dependencies must be a list", where=where)
    return [_Dependency.of(raw, said) for raw in found], said


def _locked(chart: Path, path: str, declared: Sequence[_Dependency], where: str) -> list[_Dependency] | None:
    """The lock's; None where there is none. Raises RenderFailed when it is not of what is `declared`."""
    present = [name for name in _LOCKED if (chart / name).is_file()]
    if not present:
        return None
    locked, lock_where = _list(chart, path, present)
    digest = metadata((chart / present[-1]).read_bytes(), lock_where).get("digest")
    # An alias was written down by what it stood for then.
    urls = {each.name: each.repository for each in locked}
    named = [
        replace(each, repository=urls.get(each.name, each.repository)) if each.is_alias else each
        for each in declared
    ]
    fitting = {_digest([[_json(each) for each in named], [_json(each) for each in locked]])}
    about = metadata((chart / "Chart.yaml").read_bytes(), posixpath.join(path, "Chart.yaml"))
    if about.get("apiVersion", "v1") == "v1":
        fitting.add(_digest({"dependencies": [_json(each) for each in declared]}))  # as Helm 2 did it
    if digest not in fitting:
        raise RenderFailed(
            f"does not fit the dependencies in {posixpath.basename(where)}: run `helm dependency update` and "
            "commit what it writes",
            where=lock_where,
        )
    return locked


def _json(each: _Dependency) -> dict[str, Any]:
    told = {**each.raw, "repository": each.repository, "version": each.version}
    return {field: _sorted(told[field]) for field in _FIELDS if field == "repository" or told.get(field)}


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value


def _digest(value: Any) -> str:
    """As Go writes JSON."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _named(archive: Path, names: set[str]) -> bool:
    try:
        member = unpack(archive.read_bytes()).without_top().members.get("Chart.yaml")
        return member is not None and metadata(member.data, archive.name).get("name") in names
    except (RemoteRefused, RenderFailed):
        return True  # what cannot be read stays, as Helm leaves it


def _copied(job: Job, each: _Dependency, path: str, place: Path, where: str) -> list[str]:
    """A dependency that lies in the same repository; its files, relative to `place`."""
    said = each.repository.removeprefix(_LOCAL)
    found = posixpath.normpath(posixpath.join(path, said))
    shown = printable(each.repository)
    if said.startswith("/") or found == ".." or found.startswith("../"):
        raise RenderFailed(
            f"dependency {printable(each.name)}: {shown} leads out of the repository: name it from the chart "
            "on, inside of the repository",
            where=where,
        )
    found = "" if found == "." else found
    entry = job.files.find(found)
    if entry is None or not entry.is_tree:
        raise RenderFailed(
            f"dependency {printable(each.name)}: {shown}: there is no such directory", where=where
        )
    copy = place.with_name(f"{place.name}-copy")
    job.files.copy([found], copy)
    (copy / found).rename(place)
    about = place / "Chart.yaml"
    chart = posixpath.join(found, "Chart.yaml")
    version = metadata(about.read_bytes(), chart).get("version") if about.is_file() else None
    try:
        fits = isinstance(version, str) and newest((version,), each.version) is not None
    except ValueError:
        fits = False
    if not fits:
        raise RenderFailed(
            f"dependency {printable(each.name)}: its version {version} is not in the range {each.version!r}",
            where=where,
        )
    return kept(place, found)


def _pack(folder: Path, files: Sequence[str], to: Path) -> None:
    """An archive as charts are: it is read without the .helmignore of the chart that it is part of."""
    with tarfile.open(to, "w:gz", compresslevel=1) as archive:
        for path in files:
            data = (folder / path).read_bytes()
            member = tarfile.TarInfo(f"chart/{path}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))

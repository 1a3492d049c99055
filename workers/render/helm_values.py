"""The values of a chart: files of the repository or of others, what the Application itself says, and in which
order they count.

https://argo-cd.readthedocs.io/en/stable/user-guide/helm/#values-files
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import orjson

from mooring.errors import RenderFailed
from mooring.model.spec import Helm
from mooring.repourl import masked
from mooring.text import printable
from workers.render.address import Address
from workers.render.build_env import substitute
from workers.render.doublestar import expand, is_pattern
from workers.render.files import Files
from workers.render.source import Job

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_REF: Final = re.compile(r"\$[A-Za-z0-9_-]+")
_FETCHED: Final = frozenset(("http", "https"))  # Argo CD's default of helm.valuesFileSchemes
# JSON may have them as they are, YAML must have them spelt out. https://yaml.org/spec/1.2.2/#51-character-set
_NOT_YAML: Final = re.compile("[\x7f-\x9f\ufeff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Given:
    """What goes to helm as a file, and how messages name it; `address` and `digest` of what was fetched."""

    shown: str
    data: bytes
    address: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a path leads: into the files of a repository, or to `url`. `said`: where it is named, and how."""

    files: Files
    path: str
    said: str
    url: str = ""


def value_files(job: Job, helm: Helm, env: Mapping[str, str]) -> list[Given]:
    """The files of `valueFiles`, in their order; later ones win.

    A pattern stands for the files that fit; what is named by itself, too, keeps the place of its name. A file
    counts once. Raises RenderFailed for what leads out of its repository or is not there, and whatever
    fetching raises.
    """
    places = [_place(job, raw, "valueFiles", env) for raw in helm.value_files]
    named = {
        (id(place.files), place.path) for place in places if not place.url and not is_pattern(place.path)
    }
    taken: dict[tuple[object, str], Given | None] = {}
    for place in places:
        if place.url:
            if ("", place.url) not in taken:
                taken["", place.url] = _fetched(job, place.url)
            continue
        owner = id(place.files)
        if not is_pattern(place.path):
            if (owner, place.path) not in taken:
                missing = helm.ignore_missing_value_files and place.files.find(place.path) is None
                taken[owner, place.path] = None if missing else _read(place, "value file")
            continue
        matches = expand(place.files, place.path)
        if not matches and not helm.ignore_missing_value_files:
            raise RenderFailed(f"{place.said}: no file fits this pattern")
        for path in matches:
            if (owner, path) not in named and (owner, path) not in taken:
                taken[owner, path] = _read(replace(place, path=path), "value file")
    return [given for given in taken.values() if given is not None]


def own_values(helm: Helm) -> Given | None:
    """What the Application itself says: `valuesObject`, else `values`."""
    if helm.values_object is not None:
        text = _NOT_YAML.sub(
            lambda match: f"\\u{ord(match[0]):04x}", orjson.dumps(helm.values_object).decode()
        )
        return Given("spec.source.helm.valuesObject", text.encode())
    return Given("spec.source.helm.values", helm.values.encode()) if helm.values else None


def parameters(helm: Helm, env: Mapping[str, str]) -> list[str]:
    """The options that `parameters` are; of two with the same name the later one counts."""
    plain = {each.name: each.value for each in helm.parameters if not each.force_string}
    texts = {each.name: each.value for each in helm.parameters if each.force_string}
    return [
        word
        for option, values in (("--set", plain), ("--set-string", texts))
        for name, value in values.items()
        for word in (option, f"{name}={_escaped(substitute(value, env))}")
    ]


def file_parameters(job: Job, helm: Helm, env: Mapping[str, str]) -> dict[str, Given]:
    """The files of `fileParameters` by the names of the parameters. Raises as `value_files` does."""
    given: dict[str, Given] = {}
    for each in helm.file_parameters:
        place = _place(job, each.path, "fileParameters", env)
        given[each.name] = _fetched(job, place.url) if place.url else _read(place, "file parameter")
    return given


def substituted(helm: Helm, env: Mapping[str, str]) -> Iterator[str]:
    """Every text in which the build environment is put, as it is afterwards."""
    return (substitute(each, env) for each in with_environment(helm))


def with_environment(helm: Helm) -> Iterator[str]:
    """Every text in which the build environment is put, as it is written."""
    yield from helm.value_files
    yield from (each.value for each in helm.parameters)
    yield from (each.path for each in helm.file_parameters)


def _place(job: Job, raw: str, field: str, env: Mapping[str, str]) -> _Place:
    said = f"spec.source.helm.{field}: {printable(masked(raw)) or 'an empty path'}"
    first, _, rest = raw.partition("/")
    if first.startswith("$") and first[1:] in job.refs:
        # Only now is the environment put in: a source must not be chosen by it.
        if not rest.strip("/"):
            raise RenderFailed(f"{said} names a source and no file of it: add its path")
        return _Place(job.refs[first[1:]], _inside(said, substitute(rest, env).lstrip("/")), said)
    if _REF.fullmatch(first) and rest and first[1:] not in env:
        refs = ", ".join(f"${printable(ref)}" for ref in sorted(job.refs)) or "none"
        raise RenderFailed(f"{said}: no source of this app has this ref; the refs that there are: {refs}")
    text = substitute(raw, env)
    if scheme := _SCHEME.match(text):
        if scheme[1].lower() not in _FETCHED:
            raise RenderFailed(f"{said}: URLs of values can only be http:// and https://")
        return _Place(job.files, "", said, text)
    if text.startswith("/"):  # from the root of the repository, as Argo CD has it
        return _Place(job.files, _inside(said, text.lstrip("/")), said)
    return _Place(job.files, _inside(said, posixpath.join(job.source.path.strip("/"), text)), said)


def _inside(said: str, path: str) -> str:
    path = posixpath.normpath(path)
    if path == ".." or path.startswith("../"):
        raise RenderFailed(f"{said} leads out of the repository: no '..' beyond its root")
    if path == ".":
        raise RenderFailed(f"{said} is no file: name one")
    return path


def _read(place: _Place, what: str) -> Given:
    found = place.files.find(place.path)
    if found is None or not found.is_file:
        why = "does not exist" if found is None else "is not a file"
        raise RenderFailed(
            f"{what} {why} at commit {place.files.commit[:12]} ({place.said})", where=printable(place.path)
        )
    return Given(printable(place.path), place.files.read(place.path))


def _fetched(job: Job, url: str) -> Given:
    data, digest = job.fetch.file(url)
    shown = masked(url)
    return Given(shown, data, str(Address("file", (shown,))), digest)


def _escaped(value: str) -> str:
    """As Argo CD escapes: a comma would begin another parameter, except in a list `{a,b}`."""
    if value.startswith("{") and value.endswith("}"):
        return value
    return re.sub(r"(?<!\\),", r"\,", value)

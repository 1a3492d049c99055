"""What we must know of a chart that helm does not tell: the names of what is in `charts/`, which files count,
and whether its templates may give something else the next time.

https://helm.sh/docs/topics/charts/
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mooring.errors import RemoteRefused, RenderFailed
from mooring.text import printable
from workers.remote.archive import LINK, Bounds, Pack, unpack
from workers.render.doublestar import fits
from workers.render.yaml_reader import read_documents

_NESTED: Final = 4  # archives in archives
_MOST_UNPACKED: Final = 256 << 20
# What draws lots, asks for the time, or gives the keys of a map in no order.
_IMPURE: Final = re.compile(
    r"(?<![\w.$-])(?:rand\w+|gen(?:CA|PrivateKey|SelfSignedCert|SignedCert)(?:WithKey)?|uuidv4|htpasswd|bcrypt|"
    r"encryptAES|shuffle|now|ago|(?:must)?(?:[dD]ate\w*|toDate|ToDate)|date_\w+|htmlDate\w*|unixEpoch|keys|"
    r"values|lookup|getHostByName)(?![\w:])"
)
_LOOKUP: Final = re.compile(r"""(?<![\w.$"'`-])lookup\s+["'`$(.]""")


@dataclass(frozen=True, slots=True)
class Scan:
    """What templates call: `impure` is whether the next render may give something else, `looks_up` whether
    the cluster is asked. Rather too often yes than once too little."""

    impure: bool = False
    looks_up: bool = False


def scan(folder: Path, texts: Iterable[bytes]) -> Scan:
    """Looks through all files of a chart, its dependencies among them, and through values, in which there may
    be templates too."""
    found = Scan()
    budget = [_MOST_UNPACKED]
    for text in texts:
        found = _with(found, text)
    for file in _files(folder):
        if file.suffix == ".tgz":
            found = _in_archive(found, file.read_bytes(), budget, _NESTED)
        else:
            found = _with(found, file.read_bytes())
    return found


def metadata(data: bytes, where: str) -> dict[str, Any]:
    """The mapping in a Chart.yaml or the like; empty where there is none. Raises RenderFailed."""
    documents, _ = read_documents(data, where)
    return documents[0].body if documents else {}


def names_in(charts: Path, where: str) -> set[str]:
    """The names of the charts in a directory `charts/`, unpacked ones and archives. What is none is passed
    over: helm has the last word on it."""
    names: set[str] = set()
    for each in sorted(charts.iterdir()) if charts.is_dir() else ():
        if not each.name.startswith(("_", ".")):
            names |= _name_of(each, f"{where}/{printable(each.name)}")
    return names


def kept(folder: Path, where: str) -> list[str]:
    """The files of a chart that its .helmignore leaves, relative to `folder`, sorted.

    Raises RenderFailed for a rule that is none. https://helm.sh/docs/chart_template_guide/helm_ignore_file/
    """
    ignore = folder / ".helmignore"
    lines = ignore.read_text(errors="replace").lstrip("\ufeff").splitlines() if ignore.is_file() else []
    rules = [rule for line in lines if (rule := line.strip()) and not rule.startswith("#")]
    found: list[str] = []
    try:
        for place, folders, names in os.walk(folder):
            inside = Path(place).relative_to(folder)
            folders[:] = [
                name for name in folders if not _ignored((inside / name).as_posix(), rules, folder=True)
            ]
            found += [
                path
                for name in names
                if not _ignored(path := (inside / name).as_posix(), rules, folder=False)
            ]
    except ValueError as error:
        raise RenderFailed(f"a rule {error}", where=f"{where}/.helmignore") from error
    return sorted(found)


def _ignored(path: str, rules: Iterable[str], *, folder: bool) -> bool:
    for rule in (*rules, "templates/.?*"):
        pattern = rule.removeprefix("!")
        only_folders = pattern.endswith("/")
        pattern = pattern.removesuffix("/")
        name = path if "/" in pattern else path.rpartition("/")[2]
        matches = (folder or not only_folders) and fits(pattern.removeprefix("/"), name)
        # As Helm has it, what a rule with `!` does not fit is ignored.
        if matches is not rule.startswith("!"):
            return True
    return False


def _name_of(chart: Path, where: str) -> set[str]:
    try:
        if chart.is_dir():
            about = chart / "Chart.yaml"
            data = about.read_bytes() if about.is_file() else b""
        elif chart.suffix == ".tgz":
            member = unpack(chart.read_bytes()).without_top().members.get("Chart.yaml")
            data = member.data if member and member.mode != LINK else b""
        else:
            return set()
        name = metadata(data, f"{where}/Chart.yaml").get("name")
    except (RemoteRefused, RenderFailed):
        return set()
    return {name} if isinstance(name, str) else set()


def _in_archive(found: Scan, data: bytes, budget: list[int], depth: int) -> Scan:
    try:
        pack = unpack(data, Bounds(total_bytes=budget[0])) if depth else None
    except RemoteRefused:
        pack = None
    if pack is None:  # nobody knows
        return Scan(impure=True, looks_up=found.looks_up)
    budget[0] -= sum(len(member.data) for member in pack.members.values())
    for path, member in _members(pack):
        if path.endswith(".tgz"):
            found = _in_archive(found, member, budget, depth - 1)
        else:
            found = _with(found, member)
    return found


def _members(pack: Pack) -> Iterator[tuple[str, bytes]]:
    yield from ((path, member.data) for path, member in pack.members.items())


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)


def _with(found: Scan, text: bytes) -> Scan:
    if found.impure and found.looks_up:
        return found
    for action in _actions(text):
        looks_up = found.looks_up or _LOOKUP.search(action) is not None
        found = Scan(found.impure or _IMPURE.search(action) is not None, looks_up)
    return found


def _actions(text: bytes) -> Iterator[str]:
    """What stands between `{{` and `}}`, comments left out."""
    at = 0
    while (start := text.find(b"{{", at)) >= 0:
        end = text.find(b"}}", start)
        if end < 0:
            return
        action = text[start + 2 : end].decode(errors="replace")
        if not action.removeprefix("-").lstrip().startswith("/*"):
            yield action
        at = end + 2

"""Takes out of a tool's words what its files hold as secret: tools quote the text that they cannot use.

What is secret cannot be known for sure, so all is taken for it that a Secret, a secretGenerator of a
kustomization, or a field, option or file with a telling name holds, and what a program is given that makes a
Secret: a message rather loses a word too many.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from mooring.errors import RenderFailed
from workers.confine.dumps import MASK, apart, without_secrets
from workers.render.yaml_reader import read_documents

_SHORTEST: Final = 4  # what is shorter stands in too many words, and is no secret for long
_FILE_LIMIT: Final = 1 << 20
_TOGETHER: Final = 16 << 20
_DEEPEST: Final = 64
_TELLING: Final = re.compile(
    r"pass|pwd|secret|stringData|token|credential|private|api_?key|access_?key|auth|cert|dsn|salt|signature",
    re.IGNORECASE,
)
_ONLY_NAMES: Final = re.compile(r"(name|ref|type|class|enabled|path|mount)$", re.IGNORECASE)
# Possessive throughout, and to the end where a quote is not closed: the text is a stranger's, and must not be
# gone through more than once.
_LINE: Final = re.compile(
    r"""^[ \t-]*+["']?+(?P<key>[\w./-]++)["']?+[ \t]*+[:=][ \t]*+(?P<value>\S.*+)""", re.MULTILINE
)
# Within a line, or over several of them: YAML in braces, JSON, Jsonnet, Go's way to print a map.
_PAIR: Final = re.compile(
    r"""(?<![\w./-])["']?+(?P<key>[\w./-]++)["']?+\s*+(?:\+?:{1,3}|=)\s*+"""
    r"""(?:"(?P<double>(?:[^"\\]|\\.)*+)"?+|'(?P<single>(?:[^'\\]|\\.)*+)'?+|(?P<bare>[^\s"',{}\[\]|]++))""",
    re.DOTALL,
)
# https://jsonnet.org/ref/spec.html#lexing: what is imported is no secret, and comments are no strings.
_JSONNET: Final = re.compile(
    r"""\bimport(?:str|bin)?+\s*+@?["'][^"'\n]*+["']|//[^\n]*+|\#[^\n]*+|/\*(?:[^*]|\*(?!/))*+|"""
    r"""\|\|\|(?P<block>(?:[^|]|\|(?!\|\|))*+)(?:\|\|\|)?+|"""
    r"""@"(?P<at_double>(?:[^"]|"")*+)"?+|@'(?P<at_single>(?:[^']|'')*+)'?+|"""
    r""""(?P<double>(?:[^"\\]|\\.)*+)"?+|'(?P<single>(?:[^'\\]|\\.)*+)'?+""",
    re.DOTALL,
)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_QUOTED: Final = re.compile(
    r"""(?P<key>"(?P<name>[^"\n]*+)"\s*+:\s*+)(?P<value>"(?:[^"\\]|\\.)*+"?+|[^\s",}\]{\[]++)""", re.DOTALL
)
_SECRET: Final = re.compile(r"""\bkind["']?+\s*+:{1,3}\s*+["']?+Secret\b|\bstringData\b""")
_YAML: Final = (".yaml", ".yml", ".json", "")
_OF_JSONNET: Final = (".jsonnet", ".libsonnet")
_STRUCTURED: Final = (*_YAML[:-1], *_OF_JSONNET, ".tpl", ".md")  # which say themselves what is secret in them
_IMPORTED: Final = re.compile(r"""\bimport(?:str|bin)?+\s*+@?["']([^"'\n]*+)["']""")
_VALUE: Final = re.compile(r"\.Values(?:\.\w++)*?\.(\w++)(?!\.)")  # the last name of the way to it
# An alias, an anchor or a tag of YAML, which is what text may look like: they are quoted without their signs.
_SIGNED: Final = re.compile(r"[*&!]+([\w-]+)")
_COMMA: Final = re.compile(r"(?<!\\),")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/\s]{8,}+={0,2}+\s*+")


def hushed(words: str, directory: Path, argv: Sequence[str] = ()) -> str:
    """`words` without the secrets of the files below `directory`, and of the options in `argv`, and without
    what is printed of Secrets in them."""
    if not words.strip():
        return words
    said, calls = apart(words)
    said = _QUOTED.sub(_masked, without_secrets(said))
    quoted = {each for each in _secrets(directory, argv) if len(each) >= _SHORTEST and each in said}
    for secret in sorted(quoted, key=len, reverse=True):
        said = said.replace(secret, MASK)
    return said + calls


def _masked(pair: re.Match[str]) -> str:
    return f'{pair["key"]}"{MASK}"' if _tells(pair["name"]) else pair[0]


def _secrets(directory: Path, argv: Sequence[str]) -> Iterator[str]:
    texts = dict(_texts(directory, lambda file, text: _TELLING.search(text) or _TELLING.search(file.name)))
    # Which of what a program is given goes into the Secret that it makes, only an evaluation tells.
    makes = any(file.suffix in _OF_JSONNET and _SECRET.search(text) for file, text in texts.items())
    imported: set[str] = set()
    if makes:
        programs = dict(_texts(directory, lambda file, _: file.suffix in _OF_JSONNET))
        imported = {Path(name).name for text in programs.values() for name in _IMPORTED.findall(text)}
        texts |= programs | dict(_texts(directory, lambda file, _: file.name in imported))
    used = _used(texts.values())
    if used:
        named = re.compile("|".join(map(re.escape, used)))
        texts |= dict(_texts(directory, lambda file, text: file.suffix in _YAML and named.search(text)))
    whole = {
        file
        for file in _regular(directory)
        if file.suffix not in _STRUCTURED and (_tells(file.name) or file.name in imported)
    }
    for option in argv:
        yield from _of_option(option, used, everything=makes)
        name, _, value = option.partition("=")
        if value and _tells(name, used):
            whole.add(directory / value)  # it may be a file's name
    for file, text in texts.items():
        if file.suffix in _YAML:
            try:
                documents, _ = read_documents(text.encode(), file.name)
            except RenderFailed:
                yield from _of_text(text)
            else:
                for document in documents:
                    given = file.name in imported or (_tells(file.stem) and "kind" not in document.body)
                    yield from _of_body(document.body, file, whole, used, given)
        else:
            if file.suffix in _OF_JSONNET and (makes or _tells(file.stem)):
                yield from _of_jsonnet(text)
            yield from _of_text(text)
    for file in whole & set(_regular(directory)):
        for line in (_read(file) or "").splitlines():
            yield from _forms(line)
            yield from _forms(line.partition("=")[2])


def _used(texts: Iterable[str]) -> set[str]:
    """The names of the values that templates of Secrets use."""
    names = {name for text in texts if _SECRET.search(text) for name in _VALUE.findall(text)}
    return {name for name in names if _ONLY_NAMES.search(name) is None}


def _of_option(option: str, used: Collection[str], *, everything: bool) -> Iterator[str]:
    """Of `name=value`, of several such with commas between them, and of `name={one,other}`."""
    name, _, whole = option.partition("=")
    if everything or _tells(name, used):
        yield from _unescaped(whole)
        for each in _COMMA.split(whole.strip("{}")):
            yield from _unescaped(each)
    for pair in _COMMA.split(option):
        name, _, value = pair.partition("=")
        if _tells(name, used):
            yield from _unescaped(value)
    yield from _of_text(option)


def _of_body(body: Any, file: Path, whole: set[Path], used: Collection[str], given: bool) -> Iterator[str]:
    """`given`: all of it is secret. Files that are, as a whole, are added to `whole`."""
    waiting: list[tuple[Any, bool]] = [(body, given)]
    seen: set[int] = set()  # aliases lead to one object many times
    while waiting:
        value, secret = waiting.pop()
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            if secret:
                yield from _forms(str(value))
            elif isinstance(value, str) and _TELLING.search(value):  # as a patch, or another file
                yield from _of_text(value)
            continue
        if not isinstance(value, dict | list) or (not secret and id(value) in seen):
            continue
        seen.add(id(value))
        if isinstance(value, list):
            waiting += [(item, secret) for item in value]
            continue
        of_secret = value.get("kind") == "Secret"
        if value.get("kind") == "SecretGenerator":
            yield from _of_generators([value], file, whole)
        for key, item in value.items():
            if key == "secretGenerator":
                yield from _of_generators(item, file, whole)
            else:
                told = of_secret and key in ("data", "stringData")
                waiting.append((item, secret or told or _tells(str(key), used)))


def _of_generators(generators: Any, file: Path, whole: set[Path]) -> Iterator[str]:
    for generator in generators if isinstance(generators, list) else ():
        for field in ("literals", "envs", "env", "files"):
            told = generator.get(field, ()) if isinstance(generator, dict) else ()
            for each in [told] if isinstance(told, str) else told or ():
                name, equals, value = str(each).partition("=")
                if field == "literals":
                    yield from _forms(value if equals else name)
                else:
                    whole.add(Path(os.path.normpath(file.parent / (value if equals else name))))


def _of_text(text: str) -> Iterator[str]:
    """Of what is no YAML, as a template of a chart."""
    whole = _SECRET.search(text) is not None
    for found in _LINE.finditer(text):
        if whole or _tells(found["key"]):
            yield from _forms(found["value"].strip().strip("\"'"))
    for found in _PAIR.finditer(text):
        if (whole and found["key"] not in ("kind", "apiVersion")) or _tells(found["key"]):
            yield from _unescaped(found["double"] or found["single"] or found["bare"] or "")


def _of_jsonnet(text: str) -> Iterator[str]:
    """All its strings."""
    for found in _JSONNET.finditer(text):
        for value in found.groupdict().values():
            yield from _unescaped(value or "")


def _unescaped(value: str) -> Iterator[str]:
    yield from _forms(value)
    if "\\" in value:
        yield from _forms(_ESCAPED.sub(lambda found: "\n" if found[1] in "nrt" else found[1], value))


def _tells(key: str, used: Collection[str] = ()) -> bool:
    """Whether what is called so is secret: by its name, or as the last step of it is among `used`."""
    if used and re.split(r"[.\]]", key)[-1] in used:
        return True
    return _TELLING.search(key) is not None and _ONLY_NAMES.search(key) is None


def _forms(text: str) -> Iterator[str]:
    """As it may be quoted: whole, line by line, encoded or decoded."""
    decoded = ""
    if _BASE64.fullmatch(text):
        with contextlib.suppress(binascii.Error, UnicodeDecodeError):
            decoded = base64.b64decode(text).decode()
    for whole in (text, decoded):
        for part in (whole, *whole.splitlines()):
            yield part.strip()
            yield base64.b64encode(part.strip().encode()).decode()
            if signed := _SIGNED.match(part.strip()):
                yield signed[1]


def _texts(directory: Path, wanted: Callable[[Path, str], object]) -> Iterator[tuple[Path, str]]:
    """The files that are `wanted`: to look for a word in them is much quicker than to read YAML."""
    left = _TOGETHER
    for file in _regular(directory):
        text = _read(file)
        if text is not None and wanted(file, text) and (left := left - len(text)) > 0:
            yield file, text


def _regular(directory: Path) -> Iterator[Path]:
    depth = len(directory.parts)
    for place, folders, names in os.walk(directory):
        if len(Path(place).parts) - depth >= _DEEPEST:
            folders.clear()
        for name in names:
            file = Path(place, name)
            try:
                about = file.lstat()
            except OSError:
                continue
            if stat.S_ISREG(about.st_mode) and about.st_size <= _FILE_LIMIT:
                yield file


def _read(file: Path) -> str | None:
    try:
        # A tool may have put a link or a pipe there.
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as opened:
            data = opened.read(_FILE_LIMIT)
    except OSError:
        return None
    return None if b"\0" in data[:1024] else data.decode(errors="replace")

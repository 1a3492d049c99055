"""Reads YAML and JSON as kubectl reads them, because a second opinion on `on` or `0644` breaks clusters.

kubectl cuts a file into documents at lines that begin with `---`, turns each into JSON by go-yaml v2, and
takes a file that begins with `{` for a stream of JSON objects first. So do we, and
`tests/workers/render/corpus` proves it. We are stricter where kubectl drops or changes something in
silence: text after the end of a document and bytes that are not UTF-8 are refused.

Python objects are built straight from libyaml's events: nothing recurses, so nothing can be too deep.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn

import orjson
import yaml
from yaml._yaml import CParser

from mooring.errors import RenderFailed
from workers.render import scalars

DuplicateKeys = Literal["warn", "error"]

MAX_DEPTH: Final = 200  # orjson writes at most 254 levels
MAX_WARNINGS: Final = 20  # about repeated keys of one file: nobody reads more of them
MAX_ALIASED: Final = 200_000  # values that aliases may add to one file; go-yaml allows about 400,000

_SEPARATOR: Final = re.compile(r"^---(.*)$", re.MULTILINE)
_JSON_SPACE: Final = re.compile(r"[ \t\r\n]*")
_ENCODINGS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# The stubs have one class for all events, without the attributes of any.
_Parser = Any
_Event = Any
_MERGE_TAG: Final = "tag:yaml.org,2002:merge"


class NotAMapping(RenderFailed):
    """A document that can be read and is no object: a list or a scalar."""


@dataclass(slots=True)
class Budget:
    """How much may still be read for one app, across its files. A document takes its time even when it is
    empty, and a value when it is a single digit: a million of either is a file of a few MB."""

    documents: int = 20_000
    values: int = 1_000_000  # of YAML, which is slow to read

    def take_document(self, where: str) -> None:
        self.documents -= 1
        if self.documents < 0:
            raise RenderFailed("there are too many documents: split this app", where=where)


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document or JSON object: plain dicts, lists, strings, numbers, booleans and None."""

    body: dict[str, Any]
    line: int  # of its first key, counted from 1


def read_documents(
    data: bytes, path: str, duplicate_keys: DuplicateKeys = "warn", budget: Budget | None = None
) -> tuple[list[Document], list[str]]:
    """All documents of a file that are not empty, in order, and warnings about repeated keys.

    Integers are those of int64, other numbers are floats. What was read is taken off `budget`. Raises
    RenderFailed, naming file and line, for everything that kubectl would refuse, a document that is no
    mapping, and input meant to exhaust us.
    """
    text = _decode(data, path)
    budget = budget or Budget()
    documents, position = _json_stream(text, path, budget)
    reader = _Reader(path, duplicate_keys, budget)
    first = 1 + text.count("\n", 0, position)
    for line, chunk in _chunks(text[position:] if position else text, path, first):
        budget.take_document(f"{path}:{line}")
        document = reader.read(chunk, line)
        if document is not None:
            documents.append(document)
    return documents, reader.warnings


def _decode(data: bytes, path: str) -> str:
    mark, encoding = next((pair for pair in _ENCODINGS if data.startswith(pair[0])), (b"", "utf-8"))
    data = data[len(mark) :]
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = 1 + data[: error.start].decode(encoding, "replace").count("\n")
        raise RenderFailed(
            f"is not {encoding.upper()}: {error.reason}; save the file as UTF-8", where=f"{path}:{line}"
        ) from error


# --- JSON -------------------------------------------------------------------------------------
class _NotJson(ValueError):
    pass


def _json_stream(text: str, path: str, budget: Budget) -> tuple[list[Document], int]:
    # kubectl tries JSON on whatever begins with a brace, and goes on with YAML where that ends.
    documents: list[Document] = []
    position, line, counted = 0, 1, 0
    while True:
        start = _JSON_SPACE.match(text, position).end()  # type: ignore[union-attr]  # matches always
        if start == len(text):
            return documents, start
        if not documents and text[start] != "{":
            return [], 0
        line, counted = line + text.count("\n", counted, start), start
        try:
            body, end = _JSON.raw_decode(text, start)
            orjson.dumps(body)  # refuses lone surrogates
        except RecursionError as error:
            raise _too_deep(f"{path}:{line}") from error
        except OverflowError as error:
            raise RenderFailed("has a number that no float64 can hold", where=f"{path}:{line}") from error
        except (ValueError, TypeError) as error:
            if len(documents) > 1:
                raise RenderFailed(f"is not JSON: {error}", where=f"{path}:{line}") from error
            return documents, position
        if not isinstance(body, dict):
            raise RenderFailed("a document must be a JSON object", where=f"{path}:{line}")
        if _deeper_than(body, MAX_DEPTH):
            raise _too_deep(f"{path}:{line}")
        budget.take_document(f"{path}:{line}")
        documents.append(Document(body, line))
        position = end


def _json_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body = dict(pairs)
    if len(body) != len(pairs):
        raise _NotJson("repeated key")  # the YAML reader knows its line
    return body


def _json_float(text: str) -> int | float:
    value = float(text)
    if math.isinf(value):
        raise OverflowError
    return scalars.on_the_wire(value)


def _json_int(text: str) -> int | float:
    return scalars.on_the_wire(int(text)) if len(text) < 25 else _json_float(text)


def _json_constant(text: str) -> NoReturn:
    raise _NotJson(f"{text} is not JSON")


_JSON: Final = json.JSONDecoder(
    object_pairs_hook=_json_object,
    parse_float=_json_float,
    parse_int=_json_int,
    parse_constant=_json_constant,
)


def _deeper_than(value: Any, limit: int) -> bool:
    if isinstance(value, dict):
        return limit == 0 or any(_deeper_than(child, limit - 1) for child in value.values())
    if isinstance(value, list):
        return limit == 0 or any(_deeper_than(child, limit - 1) for child in value)
    return False


def _too_deep(where: str) -> RenderFailed:
    return RenderFailed(f"is nested deeper than {MAX_DEPTH} levels", where=where)


# --- YAML -------------------------------------------------------------------------------------
def _chunks(text: str, path: str, line: int) -> Iterator[tuple[int, str]]:
    # Cut at `---` as k8s.io/apimachinery/pkg/util/yaml does, before any YAML is understood. It is why
    # kubectl has no %YAML directives: they would be a document of their own. Each line ends with one \n
    # then, the last one too, which a block scalar sees.
    text = text.replace("\r\n", "\n")
    if not text.endswith("\n"):
        text += "\n"
    start = 0
    for separator in _SEPARATOR.finditer(text):
        if separator.start() > start:
            chunk = text[start : separator.start()]
            yield line, chunk
            line += chunk.count("\n")
        rest = separator[1].strip()
        if rest and not rest.startswith("#"):
            raise RenderFailed(
                "only a comment may follow '---' on its line; begin the document on the next one",
                where=f"{path}:{line}",
            )
        start = min(separator.end() + 1, len(text))
        line += 1
    if start < len(text):
        yield line, text[start:]


_MISSING: Final = object()
_NO_KEY: Final = object()
_MERGE: Final = object()  # stands where the key `<<` does
_OPEN: Final = object()  # an anchor whose value has not ended yet


class _Frame:
    """A mapping or sequence that has begun and not ended."""

    __slots__ = ("anchor", "container", "key", "line", "merged")

    def __init__(self, container: dict[str, Any] | list[Any], anchor: str | None) -> None:
        self.container = container
        self.anchor = anchor
        self.key: Any = _NO_KEY
        self.line = 0
        self.merged: set[str] = set()


class _Reader:
    """Builds documents of one file out of parser events."""

    def __init__(self, path: str, duplicate_keys: DuplicateKeys, budget: Budget) -> None:
        self.path = path
        self.duplicate_keys = duplicate_keys
        self.budget = budget
        self.warnings: list[str] = []
        self._aliased = 0
        self._first = 1

    def read(self, chunk: str, first: int) -> Document | None:
        """The document of a chunk that begins on line `first` of the file; None when it is empty."""
        self._first = first
        try:
            return self._document(CParser(chunk))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = self._where(mark.line if mark else 0)
            raise RenderFailed(f"is not YAML: {error.problem or error.context}", where=where) from error
        except yaml.reader.ReaderError as error:
            before = chunk.encode()[: max(error.position, 0)]
            where = self._where(before.count(b"\n"))
            raise RenderFailed(f"is not YAML: {error.reason}", where=where) from error

    def _document(self, parser: _Parser) -> Document | None:
        parser.get_event()  # the stream's start
        if type(parser.get_event()) is yaml.StreamEndEvent:
            return None
        root = parser.peek_event()
        line = root.start_mark.line
        value = self._value(parser)
        parser.get_event()  # the document's end
        self._nothing_follows(parser)
        if value is None:
            return None
        if not isinstance(value, dict):
            kind = "a list" if isinstance(value, list) else "a single value"
            raise NotAMapping(f"a document must be a mapping, this one is {kind}", where=self._where(line))
        return Document(value, self._first + line)

    def _nothing_follows(self, parser: _Parser) -> None:
        try:
            event = parser.get_event()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._refuse(
                "the document ends before this: what follows would be lost; begin a new one with '---'",
                mark.line if mark else 0,
            )
        if type(event) is not yaml.StreamEndEvent:
            self._refuse("a new document must begin with '---', not after '...'", event.start_mark.line)

    def _value(self, parser: _Parser) -> Any:
        """The next whole value: a scalar, or a collection with all that is in it."""
        get_event = parser.get_event
        anchors: dict[str, Any] = {}
        stack: list[_Frame] = []
        frame: _Frame | None = None
        left = self.budget.values
        while True:
            event = get_event()
            kind = type(event)
            left -= 1
            if left < 0:
                self._refuse("there are too many values: split this app", event.start_mark.line)
            if kind is yaml.ScalarEvent:
                value: Any = self._scalar(event)
                if event.anchor is not None:
                    anchors[event.anchor] = value
                if (
                    value == "<<"
                    and frame is not None
                    and frame.key is _NO_KEY
                    and type(frame.container) is dict
                    and (event.implicit[0] or event.tag == _MERGE_TAG)
                ):
                    frame.key, frame.line = _MERGE, event.start_mark.line
                    continue
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                if len(stack) >= MAX_DEPTH:
                    raise _too_deep(self._where(event.start_mark.line))
                if event.anchor is not None:
                    anchors[event.anchor] = _OPEN
                frame = _Frame({} if kind is yaml.MappingStartEvent else [], event.anchor)
                stack.append(frame)
                continue
            elif kind is yaml.AliasEvent:
                value = anchors.get(event.anchor, _MISSING)
                if value is _MISSING:
                    # What it is called is not repeated: a password may begin with the same sign.
                    self._refuse(
                        "an alias (*…) has no anchor before it; quote it, if it is meant as text",
                        event.start_mark.line,
                    )
                if value is _OPEN:
                    self._refuse("an alias (*…) is inside of its own anchor", event.start_mark.line)
                if frame is not None and frame.key is _MERGE and type(value) is not dict:
                    self._refuse("'<<' takes a mapping, or a list of mappings", event.start_mark.line)
                value = self._copy(value, len(stack), event.start_mark.line)
            else:  # the end of a mapping or a sequence
                done = stack.pop()
                value = done.container
                if done.anchor is not None:
                    anchors[done.anchor] = value
                frame = stack[-1] if stack else None
            if frame is None:
                self.budget.values = left
                return self._wire(value, event)
            container = frame.container
            if type(container) is list:
                container.append(self._wire(value, event))
            elif frame.key is _NO_KEY:
                frame.key, frame.line = self._key(value, event), event.start_mark.line
            elif frame.key is _MERGE:
                self._merge(frame, value)
                frame.key = _NO_KEY
            else:
                self._set(frame, self._wire(value, event))
                frame.key = _NO_KEY

    def _scalar(self, event: _Event) -> scalars.Scalar:
        text: str = event.value
        if event.tag is not None:
            try:
                return scalars.tagged(event.tag, text)
            except ValueError as error:
                self._refuse(f"a value {error}", event.start_mark.line)
        # `! 'text'` counts as implicit, but only an unquoted scalar is looked at for its meaning.
        return scalars.plain(text) if event.implicit[0] and not event.style else text

    def _wire(self, value: Any, event: _Event) -> Any:
        if type(value) is int or type(value) is float:
            try:
                return scalars.on_the_wire(value)
            except ValueError as error:
                self._refuse(f"{value} {error}; quote it", event.start_mark.line)
        return value

    def _key(self, value: Any, event: _Event) -> str:
        if type(value) is str:
            return value
        if isinstance(value, dict | list):
            self._refuse("a mapping or a list cannot be a key", event.start_mark.line)
        try:
            return scalars.key(value)
        except ValueError as error:
            self._refuse(str(error), event.start_mark.line)

    def _set(self, frame: _Frame, value: Any) -> None:
        container, key = frame.container, frame.key
        assert isinstance(container, dict)
        if key in container:
            if key in frame.merged:
                frame.merged.discard(key)
            else:
                message = f"the key {_short(key)} is given twice"
                if self.duplicate_keys == "error":
                    self._refuse(message, frame.line)
                if len(self.warnings) < MAX_WARNINGS:
                    self.warnings.append(f"{self._where(frame.line)}: {message}, the last one counts")
        container[key] = value

    def _merge(self, frame: _Frame, value: Any) -> None:
        # go-yaml v2 merges where `<<` stands: it overwrites the keys before it, those after it overwrite.
        # In a list the first mapping wins. https://yaml.org/type/merge.html says otherwise for the former.
        mappings = value if isinstance(value, list) else [value]
        assert isinstance(frame.container, dict)
        for mapping in reversed(mappings):
            if not isinstance(mapping, dict):
                self._refuse("'<<' takes a mapping, or a list of mappings", frame.line)
            frame.container.update(mapping)
            frame.merged.update(mapping)

    def _copy(self, value: Any, depth: int, line: int) -> Any:
        # Each alias gets a copy of its own, so that changing one changes no other.
        self._aliased += 1
        if self._aliased > MAX_ALIASED:
            self._refuse("aliases expand to too much", line)
        if not isinstance(value, dict | list):
            return value
        if depth >= MAX_DEPTH:
            raise _too_deep(self._where(line))
        if isinstance(value, dict):
            return {key: self._copy(child, depth + 1, line) for key, child in value.items()}
        return [self._copy(child, depth + 1, line) for child in value]

    def _where(self, line: int) -> str:
        return f"{self.path}:{self._first + line}"

    def _refuse(self, message: str, line: int) -> NoReturn:
        raise RenderFailed(message, where=self._where(line))


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")

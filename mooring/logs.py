"""Log lines: JSON for machines, a plain line for people, each with the delivery, the application and the
commit that it is about.

The code logs with the standard library, as Celery and gunicorn do; here is the one handler of all of them.
"""

from __future__ import annotations

import importlib
import logging
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType, ModuleType
from typing import Any, Final, TextIO

from mooring.errors import Refused
from mooring.text import printable

AUTO, JSON, HUMAN = FORMATS = ("auto", "json", "human")
_PASSWORD: Final = re.compile(r"://[^/\s@:]*:[^/\s@]*@")
_MOST_DELIVERIES: Final = 10
_ABOUT: Final[ContextVar[Mapping[str, str]]] = ContextVar("about", default=MappingProxyType({}))
_CARRIED: Final = "what it is about"
_FIRST: Final = ("timestamp", "level", "event")


def configure(format: str, process: str, stream: TextIO | None = None) -> None:
    """Have everything that this process logs from INFO on written to `stream` (stderr).

    `format` is `json`, `human`, or `auto`: human where `stream` is a terminal. `process` is in each line of
    JSON. Raises Refused when `format` is none of them.
    """
    structlog = logger()
    stream = stream or sys.stderr
    as_json = wants_json(format, stream)
    handler = logging.StreamHandler(stream)
    shared: list[Any] = [
        _about_what,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Not structlog's own way to show exceptions: that shows the values of variables, too.
        structlog.processors.format_exc_info,
    ]
    render: list[Any] = [_named(process), _printable, structlog.processors.JSONRenderer()]
    if not as_json:
        render = [_printable, _plain]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    # Of no meaning here: messages are JSON, and JSON is no code.
    warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")


def logger() -> ModuleType:
    """`structlog`. Read only where somebody logs: the command line would be slower by it. And without `rich`,
    by which it would show exceptions: we show them in its plain way. It would be 4 MB of each process.
    """
    if "rich" in sys.modules:
        return importlib.import_module("structlog")
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("structlog")
    finally:
        del sys.modules["rich"]


def wants_json(format: str, stream: TextIO) -> bool:
    """Whether lines in `format` are JSON on `stream`. Raises Refused when there is no such format."""
    if format not in FORMATS:
        raise Refused(f"MOORING_LOG_FORMAT must be one of {', '.join(FORMATS)}, not {format!r}")
    return format == JSON or (format == AUTO and not stream.isatty())


@contextmanager
def about(*, app: str = "", deliveries: Iterable[str] = (), commit: str = "") -> Iterator[None]:
    """Lines logged within the block are about these; what is "" is not known, or does not apply."""
    told = list(deliveries)
    delivery = ",".join(told[:_MOST_DELIVERIES]) + ("…" if len(told) > _MOST_DELIVERIES else "")
    before = _ABOUT.set({"app": app, "delivery": delivery, "commit": commit})
    try:
        yield
    except Exception as error:
        error.__dict__.setdefault(_CARRIED, _ABOUT.get())  # who logs it does so outside
        raise
    finally:
        _ABOUT.reset(before)


@contextmanager
def of(error: Exception) -> Iterator[None]:
    """Lines logged within the block are about what `error` came out of: the innermost block of `about`."""
    before = _ABOUT.set(error.__dict__.get(_CARRIED, _ABOUT.get()))
    try:
        yield
    finally:
        _ABOUT.reset(before)


def at(commit: str) -> None:
    """The rest of the block of `about` is about `commit`."""
    _ABOUT.set({**_ABOUT.get(), "commit": commit})


def _about_what(logger: Any, method: str, line: dict[str, Any]) -> dict[str, Any]:
    return {**line, **_ABOUT.get()}


def _named(process: str) -> Any:
    def add(logger: Any, method: str, line: dict[str, Any]) -> dict[str, Any]:
        return line | {"process": process}

    return add


def _printable(logger: Any, method: str, line: dict[str, Any]) -> dict[str, Any]:
    """Words of strangers as they may be shown; what is "" is left out. Passwords in URLs are masked where
    they come from: this is for what libraries log."""
    shown: dict[str, Any] = {}
    for name, value in line.items():
        text = _PASSWORD.sub("://***@", str(value))
        if name == "exception":
            shown[name] = "\n".join(map(printable, text.splitlines()))
        elif text:
            shown[name] = printable(text)
    return {name: shown.pop(name) for name in _FIRST if name in shown} | shown


def _plain(logger: Any, method: str, line: dict[str, Any]) -> str:
    exception = line.pop("exception", "")
    timestamp, level, event = (line.pop(name, "") for name in _FIRST)
    line.pop("logger", None)
    context = "".join(f" {name}={value}" for name, value in line.items())
    return f"{timestamp} {level.upper()} {event}{context}" + (f"\n{exception}" if exception else "")

"""Flower's settings: where it finds the password that it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mooring.errors import Refused

USER: Final = "mooring"
PASSWORD: Final = "MOORING_FLOWER_PASSWORD"  # noqa: S105 - the variable's name
PASSWORD_FILE: Final = "MOORING_FLOWER_PASSWORD_FILE"  # noqa: S105 - the variable's name


def read_password(environ: Mapping[str, str]) -> str:
    """The password in `environ` (usually `os.environ`), or in the file that it names.

    Raises Refused when there is none, when both are given, and when browsers would not send it as it is.
    """
    text, file = environ.get(PASSWORD, ""), environ.get(PASSWORD_FILE, "")
    if text and file:
        raise Refused(f"{PASSWORD} and {PASSWORD_FILE} are both set: keep one of them")
    if file:
        try:
            text = Path(file).read_text(encoding="utf-8", errors="replace").rstrip("\r\n")
        except OSError as error:
            raise Refused(f"{PASSWORD_FILE} cannot be read: {file}: {error.strerror}") from error
    if not text:
        raise Refused(
            f"Flower ends workers and sends tasks, so it needs a password: set {PASSWORD}, "
            f"or {PASSWORD_FILE} to a file that holds it"
        )
    # Which bytes a browser sends for anything else is anybody's guess: https://www.rfc-editor.org/rfc/rfc7617
    if not (text.isascii() and text.isprintable()):
        raise Refused(f"{file or PASSWORD} may hold printable ASCII characters only: choose another password")
    return text

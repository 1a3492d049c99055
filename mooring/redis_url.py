"""Where Redis is: the URL itself, or a file that holds it, as secrets are mounted into containers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mooring.errors import Refused

VARIABLE: Final = "MOORING_REDIS_URL"
FILE_VARIABLE: Final = "MOORING_REDIS_URL_FILE"
FILE_DOC: Final = f"a file that holds the URL, in place of `{VARIABLE}`."


def redis_url(environ: Mapping[str, str]) -> str:
    """The URL that `environ` gives or leads to; "" when it does neither.

    Raises Refused when it does both, and for a file that cannot be read or is empty. What the file holds is
    in no message: it has a password in it.
    """
    url, path = environ.get(VARIABLE, "").strip(), environ.get(FILE_VARIABLE, "").strip()
    if not path:
        return url
    if url:
        raise Refused(f"{VARIABLE} and {FILE_VARIABLE} are both set: unset one of them")
    try:
        url = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Refused(f"{FILE_VARIABLE} cannot be read: {path}: {why}") from error
    if not url:
        raise Refused(f"{FILE_VARIABLE} is of no use: {path} is empty")
    return url

"""How to ask a host only whether something has changed. Pure.

https://www.rfc-editor.org/rfc/rfc9110#section-8.8
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

_SURELY: Final = timedelta(seconds=2)


def unless_changed(answer: Mapping[str, str], received: float) -> dict[str, str]:
    """The headers that ask once more for what came with the headers of `answer` (names in lower case), only
    if it is another one now; none where that cannot be told. `received`, in seconds since the epoch, stands
    for the `Date` of a host that sends none.

    A time alone tells it only of what was older than a second when it was answered: what changes twice in one
    would seem unchanged for good.
    """
    if etag := answer.get("etag", ""):
        return {"If-None-Match": etag}
    modified = _moment(answer.get("last-modified", ""))
    answered = _moment(answer.get("date", "")) or datetime.fromtimestamp(received, UTC)
    if modified is None or answered - modified < _SURELY:
        return {}
    return {"If-Modified-Since": answer["last-modified"]}


def _moment(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None

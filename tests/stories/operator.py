"""What an operator sees in Flower."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request


def pools(port: int, password: str) -> set[str]:
    """The pools whose workers Flower shows to whoever has the password; none while it does not answer.

    Raises HTTPError 401 for a wrong password.
    """
    login = base64.b64encode(f"mooring:{password}".encode()).decode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/workers?refresh=1", headers={"Authorization": f"Basic {login}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return {name.partition("@")[0] for name in json.load(answer)}
    except OSError as error:
        if isinstance(error, urllib.error.HTTPError) and error.code == 401:
            raise
        return set()

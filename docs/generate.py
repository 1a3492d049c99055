"""Writes what docs/ takes from the code: `python -m docs.generate`. tests/docs says when that is due.

docs/settings.md is wholly from the settings' own metadata. In the other pages, what stands between
`generated: NAME` and `end`, as comments, is made here: from the tables by which manifests are judged, and
from the rules of the Redis users.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from mooring.model import support
from mooring.redis_url import FILE_DOC, FILE_VARIABLE, VARIABLE
from mooring.settings import Settings
from mooring.settings_flower import PASSWORD, PASSWORD_FILE, USER
from mooring.settings_web import HOSTS, SECRETS_DIR, WebSettings, secret_variable, settings
from mooring.store import acl

HERE: Final = Path(__file__).parent
FILLED: Final = (HERE / "argocd-compat.md", HERE / "security.md")
_SHOWN: Final = "`test_whatever_is_not_done_yet_is_told_where_it_is_asked_for`"
_BLOCK: Final = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def settings_page() -> str:
    """docs/settings.md."""
    secrets = [(f"`{secret_variable(host)}`", f"`{host}`") for host in HOSTS]
    return f"""# Settings

<!-- Written by `python -m docs.generate` from mooring/settings.py, mooring/settings_web.py
and mooring/settings_flower.py. -->

Every setting is an environment variable; the command line's flags (`--kubeconfig`, `--namespace`, …) win
over them. A value that makes no sense stops the process with a line that names the variable.

The two tiers have settings of their own. `mooring up` gives each process no more than its own: the web
tier never sees a kubeconfig, the workers never see a webhook secret.

## Workers, beat and the command line

{_table(("Variable", "Default", "Meaning"), _engine_rows())}

Where neither `MOORING_REDIS_URL` nor `MOORING_REDIS_URL_FILE` is set, `mooring up` runs a Redis of its own
below `MOORING_STATE_DIR`. Both set is refused. For a user without a home directory, as containers
have, workers and `mooring up` want `MOORING_STATE_DIR` to be set.
`MOORING_KUBECONFIG` empty means: `$KUBECONFIG`, then `~/.kube/config`, then the pod's service account.

## Web tier

{_table(("Variable", "Default", "Meaning"), _web_rows())}

## Webhook secrets

{_table(("Variable", "Host"), secrets)}

`{SECRETS_DIR}` names a directory with a file for each host, named as the host (`github`,
`bitbucket-server`), as a mounted Kubernetes Secret is. Variable and file have the same form:

- one secret a line, all of them valid at once: to rotate, add the new one, change the host, remove the old;
- a line `<repository URL> <secret>` is good for that repository alone;
- for `azure-devops` a secret is `user:password`;
- for `gitlab` a secret that begins with `whsec_` is a signing token, any other a secret token.

A host without a secret is refused with 403, unless `MOORING_ALLOW_UNSIGNED` names it. A variable or file
that belongs to no host stops the web tier: a misspelt name must not pass for a missing secret.

## Flower

{_table(("Variable", "Meaning"), _flower_rows())}

One of the two; printable ASCII. Without one, `mooring up` makes a password for each start and shows it, and
`mooring flower` does not start. Flower's own variables (`FLOWER_…`) are not read.
"""


def blocks() -> dict[str, str]:
    """The generated parts of the files `FILLED`, by name."""
    return {
        "redis-users": _fenced(f"ACL SETUSER {' '.join(user.words('PASSWORD'))}" for user in acl.USERS),
        "not-yet": _table(
            ("", "", "How", "Test"),
            ((what, "not yet", f"{_verdict(blocks)}: {why}", _SHOWN) for what, why, blocks in _not_yet()),
        ),
    }


def filled(text: str) -> str:
    """`text` with its generated parts made anew. Raises KeyError for a part that is not known."""
    made = blocks()
    return _BLOCK.sub(lambda found: f"{found[1]}{made[found[2]]}\n{found[3]}", text)


def _engine_rows() -> Iterable[tuple[str, str, str]]:
    for entry in fields(Settings):
        default: Any = entry.default
        if callable(entry.default_factory):
            default = "~/.local/state/mooring"  # of whoever runs it, not of whoever wrote this page
        shown = "" if default in ("", None, False) else f"`{_plain(default)}`"
        yield f"`{entry.metadata['variable']}`", shown, _sentence(entry.metadata["doc"])
        if entry.metadata["variable"] == VARIABLE:
            yield _FILE_ROW


def _web_rows() -> Iterable[tuple[str, str, str]]:
    defaults = WebSettings()
    for setting, name in settings():
        value = getattr(defaults, name)
        yield f"`{setting.env}`", f"`{_plain(value)}`" if value else "", _sentence(setting.doc)
        if setting.env == VARIABLE:
            yield _FILE_ROW


_FILE_ROW: Final = (f"`{FILE_VARIABLE}`", "", "A" + FILE_DOC[1:])


def _flower_rows() -> Iterable[tuple[str, str]]:
    yield f"`{PASSWORD}`", f"The password of the user `{USER}`."
    yield f"`{PASSWORD_FILE}`", "A file that holds it, as a mounted Kubernetes Secret does."


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _sentence(text: str) -> str:
    # `https://…` stays as it is: only words are made to begin large.
    first = text[:1].upper() if not text.startswith(("`", "kubeconfig")) else text[:1]
    return f"{first}{text[1:].rstrip('.')}."


def _not_yet() -> Iterable[tuple[str, str, bool]]:
    """What is asked for, why it is not done, and whether that blocks."""
    yield from ((f"`spec.{path}`", why, blocks) for path, _, why, blocks in support._SPEC)
    yield from ((f"`operation.{path}`", why, support.BLOCKS) for path, _, why in support._OPERATION)
    yield from _judged("compare option", support._COMPARE_OPTIONS)
    yield from _judged("annotation of an object", support._ANNOTATIONS)
    yield from ((f"`AppProject.spec.{path}`", why, blocks) for path, _, why, blocks in support._PROJECT)


def _judged(title: str, table: dict[str, tuple[str, bool] | None]) -> Iterable[tuple[str, str, bool]]:
    yield from ((f"{title} `{name}`", *verdict) for name, verdict in table.items() if verdict)


def _fenced(lines: Iterable[str]) -> str:
    return "\n".join(("```", *lines, "```"))


def _verdict(blocks: bool) -> str:
    return "**blocks**" if blocks else "warns"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)


def main() -> None:
    (HERE / "settings.md").write_text(settings_page(), encoding="utf-8")
    for file in FILLED:
        file.write_text(filled(file.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()

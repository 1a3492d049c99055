"""`mooring app tree`"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import click

from cli import show
from cli.app.words import find, health_word, sync_word
from cli.exits import complain
from cli.gostyle import Verb
from cli.home import connect, home_options
from cli.named import app_argument
from mooring.settings import Settings

if TYPE_CHECKING:
    from workers.tree import Node

_MOST: Final = 20  # of one kind below one object, for people to read
_PARALLEL: Final = 8
Line = tuple[str, str, str, str]  # where it is in the tree and its name, status, health, message


@click.command(cls=Verb)
@home_options
@app_argument
@show.output("json", "yaml")
def tree(settings: Settings, name: str, output: str | None) -> None:
    """Show an Application's objects with all that has come of them, and how each is now.

    Who owns what is told by ownerReferences. The objects are read in the namespaces that the Application has
    something in; of Secrets no more than that they are there.
    """
    from workers.branches import branches
    from workers.health.custom import Judges
    from workers.scripts.sandbox import Sandbox

    home = connect(settings)
    app = find(home, name)
    sandbox = Sandbox(settings)
    try:
        judge = Judges(home.applications.config, sandbox).now()
        with ThreadPoolExecutor(_PARALLEL) as executor:
            found, failed = branches(
                home.there(app), executor, app.status.resources, app.spec.destination.namespace, judge
            )
    finally:
        sandbox.close()
    if output is not None:
        show.structured([_as_json(node) for node in found], output)
    else:
        head = (f"Application {app.key.title}", sync_word(app), health_word(app), "")
        _print([("NAME", "STATUS", "HEALTH", "MESSAGE"), head, *_lines(found, "")])
    for kind, error in failed.items():
        complain(f"{kind} cannot be listed: {error}")


def _print(lines: Sequence[Line]) -> None:
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    for title, *words in lines:
        cells = [
            show.coloured(word, word.ljust(width)) for word, width in zip(words, widths[1:], strict=True)
        ]
        click.echo("  ".join((title.ljust(widths[0]), *cells)).rstrip())


def _lines(nodes: Sequence[Node], indent: str) -> Iterator[Line]:
    """Those below one object, as people read them: of each kind so many at most."""
    shown: list[tuple[str, Node | None]] = []
    for _, same in groupby(nodes, lambda node: (node.key.group, node.key.kind)):
        alike = list(same)
        shown += [(node.key.title, node) for node in alike[:_MOST]]
        if (more := len(alike) - _MOST) > 0:
            shown.append((f"… and {more} more of this kind", None))
    for number, (title, node) in enumerate(shown, 1):
        last = number == len(shown)
        branch = f"{indent}{'└─' if last else '├─'} {show.one_line(title)}"
        if node is None:
            yield branch, "", "", ""
            continue
        health = node.health
        message = show.one_line(health.message) if health else ""
        yield branch, node.status, health.status if health else "", message
        below = f"{indent}{'   ' if last else '│  '}"
        yield from _lines(node.children, below)
        if node.deeper:
            yield f"{below}└─ … and {node.deeper} more below", "", "", ""


def _as_json(node: Node) -> dict[str, Any]:
    key, health = node.key, node.health
    told: dict[str, Any] = {
        "group": key.group,
        "kind": key.kind,
        "namespace": key.namespace,
        "name": key.name,
    }
    if node.status:
        told["status"] = node.status
    if health:
        told["health"] = {"status": str(health.status)} | (
            {"message": health.message} if health.message else {}
        )
    if node.children:
        told["children"] = [_as_json(child) for child in node.children]
    return told

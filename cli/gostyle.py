"""Flags that are on or off, also as Go programs take them: `--auto-prune=false` for `--no-auto-prune`."""

from __future__ import annotations

import click

_WORDS = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}


class Verb(click.Command):
    """A command that also takes `--flag=true` and `--flag=false`, as users of argocd and kubectl type it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        switches = {
            spelling: parameter
            for parameter in self.params
            if isinstance(parameter, click.Option) and parameter.is_flag
            for spelling in parameter.opts
        }
        return super().parse_args(ctx, [text for each in args for text in _plain(each, switches)])


def _plain(text: str, switches: dict[str, click.Option]) -> tuple[str, ...]:
    """The argument as click takes it; nothing for a flag that is switched off and cannot be said so."""
    name, equals, word = text.partition("=")
    switch = switches.get(name)
    on = _WORDS.get(word.lower())
    if not equals or switch is None or on is None:
        return (text,)
    if on:
        return (name,)
    return tuple(switch.secondary_opts[:1])

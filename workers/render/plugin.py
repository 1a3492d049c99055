"""Renders by a config management plugin: a program that the operator installed, run as any tool here is.

What it reads cannot be told, so the whole tree is its read-set, and what it makes may differ each time.
https://argo-cd.readthedocs.io/en/stable/operator-manual/config-management-plugins/
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson

from mooring.errors import RenderFailed
from mooring.model import spec
from workers.confine.run import Bounds, Command, Output, ToolFailed, run
from workers.confine.scratch import scratch
from workers.git.tree import clean_path
from workers.render.build_env import build_env, substitute
from workers.render.files import Files
from workers.render.manifest import manifests_of
from workers.render.plugin_file import Plugin, installed
from workers.render.source import Job, Product, Through
from workers.render.yaml_reader import read_documents

VERSION: Final = 1  # to be raised whenever the same files give other manifests

_MAGIC: Final = re.compile(r"[*?\[\\]")
_TREE: Final = "repository"  # in the work directory; what a tool gets as its home lies beside it


class PluginRenderer:
    """The manifests that the plugin prints which `source.plugin` names, or whose rules find the source.

    Raises RenderFailed when there is no such plugin, it does not take the source, or one of its steps fails.
    """

    def inputs(self, job: Job) -> Any:
        plugin = _named(job)
        return [
            "plugin",
            VERSION,
            plugin.name,
            plugin.digest,
            clean_path(job.source.path),
            sorted(_environment(job).items()),  # which names the commit
        ]

    def render(self, job: Job) -> Product:
        plugin = _named(job)
        path = clean_path(job.source.path)
        if _has_rules(plugin) and not _finds(plugin, job, lambda job, _, discovery: discovery.render(job)):
            raise RenderFailed(
                f"plugin {plugin.name} does not take {path or '/'}: its spec.discover finds nothing there"
            )
        job.files.find("")  # all of it
        _check_path(job.files, path)
        environment = {**_environment(job), "PATH": plugin.path}
        with _work(job, plugin) as directory:
            if plugin.spec.init.command:
                _step(plugin, "init", plugin.spec.init.argv, directory, path, environment, job)
            printed = _step(plugin, "generate", plugin.spec.generate.argv, directory, path, environment, job)
        name = f"output of plugin {plugin.name}"
        documents, warnings = read_documents(printed.stdout, name, job.parameters.duplicate_keys)
        manifests, more = manifests_of(documents, name)
        return Product(tuple(manifests), (*warnings, *more), pure=False)


def found_by_plugin(job: Job, through: Through) -> Job:
    """The job with the name of the first plugin whose rules find its source; as it is where none does.

    A rule that is a command is asked `through` what may know the answer from before. Raises RenderFailed when
    it gives none: another tool would make of the source what nobody wants.
    """
    found = next((plugin for plugin in _installed(job) if _finds(plugin, job, through)), None)
    if found is None:
        return job
    options = (job.source.plugin or spec.Plugin()).model_copy(update={"name": found.name})
    return replace(job, source=job.source.model_copy(update={"plugin": options}))


def _installed(job: Job) -> tuple[Plugin, ...]:
    directory = job.parameters.plugins
    return installed(directory) if directory is not None else ()


def _named(job: Job) -> Plugin:
    plugins, options = _installed(job), job.source.plugin
    there = "there is none in MOORING_PLUGINS_DIR"
    if plugins:
        there = f"installed are {', '.join(plugin.name for plugin in plugins)}"
    elif job.parameters.plugins is None:
        there = "none is installed: MOORING_PLUGINS_DIR is not set where the workers run"
    if options is None or not options.name:
        raise RenderFailed(f"spec.source.plugin: no plugin finds this source: name one; {there}")
    named = next((plugin for plugin in plugins if plugin.name == options.name), None)
    if named is None:
        raise RenderFailed(f"spec.source.plugin.name: there is no plugin {options.name}: {there}")
    return named


def _check_path(files: Files, path: str) -> None:
    root = files.find(path)
    if root is None or not root.is_tree:
        what = "app path does not exist" if root is None else "app path is not a directory"
        raise RenderFailed(f"{what}: {path!r} at commit {files.commit[:12]}; correct spec.source.path")


# --- discovery --------------------------------------------------------------------------------------
def _has_rules(plugin: Plugin) -> bool:
    rules = plugin.spec.discover
    return bool(rules.file_name or rules.find.glob or rules.find.command)


def _finds(plugin: Plugin, job: Job, through: Through) -> bool:
    """Whether the first of its rules that is given finds something at the source's path."""
    rules, path = plugin.spec.discover, clean_path(job.source.path)
    if rules.file_name:
        return _any(job.files, path, rules.file_name)
    if rules.find.glob:
        return _any(job.files, path, rules.find.glob)
    return bool(rules.find.command) and through(job, "Plugin", _Discovery(plugin)).takes


@dataclass(frozen=True, slots=True)
class _Discovery:
    """Asks the command of a plugin's rules whether it takes a source: no manifests, but the answer is kept as
    they are."""

    plugin: Plugin

    def inputs(self, job: Job) -> Any:
        path, told = clean_path(job.source.path), sorted(_environment(job).items())
        return ["discover", VERSION, self.plugin.name, self.plugin.digest, path, told]

    def render(self, job: Job) -> Product:
        plugin, path = self.plugin, clean_path(job.source.path)
        job.files.find("")
        _check_path(job.files, path)
        with _work(job, plugin) as directory:
            environment = {**_environment(job), "PATH": plugin.path}
            argv = plugin.spec.discover.find.argv
            try:
                found = _step(plugin, "discover", argv, directory, path, environment, job)
            except _StepFailed:
                return Product((), takes=False)  # so a command says no
        return Product((), takes=bool(found.stdout.strip(b"\n")))


def _any(files: Files, base: str, pattern: str) -> bool:
    """Whether anything below `base` fits: `*` and its like stay within one name, `**` is any directories."""
    steps = clean_path(pattern).split("/")
    plain = 0
    while plain < len(steps) and not _MAGIC.search(steps[plain]):
        plain += 1
    start = posixpath.join(base, *steps[:plain])
    if plain == len(steps):
        return files.find(start) is not None
    regex = re.compile(_regex(steps[plain:]), re.DOTALL)
    deep = len(steps) - plain > 1
    found = files.find(start)
    if found is None:
        return False
    return any(
        regex.fullmatch(entry.path[len(found.path) :].lstrip("/"))
        for entry in files.walk(start, recurse=deep)
    )


def _regex(steps: list[str]) -> str:
    *above, last = steps
    folders = "".join("(?:[^/]+/)*" if step == "**" else f"{_step_regex(step)}/" for step in above)
    return folders + (".+" if last == "**" else _step_regex(last))


def _step_regex(step: str) -> str:
    # https://pkg.go.dev/path/filepath#Match
    regex, at = "", 0
    while at < len(step):
        if step[at] == "*":
            regex += "[^/]*"
        elif step[at] == "?":
            regex += "[^/]"
        elif step[at] == "\\" and at + 1 < len(step):
            at += 1
            regex += re.escape(step[at])
        elif step[at] == "[" and (end := step.find("]", at + 2)) > 0:
            inside = re.sub(r"([\\\[&~|])", r"\\\1", step[at + 1 : end])
            regex += f"[{inside}]"
            at = end
        else:
            regex += re.escape(step[at])
        at += 1
    return regex


# --- running ----------------------------------------------------------------------------------------
class _StepFailed(RenderFailed):
    """A command of a plugin ended by itself, with an error."""


@contextmanager
def _work(job: Job, plugin: Plugin) -> Iterator[Path]:
    """A directory with a copy of the whole tree, which is gone afterwards."""
    with scratch(job.parameters.scratch) as directory:
        tree = directory / _TREE
        tree.mkdir()
        job.files.copy([""], tree)
        if not plugin.spec.preserve_file_mode:
            for file in tree.rglob("*"):
                if file.is_file():
                    file.chmod(0o644)
        yield directory


def _step(
    plugin: Plugin,
    step: str,
    argv: tuple[str, ...],
    directory: Path,
    path: str,
    environment: Mapping[str, str],
    job: Job,
) -> Output:
    command = Command(
        argv=plugin.program(argv),
        directory=directory,
        cwd=posixpath.join(_TREE, path),
        env=environment,
        readable=(plugin.directory,),
        executes=plugin.spec.preserve_file_mode,
    )
    bounds = Bounds(
        seconds=job.parameters.seconds,
        output_bytes=job.parameters.limits.total_bytes,
        unconfined=job.parameters.unconfined,
    )
    try:
        return run(command, bounds)
    except ToolFailed as error:
        said = " ".join(error.stderr.split())
        kind = RenderFailed if error.killed else _StepFailed
        raise kind(
            f"plugin {plugin.name}: {step} failed ({_ending(error.code)}){': ' if said else ''}{said}"
        ) from error
    except RenderFailed as error:
        raise error.told(f"plugin {plugin.name}: {step}: {error}") from error


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


# --- what a plugin is told --------------------------------------------------------------------------
def _environment(job: Job) -> dict[str, str]:
    """The build environment, `source.plugin.env` as `ARGOCD_ENV_…`, and the parameters; without empty ones,
    as Argo CD hands them over."""
    env = build_env(job)
    told = dict(env)
    if (options := job.source.plugin) is not None:
        told |= {f"ARGOCD_ENV_{entry.name}": substitute(entry.value, env) for entry in options.env}
        told |= _parameters(options.parameters)
    for name, value in told.items():
        if "\0" in name + value or "=" in name:
            raise RenderFailed(
                f"spec.source.plugin: {name.partition('=')[0]} cannot be an environment variable"
            )
    return {name: value for name, value in told.items() if value}


def _parameters(parameters: tuple[spec.PluginParameter, ...]) -> dict[str, str]:
    told = [parameter.to_dict() for parameter in parameters]
    variables = {"ARGOCD_APP_PARAMETERS": orjson.dumps(told).decode()}
    for parameter in parameters:
        name = f"PARAM_{_escaped(parameter.name)}"
        if parameter.string is not None:
            variables[name] = parameter.string
        for key, value in (parameter.map or {}).items():
            variables[f"{name}_{_escaped(key)}"] = value
        for index, value in enumerate(parameter.array or ()):
            variables[f"{name}_{index}"] = value
    return variables


def _escaped(name: str) -> str:
    return re.sub("[^A-Z0-9_]", "_", name.upper())

"""What manifests may ask for that Mooring does not do yet, and whether that stops a sync.

The rule: what restricts, orders or triggers blocks, for to leave it out would do something else than was
asked for; what only adds comfort is said once, as a condition. What we have never heard of blocks.
To support something is to take its line out of a table.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mooring.keys import IN_CLUSTER
from mooring.model import integrity, roles
from mooring.model.annotations import annotations_of, compare_options
from mooring.model.application import Application, unknown_fields
from mooring.model.depends import not_names
from mooring.model.finalizers import obeyed
from mooring.model.hooks import hook_of
from mooring.model.project import AppProject
from mooring.model.spec import ApplicationSpec, Destination, Operation, SyncOperation
from mooring.model.sync_options import SyncOptions, sync_options
from mooring.names import ARGO, OURS


@dataclass(frozen=True, slots=True)
class Unsupported:
    """Something asked for that is not done yet. `blocks`: nothing may be synced because of it."""

    path: str  # "spec.sources", "metadata.annotations[argocd.argoproj.io/hook]"
    why: str
    blocks: bool

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


BLOCKS, WARNS = True, False
_UNKNOWN_FIELD = "no such field is known: correct it, or leave it out"
_UNKNOWN_ANNOTATION = "this annotation is not known: correct it, or leave it out"
_UNKNOWN_OPTION = "this option is not known: correct it, or leave it out"
_NOT_UNDERSTOOD = "is not understood: correct it, or leave it out"

# --- tables ---------------------------------------------------------------------------------------
_SPEC: tuple[tuple[str, Callable[[ApplicationSpec], object], str, bool], ...] = (
    (
        "sourceHydrator",
        lambda s: s.source_hydrator,
        "nothing is hydrated here yet: name the hydrated branch in spec.source",
        BLOCKS,
    ),
)

# Annotations of objects, in both spellings. None: nothing is missing when it is left alone or obeyed.
_ANNOTATIONS: dict[str, tuple[str, bool] | None] = {
    "hook": None,  # judged name by name
    "hook-delete-policy": None,  # judged name by name
    "sync-wave": None,  # obeyed
    "ignore-healthcheck": None,  # obeyed
    "ignore-resource-updates": None,  # spares Argo CD work; here only what lacks proof is work
    "client-side-apply-migration-manager": None,  # obeyed
    "sync-options": None,  # judged option by option
    "compare-options": None,  # judged option by option
    "deletion-approved": None,  # obeyed
    "depends-on": None,  # of an Application, as somebody's object
    "ignore-default-links": None,  # obeyed
    "tracking-id": None,  # who Argo CD thinks owns it
    "installation-id": None,
    "id": None,  # ours, written on apply
    "state": None,
    "managed-by-url": None,  # a link of the UI
    "health-aggregate-overrides": ("the object's own health counts", WARNS),
    "ignore-restart-policy": None,  # obeyed
    # Those below speak of an Application, and say nothing where it is but one of the objects.
    "refresh": None,
    "refresh-timestamp": None,
    "hydrate": None,
    "hydrate-timestamp": None,
    "manifest-generate-paths": None,
    "skip-reconcile": None,
    "application-set-refresh": None,
}
_HARMLESS_PREFIXES = ("link.",)

_COMPARE_OPTIONS: dict[str, tuple[str, bool] | None] = {
    "IgnoreExtraneous": None,  # obeyed
    "ServerSideDiff=true": None,  # always so
    "ServerSideDiff=false": ("differences are always computed by the API server", WARNS),
    "IncludeMutationWebhook=true": None,
    "ForeignFields=drift": None,  # obeyed
    "ForeignFields=keep": None,
}

# Annotations of the Application itself.
_APP_ANNOTATIONS: dict[str, tuple[str, bool] | None] = {
    **dict.fromkeys(_ANNOTATIONS),  # they speak of the Application as somebody's object
    "skip-reconcile": ("the application is not touched until this is taken off", BLOCKS),
}
_APP_PREFIXES: tuple[tuple[str, str], ...] = (
    ("notifications.argoproj.io/", "notifications are not sent yet"),
)

_PROJECT: tuple[tuple[str, Callable[[AppProject], object], str, bool], ...] = (
    ("roles", lambda p: p.spec.roles, "nobody can sign in with a role yet", WARNS),
)

_OPERATION: tuple[tuple[str, Callable[[Operation], object], str], ...] = (
    (
        "sync.manifests",
        lambda o: o.sync and o.sync.manifests,
        "local manifests are not taken: push them to Git",
    ),
)


# --- judgement ------------------------------------------------------------------------------------
def unsupported_spec(
    app: Application, servers: Collection[str] = (IN_CLUSTER,), names: Collection[str] = ("in-cluster",)
) -> tuple[Unsupported, ...]:
    """What the Application asks for and is not done. `servers` and `names`: the clusters we can reach."""

    def found() -> Iterator[Unsupported]:
        for path in unknown_fields(app):
            yield Unsupported(path, _UNKNOWN_FIELD, path.startswith(("spec.", "operation.")))
        spec = app.spec
        yield from (
            Unsupported(f"spec.{path}", why, blocks) for path, asked, why, blocks in _SPEC if asked(spec)
        )
        if not spec.all_sources:
            yield Unsupported("spec.source", "is missing: say there where the manifests are", BLOCKS)
        yield from _destination(spec.destination, servers, names)
        yield from _options(sync_options(spec.sync_options), "spec.syncPolicy.syncOptions")
        yield from _app_metadata(app)

    return tuple(found())


def unsupported_annotations(body: Mapping[str, Any]) -> tuple[Unsupported, ...]:
    """What one rendered object's annotations ask for and is not done."""

    def found() -> Iterator[Unsupported]:
        annotations = annotations_of(body)
        for key, value in sorted(annotations.items()):
            path = f"metadata.annotations[{key}]"
            name = _own_name(key)
            if not name or name.startswith(_HARMLESS_PREFIXES):
                continue
            if name == "compare-options":
                yield from _compared(path, {key: value})
            else:
                verdict = _ANNOTATIONS.get(name, (_UNKNOWN_ANNOTATION, BLOCKS))
                if verdict:
                    yield Unsupported(path, *verdict)
        yield from _hook(annotations)
        yield from _options(sync_options((), annotations), "metadata.annotations[sync-options]")

    return tuple(found())


def _compared(path: str, annotations: Mapping[str, str]) -> Iterator[Unsupported]:
    for option in compare_options(annotations):
        verdict = _COMPARE_OPTIONS.get(option, (_UNKNOWN_OPTION, BLOCKS))
        if verdict:
            yield Unsupported(path, f"{option}: {verdict[0]}", verdict[1])


def _hook(annotations: Mapping[str, str]) -> Iterator[Unsupported]:
    hook = hook_of(annotations)
    if hook is None:
        return
    own = [key for key in sorted(annotations) if _own_name(key).startswith("hook")]
    for text in hook.not_understood:
        path = next((key for key in own if text in annotations[key]), "hook")
        yield Unsupported(f"metadata.annotations[{path}]", f"{text}: {_NOT_UNDERSTOOD}", BLOCKS)


def unsupported_manifests(bodies: Iterable[Mapping[str, Any]]) -> tuple[Unsupported, ...]:
    """What all rendered objects of an app ask for and is not done; paths begin with the object's name."""
    return tuple(
        Unsupported(f"{_title(body)}: {one.path}", one.why, one.blocks)
        for body in bodies
        for one in unsupported_annotations(body)
    )


def unsupported_project(project: AppProject) -> tuple[Unsupported, ...]:
    """What the project asks for and is not done. It holds for each of its applications."""
    prefix = f"AppProject {project.metadata.name}: "
    unknown = (path for path in project.unknown() if not path.startswith("status."))
    return (
        *(Unsupported(prefix + path, _UNKNOWN_FIELD, path.startswith("spec.")) for path in unknown),
        *(Unsupported(f"{prefix}spec.{path}", why, b) for path, asked, why, b in _PROJECT if asked(project)),
        *(
            Unsupported(f"{prefix}spec.{path}", why, WARNS)
            for path, why in roles.mistakes(project.metadata.name, project.spec.roles)
        ),
        *(
            Unsupported(f"{prefix}spec.{path}", why, BLOCKS)
            for path, why in integrity.mistakes(project.spec.signature_keys, project.spec.source_integrity)
        ),
    )


def unsupported_operation(operation: Operation, app: Application) -> tuple[Unsupported, ...]:
    """What an operation of `app` asks for and is not done: all of it blocks that operation."""
    sync = operation.sync or SyncOperation()
    options = sync.sync_options
    own = len(sync.sources) or int(bool(sync.source and sync.source.repo_url))
    missing = Unsupported("operation.sync", "is missing: only syncs can be asked for", BLOCKS)
    return (
        *(() if operation.sync else (missing,)),
        *_revisions(sync, own or len(app.spec.all_sources)),
        *(
            Unsupported(f"operation.{path}", why, BLOCKS)
            for path, asked, why in _OPERATION
            if asked(operation)
        ),
        *_options(sync_options(options), "operation.sync.syncOptions"),
    )


def _revisions(sync: SyncOperation, count: int) -> Iterator[Unsupported]:
    """It must be clear which source each revision is of."""
    if sync.revisions and len(sync.revisions) != count:
        why = f"must be one a source, of which there are {count}; an empty one is the source's own"
        yield Unsupported("operation.sync.revisions", why, BLOCKS)
    if sync.revision and not sync.revisions and count > 1:
        why = f"is of no source, there are {count} of them: name revisions, one a source"
        yield Unsupported("operation.sync.revision", why, BLOCKS)


def _options(options: SyncOptions, path: str) -> Iterator[Unsupported]:
    yield from (Unsupported(path, f"{text}: {_NOT_UNDERSTOOD}", BLOCKS) for text in options.not_understood)


_ELSEWHERE = (
    f"is not the cluster that Mooring is connected to, which is server {IN_CLUSTER}, or name in-cluster"
)


def _destination(
    destination: Destination, servers: Collection[str], names: Collection[str]
) -> Iterator[Unsupported]:
    path = "spec.destination"
    if bool(destination.server) == bool(destination.name):
        yield Unsupported(path, "must have either a server or a name", BLOCKS)
    elif destination.server and destination.server.rstrip("/") not in {url.rstrip("/") for url in servers}:
        yield Unsupported(f"{path}.server", _ELSEWHERE, BLOCKS)
    elif destination.name and destination.name not in names:
        yield Unsupported(f"{path}.name", f"{destination.name}: {_ELSEWHERE}", BLOCKS)


def _app_metadata(app: Application) -> Iterator[Unsupported]:
    for key, value in sorted(app.metadata.annotations.items()):
        path = f"metadata.annotations[{key}]"
        yield from (Unsupported(path, why, WARNS) for prefix, why in _APP_PREFIXES if key.startswith(prefix))
        name = _own_name(key)
        if not name or name.startswith(_HARMLESS_PREFIXES) or value == "false":
            continue
        if name == "compare-options":
            yield from _compared(path, {key: value})
        verdict = _APP_ANNOTATIONS.get(name, (_UNKNOWN_ANNOTATION, WARNS))
        if verdict:
            yield Unsupported(path, *verdict)
    for text in not_names(app):
        why = f"{text!r} names no Application: give names, or namespace/name, with commas between them"
        yield Unsupported("metadata.annotations[mooring.dev/depends-on]", why, BLOCKS)
    for name in app.metadata.finalizers:
        if not obeyed([name]) and name.partition("/")[0].endswith(f".{ARGO}"):
            why = "this finalizer is not known: nobody takes it off"
            yield Unsupported("metadata.finalizers", f"{name}: {why}", WARNS)


def _own_name(key: str) -> str:
    """`hook` out of `argocd.argoproj.io/hook` and `mooring.dev/hook`, "" for others' annotations."""
    domain, _, name = key.partition("/")
    if domain in (ARGO, OURS):
        return name
    # Argo CD's links: link.argocd.argoproj.io/<text>
    return "link." if domain in (f"link.{ARGO}", f"link.{OURS}") else ""


def _title(body: Mapping[str, Any]) -> str:
    metadata = body.get("metadata")
    name = metadata.get("name", "") if isinstance(metadata, Mapping) else ""
    return f"{body.get('kind', '')} {name}".strip()

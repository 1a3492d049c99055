"""`mooring doctor`: whether everything is there that Mooring needs, and what to do where it is not."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import click

from cli import show
from cli.exits import NO
from cli.gostyle import Verb
from cli.home import Reached, home_options, reach, redis_client, redis_url
from mooring.errors import ClusterRefused, MooringError, Refused, RenderFailed
from mooring.names import ARGO_GROUP, ARGO_VERSION, BEAT_LEASE, OBSERVER_LEASE
from mooring.redis_url import FILE_VARIABLE, VARIABLE
from mooring.settings import Settings
from workers import installation
from workers.installation import SECRET_NAME

_OLDEST_GIT: Final = (2, 31)  # the first that reads GIT_CONFIG_COUNT, by which it is told what to trust
_OLDEST_REDIS: Final = (6, 2)
_OLDEST_KUBERNETES: Final = (1, 27)  # aggregated discovery
_SKEW_S: Final = 5.0  # the Date header is cut to a second, and travels
_SHORT_SECRET: Final = 16  # bytes

# What the engine itself does in the home namespace, whatever is deployed: group, resource, verbs, and the
# name where one object is enough. The Role of the chart gives the same.
RIGHTS: Final = (
    ("argoproj.io", "applications", ("get", "list", "patch"), ""),
    ("argoproj.io", "appprojects", ("list",), ""),
    ("", "secrets", ("list", "create", "delete"), ""),
    ("", "secrets", ("get",), SECRET_NAME),
    ("", "configmaps", ("get", "list", "create", "patch", "delete"), ""),
    ("", "events", ("get", "create", "patch"), ""),
    ("", "namespaces", ("get",), ""),
)


_NAMED = 5  # Applications in a line


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about one thing; `advice` is the next step where it is not well."""

    check: str
    state: State
    said: str
    advice: str = ""


@click.command(cls=Verb)
@home_options
@show.output("json", "yaml")
def doctor(settings: Settings, output: str | None) -> None:
    """Check Redis, the cluster, permissions, Git, tools, webhook secrets and clocks.

    It writes nothing, and looks at what this environment names: run it where the workers run. Exit code 1
    when something is wrong; a warning is not.
    """
    findings = list(examined(settings))
    if output is not None:
        show.structured([{**asdict(one), "state": one.state.value} for one in findings], output)
    else:
        for one in findings:
            _print(one)
        counts = {state: sum(one.state is state for one in findings) for state in State}
        problems, warnings = counts[State.PROBLEM], counts[State.WARNING]
        click.echo(f"\n{_number(problems, 'problem')}, {_number(warnings, 'warning')}")
    if any(one.state is State.PROBLEM for one in findings):
        sys.exit(NO)


def examined(settings: Settings) -> Iterator[Finding]:
    """Every check, in the order in which to mend what is found."""
    yield from _redis(settings)
    yield from _cluster(settings)
    yield _git()
    yield from _tools(settings)
    yield _state_dir(settings)
    yield _confinement(settings)
    yield from _webhooks()


def _print(one: Finding) -> None:
    colour = {State.OK: "green", State.WARNING: "yellow", State.PROBLEM: "red"}[one.state]
    click.echo(
        f"{click.style(one.state.value.ljust(8), fg=colour)} {one.check:<13} {show.one_line(one.said)}"
    )
    if one.advice:
        click.echo(f"{'':<23}{show.one_line(one.advice)}")


def _number(count: int, what: str) -> str:
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"


# --- Redis ----------------------------------------------------------------------------------------
def _redis(settings: Settings) -> Iterator[Finding]:
    import redis

    try:
        redis_url(settings)
    except Refused:
        said = f"neither {VARIABLE} nor {FILE_VARIABLE} is set, and no `mooring up` of yours runs here"
        yield Finding("redis", State.PROBLEM, said, "start `mooring up`, which brings its own, or set one")
        return
    try:
        client = redis_client(settings)
        began = time.monotonic()
        client.ping()
        took = (time.monotonic() - began) * 1000
    except MooringError as error:
        yield Finding("redis", State.PROBLEM, str(error), f"start it, or correct {_redis_variable()}")
        return
    except redis.RedisError as error:  # a wrong password, an ACL: nobody's words but its own
        yield Finding("redis", State.PROBLEM, f"refuses us: {error}", f"correct {_redis_variable()}")
        return
    try:
        info = client.info()
    except redis.RedisError:  # an ACL of ours may well not permit it
        yield Finding("redis", State.OK, f"answers in {show.duration(took)}")
    else:
        version = str(info.get("redis_version", ""))
        said = f"{version} answers in {show.duration(took)}"
        if _numbers(version) < _OLDEST_REDIS:
            wanted = ".".join(map(str, _OLDEST_REDIS))
            yield Finding("redis", State.PROBLEM, said, f"Redis {wanted} or newer is needed")
        elif not info.get("aof_enabled"):
            advice = "deliveries are lost when it restarts: `appendonly yes` in its configuration"
            yield Finding("redis", State.WARNING, f"{said}, and keeps nothing on disk", advice)
        else:
            yield Finding("redis", State.OK, f"{said}, and keeps what it is told (AOF)")
    yield _beat(client)
    yield _observer(client)


def _redis_variable() -> str:
    """The one that says where Redis is."""
    return FILE_VARIABLE if os.environ.get(FILE_VARIABLE) else VARIABLE


def _beat(client: Any) -> Finding:
    import redis

    from mooring.store.ledger import Ledger

    try:
        alive = client.exists(BEAT_LEASE)
        waiting = len([one for one in Ledger(client).recent(50) if one.state.value == "enqueued"])
    except (redis.RedisError, MooringError) as error:
        return Finding("processes", State.WARNING, f"cannot be seen: {error}")
    behind = f"; of the last deliveries {waiting} wait for a worker" if waiting else ""
    if alive:
        return Finding("processes", State.OK, f"beat runs{behind}")
    return Finding(
        "processes",
        State.WARNING,
        f"no beat runs on this Redis{behind}",
        "start `mooring up`, or worker and beat",
    )


def _observer(client: Any) -> Finding:
    import redis

    try:
        alive = client.exists(OBSERVER_LEASE)
    except (redis.RedisError, MooringError) as error:
        return Finding("observer", State.WARNING, f"cannot be seen: {error}")
    if alive:
        return Finding("observer", State.OK, "runs")
    return Finding(
        "observer",
        State.WARNING,
        "none runs on this Redis: later waves, health and edits are looked at by time",
        "start `mooring up` or `mooring observe`",
    )


# --- the cluster ----------------------------------------------------------------------------------
def _cluster(settings: Settings) -> Iterator[Finding]:
    try:
        home = reach(settings)
        version = home.api.discovery.server_version
    except MooringError as error:
        advice = "correct --kubeconfig or --context; `kubectl version` asks the same server"
        yield Finding("cluster", State.PROBLEM, str(error), advice)
        return
    said = f"Kubernetes {version} at {home.server}"
    if _numbers(version) < _OLDEST_KUBERNETES:
        wanted = ".".join(map(str, _OLDEST_KUBERNETES))
        yield Finding("cluster", State.PROBLEM, said, f"Kubernetes {wanted} or newer is needed")
    else:
        yield Finding("cluster", State.OK, said)
    for check, find in (
        ("clock", _clock),
        ("kinds", _kinds),
        ("namespace", _namespace),
        ("installation", _installation),
        ("permissions", _permissions),
        ("applications", _applications),
    ):
        try:
            yield find(home)
        except MooringError as error:
            yield Finding(check, State.PROBLEM, str(error))
    with contextlib.suppress(MooringError):  # what is in the way of that was told above
        yield from _impersonation(home)


def _clock(home: Reached) -> Finding:
    api = home.api
    before = time.time()
    answer = api.transport.request("GET", "/version", identity=api.identity)
    after = time.time()
    try:
        there = parsedate_to_datetime(answer.date).timestamp()
    except ValueError:
        return Finding("clock", State.WARNING, "the API server does not say what time it has")
    # The server cut off what was over a second: it was anywhere in the second that it names.
    skew = before - (there + 1) if before > there + 1 else after - there if after < there else 0.0
    if abs(skew) > _SKEW_S:
        word = "ahead of" if skew > 0 else "behind"
        return Finding(
            "clock",
            State.PROBLEM,
            f"this machine is {abs(skew):.0f} s {word} the API server",
            "set both clocks by NTP: leases and time lines compare them",
        )
    return Finding("clock", State.OK, "agrees with the API server's")


def _kinds(home: Reached) -> Finding:
    from cli.crds import CRD, Step, judge
    from mooring.model.crd import crds, is_ours

    if home.settings.apps_dir:
        return Finding(
            "kinds", State.OK, f"not needed: the Applications are files in {home.settings.apps_dir}"
        )
    try:
        found = {
            wanted["metadata"]["name"]: home.api.get(CRD, "", wanted["metadata"]["name"]) for wanted in crds()
        }
    except ClusterRefused as error:
        if error.code != 403 or any(
            home.api.discovery.find(f"{ARGO_GROUP}/{ARGO_VERSION}", kind) is None
            for kind in ("Application", "AppProject")
        ):
            raise
        # The workers' own account need not see the definitions, and the chart's does not in every mode.
        return Finding("kinds", State.OK, "Application and AppProject are there; whose, we may not see")
    missing = [name for name, live in found.items() if live is None]
    if missing:
        return Finding("kinds", State.PROBLEM, f"missing: {', '.join(missing)}", "run `mooring crds install`")
    bodies = {name: live.body or {} for name, live in found.items() if live is not None}
    verdicts = [judge(wanted, bodies[wanted["metadata"]["name"]]) for wanted in crds()]
    if any(verdict.step is Step.UPDATE for verdict in verdicts):
        return Finding("kinds", State.WARNING, "of another version of Mooring", "run `mooring crds install`")
    whose = "ours" if all(is_ours(body) for body in bodies.values()) else "Argo CD's"
    return Finding("kinds", State.OK, f"Application and AppProject are {whose}")


def _namespace(home: Reached) -> Finding:
    from cli.crds import NAMESPACE

    name = home.settings.namespace
    if home.api.get(NAMESPACE, "", name, metadata_only=True) is None:
        if home.settings.apps_dir:  # nothing but a start has to have been there before
            advice = "the first start makes it, where it may: or create it, or give -N"
            return Finding("namespace", State.WARNING, f"there is no namespace {name} yet", advice)
        advice = "run `mooring crds install`, which creates it, or give -N"
        return Finding("namespace", State.PROBLEM, f"there is no namespace {name}", advice)
    return Finding("namespace", State.OK, name)


def _installation(home: Reached) -> Finding:
    if installation.find(home.api, home.settings.namespace) is None:
        return Finding("installation", State.OK, f"none yet: the first start makes Secret {SECRET_NAME}")
    return Finding("installation", State.OK, f"Secret {SECRET_NAME} is there")


def _permissions(home: Reached) -> Finding:
    denied = [
        f"{verb} {resource}{name and f'/{name}'}"
        for group, resource, verbs, name in RIGHTS
        for verb in verbs
        if not (home.settings.apps_dir and group) and not _may(home, verb, group, resource, name)
    ]
    where = f"in namespace {home.settings.namespace}"
    if denied:
        advice = f"grant them to the user of the kubeconfig by a Role and RoleBinding {where}"
        return Finding("permissions", State.PROBLEM, f"not permitted {where}: {', '.join(denied)}", advice)
    return Finding(
        "permissions", State.OK, f"all that is needed {where}; not what Applications deploy elsewhere"
    )


def _impersonation(home: Reached) -> Iterator[Finding]:
    """Whether we may act as the service accounts that projects name; nothing where they name none."""
    from mooring.model.application import Application
    from mooring.model.impersonation import ServiceAccount
    from workers.apps.home import APPLICATION, HomeApplications
    from workers.impersonation import account_of

    if home.settings.apps_dir:
        return  # to read those, the installation's Secret would have to be made
    applications, accounts = HomeApplications(home.api, home.settings.namespace), set[ServiceAccount]()
    for live in home.api.list(APPLICATION, home.settings.namespace):
        with contextlib.suppress(Refused):  # which is said on the Application
            found = account_of(applications, Application.parse(live.body or {}))
            accounts |= {found} if found else set()
    denied = sorted(
        str(one)
        for one in accounts
        if not _may(home, "impersonate", "", "serviceaccounts", one.name, one.namespace)
    )
    if denied:
        said = f"not permitted to act as service account {', '.join(denied[:_NAMED])}"
        said += ", …" if len(denied) > _NAMED else ""
        advice = "allow `impersonate` on serviceaccounts, which is rbac.impersonate of the chart"
        yield Finding("impersonation", State.PROBLEM, said, advice)
    elif accounts:
        yield Finding("impersonation", State.OK, f"may act as all {len(accounts)} that projects name")


def _may(home: Reached, verb: str, group: str, resource: str, name: str, namespace: str = "") -> bool:
    """https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access"""
    api = home.api
    # A namespace is an object of itself, as far as its Roles go.
    asked_of = home.settings.namespace if resource == "namespaces" else name
    attributes = {
        "namespace": namespace or home.settings.namespace,
        "verb": verb,
        "group": group,
        "resource": resource,
        "name": asked_of,
    }
    answer = api.transport.request(
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        identity=api.identity,
        body={
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        },
    )
    return bool(answer.json().get("status", {}).get("allowed"))


def _applications(home: Reached) -> Finding:
    good, broken, ailing = _in_files(home) if home.settings.apps_dir else _in_cluster(home)
    if broken:
        said = f"{len(broken)} of {good + len(broken)} cannot be read: {broken[0]}"
        return Finding("applications", State.PROBLEM, said, "correct the manifest")
    if not good:
        how = "write the first" if home.settings.apps_dir else "`mooring app create` creates one"
        return Finding("applications", State.OK, f"none yet: {how}")
    if ailing:
        said = f"{len(ailing)} of {good} say that something is wrong: {', '.join(ailing[:_NAMED])}"
        said += ", …" if len(ailing) > _NAMED else ""
        return Finding("applications", State.WARNING, said, f"`mooring app get {ailing[0]}` says what")
    return Finding("applications", State.OK, str(good))


def _in_files(home: Reached) -> tuple[int, list[str], list[str]]:
    """How many Applications can be read, why others cannot, and the names of those that show an error."""
    from workers.apps.files import Files

    written = Files(Path(home.settings.apps_dir), home.settings.namespace).read()
    return len(written.manifests), [one.message for one in written.broken], []


def _in_cluster(home: Reached) -> tuple[int, list[str], list[str]]:
    """As `_in_files`. The workers' own way writes on each broken one that it is; here nothing is written."""
    from mooring.model.application import Application
    from workers.apps.conditions import is_error
    from workers.apps.home import APPLICATION

    listed, broken, ailing = home.api.list(APPLICATION, home.settings.namespace), list[str](), list[str]()
    for live in listed:
        try:
            app = Application.parse(live.body or {})
        except Refused as error:
            broken.append(str(error))
            continue
        if any(map(is_error, app.status.conditions)):
            ailing.append(app.metadata.name)
    return len(listed) - len(broken), broken, sorted(ailing)


# --- this machine ---------------------------------------------------------------------------------
def _git() -> Finding:
    path = shutil.which("git")
    if path is None:
        return Finding("git", State.PROBLEM, "is not on PATH", "install git 2.31 or newer")
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    version = done.stdout.strip().removeprefix("git version ")
    said = f"{version} at {path}"
    if done.returncode != 0 or _numbers(version) < _OLDEST_GIT:
        return Finding("git", State.PROBLEM, said, "install git 2.31 or newer")
    return Finding("git", State.OK, said)


def _tools(settings: Settings) -> Iterator[Finding]:
    ssh = shutil.which("ssh")
    if ssh:
        yield Finding("ssh", State.OK, ssh)
    else:
        yield Finding("ssh", State.WARNING, "is not on PATH", "install OpenSSH for repositories by ssh")
    gpgv = shutil.which("gpgv")
    if gpgv:
        yield Finding("gpgv", State.OK, gpgv)
    else:
        yield Finding(
            "gpgv", State.WARNING, "is not on PATH", "or no project can have keys of GPG in signatureKeys"
        )
    from workers.render import tools

    for name, what in (("helm", "charts"), ("kustomize", "kustomizations"), ("jsonnet", "Jsonnet")):
        try:
            tool = tools.find(name)
            yield Finding(name, State.OK, f"{tool.version} at {tool.path}")
        except RenderFailed as error:
            yield Finding(name, State.WARNING, str(error), f"or no application can have {what}")
    if not settings.redis_url:
        from devcluster.errors import DevclusterError
        from devcluster.redis import find_server

        try:
            yield Finding("redis-server", State.OK, str(find_server()))
        except DevclusterError as error:
            yield Finding("redis-server", State.PROBLEM, str(error), f"or set {VARIABLE} or {FILE_VARIABLE}")


def _state_dir(settings: Settings) -> Finding:
    try:
        directory = settings.state_directory()
    except Refused as error:
        return Finding("state", State.PROBLEM, str(error))
    there = next((each for each in (directory, *directory.parents) if each.exists()), Path("/"))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        advice = "give it to the user that runs the workers, or set MOORING_STATE_DIR"
        return Finding("state", State.PROBLEM, f"{there} cannot be written", advice)
    free = shutil.disk_usage(there).free >> 20
    if free < settings.git_max_mb:
        said = f"{free} MiB are free for Git mirrors in {directory}"
        return Finding("state", State.WARNING, said, "one repository may need MOORING_GIT_MAX_MB of it")
    return Finding("state", State.OK, f"{directory}, {free >> 10} GiB free")


def _confinement(settings: Settings) -> Finding:
    from workers.confine.mode import ADVICE, mode

    here = mode()
    if here.strong:
        return Finding("confinement", State.OK, f"tools that render run under {here}")
    if settings.render_unconfined:
        said = f"tools that render run unconfined: there is {here}"
        return Finding("confinement", State.WARNING, said, f"trust every repository, or {ADVICE}")
    said = f"no tool that renders is run: there is {here}"
    return Finding("confinement", State.PROBLEM, said, ADVICE)


def _webhooks() -> Iterator[Finding]:
    from mooring.settings_web import HOSTS, SECRETS_DIR, WebSettings, secret_variable

    try:
        web = WebSettings.from_env(os.environ)
    except MooringError as error:
        yield Finding("webhooks", State.PROBLEM, str(error))
        return
    if not web.secrets and not web.allow_unsigned:
        yield Finding(
            "webhooks",
            State.WARNING,
            "no secret is seen here; the web tier may have an environment of its own",
            f"without {secret_variable(HOSTS[0])} or {SECRETS_DIR} there, it refuses every delivery",
        )
        return
    if web.secrets:
        yield Finding("webhooks", State.OK, f"secrets for {', '.join(sorted(web.secrets))}")
    for host, secrets in sorted(web.secrets.items()):
        if any(len(secret.value) < _SHORT_SECRET for secret in secrets):
            advice = "`openssl rand -hex 32` makes one; both may be valid while you change it"
            yield Finding("webhooks", State.WARNING, f"a secret of {host} is short enough to guess", advice)
    if unsigned := web.allow_unsigned - web.secrets.keys():
        said = f"deliveries of {', '.join(sorted(unsigned))} are believed without proof"
        yield Finding("webhooks", State.WARNING, said, "set a secret: anybody can deliver")


def _numbers(version: str) -> tuple[int, ...]:
    found = re.search(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()

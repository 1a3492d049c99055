"""`mooring repo`: repositories and what opens them, as Argo CD's Secrets in the home namespace.

https://argo-cd.readthedocs.io/en/stable/operator-manual/declarative-setup/#repositories
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import click

from cli import show
from cli.confirm import confirm
from cli.exits import Missing
from cli.gostyle import Verb
from cli.home import Home, connect, home_options
from mooring.errors import MooringError, Refused
from mooring.repourl import masked, same_repository
from mooring.settings import Settings

if TYPE_CHECKING:
    from workers.cluster.live import Live
    from workers.git.credentials import RepoSecret

_WITHIN_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Repo:
    """A Secret about repositories as people may see it: what kind of credential it holds, not which."""

    name: str
    kind: str  # repository, or repo-creds: for all that begin with the URL
    type: str  # git, helm, oci; "" of repo-creds for whatever is there
    oci: bool  # of charts: in a registry
    url: str
    credential: str
    insecure: bool
    project: str
    secret: str
    status: str = ""
    message: str = ""

    def to_dict(self) -> dict[str, Any]:
        found = {
            "name": self.name,
            "kind": self.kind,
            "type": self.type,
            "oci": self.oci,
            "url": self.url,
            "credential": self.credential,
            "insecure": self.insecure,
            "project": self.project,
            "secret": self.secret,
        }
        return found | ({"status": self.status, "message": self.message} if self.status else {})


@click.group()
def repo() -> None:
    """Repositories, and the credentials that open them."""


@repo.command("list", cls=Verb)
@home_options
@click.option("--check", is_flag=True, help="Ask each host whether it lets us in.")
@show.output("wide", "url", "name", "json", "yaml")
def list_(settings: Settings, check: bool, output: str | None) -> None:
    """List the repositories and credentials that are known. No credential is shown."""
    home = connect(settings)
    found = [_described(home, secret, check) for secret in home.applications.repo_secrets()]
    match output:
        case "json" | "yaml":
            show.structured([one.to_dict() for one in found], output)
        case "url":
            for one in found:
                click.echo(one.url)
        case "name":
            for one in found:
                click.echo(one.secret)
        case _:
            header = ("KIND", "TYPE", "NAME", "REPO", "CREDENTIAL", "INSECURE", "PROJECT", "SECRET")
            asked = ("STATUS", "MESSAGE") if check else ()
            show.columns((*header, *asked), [_row(one, check) for one in found])


@repo.command(cls=Verb, short_help="Make a repository known, with what opens it.")
@home_options
@click.argument("url")
@click.option(
    "--type",
    "kind",
    type=click.Choice(("git", "helm", "oci")),
    default="git",
    show_default=True,
    help="Git, Helm charts, or one OCI artifact.",
)
@click.option("--enable-oci", is_flag=True, help="The charts are in a registry: host/path.")
@click.option("--username", default="", metavar="NAME", help="For https; asks for the password, see below.")
@click.option("--password-stdin", is_flag=True, help="Read the password or token from stdin.")
@click.option("--password-file", metavar="FILE", help="Read it from a file.")
@click.option("--password-env", metavar="VARIABLE", help="Read it from this environment variable.")
@click.option("--bearer", is_flag=True, help="It is a token that is sent as `Authorization: Bearer`.")
@click.option("--ssh-private-key-path", metavar="FILE", help="Private key for ssh.")
@click.option("--tls-client-cert-path", metavar="FILE", help="Client certificate for https, as PEM.")
@click.option("--tls-client-cert-key-path", metavar="FILE", help="And its key.")
@click.option("--insecure-skip-server-verification", is_flag=True, help="Trust any host of that name.")
@click.option("--insecure-ignore-host-key", is_flag=True, help="The same, as it is called for ssh.")
@click.option("--insecure-oci-force-http", is_flag=True, help="The registry speaks plain http.")
@click.option("--enable-lfs", is_flag=True, help="Files of Git LFS are fetched, too.")
@click.option("--project", default="", metavar="NAME", help="Only for Applications of this project.")
@click.option("--name", default="", metavar="NAME", help="A name for people; charts need one.")
@click.option("--upsert", is_flag=True, help="Replace what is known of it.")
@click.option("--password", hidden=True)
@show.output("name", "json", "yaml")
def add(
    settings: Settings,
    url: str,
    kind: str,
    enable_oci: bool,
    username: str,
    password_stdin: bool,
    password_file: str | None,
    password_env: str | None,
    bearer: bool,
    ssh_private_key_path: str | None,
    tls_client_cert_path: str | None,
    tls_client_cert_key_path: str | None,
    insecure_skip_server_verification: bool,
    insecure_ignore_host_key: bool,
    insecure_oci_force_http: bool,
    enable_lfs: bool,
    project: str,
    name: str,
    upsert: bool,
    password: str | None,
    output: str | None,
) -> None:
    """Make a repository known, with what opens it, once its host has let us in.

    A password or token is asked for where --username or --bearer is given, and read from where you say;
    never from the command line, which others on this machine and your shell's history can see.
    """
    if password is not None:
        raise click.UsageError(
            "--password would show it to everybody on this machine: use --password-stdin, --password-file "
            "or --password-env, or be asked"
        )
    if "://" in url and urlsplit(url).password:
        raise click.UsageError("leave the password out of the URL: give --username, and be asked for it")
    url = _url(url, kind, enable_oci)
    if kind == "helm" and not name:
        raise click.UsageError("a chart repository needs a name: give --name")
    if kind != "git" and (bearer or ssh_private_key_path or enable_lfs):
        raise click.UsageError("--bearer, --ssh-private-key-path and --enable-lfs are for Git")
    if insecure_oci_force_http and not (enable_oci or kind == "oci"):
        raise click.UsageError("--insecure-oci-force-http is for registries")
    if bool(tls_client_cert_path) != bool(tls_client_cert_key_path):
        raise click.UsageError("give --tls-client-cert-path and --tls-client-cert-key-path together")
    insecure = insecure_skip_server_verification or insecure_ignore_host_key
    secret = _secret(username, bearer, password_stdin, password_file, password_env)
    fields = {
        "type": kind,
        "url": url,
        "name": name,
        "project": project,
        "username": username,
        "bearerToken" if bearer else "password": secret,
        "sshPrivateKey": _text(ssh_private_key_path),
        "tlsClientCertData": _text(tls_client_cert_path),
        "tlsClientCertKey": _text(tls_client_cert_key_path),
        "insecure": "true" if insecure else "",
        "enableOCI": "true" if enable_oci else "",
        "insecureOCIForceHttp": "true" if insecure_oci_force_http else "",
        "enableLfs": "true" if enable_lfs else "",
    }
    fields = {field: value for field, value in fields.items() if value}
    home = connect(settings)
    done, secret_name = _add(home, url, project, fields, upsert)
    if output is None:
        click.echo(f"repository {masked(url)} {done}: Secret {home.settings.namespace}/{secret_name}")
        return
    if output == "name":
        click.echo(secret_name)
        return
    from workers.git.credentials import RepoSecret

    found = _described(home, RepoSecret(secret_name, "repository", fields), check=False)
    show.structured(found.to_dict(), output)


@repo.command(cls=Verb)
@home_options
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@click.option("--project", default="", metavar="NAME", help="The one that is only for this project.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def rm(settings: Settings, urls: tuple[str, ...], project: str, yes: bool) -> None:
    """Forget repositories: delete the Secrets that hold what opens them. Applications stay."""
    from workers.installation import SECRET

    home = connect(settings)
    for url in urls:
        live = _find(home, url, project)
        if live is None:
            raise Missing(f"no repository {masked(url)}: `mooring repo list` shows all, with their projects")
        title = f"Secret {live.key.namespace}/{live.key.name} of {masked(url)}"
        if not yes:
            confirm(f"Delete {title}?")
        home.api.delete(SECRET, live, "background")
        click.echo(f"{title} deleted")


def _url(url: str, kind: str, oci: bool) -> str:
    """The URL as Argo CD has it in such a Secret. Raises UsageError where it is of another type.

    https://argo-cd.readthedocs.io/en/stable/operator-manual/declarative-setup/#helm
    """
    scheme, rest = url.split("://", 1) if "://" in url else ("", url)
    if oci and kind != "helm":
        raise click.UsageError("--enable-oci is for charts: give --type helm")
    match kind:
        case "git" if scheme == "oci":
            raise click.UsageError(
                "this is a registry: give --type oci for the one artifact there, or --type helm --enable-oci "
                "for the charts below it"
            )
        case "helm" if oci:
            if scheme not in ("", "oci"):
                raise click.UsageError(
                    "with --enable-oci, give the registry and the path of the charts: host/path"
                )
            return rest
        case "helm" if scheme not in ("http", "https"):
            raise click.UsageError(
                "a chart repository is at https://…; give --enable-oci, if the charts are in a registry"
            )
        case "oci" if scheme != "oci":
            raise click.UsageError("an OCI artifact is at oci://host/path")
    return url


def _secret(username: str, bearer: bool, stdin: bool, file: str | None, env: str | None) -> str:
    """The password or token, from the one place that is named, or asked for where one is needed."""
    if stdin + bool(file) + bool(env) > 1:
        raise click.UsageError("give one of --password-stdin, --password-file and --password-env")
    if stdin:
        text = sys.stdin.read()
    elif file:
        text = _text(file)
    elif env:
        if env not in os.environ:
            raise Refused(f"the environment variable {env} is not set")
        text = os.environ[env]
    elif username or bearer:
        if not sys.stdin.isatty():
            raise click.UsageError("nobody can be asked here: give --password-stdin, -file or -env")
        text = click.prompt("Token" if bearer else f"Password of {username}", hide_input=True, err=True)
    else:
        return ""
    if not text.strip():
        raise Refused("the password or token is empty")
    return text.strip("\r\n")


def _text(file: str | None) -> str:
    if not file:
        return ""
    try:
        return Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(
            f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}"
        ) from error


def _add(home: Home, url: str, project: str, fields: Mapping[str, str], upsert: bool) -> tuple[str, str]:
    """Checks the connection, then writes the Secret; what was done, and its name."""
    from workers.cluster.api import Update
    from workers.git.credentials import SECRET_TYPE, RepoSecret
    from workers.installation import SECRET

    live = _find(home, url, project)
    name = live.key.name if live else secret_name("repo", url, project)
    data = {field: base64.b64encode(value.encode()).decode() for field, value in fields.items()}
    if live is not None and (live.body or {}).get("data") == data:
        return "unchanged", name
    if live is not None and not upsert:
        raise Refused(f"{masked(url)} is known already, as Secret {name}: give --upsert to replace it")
    _ask_host(home, fields, RepoSecret(name, "repository", fields))
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": home.settings.namespace,
            "labels": {**(live.labels if live else {}), SECRET_TYPE: "repository"},
            "annotations": dict(live.annotations if live else {}),
        },
        "type": "Opaque",
        "data": data,
    }
    if live is None:
        home.api.create(SECRET, body)
        return "added", name
    home.api.replace(SECRET, body, Update(live.uid, live.resource_version))
    return "updated", name


def _find(home: Home, url: str, project: str) -> Live | None:
    """The `repository` Secret of this very repository and project."""
    from workers.apps.repositories import decoded
    from workers.git.credentials import SECRET_TYPE
    from workers.installation import SECRET

    for live in home.api.list(SECRET, home.settings.namespace, f"{SECRET_TYPE}=repository"):
        fields = decoded((live.body or {}).get("data") or {})
        if fields.get("project", "") == project and same_repository(fields.get("url", ""), url):
            return live
    return None


def secret_name(prefix: str, url: str, project: str) -> str:
    """The name that Argo CD itself gives such a Secret: it ends with the FNV-1a hash of URL and project.

    https://github.com/argoproj/argo-cd/blob/master/util/db/utils.go
    """
    digest = 0x811C9DC5
    for byte in (url + project).encode():
        digest = (digest ^ byte) * 0x01000193 & 0xFFFFFFFF
    return f"{prefix}-{digest}"


def _row(one: Repo, check: bool) -> tuple[str, ...]:
    insecure = str(one.insecure).lower()
    kind = f"{one.type} (oci)" if one.oci else one.type
    row = (one.kind, kind, one.name, one.url, one.credential, insecure, one.project, one.secret)
    return (*row, one.status, one.message) if check else row


def _described(home: Home, secret: RepoSecret, check: bool) -> Repo:
    data = secret.data
    kinds = (
        ("sshPrivateKey", "ssh key"),
        ("bearerToken", "token"),
        ("password", "password"),
        ("githubAppPrivateKey", "GitHub app"),
        ("tlsClientCertData", "certificate"),
    )
    flags = (data.get("insecure", ""), data.get("insecureIgnoreHostKey", ""))
    status, message = "", ""
    if check and secret.kind == "repository":
        try:
            _ask_host(home, data)
            status = "Successful"
        except MooringError as error:
            status, message = "Failed", str(error)
    return Repo(
        name=data.get("name", ""),
        kind=secret.kind,
        type=data.get("type", "") or ("git" if secret.kind == "repository" else ""),
        oci=data.get("enableOCI", "").lower() == "true",
        url=masked(data.get("url", "")),
        credential=next((word for field, word in kinds if data.get(field)), "none"),
        insecure="true" in (flag.lower() for flag in flags),
        project=data.get("project", ""),
        secret=secret.name,
        status=status,
        message=message,
    )


def _ask_host(home: Home, fields: Mapping[str, str], new: RepoSecret | None = None) -> None:
    """Asks the host of a Secret of these `fields` to let us in, as the engine would.

    Raises GitRefused and GitFailed for Git, RemoteRefused and RemoteFailed for charts and registries. `new`
    is a Secret that is not written yet: it takes the place of the one of that name.
    """
    from mooring.model.spec import Source
    from workers.checkout import credential_of
    from workers.git.credentials import REMOTE, credential_for
    from workers.git.mirror import Mirror
    from workers.remote.remotes import Remotes

    known = home.applications.repo_secrets()
    if new is not None:
        known = (*(one for one in known if one.name != new.name), new)
    settings, url, project = home.settings, fields.get("url", ""), fields.get("project", "")
    with TemporaryDirectory(prefix="mooring-repo-") as directory:
        if fields.get("type", "") in REMOTE:
            certificates = home.applications.tls_certificates()
            found = credential_for(url, known, project=project, authorities=certificates, types=REMOTE)
            Remotes(Path(directory), replace(settings, git_timeout_s=_WITHIN_S)).check(url, found)
            return
        credential = credential_of(home.applications, settings, Source(repo_url=url), project, known)
        mirror = Mirror.open(Path(directory), url, credential, allow_file=settings.git_allow_file)
        try:
            mirror.list_refs(("HEAD",), timeout=_WITHIN_S)
        finally:
            mirror.close()

"""Argo CD's Secrets open the repositories they are for, and no others."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from mooring.errors import GitFailed, GitRefused
from workers.git.credentials import REMOTE, Credential, CredentialKind, RepoSecret, credential_for
from workers.git.process import explain, network_environment, run
from workers.git.remote import parse


def repository(**data: str) -> RepoSecret:
    return RepoSecret(data.get("name", "own"), "repository", data)


def template(**data: str) -> RepoSecret:
    return RepoSecret(data.get("name", "shared"), "repo-creds", data)


def test_the_repository_itself_goes_before_the_longest_template() -> None:
    url = "https://git.example.com/team/app.git"
    short = template(url="https://git.example.com", username="u", password="short")
    long = template(url="https://git.example.com/team", username="u", password="long")
    own = repository(url="https://git.example.com/team/app", username="u", password="own")
    assert credential_for(url, [short, long, own]).secret == "own"
    assert credential_for(url, [short, long]).secret == "long"
    assert credential_for(url, [short]).secret == "short"
    assert credential_for(url, []).kind is CredentialKind.NONE


def test_a_repository_without_a_credential_takes_the_templates() -> None:
    own = repository(url="https://git.example.com/team/app.git")
    shared = template(url="https://git.example.com/", username="u", password="shared")
    assert credential_for("https://git.example.com/team/app.git", [own, shared]).secret == "shared"


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.com.attacker.net/team/app.git",
        "https://git.example.com@attacker.net/team/app.git",
        "http://git.example.com/team/app.git",
        "https://git.example.com:8443/team/app.git",
        "https://attacker.net/git.example.com/team/app.git",
    ],
)
def test_a_credential_never_leaves_its_endpoint(url: str) -> None:
    secrets = [
        template(url="https://git.example.com", username="u", password="p"),
        repository(url="https://git.example.com/team/app.git", username="u", password="p"),
    ]
    assert credential_for(url, secrets).secret == ""


def test_a_secret_of_a_project_is_for_that_project() -> None:
    url = "https://git.example.com/team/app.git"
    scoped = repository(url=url, username="u", password="scoped", project="blue")
    shared = repository(url=url, username="u", password="shared")
    assert credential_for(url, [shared, scoped], project="blue").secret == "scoped"
    assert credential_for(url, [shared, scoped], project="red").secret == "shared"
    assert credential_for(url, [scoped], project="red").kind is CredentialKind.NONE


def test_each_kind_is_read() -> None:
    web, ssh = "https://h.example/a/b", "git@h.example:a/b.git"
    assert credential_for(web, [repository(url=web, bearerToken="t\n")]).authorization == "Bearer t"
    assert credential_for(web, [repository(url=web, password="t")]).username == "x-access-token"
    key = credential_for(ssh, [repository(url=ssh, sshPrivateKey="KEY")], known_hosts="h.example ssh-x A")
    assert (key.kind, key.secret, key.known_hosts) == (CredentialKind.SSH_KEY, "KEY\n", "h.example ssh-x A")
    assert credential_for("https://me:s%40cret@h.example/a/b", []).secret == "s@cret"


def test_what_is_not_supported_is_said_and_not_ignored() -> None:
    url = "https://github.com/a/b"
    for field in ("githubAppID", "proxy"):
        with pytest.raises(GitRefused, match=field):
            credential_for(url, [repository(url=url, **{field: "true"})])
    with pytest.raises(GitRefused, match="line break"):
        credential_for(url, [repository(url=url, username="u", password="a\nX-Evil: 1")])


def test_large_files_are_wanted_where_the_repositorys_own_secret_says_so() -> None:
    url = "https://github.com/a/b"
    assert credential_for(url, [repository(url=url, password="t", enableLfs="true")]).lfs
    assert not credential_for(url, [repository(url=url, password="t", enableLfs="false")]).lfs
    shared = RepoSecret(
        "s", "repo-creds", {"url": "https://github.com/a", "password": "t", "enableLfs": "true"}
    )
    assert not credential_for(url, [shared]).lfs
    both = credential_for(url, [shared, repository(url=url, enableLfs="true")])
    assert (both.secret, both.lfs) == ("t", True)


def test_labels_tell_which_secrets_are_meant() -> None:
    label = "argocd.argoproj.io/secret-type"
    assert RepoSecret.from_labels("a", {label: "cluster"}, {}) is None
    assert RepoSecret.from_labels("a", {}, {}) is None
    found = RepoSecret.from_labels("a", {label: "repo-creds"}, {"url": "u"})
    assert found is not None
    assert found.kind == "repo-creds"


def test_nothing_printed_shows_a_secret() -> None:
    credential = Credential(CredentialKind.BASIC, "me", "hunter2")
    secret = repository(url="https://h/a", password="hunter2")
    header = credential.authorization
    said = f"{credential!r} {credential} {secret!r} {credential.identity}"
    said += str(explain(f"fatal: hunter2 {header}", credential))
    said += str(explain("fatal: unable to access 'https://me:hunter2@h/a/': no"))
    assert "hunter2" not in said
    assert header.split()[1] not in said


def test_an_identity_is_stable_and_tells_credentials_apart() -> None:
    base = Credential(CredentialKind.BASIC, "me", "one")
    assert base.identity == Credential(CredentialKind.BASIC, "me", "one").identity
    others = [
        Credential(CredentialKind.BASIC, "me", "two"),
        Credential(CredentialKind.BASIC, "you", "one"),
        Credential(CredentialKind.BEARER, "me", "one"),
        Credential(CredentialKind.BASIC, "me", "one", insecure=True),
        Credential(),
    ]
    assert len({base.identity, *(other.identity for other in others)}) == 6


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c 'touch /tmp/owned'",
        "ext::sh",
        "fd::17/foo",
        "--upload-pack=touch /tmp/owned",
        "-oProxyCommand=touch:x",
        "ssh://-oProxyCommand=touch/x",
        "ssh://-x@host/path",
        "git@-host:path",
        "git@host:-path",
        "git@host:../../etc",
        "https://host/a/%2e%2e/b",
        "https://host",
        "https:///path",
        "git://host/path",
        "ftp://host/path",
        "/etc/passwd",
        "./relative",
        "file:///etc",
        "https://host/a\nb",
        "https://host/a b",
        "https://host/a?x=1",
        "https://host:99999/a",
        "",
    ],
)
def test_a_hostile_url_is_refused(url: str) -> None:
    with pytest.raises(GitRefused):
        parse(url)


@pytest.mark.parametrize(
    ("url", "given"),
    [
        ("https://user:password@GitHub.com/a/b.git", "https://github.com/a/b.git"),
        ("git@github.com:a/b.git", "git@github.com:a/b.git"),
        ("ssh://git@host:2222/a/b", "ssh://git@host:2222/a/b"),
        ("http://127.0.0.1:8080/a/", "http://127.0.0.1:8080/a"),
        ("https://[::1]:8443/a", "https://[::1]:8443/a"),
    ],
)
def test_a_url_is_given_to_git_without_its_password(url: str, given: str) -> None:
    assert parse(url).url == given


def test_an_ssh_key_is_readable_by_ssh_and_on_no_disk(tmp_path: Path) -> None:
    made = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(made)], check=True)
    credential = Credential(CredentialKind.SSH_KEY, secret=made.read_text(), known_hosts="h ssh-ed25519 AAAA")
    with network_environment(parse("git@h.example:a/b"), credential) as env:
        words = dict(word.split("=", 1) for word in env["GIT_SSH_COMMAND"].split() if "=" in word)
        assert words["StrictHostKeyChecking"] == "yes"
        assert words["IdentityFile"].startswith("/proc/")
        shown = subprocess.run(
            ["ssh-keygen", "-y", "-f", words["IdentityFile"]], capture_output=True, check=True
        )
        assert shown.stdout.split()[1] == (tmp_path / "key.pub").read_bytes().split()[1]
        assert Path(words["UserKnownHostsFile"]).read_text() == credential.known_hosts
    assert not Path(words["IdentityFile"]).exists()


def test_git_may_speak_only_the_protocol_of_the_repository() -> None:
    with (
        network_environment(parse("https://h.example/a"), Credential()) as env,
        pytest.raises((GitRefused, GitFailed), match="not allowed"),
    ):
        run(["ls-remote", "--", "ext::sh -c true"], deadline=time.monotonic() + 10, env=env)


def test_a_child_learns_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_SSH_COMMAND", "touch /tmp/owned")
    monkeypatch.setenv("MOORING_SECRET", "hunter2")
    with network_environment(parse("https://h.example/a"), Credential()) as env:
        assert "GIT_SSH_COMMAND" not in env
        assert "hunter2" not in str(env)
        assert env["HOME"] == "/nonexistent"


def test_a_secret_of_charts_opens_charts_and_one_of_git_opens_git() -> None:
    url = "https://host.example.com/charts"
    charts = repository(url=url, type="helm", username="u", password="charts", name="charts")
    git = repository(url=url, username="u", password="git")
    assert credential_for(url, [charts, git], types=REMOTE).secret == "charts"
    assert credential_for(url, [charts, git]).secret == "git"
    assert credential_for(url, [git], types=REMOTE).kind is CredentialKind.NONE
    # A template that says nothing is for whatever is at its URL, as Argo CD has it.
    shared = template(url="https://host.example.com", username="u", password="shared")
    assert credential_for(url, [shared], types=REMOTE).secret == "shared"
    assert credential_for("https://host.example.com", [shared], types=REMOTE).secret == "shared"
    only_git = template(url="https://host.example.com", type="git", username="u", password="shared")
    assert credential_for(url, [only_git], types=REMOTE).kind is CredentialKind.NONE


@pytest.mark.parametrize("type", ["helm", "oci"])
@pytest.mark.parametrize(
    "spelt", ["registry.example.com:5000/charts", "oci://registry.example.com:5000/charts"]
)
@pytest.mark.parametrize(
    "asked", ["registry.example.com:5000/charts", "oci://registry.example.com:5000/charts/"]
)
def test_a_registry_is_spelt_with_its_scheme_or_without(type: str, spelt: str, asked: str) -> None:
    secret = repository(url=spelt, type=type, enableOCI="true", username="u", password="p")
    assert credential_for(asked, [secret], types=REMOTE).secret == "p"
    shared = template(url=spelt.partition("/charts")[0], type=type, username="u", password="p")
    assert credential_for(f"{asked.rstrip('/')}/web", [shared], types=REMOTE).secret == "p"


@pytest.mark.parametrize(
    "url",
    [
        "oci://registry.example.com.attacker.net/charts",
        "registry.example.com/charts",
        "oci://registry.example.com:5001/charts",
        "https://registry.example.com:5000/charts",
        "oci://attacker.net/registry.example.com:5000/charts",
    ],
)
def test_a_credential_of_a_registry_never_leaves_it(url: str) -> None:
    secrets = [
        repository(url="registry.example.com:5000/charts", type="helm", username="u", password="p"),
        template(url="oci://registry.example.com:5000", type="oci", username="u", password="p"),
    ]
    found = credential_for(url, secrets, types=REMOTE)
    assert found.secret == ""
    assert not found.vouched


def test_a_secret_vouches_for_its_host_and_says_how_to_speak_to_it() -> None:
    url = "oci://registry.example.com/charts"
    bare = repository(url=url, type="oci", insecureOCIForceHttp="true", insecure="true")
    found = credential_for(url, [bare], types=REMOTE, authorities={"registry.example.com": "PEM"})
    assert (found.vouched, found.plain_http, found.insecure, found.authorities) == (True, True, True, "PEM")
    assert not credential_for(url, [], types=REMOTE).vouched
    scoped = repository(url=url, type="oci", project="blue")
    assert credential_for(url, [scoped], types=REMOTE, project="blue").vouched
    assert not credential_for(url, [scoped], types=REMOTE, project="red").vouched
    # Another one's broken Secret stops nobody.
    assert credential_for(url, [repository(url="oci://", type="oci"), bare], types=REMOTE).vouched

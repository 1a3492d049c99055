"""ssh for real: against OpenSSH's own server, whose key is known or is not."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devcluster.gitserver import GitServer
from mooring.errors import GitFailed, GitRefused
from tests.ports import free_port
from workers.git.credentials import Credential, RepoSecret, credential_for
from workers.git.mirror import Limits, Mirror, checkout

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(
    SSHD is None or shutil.which("ssh") is None,
    reason="needs sshd and ssh: install OpenSSH (Debian: openssh-server)",
)


@dataclass(frozen=True, slots=True)
class SshHost:
    """A Git host over ssh. `url` is of a repository at `path`; `known` its line of known_hosts."""

    url: str
    path: Path
    known: str
    key: str
    other_key: str
    log: Path


def keypair(folder: Path, name: str) -> tuple[str, str]:
    path = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    return path.read_text(), path.with_suffix(".pub").read_text().strip()


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHost]:
    folder = tmp_path_factory.mktemp("ssh")
    _, host_public = keypair(folder, "host")
    key, public = keypair(folder, "user")
    other_key, _ = keypair(folder, "other")
    (folder / "authorized").write_text(public + "\n")
    port = free_port()
    config = {
        "ListenAddress": "127.0.0.1",
        "Port": port,
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized",
        "PidFile": "none",
        "StrictModes": "no",  # the folder is below a temporary one that others may write to
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "UsePAM": "no",
        "PermitRootLogin": "prohibit-password",
        "LogLevel": "VERBOSE",
    }
    (folder / "config").write_text("".join(f"{name} {value}\n" for name, value in config.items()))
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd locks its unprivileged half in
    log = folder / "log"
    with log.open("wb") as sink:
        server = subprocess.Popen([str(SSHD), "-D", "-e", "-f", str(folder / "config")], stderr=sink)
    try:
        pause = threading.Event()
        for _ in range(200):
            if server.poll() is not None or b"Server listening" in log.read_bytes():
                break
            pause.wait(0.05)
        if server.poll() is not None:
            pytest.skip(f"sshd does not start here: {log.read_text().strip()}")
        with GitServer(folder / "repositories") as host:
            repository = host.create("team/app")
            repository.commit({"a.yaml": "a: 1\n"})
            yield SshHost(
                f"ssh://{getpass.getuser()}@127.0.0.1:{port}{repository.path}",
                repository.path,
                f"[127.0.0.1]:{port} {host_public}\n",
                key,
                other_key,
                log,
            )
    finally:
        server.terminate()
        server.wait()


def credential(ssh: SshHost, *, key: str | None = None, known: str | None = None, **data: str) -> Credential:
    fields = {"url": ssh.url, "sshPrivateKey": ssh.key if key is None else key, **data}
    secrets = [RepoSecret("app", "repository", fields)]
    return credential_for(ssh.url, secrets, known_hosts=ssh.known if known is None else known)


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    Mirror.close_all()


def commit(ssh: SshHost, text: str) -> str:
    from devcluster.gitserver import Repository

    return Repository("", ssh.path).commit({"a.yaml": text})


def test_a_push_is_fetched_with_the_key_of_the_secret(ssh: SshHost, tmp_path: Path) -> None:
    mirror = Mirror.open(tmp_path, ssh.url, credential(ssh))
    checkout(mirror, "main")
    pushed = commit(ssh, "a: 2\n")
    assert checkout(mirror, "main", pushed).commit == pushed
    blob = mirror.tree.tree_id(pushed, "a.yaml")
    assert blob is not None
    assert mirror.tree.read(blob) == b"a: 2\n"
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"PRIVATE KEY" not in path.read_bytes()


def test_a_large_repository_is_partial_over_ssh_too(ssh: SshHost, tmp_path: Path) -> None:
    from devcluster.gitserver import Repository

    pushed = Repository("", ssh.path).commit({"big.bin": os.urandom(300_000)})
    mirror = Mirror.open(tmp_path, ssh.url, credential(ssh), limits=Limits(whole=100_000))
    checkout(mirror, "main")
    assert mirror.partial
    blob = mirror.tree.tree_id(pushed, "a.yaml")
    assert blob is not None
    assert mirror.tree.read(blob).startswith(b"a: ")
    Repository("", ssh.path).commit({"big.bin": None})


@pytest.mark.parametrize("known", ["", "another"])
def test_a_host_whose_key_is_unknown_or_wrong_is_refused(ssh: SshHost, tmp_path: Path, known: str) -> None:
    if known:
        _, public = keypair(tmp_path, "impostor")
        known = f"{ssh.known.split()[0]} {public}\n"
    mirror = Mirror.open(tmp_path / "mirrors", ssh.url, credential(ssh, known=known))
    with pytest.raises(GitRefused, match="argocd-ssh-known-hosts-cm"):
        checkout(mirror, "main")


def test_a_key_that_becomes_known_is_heeded(ssh: SshHost, tmp_path: Path) -> None:
    with pytest.raises(GitRefused):
        checkout(Mirror.open(tmp_path, ssh.url, credential(ssh, known="")), "main")
    checkout(Mirror.open(tmp_path, ssh.url, credential(ssh)), "main")
    with pytest.raises(GitRefused):
        checkout(Mirror.open(tmp_path, ssh.url, credential(ssh, known="")), "main")


def test_insecure_in_the_secret_believes_any_host(ssh: SshHost, tmp_path: Path) -> None:
    checkout(Mirror.open(tmp_path, ssh.url, credential(ssh, known="", insecure="true")), "main")


def test_a_wrong_key_is_refused_and_not_shown(ssh: SshHost, tmp_path: Path) -> None:
    for key in (ssh.other_key, "-----BEGIN nonsense"):
        with pytest.raises(GitRefused) as refused:
            checkout(Mirror.open(tmp_path, ssh.url, credential(ssh, key=key)), "main")
        assert "BEGIN" not in str(refused.value)
        assert "credential" in str(refused.value)


def test_neither_the_agent_nor_the_users_own_keys_and_settings_are_used(
    ssh: SshHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user of the machine could log in; the app without a Secret cannot."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh/id_ed25519").write_text(ssh.key)
    (home / ".ssh/id_ed25519").chmod(0o600)
    agent = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    variables = dict(part.split("=", 1) for part in agent.replace("\n", "").split(";") if "=" in part)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", variables["SSH_AUTH_SOCK"])
        monkeypatch.setenv("HOME", str(home))
        subprocess.run(["ssh-add", "-q", home / ".ssh/id_ed25519"], check=True, stderr=subprocess.DEVNULL)
        monkeypatch.setenv("GIT_SSH_COMMAND", f"ssh -i {home}/.ssh/id_ed25519")
        bare = credential_for(ssh.url, [], known_hosts=ssh.known)
        with pytest.raises((GitRefused, GitFailed), match="denied"):
            checkout(Mirror.open(tmp_path / "mirrors", ssh.url, bare), "main")
    finally:
        os.kill(int(variables["SSH_AGENT_PID"]), 15)

"""People who sign: with GPG and SSH keys of their own, made for one test run."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devcluster.gitserver import Repository


def _run(*argv: str, given: bytes = b"", env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        argv,
        input=given,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **(env or {})},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode()


class Keyring:
    """A home of GPG's with the secret keys of several people. A context manager: GPG starts an agent."""

    def __init__(self) -> None:
        # The agent's socket is in it, and no path of a socket may be long.
        self.home = Path(tempfile.mkdtemp(prefix="gpg-", dir="/tmp"))

    def __enter__(self) -> Keyring:
        return self

    def __exit__(self, *_: object) -> None:
        _run("gpgconf", "--kill", "all", env={"GNUPGHOME": str(self.home)})
        shutil.rmtree(self.home, ignore_errors=True)

    def gpg(self, *words: str, given: bytes = b"") -> str:
        argv = (
            "gpg",
            "--batch",
            "--quiet",
            "--yes",
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            "",
            *words,
        )
        return _run(*argv, given=given, env={"GNUPGHOME": str(self.home)})

    def signer(self, name: str, *, expires: str = "never", made: str = "", subkey: bool = False) -> Signer:
        """A key that signs, or has a `subkey` that does; `made` (`20200101T000000`) is when, if not now."""
        when = ("--faked-system-time", f"{made}!") if made else ()
        address = f"{name} <{name}@example.org>"
        self.gpg(*when, "--quick-gen-key", address, "ed25519", "cert" if subkey else "sign", expires)
        primary = self._fingerprints(name)[0]
        if subkey:
            self.gpg("--quick-add-key", primary, "ed25519", "sign", expires)
        used = self._fingerprints(name)[-1]
        config = {"gpg.format": "openpgp", "user.signingKey": f"{used}!"}
        if made:  # what has expired signs nothing any more
            wrapper = self.home / f"{name}.sh"
            wrapper.write_text(f'#!/bin/sh\nexec gpg --batch --faked-system-time {made}! "$@"\n')
            wrapper.chmod(0o755)
            config["gpg.program"] = str(wrapper)
        return Signer(name, config, {"GNUPGHOME": str(self.home)}, used[-16:], primary[-16:])

    def public(self, signer: Signer) -> str:
        return self.gpg("--armor", "--export", signer.primary)

    def _fingerprints(self, name: str) -> list[str]:
        lines = self.gpg("--list-keys", "--with-colons", f"{name}@example.org").splitlines()
        return [line.split(":")[9] for line in lines if line.startswith("fpr:")]


@dataclass(frozen=True)
class Signer:
    """Somebody who signs: `key` is what a project's signatureKeys calls that key, `primary` the one above it;
    `public` the line of a file of SSH keys."""

    name: str
    config: dict[str, str]
    env: dict[str, str]
    key: str
    primary: str = ""
    public: str = ""

    def commit(self, repo: Repository, commit: str, *, ref: str = "refs/heads/main") -> str:
        """`commit` once more, signed and in its place on `ref`; the new id."""
        tree = self._git(repo, "rev-parse", f"{commit}^{{tree}}").strip()
        parents = self._git(repo, "rev-parse", f"{commit}^@").split()
        above = [word for parent in parents for word in ("-p", parent)]
        signed = self._git(repo, "commit-tree", "-S", "-m", "signed", *above, tree).strip()
        repo.point(ref, signed)
        return signed

    def tag(self, repo: Repository, name: str, commit: str) -> str:
        """A signed annotated tag, in the place of another one of that name; its id."""
        self._git(repo, "tag", "--force", "-s", "-m", f"release {name}", name, commit)
        return self._git(repo, "rev-parse", f"refs/tags/{name}").strip()

    def _git(self, repo: Repository, *words: str) -> str:
        settings = [word for name, value in self.config.items() for word in ("-c", f"{name}={value}")]
        who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in self._whom}
        quiet = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
        env = {**self.env, **who, **quiet}
        return _run("git", "--git-dir", str(repo.path), *settings, *words, env=env)

    @property
    def _whom(self) -> tuple[tuple[str, str], ...]:
        return ("NAME", self.name), ("EMAIL", f"{self.name}@example.org")


def ssh_signer(directory: Path, name: str, *, kind: str = "ed25519") -> Signer:
    """Somebody with an SSH key, which is in `directory`."""
    path = directory / f"{name}-{kind}"
    _run("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", name, "-f", str(path))
    fingerprint = _run("ssh-keygen", "-l", "-f", f"{path}.pub").split()[1]
    config = {"gpg.format": "ssh", "user.signingKey": str(path)}
    public = " ".join(path.with_suffix(".pub").read_text().split()[:2])
    return Signer(name, config, {}, fingerprint, public=public)

"""Runs git as a child that can be ended, learns nothing of us, and cannot be talked into another command.

GitPython hands a child our whole environment and ends only the child itself; a hung
`git-remote-https` or `ssh` below it would live on. So the running is done here.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Final
from urllib.request import getproxies

from mooring.errors import GitFailed, GitRefused, MooringError
from workers.git.credentials import Credential, CredentialKind
from workers.git.pins import resolving
from workers.git.remote import Remote

# Ends the whole process group when our end of the pipe on its standard input is gone, however we died: the
# `git-remote-https` or `ssh` below git hears of nothing. `ulimit -f` counts blocks of 512 bytes;
# without its signal, git says that a file is too large.
# https://pubs.opengroup.org/onlinepubs/9699919799/utilities/ulimit.html
_TIED: Final = """
exec 3<&0 </dev/null
(read -r _ <&3; kill -9 0) >/dev/null 2>&1 &
trap '' XFSZ
ulimit -f "$1" && shift && exec git "$@" 3<&-
"""
_OUTPUT_LIMIT: Final = 64 << 20
_STDERR_LIMIT: Final = 64 << 10

# What every git of ours is told, whatever a configuration file on the machine may say.
_CONFIG: Final = {
    "protocol.version": "2",
    "http.followRedirects": "false",
    "http.lowSpeedLimit": "1",  # ends a git whose worker was killed while the host hung
    "http.lowSpeedTime": "60",
    "credential.helper": "",
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.askPass": "",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "submodule.recurse": "false",
    "transfer.bundleURI": "false",
    # A pack appears in one rename, loose objects one by one: after a kill in between, a commit
    # without its tree would look as if it were here.
    "fetch.unpackLimit": "1",
    "transfer.unpackLimit": "1",
}


def environment(config: Mapping[str, str] | None = None) -> dict[str, str]:
    """The whole environment of a git that needs no network: nothing of ours but PATH."""
    entries = _CONFIG | dict(config or {})
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C",
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS": "",
        "GIT_ALLOW_PROTOCOL": "",
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_CONFIG_COUNT": str(len(entries)),
    }
    for index, (key, value) in enumerate(entries.items()):
        env[f"GIT_CONFIG_KEY_{index}"] = key
        env[f"GIT_CONFIG_VALUE_{index}"] = value
    return env


@contextlib.contextmanager
def network_environment(
    remote: Remote, credential: Credential, config: Mapping[str, str] | None = None
) -> Iterator[dict[str, str]]:
    """The environment of a git that may talk to `remote`'s endpoint and nobody else.

    The credential travels in it (never in argv), bound to that endpoint; keys are files in memory
    that end with the block. `config` is what git is told besides.
    """
    config = dict(config or {})
    extra = {"GIT_ALLOW_PROTOCOL": remote.endpoint.scheme}
    with contextlib.ExitStack() as stack:
        if remote.endpoint.scheme in ("http", "https"):
            scope = f"http.{remote.origin}"
            config |= resolving(remote.endpoint.host, remote.endpoint.port)
            if credential.authorization:
                config[f"{scope}.extraHeader"] = f"Authorization: {credential.authorization}"
            if credential.insecure:
                config[f"{scope}.sslVerify"] = "false"
            if credential.tls_cert:
                config[f"{scope}.sslCert"] = stack.enter_context(memory_file(credential.tls_cert))
                config[f"{scope}.sslKey"] = stack.enter_context(memory_file(credential.tls_key))
            if credential.authorities:
                config[f"{scope}.sslCAInfo"] = stack.enter_context(memory_file(credential.authorities))
            elif bundle := os.environ.get("SSL_CERT_FILE"):
                extra["GIT_SSL_CAINFO"] = bundle
            extra |= {f"{name}_proxy": url for name, url in getproxies().items()}
        elif remote.endpoint.scheme == "ssh":
            extra["GIT_SSH_VARIANT"] = "ssh"
            extra["GIT_SSH_COMMAND"] = _ssh_command(credential, stack)
        yield environment(config) | extra


def _ssh_command(credential: Credential, stack: contextlib.ExitStack) -> str:
    # Only our own paths and fixed words go in here: git gives this line to a shell.
    options = {
        "BatchMode": "yes",
        "PreferredAuthentications": "publickey",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "IdentityFile": "none",
        "ForwardAgent": "no",
        "GlobalKnownHostsFile": os.devnull,
        "UserKnownHostsFile": os.devnull,
        "StrictHostKeyChecking": "no" if credential.insecure else "yes",
        "UpdateHostKeys": "no",
        "ConnectTimeout": "15",
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "4",
    }
    if credential.known_hosts and not credential.insecure:
        options["UserKnownHostsFile"] = stack.enter_context(memory_file(credential.known_hosts))
    if credential.kind is CredentialKind.SSH_KEY:
        options["IdentityFile"] = stack.enter_context(memory_file(credential.secret))
    return "ssh -F /dev/null " + " ".join(f"-o {name}={value}" for name, value in options.items())


@contextlib.contextmanager
def memory_file(text: str) -> Iterator[str]:
    """The path of a file with `text` that only this user can read, on no disk, gone with us."""
    fd = os.memfd_create("mooring", os.MFD_CLOEXEC)
    try:
        os.fchmod(fd, 0o600)  # ssh refuses a key that others may read
        os.write(fd, text.encode())
        yield f"/proc/{os.getpid()}/fd/{fd}"
    finally:
        os.close(fd)


def run(
    args: Sequence[str],
    *,
    deadline: float,
    env: Mapping[str, str] | None = None,
    stdin: Iterable[bytes] | None = None,
    keep_fds: Sequence[int] = (),
    credential: Credential | None = None,
    file_limit: int = 0,
) -> bytes:
    """What `git *args` prints. `deadline` is in `time.monotonic()` seconds.

    Raises GitFailed when it is not done by then (the whole process group is killed), TooLarge when it
    would write a file of more than `file_limit` bytes (0: no limit), and GitFailed or GitRefused with
    git's own reason when git fails. `keep_fds` stay open in the children. A git that is given `stdin`
    ends with it; the others are tied to us by a pipe.
    """
    blocks = str(-(-file_limit // 512)) if file_limit else "unlimited"
    child = subprocess.Popen(
        ["git", *args] if stdin is not None else ["sh", "-c", _TIED, "git", blocks, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(env if env is not None else environment()),
        cwd="/",
        start_new_session=True,
        pass_fds=keep_fds,
    )
    timer = threading.Timer(max(deadline - time.monotonic(), 0), _kill_group, (child,))
    timer.daemon = True
    out, err = bytearray(), bytearray()
    drains = [
        threading.Thread(target=_drain, args=(child, child.stdout, out, _OUTPUT_LIMIT), daemon=True),
        threading.Thread(target=_drain, args=(child, child.stderr, err, _STDERR_LIMIT), daemon=True),
    ]
    try:
        timer.start()
        for drain in drains:
            drain.start()
        if stdin is not None:
            assert child.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # git says on stderr why it stopped reading
                for chunk in stdin:
                    child.stdin.write(chunk)
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
        for drain in drains:
            drain.join()
        code = child.wait()
    finally:
        timer.cancel()
        if child.returncode is None:
            _kill_group(child)
            child.wait()
        if child.stdin is not None:
            with contextlib.suppress(OSError):
                child.stdin.close()
    if code == 0:
        return bytes(out)
    if code < 0 and time.monotonic() >= deadline:
        raise GitFailed(
            f"git {_verb(args)} was not done in time and was ended: is the host reachable? "
            "A large repository may need a longer MOORING_GIT_TIMEOUT"
        )
    if code < 0:
        raise GitFailed(f"git {_verb(args)} was ended by signal {-code}")
    raise explain(err.decode(errors="replace"), credential)


def _verb(args: Sequence[str]) -> str:
    return next((word for word in args if not word.startswith("-")), "")


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    # Not yet waited for, so the id is still its own.
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


def _drain(child: subprocess.Popen[bytes], pipe: IO[bytes] | None, into: bytearray, limit: int) -> None:
    # Closed here and nowhere else: a descriptor closed under a reader may be somebody else's by then.
    assert pipe is not None
    with pipe:
        while chunk := os.read(pipe.fileno(), 65536):
            if len(into) + len(chunk) > limit:
                _kill_group(child)
                return
            into += chunk


class TooLarge(GitRefused):
    """More bytes than may be fetched at once."""


class LocalDamage(GitFailed):
    """The mirror on our disk is not whole: it must be cloned anew."""


class UnknownCommit(GitRefused):
    """The host does not have the commit, or does not hand out commits by id."""


FULL: Final = "the disk with the Git mirrors (MOORING_STATE_DIR) is full: make room on it, or a larger one"
TOO_LARGE: Final = (
    "the repository sends more than MOORING_GIT_MAX_MB allows at once: raise it, or make it small"
)
TRUST_ITS_CA: Final = (
    "put the certificate of its CA into ConfigMap argocd-tls-certs-cm under the host's name; "
    "a client certificate goes into the repository's Secret"
)
_UNKNOWN: Final = re.compile(
    r"not our ref|unadvertised object|couldn't find remote ref|no such remote ref", re.IGNORECASE
)
_REFUSED: Final = re.compile(
    r"authentication failed|could not read (username|password)|permission denied|access denied"
    r"|host key verification failed|invalid format|repository .*not found|certificate|SSL"
    r"|does not appear to be a git repository|returned error: 40[134]|unable to update url base"
    r"|transport '.*' not allowed",
    re.IGNORECASE,
)
# What a name or a fingerprint happens to spell says nothing of what went wrong.
_NAMES: Final = re.compile(r"'[^'\s]+://[^'\s]*'|SHA256:\S+")
_TOO_LARGE: Final = re.compile(r"died of signal 25|file (size limit exceeded|too large)", re.IGNORECASE)
_FULL: Final = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_DAMAGE: Final = re.compile(
    r"bad (object|revision|config)|corrupt|loose object|unable to (find|parse commit|read (tree|sha1))"
    r"|missing (blob|tree|commit)|invalid sha1 pointer|not a git repository: '|unresolved deltas"
    r"|did not send all necessary objects|packfile .* (cannot|not match)|invalid index-pack"
    r"|object of unexpected type|failed to (parse|read) (commit|delta)|broken link",
    re.IGNORECASE,
)


def explain(stderr: str, credential: Credential | None = None) -> MooringError:
    """What git printed when it failed, as the error to raise: one line, free of credentials."""
    lines = [line.strip() for line in tidy(stderr, credential).splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "ERROR:", "remote:"))] or lines
    # ssh explains itself first, and git's last word is then the general "Could not read from remote".
    refusals = (line for line in lines if _REFUSED.search(_NAMES.sub("", line)))
    reason = next(refusals, telling[0] if telling else "no reason")
    reason = reason.removeprefix("fatal: ").removeprefix("error: ")[:300]
    text = _NAMES.sub("", "\n".join(lines))
    if _FULL.search(text):
        return GitFailed(FULL, after=30)
    if _TOO_LARGE.search(text):
        return TooLarge(TOO_LARGE)
    if _UNKNOWN.search(text):
        return UnknownCommit(f"the Git host does not know it: {reason}")
    if _REFUSED.search(text):
        return GitRefused(f"the Git host refuses: {reason}; {_next_step(reason)}")
    if _DAMAGE.search(text):
        return LocalDamage(f"the local mirror is damaged: {reason}")
    return GitFailed(f"git failed: {reason}")


def _next_step(reason: str) -> str:
    if "host key verification" in reason.lower():
        return (
            "compare its key with the one the host publishes, and put that into ConfigMap "
            "argocd-ssh-known-hosts-cm (ssh_known_hosts) or the file of MOORING_GIT_KNOWN_HOSTS"
        )
    if "certificate" in reason.lower():
        return TRUST_ITS_CA
    return "check repository URL and credential"


def tidy(text: str, credential: Credential | None = None) -> str:
    """`text` without the credential, passwords in URLs, and control characters."""
    for secret in credential.secrets if credential is not None else ():
        text = text.replace(secret, "***")
    text = re.sub(r"(\w+://)[^/@\s']+@", r"\1***@", text)
    return re.sub(r"[^\x20-\x7e\n\u00a0-\U0010ffff]", " ", text.replace("\r", "\n"))

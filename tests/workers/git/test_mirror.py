"""A mirror survives what happens to hosts, processes and disks."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from devcluster.gitserver import GitServer, Repository
from mooring.errors import GitFailed, GitRefused
from workers.git.credentials import Credential, CredentialKind
from workers.git.mirror import Mirror, checkout
from workers.git.process import LocalDamage, UnknownCommit, explain, run

MirrorOf = Callable[[Repository], Mirror]
PASSWORD = "hunter2-very-secret"


def end(server: socket.socket) -> None:
    """Ends a server whose thread waits in `accept`: closing alone would leave it there."""
    server.shutdown(socket.SHUT_RDWR)
    server.close()


@contextmanager
def listening(answer: bytes | None = None) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers every connection so, or never: its URL, and what it was sent."""
    server = socket.create_server(("127.0.0.1", 0))
    received: list[bytes] = []
    held: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            held.append(connection)
            if answer is not None:
                received.append(connection.recv(65536))
                connection.sendall(answer)
                connection.close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/team/app.git", received
    finally:
        end(server)
        for connection in held:
            connection.close()


def test_a_hung_host_is_cut_by_the_timeout(tmp_path: Path) -> None:
    with listening() as (url, _):
        mirror = Mirror.open(tmp_path, url, Credential())
        with pytest.raises(GitFailed, match="in time"):
            checkout(mirror, "main", timeout=0.5)


def test_a_hung_git_is_ended_with_its_children(tmp_path: Path) -> None:
    from workers.git.process import network_environment
    from workers.git.remote import parse

    before = set(psutil.Process().children(recursive=True))
    with listening() as (url, _):
        with network_environment(parse(url), Credential()) as env, pytest.raises(GitFailed, match="in time"):
            run(["ls-remote", "--", url], deadline=time.monotonic() + 1, env=env)
        assert set(psutil.Process().children(recursive=True)) <= before
        assert not [p for p in psutil.process_iter(["cmdline"]) if url in (p.info["cmdline"] or [])]


HANG = """
import sys, time
from workers.git.credentials import Credential
from workers.git.process import network_environment, run
from workers.git.remote import parse
with network_environment(parse(sys.argv[1]), Credential()) as env:
    run(["ls-remote", "--", sys.argv[1]], deadline=time.monotonic() + 600, env=env)
"""


def test_nothing_of_git_outlives_a_worker_that_was_killed(tmp_path: Path) -> None:
    """Not `git`, nor the `git-remote-http` below it, which waits for a host that never answers."""
    with listening() as (url, _):
        worker = psutil.Popen([sys.executable, "-c", HANG, url])
        try:
            below: list[psutil.Process] = []
            for _attempt in range(600):
                below = worker.children(recursive=True)
                with contextlib.suppress(psutil.NoSuchProcess):
                    if any("remote-http" in word for child in below for word in child.cmdline()[:2]):
                        break
                assert worker.is_running()
                threading.Event().wait(0.05)
            assert len(below) >= 3
        finally:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        _, alive = psutil.wait_procs(below, timeout=60)
        assert alive == []


def test_a_host_that_trickles_is_cut_too(tmp_path: Path) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def trickle() -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not stop.wait(0.05):
                try:
                    connection.sendall(b"1\r\n0\r\n")
                except OSError:
                    return

    threading.Thread(target=trickle, daemon=True).start()
    url = f"http://127.0.0.1:{server.getsockname()[1]}/x.git"
    try:
        with pytest.raises(GitFailed):
            checkout(Mirror.open(tmp_path, url, Credential()), "main", timeout=1)
    finally:
        stop.set()
        end(server)


def test_a_redirect_is_refused_and_the_credential_stays_here(tmp_path: Path) -> None:
    credential = Credential(CredentialKind.BASIC, "me", PASSWORD)
    nothing = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
    with listening(nothing) as (elsewhere, received):
        answer = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n".encode()
        with listening(answer) as (url, _):
            with pytest.raises(GitRefused, match="redirect") as refused:
                checkout(Mirror.open(tmp_path, url, credential), "main")
            mirror = Mirror.open(tmp_path, url, credential)
            with pytest.raises((GitRefused, GitFailed)) as also:  # git itself, as for hosts of old
                mirror._git_fetch(["f" * 40], time.monotonic() + 20)
        assert received == []
    assert PASSWORD not in str(refused.value) + str(also.value)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            b"403 No\r\nContent-Type: text/plain\r\n\r\nno\x1b[2J entry for %s\nmore" % PASSWORD.encode(),
            "HTTP 403 (no [2J entry for ***)",
        ),
        (b"500 No\r\nContent-Type: text/plain\r\n\r\n\nthe disk is full\n", "HTTP 500 (the disk is full)"),
        (b"502 No\r\nContent-Type: text/html\r\n\r\n<html>", "HTTP 502 with a page of HTML"),
        (
            b"200 OK\r\nContent-Type: text/plain\r\n\r\nStatus: 403 Forbidden\n",
            "HTTP 200 (Status: 403 Forbidden), which",
        ),
        (
            b"200 OK\r\nContent-Type: text/html\r\n\r\n<html>log in",
            "HTTP 200 with a page of HTML, which is not Git's",
        ),
    ],
)
def test_what_a_host_answers_instead_is_said(tmp_path: Path, answer: bytes, told: str) -> None:
    with listening(b"HTTP/1.1 " + answer) as (url, _):
        mirror = Mirror.open(tmp_path, url, Credential(CredentialKind.BASIC, "me", PASSWORD))
        with pytest.raises((GitFailed, GitRefused)) as failed:
            checkout(mirror, "main")
    assert told in str(failed.value)
    assert PASSWORD not in str(failed.value)
    assert "more" not in str(failed.value)


class Forgetful(BaseHTTPRequestHandler):
    """Speaks Git's protocol until it is asked something."""

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        lines = (b"version 2\n", b"ls-refs\n", b"fetch\n")
        spoken = b"".join(b"%04x%s" % (len(line) + 4, line) for line in lines)
        self._say("application/x-git-upload-pack-advertisement", spoken + b"0000")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._say("text/plain", b"out of memory\nmore\n")

    def _say(self, kind: str, answer: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(answer)


def test_a_host_that_leaves_its_protocol_in_the_middle_is_said(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Forgetful) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            mirror = Mirror.open(tmp_path, f"http://127.0.0.1:{server.server_port}/app", Credential())
            with pytest.raises(GitFailed, match=r"HTTP 200 \(out of memory\), which is not Git's protocol"):
                mirror.list_refs(["HEAD"])
        finally:
            server.shutdown()
            thread.join()


def test_a_repository_whose_path_really_ends_in_git_is_found(
    host: GitServer, repo: Repository, tmp_path: Path
) -> None:
    """GitLab redirects to the `.git` path of the same host, and so may any host."""
    target = repo.url.removesuffix(".git")
    connections = {"left": 1}
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            head = connection.recv(65536)
            path = head.split(b" ")[1].decode()
            if "/app/info/refs" in path:
                to = f"http://127.0.0.1:{port}/team/app.git/info/refs?service=git-upload-pack"
                connection.sendall(f"HTTP/1.1 301 M\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode())
                connections["left"] -= 1
            connection.close()

    threading.Thread(target=serve, daemon=True).start()
    from workers.git.remote import parse
    from workers.git.smarthttp import connect

    try:
        url = target.replace(host.url, f"http://127.0.0.1:{port}")
        client = connect(parse(url), Credential(), time.monotonic() + 10)
    finally:
        end(server)
    assert client.remote.url == f"{url}.git"


def test_credentials_are_in_no_argv_no_error_and_no_file(tmp_path: Path) -> None:
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for child in psutil.Process().children(recursive=True):
                try:
                    seen.update(child.cmdline())
                except psutil.Error:
                    continue

    with GitServer(user="deployer", password=PASSWORD) as host:
        repo = host.create("private")
        main = repo.commit({"a": "1"})
        mirror = Mirror.open(tmp_path, repo.url, Credential(CredentialKind.BASIC, "deployer", PASSWORD))
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            mirror._git_fetch([main], time.monotonic() + 20)
            assert checkout(mirror, "main").commit == main
            pushed = repo.commit({"a": "2"})
            assert checkout(mirror, "main", pushed).commit == pushed  # by ourselves
            assert mirror.credential.secret == PASSWORD
        finally:
            done.set()
            watcher.join()
        wrong = Credential(CredentialKind.BASIC, "deployer", "another-secret")
        with pytest.raises(GitRefused, match="401") as refused:
            checkout(Mirror.open(tmp_path, repo.url, wrong), "main")
        by_git = Mirror.open(tmp_path, repo.url, wrong)
        with pytest.raises(GitRefused) as by_git_refused:
            by_git._git_fetch([main], time.monotonic() + 20)
    header = Credential(CredentialKind.BASIC, "deployer", PASSWORD).authorization.partition(" ")[2]
    assert "fetch" in seen
    for secret in (PASSWORD, header):
        assert not any(secret in word for word in seen)
        for path in tmp_path.rglob("*"):
            assert path.is_dir() or secret.encode() not in path.read_bytes()
    assert "another-secret" not in f"{refused.value} {by_git_refused.value} {wrong!r}"


def test_one_credential_never_reads_what_another_fetched(tmp_path: Path) -> None:
    with GitServer(user="deployer", password=PASSWORD) as host:
        repo = host.create("private")
        main = repo.commit({"a": "1"})
        mine = Mirror.open(tmp_path, repo.url, Credential(CredentialKind.BASIC, "deployer", PASSWORD))
        checkout(mine, "main")
        theirs = Mirror.open(tmp_path, repo.url, Credential())
        assert theirs.home != mine.home
        assert not theirs.has(main)
        with pytest.raises(GitRefused):
            theirs.fetch_commit(main)


def test_a_killed_fetch_leaves_a_usable_mirror(repo: Repository, mirror_of: MirrorOf) -> None:
    mirror = mirror_of(repo)
    checkout(mirror, "main")
    pushed = repo.commit({f"f{i}": "x" * 1000 for i in range(200)})
    client = mirror._client(time.monotonic() + 10)
    assert client is not None
    pack = b"".join(client.pack([pushed], mirror._haves(), time.monotonic() + 10, thin=True))
    git = subprocess.Popen(
        ["git", "--git-dir", str(mirror.git_dir), "unpack-objects", "-q", "--strict"], stdin=subprocess.PIPE
    )
    assert git.stdin is not None
    git.stdin.write(pack[: len(pack) // 2])
    git.stdin.flush()
    os.kill(git.pid, signal.SIGKILL)
    git.wait()
    git.stdin.close()
    (mirror.git_dir / "objects/pack").mkdir(exist_ok=True)
    (mirror.git_dir / "objects/pack/tmp_pack_dead").write_bytes(b"PACK")
    (mirror.git_dir / "packed-refs.lock").touch()
    assert not mirror.has(pushed)
    assert checkout(mirror, "main", pushed).commit == pushed
    assert len(list(mirror.tree.walk(pushed, recurse=False))) == 202
    mirror.maintain()
    assert not list(mirror.git_dir.glob("objects/pack/tmp_*"))
    assert mirror.has(pushed)


def test_a_damaged_mirror_is_cloned_anew_with_the_kept_commits(repo: Repository, mirror_of: MirrorOf) -> None:
    mirror = mirror_of(repo)
    deployed = checkout(mirror, "main").commit
    mirror.keep(deployed)
    pushed = repo.commit({"x": "2"})
    checkout(mirror, "main")
    for path in mirror.git_dir.glob("objects/??/*"):
        path.unlink()
    mirror.close()
    gone = mirror.git_dir / "objects/pack"
    for path in gone.iterdir():
        path.unlink()
    assert checkout(mirror, "main").commit == pushed
    assert mirror.has(deployed)
    assert mirror.kept() == {deployed}


def test_a_file_that_is_missing_is_noticed_and_repaired(repo: Repository, mirror_of: MirrorOf) -> None:
    mirror = mirror_of(repo)
    checkout(mirror, "main")
    pushed = repo.commit({"x": "2"})
    checkout(mirror, "main", pushed)
    blob = mirror.tree.tree_id(pushed, "x")
    assert blob is not None
    (mirror.git_dir / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(LocalDamage):
        mirror.tree.read(blob)
    checkout(mirror, "main")
    assert mirror.tree.read(blob) == b"2"


def test_kept_commits_survive_a_force_push_and_maintenance(repo: Repository, mirror_of: MirrorOf) -> None:
    mirror = mirror_of(repo)
    first = checkout(mirror, "main").commit
    mirror.keep(first)
    mirror.keep(first)
    second = repo.commit({"other": "1"}, parent="")
    checkout(mirror, "main")
    mirror.keep(second)
    mirror.maintain()
    assert mirror.kept() == {first, second}
    mirror.drop_kept({second})
    assert mirror.kept() == {second}
    assert mirror.has(first)  # still young


def test_a_host_that_hides_commit_ids_gives_its_refs(
    host: GitServer, repo: Repository, mirror_of: MirrorOf
) -> None:
    mirror = mirror_of(repo)
    with pytest.raises(UnknownCommit):
        mirror.fetch_commit("f" * 40)
    mirror.fetch_refs()
    main = repo.resolve("main")
    assert main is not None
    assert mirror.has(main)
    assert mirror.list_refs(["refs/heads/main", "refs/heads/none"]) == {"refs/heads/main": main}


def test_many_at_once_share_one_mirror(repo: Repository, mirror_of: MirrorOf) -> None:
    mirror = mirror_of(repo)
    checkout(mirror, "main")
    commits = [repo.commit({"n": str(number)}) for number in range(8)]
    failures: list[BaseException] = []

    def fetch(commit: str) -> None:
        try:
            assert checkout(mirror, "main", commit).commit == commits[-1]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=fetch, args=(commit,)) for commit in commits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_repository_that_is_not_there_is_refused(host: GitServer, tmp_path: Path) -> None:
    with pytest.raises(GitRefused, match="no such repository"):
        checkout(Mirror.open(tmp_path, f"{host.url}/none.git", Credential()), "main")


def test_a_full_disk_is_named_and_tried_again_later() -> None:
    for said in (
        "fatal: write error: No space left on device\nfatal: fetch-pack: invalid index-pack output",
        "error: unable to write file ./objects/ab/cd: Disk quota exceeded",
    ):
        error = explain(said)
        assert type(error) is GitFailed
        assert "MOORING_STATE_DIR" in str(error)


@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        (
            "fatal: unable to access 'https://git.example.com/team/ssl-certificates.git/': "
            "Could not resolve host: git.example.com",
            GitFailed,
            "Could not resolve host",
        ),
        (
            "The fingerprint for the ED25519 key sent by the remote host is\n"
            "SHA256:q2Q+eD6aRVZph35+08k3RBLpgqExhsSlG60ipUv31OY.\nHost key verification failed.",
            GitRefused,
            "Host key verification failed.; compare its key",
        ),
        (
            "remote: no\nfatal: repository 'https://git.example.com/none.git/' not found",
            GitRefused,
            "none.git/' not found",
        ),
    ],
)
def test_what_a_name_or_a_fingerprint_spells_is_no_reason(
    said: str, kind: type[Exception], told: str
) -> None:
    error = explain(said)
    assert type(error) is kind
    assert told in str(error)


def test_a_mirror_that_is_removed_is_made_anew(repo: Repository, mirror_of: MirrorOf) -> None:
    mirror = mirror_of(repo)
    main = checkout(mirror, "main").commit
    Mirror.remove(mirror.home)
    assert list(mirror.home.parent.iterdir()) == []
    again = mirror_of(repo)
    assert not again.has(main)
    assert checkout(again, "main").commit == main

"""Asks a Git host over HTTP without starting git: refs, and the pack of one commit.

`git fetch` spends three times as long on its own start-up, a capability request and a walk of the
local refs as the host spends on the answer. Over a kept connection, Git's protocol version 2 needs
one request. Redirects are not followed, hosts are verified, and the credential goes to the one
endpoint the connection is bound to.

https://git-scm.com/docs/protocol-v2
"""

from __future__ import annotations

import contextlib
import http.client
import io
import re
import socket
import ssl
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import IO, Final, cast
from urllib.parse import quote, urlsplit

from mooring.errors import GitFailed, GitRefused, MooringError
from workers.git.credentials import Credential
from workers.git.pins import check_peer
from workers.git.process import TRUST_ITS_CA, UnknownCommit, tidy
from workers.git.remote import Remote
from workers.git.tls import context_of, cut
from workers.validators import unless_changed

_FLUSH, _DELIM = b"0000", b"0001"
_MAX_REFS: Final = 1_000_000
_IDLE: Final = 4
_TOLD: Final = 1024  # of an answer that is none of Git's, at most so much is looked at
_REFS: Final = "/info/refs?service=git-upload-pack"
_MAX_FILE: Final = 64 << 20  # bytes
_ID: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_ADVERTISEMENT: Final = "application/x-git-upload-pack-advertisement"
# https://git-scm.com/docs/http-protocol#_dumb_clients: a line per ref, none in an empty repository.
# Both match the beginning of a beginning as well: more may be on its way.
_DUMB: Final = re.compile(rb"[0-9a-f]*(\t|\Z)")
_PKT: Final = re.compile(rb"[0-9a-f]{4}|[0-9a-f]{0,3}\Z")


# Hosts that speak as we do, by repository and credential: its name there, whether files can be left out.
_met: Final = dict[tuple[Remote, str], tuple[Remote, bool]]()
_MOST_MET: Final = 10_000


class NotSpoken(GitFailed):
    """The host does not speak version 2 of the protocol, or not as we do: use git itself."""


class SmartHttp:
    """One repository over HTTP. Safe to use from several threads."""

    def __init__(self, remote: Remote, credential: Credential, *, filters: bool | None = None) -> None:
        """`filters` of a host that is known to speak as we do; None: that is still to be found out."""
        self.remote = remote
        self._credential = credential
        self._idle: list[http.client.HTTPConnection] = []
        self._speaks: bool | None = None if filters is None else True
        self.filters = bool(filters)  # whether the host can leave files out; known after `discover`
        self.dumb = False  # whether the host merely hands out files; known after `discover`
        self._files: dict[str, tuple[dict[str, str], bytes]] = {}  # of those, how to ask whether they changed
        self._tls = context_of(credential) if remote.endpoint.scheme == "https" else None

    def refs(self, prefixes: Sequence[str], deadline: float, *, peeled: bool = True) -> dict[str, str]:
        """Commit by full ref name, of the refs that begin with `prefixes`; None given: all refs.

        Of annotated tags the commit where `peeled`, else the tag itself. Raises NotSpoken, GitFailed,
        GitRefused.
        """
        self.discover(deadline)
        body = [_line("command=ls-refs"), _DELIM] + [_line("peel")] * peeled
        body += [_line(f"ref-prefix {prefix}") for prefix in prefixes]
        refs: dict[str, str] = {}
        with self._ask(b"".join([*body, _FLUSH]), deadline) as lines:
            for line in lines:
                commit, _, rest = line.decode(errors="replace").rstrip("\n").partition(" ")
                name, *attributes = rest.split(" ")
                inner = [a.removeprefix("peeled:") for a in attributes if a.startswith("peeled:")]
                refs[name] = inner[0] if inner else commit
                if len(refs) > _MAX_REFS:
                    raise GitRefused(f"{self.remote.url} has more than {_MAX_REFS} refs")
        return refs

    def listed(self, prefixes: Sequence[str], deadline: float, *, peeled: bool = True) -> dict[str, str]:
        """The same of a host that is `dumb`: it hands out a list of all refs, here if that has changed.

        https://git-scm.com/docs/http-protocol#_dumb_clients. Raises as `refs`.
        """
        found: dict[str, str] = {}
        for line in self._file(_REFS, deadline).decode(errors="replace").splitlines()[: _MAX_REFS * 2]:
            commit, _, name = line.partition("\t")
            if _ID.fullmatch(commit) and (peeled or not name.endswith("^{}")):
                found[name.removesuffix("^{}")] = commit  # a peeled tag comes right after the tag
        if not prefixes or "HEAD" in prefixes:
            with contextlib.suppress(GitRefused):  # some have none
                named = self._file("/HEAD", deadline).decode(errors="replace").strip()
                commit = found.get(named.removeprefix("ref: "), named)
                if _ID.fullmatch(commit):
                    found["HEAD"] = commit
        wanted = tuple(prefixes) or ("",)
        return {name: commit for name, commit in found.items() if name.startswith(wanted)}

    def _file(self, tail: str, deadline: float) -> bytes:
        """A file of a dumb host, as it is now."""
        unchanged, known = self._files.get(tail, ({}, b""))
        with self._exchange("GET", tail, None, deadline, unchanged) as reader:
            response = cast(http.client.HTTPResponse, cast(io.BufferedReader, reader).raw)
            if response.status == 304:
                return known
            if response.headers.get_content_type() == _ADVERTISEMENT:
                self._speaks, self.dumb = None, False
                raise NotSpoken(f"{self.remote.url} has learnt to speak")
            data = reader.read(_MAX_FILE + 1)
            if len(data) > _MAX_FILE:
                raise GitRefused(
                    f"{self.remote.url} has a list of refs that is larger than {_MAX_FILE} bytes"
                )
            told = {name.lower(): value for name, value in response.getheaders()}
            if told.get("content-length", str(len(data))) != str(len(data)) or data[-1:] not in (b"", b"\n"):
                raise ValueError("the answer was cut short")
            self._files[tail] = unless_changed(told, time.time()), data
        return data

    def pack(
        self,
        wants: Sequence[str],
        haves: Sequence[str],
        deadline: float,
        *,
        thin: bool = False,
        blobs: bool = True,
    ) -> Generator[bytes]:
        """The pack with everything that the objects `wants` need beyond the commits `haves`, in chunks.

        `thin`: it may build on objects of `haves`. Without `blobs`, files are left out unless they are
        in `wants` themselves. Raises UnknownCommit when the host does not have (or show) them; NotSpoken,
        GitFailed, GitRefused.
        """
        self.discover(deadline)
        body = [_line("command=fetch"), _DELIM, _line("ofs-delta"), _line("no-progress")]
        body += [_line("thin-pack")] * thin + [_line("filter blob:none")] * (not blobs)
        body += [_line(f"want {want}") for want in wants]
        body += [*(_line(f"have {have}") for have in haves), _line("done"), _FLUSH]
        with self._ask(b"".join(body), deadline) as lines:
            if next(lines, b"") != b"packfile\n":
                raise NotSpoken(f"{self.remote.url} sent no pack")
            for line in lines:
                band, data = line[:1], line[1:]
                if band == b"\1":
                    yield data
                elif band == b"\3":
                    raise GitFailed(f"the Git host gave up: {self._clean(data)}")

    def discover(self, deadline: float) -> None:
        """Learns, once, whether the host speaks version 2. Raises NotSpoken when it does not."""
        if self._speaks is None:
            with self._exchange("GET", _REFS, None, deadline) as response:
                if self.dumb:
                    self._speaks = False
                    raise NotSpoken(f"{self.remote.url} speaks only Git's dumb HTTP protocol")
                first = next(_lines(response), b"")
                if first.startswith(b"# service="):  # some hosts announce the service first, and a flush
                    response.read(4)
                    first = next(_lines(response), b"")
                words = dict[bytes, bytes]()
                if first.strip() == b"version 2":
                    pairs = (line.strip().partition(b"=") for line in _lines(response))
                    words = {name: value for name, _, value in pairs}
                self._speaks = {b"ls-refs", b"fetch"} <= words.keys()
                self.filters = b"filter" in words.get(b"fetch", b"").split()
        if not self._speaks:
            raise NotSpoken(f"{self.remote.url} does not speak version 2 of Git's protocol")

    @contextlib.contextmanager
    def _ask(self, body: bytes, deadline: float) -> Iterator[Iterator[bytes]]:
        with self._exchange("POST", "/git-upload-pack", body, deadline) as response:
            yield self._without_errors(_lines(response))

    def _without_errors(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        for line in lines:
            if line.startswith(b"ERR "):
                reason = self._clean(line[4:])
                if "not our ref" in reason:
                    raise UnknownCommit(f"the Git host does not know it: {reason}")
                raise GitFailed(f"the Git host gave up: {reason}")
            yield line

    @contextlib.contextmanager
    def _exchange(
        self,
        method: str,
        tail: str,
        body: bytes | None,
        deadline: float,
        unchanged: Mapping[str, str] | None = None,
    ) -> Iterator[IO[bytes]]:
        connection, kept = self._connection(deadline)
        sockets: list[socket.socket] = []
        # Socket time-outs start anew with each byte; a host that trickles is cut by this.
        timer = threading.Timer(max(deadline - time.monotonic(), 0), cut, (connection, sockets))
        timer.daemon = True
        timer.start()
        whole = False
        try:
            try:
                response = self._send(connection, sockets, method, tail, body, unchanged or {})
            except (ConnectionError, http.client.BadStatusLine):
                if not kept or time.monotonic() >= deadline:
                    raise
                connection.close()  # the host had closed the kept connection; nothing was answered
                response = self._send(connection, sockets, method, tail, body, unchanged or {})
            if response.status != 200 and not (response.status == 304 and unchanged):
                raise self._no(response)
            if (
                body is None and tail == _REFS and response.status == 200
            ):  # https://git-scm.com/docs/http-protocol#_smart_clients: told by this alone
                self.dumb = response.headers.get_content_type() != _ADVERTISEMENT
            buffered = io.BufferedReader(response, 1 << 17)
            reader = cast(IO[bytes], buffered)
            if body is not None or (self.dumb and tail == _REFS):
                start = buffered.peek(_TOLD)
                if not (_PKT if body is not None else _DUMB).match(start):
                    told = self._told(response, start)
                    raise GitFailed(f"{self.remote.url} answers {told}, which is not Git's protocol")
            yield reader
            whole = not reader.read(1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if time.monotonic() >= deadline:
                raise GitFailed(f"{self.remote.url} did not answer in time") from error
            if isinstance(error, ssl.SSLCertVerificationError):
                raise GitRefused(f"{self.remote.url}: {error.verify_message}; {TRUST_ITS_CA}") from error
            raise GitFailed(
                f"{self.remote.url} cannot be asked: {self._clean(str(error).encode())}"
            ) from error
        finally:
            timer.cancel()
            if whole and connection.sock is not None and len(self._idle) < _IDLE:
                self._idle.append(connection)
            else:
                connection.close()

    def _connection(self, deadline: float) -> tuple[http.client.HTTPConnection, bool]:
        end, wait = self.remote.endpoint, max(deadline - time.monotonic(), 0.001)
        with contextlib.suppress(IndexError):
            connection = self._idle.pop()
            connection.timeout = wait
            connection.sock.settimeout(wait)
            return connection, True
        if self._tls is not None:
            return http.client.HTTPSConnection(end.host, end.port, timeout=wait, context=self._tls), False
        return http.client.HTTPConnection(end.host, end.port, timeout=wait), False

    def _send(
        self,
        connection: http.client.HTTPConnection,
        sockets: list[socket.socket],
        method: str,
        tail: str,
        body: bytes | None,
        more: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        headers = {**more, "Git-Protocol": "version=2", "User-Agent": "git/2 (mooring)", "Accept": "*/*"}
        if self._credential.authorization:
            headers["Authorization"] = self._credential.authorization
        if body is not None:
            headers["Content-Type"] = "application/x-git-upload-pack-request"
            headers["Accept"] = "application/x-git-upload-pack-result"
        if connection.sock is None:
            connection.connect()
        sockets[:] = [connection.sock]
        check_peer(connection.sock)
        connection.request(method, quote(self.remote.path, safe="/%:@~+,;=") + tail, body, headers)
        return connection.getresponse()

    def _no(self, response: http.client.HTTPResponse) -> MooringError:
        status, url = response.status, self.remote.url
        if 300 <= status < 400:
            target = urlsplit(response.headers.get("Location", ""))
            wanted = f"{self.remote.path}.git/info/refs"
            if target.path == wanted and target.netloc in ("", urlsplit(self.remote.origin).netloc):
                return _Renamed(url)
            to = tidy(f"{target.scheme}://{target.netloc.rpartition('@')[2]}{target.path}")[:200]
            return GitRefused(f"{url} answers with a redirect to {to}; put the final URL in repoURL")
        start = b""
        with contextlib.suppress(OSError, http.client.HTTPException):  # the status says enough
            start = response.read(_TOLD)
        told = self._told(response, start)
        if status in (401, 403) and "Retry-After" not in response.headers:
            return GitRefused(f"{url}: the Git host refuses the credential ({told}); check its Secret")
        if status in (404, 410):
            return GitRefused(f"{url}: no such repository, or the credential may not see it ({told})")
        if status in (400, 405, 415, 501):
            return NotSpoken(f"{url}: {told}")
        after = response.headers.get("Retry-After", "")
        failed = GitFailed(f"{url}: the Git host answers {told}")
        failed.after = min(float(after), 300.0) if after.isdigit() else 1.0
        return failed

    def _told(self, response: http.client.HTTPResponse, start: bytes) -> str:
        """The status of an answer, and the first line of its text; of a page for browsers, that it is one."""
        kind = response.headers.get_content_type()
        line = self._clean(start.strip().partition(b"\n")[0])[:120] if kind == "text/plain" else ""
        if line:
            return f"HTTP {response.status} ({line})"
        return f"HTTP {response.status}" + (" with a page of HTML" if kind == "text/html" else "")

    def _clean(self, text: bytes) -> str:
        return " ".join(tidy(text.decode(errors="replace"), self._credential).split())[:300]


class _Renamed(GitRefused):
    """The host says that the same repository's path ends in `.git` (as GitLab does)."""


def connect(remote: Remote, credential: Credential, deadline: float) -> SmartHttp:
    """A client for `remote`, under the name the host itself gives it: with or without `.git`.

    How a host speaks is asked once a process, however many repositories that talks to.
    """
    met = _met.get((remote, credential.identity))
    if met is not None:
        return SmartHttp(met[0], credential, filters=met[1])
    client = SmartHttp(remote, credential)
    try:
        client.discover(deadline)
    except _Renamed:
        return SmartHttp(replace(remote, path=f"{remote.path}.git"), credential)
    except NotSpoken:
        return client  # known now: each question answers so at once
    while len(_met) >= _MOST_MET:
        _met.pop(next(iter(_met)))
    _met[remote, credential.identity] = client.remote, client.filters
    return client


def _line(text: str) -> bytes:
    data = f"{text}\n".encode()
    return b"%04x%s" % (len(data) + 4, data)


def _lines(reader: IO[bytes]) -> Iterator[bytes]:
    """The pkt-lines up to the closing flush packet. Raises ValueError when they are cut short."""
    while True:
        head = reader.read(4)
        size = int(head, 16) if len(head) == 4 else -1
        if size == 0:
            return
        if size >= 4:
            data = reader.read(size - 4)
            if len(data) != size - 4:
                raise ValueError("the answer was cut short")
            yield data
        elif size not in (1, 2):
            raise ValueError("the answer is not in Git's protocol, or was cut short")

"""The one HTTP client for hosts that are no Git hosts, with the guard that keeps it from being used.

Three things may name a URL: an Application's source, which its project permits; an operator's Secret; and
what strangers wrote (an index, a redirect, a chart's dependencies). The first two may lead into a private
network, the last may not: a name is resolved here, all its addresses are looked at, and the connection goes
to one of these, so that a second answer of DNS changes nothing. A credential goes to the one endpoint
that it is for. Behind a proxy, names that only the proxy can resolve are left to the proxy's own rules.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote, unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from mooring.errors import MooringError, RemoteFailed, RemoteRefused
from mooring.repourl import masked
from mooring.text import printable
from workers.git.credentials import Credential, CredentialKind
from workers.git.process import TRUST_ITS_CA, tidy
from workers.git.remote import Endpoint
from workers.git.tls import context_of, cut
from workers.remote.addresses import may_be_asked

_PORTS: Final = {"https": 443, "http": 80}
_HOST: Final = re.compile(r"[a-z0-9_][a-z0-9_.-]*|[0-9a-f]*:[0-9a-f:.]+")
_REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
_MOST_REDIRECTS: Final = 5
_BLOCK: Final = 1 << 16
_TOLD: Final = 1024  # of an answer that says no, at most so much is looked at
_LONGEST_WAIT: Final = 300.0
_ADVICE: Final = "only what the source itself names may be there (MOORING_REMOTE_HOSTS permits others)"


@dataclass(frozen=True, slots=True)
class Access:
    """On whose behalf a host is asked."""

    home: Endpoint  # what the source names: the credential is for it alone
    credential: Credential
    private: bool = False  # home may be in a private network: an Application or a Secret names it
    everywhere: bool = False  # whoever is asked gets the credential: passCredentials
    token: str = field(default="", repr=False)  # was given for the credential: not to be seen in a message


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host answered. Names of headers are in lower case; `url` is where it came from in the end."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Url:
    """A URL that may be asked: https or http, a proper host, no credential, no fragment."""

    endpoint: Endpoint
    target: str  # path and query, quoted

    @classmethod
    def parse(cls, text: str) -> Url:
        """Raises RemoteRefused on everything else."""
        shown = shown_url(text)
        if any(ord(character) <= 32 or ord(character) == 127 for character in text):
            raise RemoteRefused(f"{shown!r} has a space or control character in it: write it as %20")
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise RemoteRefused(f"{shown!r} is not a URL") from error
        host = (parts.hostname or "").lower().rstrip(".")
        with contextlib.suppress(UnicodeError):  # what cannot be said to DNS does not match either
            host = host.encode("idna").decode()
        if parts.scheme not in _PORTS or not _HOST.fullmatch(host):
            raise RemoteRefused(f"{shown!r} is not a URL that can be fetched: use https://host/path")
        target = quote(parts.path or "/", safe="/%:@~+,;=!$&'()*")
        query = f"?{quote(parts.query, safe='/%:@~+,;=!$&()*?')}" if parts.query else ""
        return cls(Endpoint(parts.scheme, host, port or _PORTS[parts.scheme]), target + query)

    @property
    def address(self) -> str:
        """`host`, or `host:port` where the port is none of the scheme's."""
        end = self.endpoint
        host = f"[{end.host}]" if ":" in end.host else end.host
        return host if end.port == _PORTS[end.scheme] else f"{host}:{end.port}"

    def __str__(self) -> str:
        return f"{self.endpoint.scheme}://{self.address}{self.target}"


def shown_url(text: str) -> str:
    """A URL as it may be shown: no credential, no query, nothing that is not printable, not too long."""
    return printable(masked(text))[:300]


def endpoint_of(url: str) -> Endpoint:
    """Where an http(s) URL leads. Raises RemoteRefused as `Url.parse` does."""
    return Url.parse(url).endpoint


class Client:
    """Asks hosts. Safe to use from several threads; keeps no connection, so it may cross a fork."""

    def __init__(self, hosts: Collection[str] = ()) -> None:
        """`hosts` (`host` or `host:port`) may be anywhere, whoever names them."""
        self._hosts = frozenset(host.lower() for host in hosts)

    def get(
        self,
        url: str,
        access: Access,
        *,
        limit: int,
        deadline: float,
        headers: Mapping[str, str] | None = None,
        authorization: str | None = None,
        expect: Collection[int] = (200,),
    ) -> Answer:
        """The answer to GET, of a status in `expect`, with at most `limit` bytes; redirects are followed.

        `headers` go to every host on the way; `authorization` goes, in place of the credential's own, where
        the credential would. Raises RemoteRefused for what trying again does not change, RemoteFailed.
        """
        at = Url.parse(url)
        if authorization is None:
            authorization = access.credential.authorization
        for _ in range(_MOST_REDIRECTS + 1):
            with self._exchange(at, access, headers or {}, authorization, deadline) as response:
                if response.status in _REDIRECTS and response.status not in expect:
                    at = Url.parse(urljoin(str(at), response.headers.get("Location", "")))
                    access = replace(access, everywhere=False)  # whom the index names, and nobody behind
                    continue
                if response.status not in expect:
                    raise self._no(at, response, access)
                body = self._body(at, response, limit, deadline)
                told = {name.lower(): value for name, value in response.getheaders()}
                return Answer(response.status, told, body, str(at))
        raise RemoteRefused(f"{shown_url(url)} redirects more than {_MOST_REDIRECTS} times")

    def post(
        self,
        url: str,
        access: Access,
        body: bytes,
        *,
        limit: int,
        deadline: float,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The answer, of status 200, to POST; a redirect is none. Raises as `get` does."""
        at = Url.parse(url)
        authorization = access.credential.authorization
        with self._exchange(at, access, headers or {}, authorization, deadline, body) as response:
            if response.status != 200:
                raise self._no(at, response, access)
            told = {name.lower(): value for name, value in response.getheaders()}
            return Answer(200, told, self._body(at, response, limit, deadline), str(at))

    @contextlib.contextmanager
    def _exchange(
        self,
        at: Url,
        access: Access,
        headers: Mapping[str, str],
        authorization: str,
        deadline: float,
        body: bytes | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        shown = shown_url(str(at))
        at_home = at.endpoint == access.home
        sent = {"User-Agent": "mooring", "Accept": "*/*", "Accept-Encoding": "identity"}
        sent |= {"Host": at.address, "Connection": "close"}
        sent |= headers
        if authorization and (at_home or access.everywhere):
            sent["Authorization"] = authorization
        if at.endpoint.scheme != "https" and not at_home:
            raise RemoteRefused(f"{shown} is not https: only what the source names itself may be plain http")
        with _Line(self, at, access, deadline) as line:
            try:
                yield line.ask(sent, body)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise self._failed(shown, error, access, deadline) from error

    def _failed(self, shown: str, error: Exception, access: Access, deadline: float) -> MooringError:
        if time.monotonic() >= deadline:
            return RemoteFailed(f"{shown} did not answer in time")
        if isinstance(error, ssl.SSLCertVerificationError):
            return RemoteRefused(f"{shown}: {error.verify_message}; {TRUST_ITS_CA}")
        if isinstance(error, socket.gaierror):
            return RemoteFailed(f"{shown}: no such host, or DNS does not answer; check the URL")
        said = _clean(str(error) or type(error).__name__, access)[:200]
        return RemoteFailed(f"{shown} cannot be asked: {said}")

    def _body(self, at: Url, response: http.client.HTTPResponse, limit: int, deadline: float) -> bytes:
        shown = shown_url(str(at))
        length = response.headers.get("Content-Length", "")
        if length.isdigit() and int(length) > limit:
            raise RemoteRefused(f"{shown} has {length} bytes, more than the limit of {limit}")
        blocks, size = list[bytes](), 0
        while block := response.read(min(_BLOCK, limit + 1 - size)):
            blocks.append(block)
            size += len(block)
            if size > limit:
                raise RemoteRefused(f"{shown} has more bytes than the limit of {limit}")
        if length.isdigit() and size != int(length):
            raise ConnectionError("the answer was cut short")
        if time.monotonic() >= deadline:  # cut by us: where no length is told, it ends as if it were whole
            raise TimeoutError
        return b"".join(blocks)

    def _no(self, at: Url, response: http.client.HTTPResponse, access: Access) -> MooringError:
        shown, status = shown_url(str(at)), response.status
        told = self._told(response, access)
        if status in (401, 403) and "Retry-After" not in response.headers:
            if not access.credential.authorization:
                return RemoteRefused(
                    f"{shown} wants a credential ({told}); add a repository Secret for it, as for a Git host"
                )
            if at.endpoint != access.home and not access.everywhere:
                return RemoteRefused(
                    f"{shown} wants a credential ({told}), and is not given that of the host that was asked "
                    "first; where a chart repository's index names it, helm.passCredentials permits that"
                )
            return RemoteRefused(f"{shown} refuses the credential ({told}); check its Secret")
        if status in (408, 425, 429) or status >= 500 or "Retry-After" in response.headers:
            after = response.headers.get("Retry-After", "")
            failed = RemoteFailed(f"{shown} answers {told}")
            failed.after = min(float(after), _LONGEST_WAIT) if after.isdigit() else 1.0
            return failed
        if status in (404, 410):
            return NotThere(f"{shown}: there is no such thing, or the credential may not see it ({told})")
        return RemoteRefused(f"{shown} answers {told}; check the URL")

    def _told(self, response: http.client.HTTPResponse, access: Access) -> str:
        start = b""
        with contextlib.suppress(OSError, http.client.HTTPException):  # the status says enough
            start = response.read(_TOLD)
        if response.headers.get_content_type() != "text/plain":
            return f"HTTP {response.status}"
        line = _clean(start.strip().partition(b"\n")[0].decode(errors="replace"), access)[:120]
        return f"HTTP {response.status} ({line})" if line else f"HTTP {response.status}"

    def addresses(self, at: Url, access: Access) -> list[tuple[int, str]]:
        """(family, address) of each address of the host, all of them looked at.

        Raises RemoteRefused when one of them is not to be asked, socket.gaierror when there are none.
        """
        end = at.endpoint
        found = [
            (int(family), str(address[0]))
            for family, _kind, _proto, _name, address in socket.getaddrinfo(
                end.host, end.port, type=socket.SOCK_STREAM
            )
        ]
        if self._hosts & {end.host, at.address, f"{end.host}:{end.port}"}:
            return found
        for _family, address in found:
            if not may_be_asked(address, vouched=access.private and end == access.home):
                where = f"{shown_url(str(at))}: {end.host} is at {address}"
                raise RemoteRefused(f"{where}, which is not a public address: {_ADVICE}")
        return found


def _clean(text: str, access: Access) -> str:
    if access.token:
        text = text.replace(access.token, "***")
    return " ".join(tidy(text, access.credential).split())


class NotThere(RemoteRefused):
    """HTTP 404: no such file, version or repository, or none that the credential may see."""


class _Line:
    """A connection for one question, ended at the deadline whatever it is in the middle of."""

    def __init__(self, client: Client, at: Url, access: Access, deadline: float) -> None:
        self._client, self._at, self._access, self._deadline = client, at, access, deadline
        self._connection = http.client.HTTPConnection(at.endpoint.host, at.endpoint.port)
        self._sockets: list[socket.socket] = []
        # Time-outs of a socket start anew with each byte; a host that trickles is cut by this.
        self._timer = threading.Timer(self._left(), self._cut)
        self._timer.daemon = True

    def __enter__(self) -> _Line:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._connection.close()
        for sock in self._sockets:
            sock.close()

    def ask(self, headers: Mapping[str, str], body: bytes | None) -> http.client.HTTPResponse:
        end, target, sent = self._at.endpoint, self._at.target, dict(headers)
        proxy = None if proxy_bypass(end.host) else getproxies().get(end.scheme)
        if proxy is None:
            sock = self._dial(self._client.addresses(self._at, self._access))
        else:
            with contextlib.suppress(socket.gaierror):  # a name that only the proxy knows
                self._client.addresses(self._at, self._access)
            login = self._reach(proxy)
            sock = self._connection.sock
            if end.scheme == "http":
                target, sent = str(self._at), sent | login
        self._connection.sock = self._secured(sock) if end.scheme == "https" else sock
        self._connection.request("GET" if body is None else "POST", target, body, sent)
        return self._connection.getresponse()

    def _left(self) -> float:
        return max(self._deadline - time.monotonic(), 0.001)

    def _cut(self) -> None:
        cut(self._connection, tuple(self._sockets))

    def _dial(self, addresses: Sequence[tuple[int, str]]) -> socket.socket:
        failed: OSError = ConnectionError("it has no address")
        for family, address in addresses:
            sock = socket.socket(family, socket.SOCK_STREAM)
            self._sockets.append(sock)
            sock.settimeout(self._left())
            try:
                sock.connect((address, self._at.endpoint.port))
            except OSError as error:
                failed = error
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        raise failed

    def _reach(self, proxy: str) -> dict[str, str]:
        """Connects to the proxy, and for https through it; gives the header that it wants to see."""
        parts, end = urlsplit(proxy if "://" in proxy else f"http://{proxy}"), self._at.endpoint
        if parts.scheme != "http" or not parts.hostname:
            raise RemoteFailed(f"{end.scheme}_proxy is no URL that begins with http://: correct it")
        login: dict[str, str] = {}
        if parts.username:
            user, password = unquote(parts.username), unquote(parts.password or "")
            proof = Credential(CredentialKind.BASIC, username=user, secret=password)
            login = {"Proxy-Authorization": proof.authorization}
        left = self._left()
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=left)
        if end.scheme == "https":
            self._connection.set_tunnel(end.host, end.port, login)
        self._connection.connect()
        self._sockets.append(self._connection.sock)
        return login

    def _secured(self, sock: socket.socket) -> ssl.SSLSocket:
        end, home, credential = self._at.endpoint, self._access.home, self._access.credential
        # What vouches for a host does so on all its ports; a client certificate is for one of them.
        if end.host != home.host:
            credential = Credential()
        elif end != home:
            credential = replace(credential, tls_cert="", tls_key="")
        # The handshake comes when the socket can be cut.
        secured = context_of(credential).wrap_socket(
            sock, server_hostname=end.host, do_handshake_on_connect=False
        )
        self._sockets.append(secured)
        secured.settimeout(self._left())
        secured.do_handshake()
        return secured

"""One HTTP connection pool to one API server: requests go in, answers or our own errors come out.

The `kubernetes` package finds the configuration and keeps credentials fresh; its generated models are
left aside because they cost more than the request itself. A pool must not be shared across a fork.
"""

from __future__ import annotations

import contextlib
import json
import re
import ssl
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from threading import Lock
from time import monotonic
from typing import Any, Final, TypeVar
from urllib.parse import urlencode, urlsplit

import orjson
import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util.ssl_ import ALPN_PROTOCOLS, create_urllib3_context

from mooring.errors import ClusterRefused, ClusterUnavailable, Conflict, MooringError, SchemaRefused
from workers import metrics
from workers.cluster.client import ConfigException, Configuration, RESTClientObject
from workers.cluster.decode import apart, decode
from workers.cluster.exchange import Answer, exchange
from workers.cluster.identity import Identity

Pool = urllib3.HTTPConnectionPool
Headers = list[tuple[str, str]]
T = TypeVar("T")

JSON: Final = "application/json"
KUBECONFIG: Final = "kubeconfig"
POOL_SIZE: Final = 32
CONNECT_TIMEOUT: Final = 5.0  # seconds
READ_TIMEOUT: Final = 30.0  # seconds
LONGEST_WAIT: Final = 60.0  # seconds; a server that asks for more is asked again anyway
RELOAD_EVERY: Final = 5.0  # seconds between two reloads of credentials that the server refused
LONGEST_MESSAGE: Final = 1000  # characters
_ASKED_EVERY: Final = 1.0  # seconds between two looks at whether the credential has to be renewed

_NO_JSON: Final = "the API server's answer is not JSON: is a proxy in between?"
_SECRETS = re.compile(r"/api/v1/(namespaces/[^/]+/)?secrets(/|$)")
_RBAC = re.compile(r'(secrets|serviceaccounts)( "[^"]*")? is forbidden: User "')
_SCHEMA = re.compile(
    r"field not declared in schema|duplicate entries|failed to create typed live object"
    r"|strict decoding error: unknown field"
)
# Server-side apply answers 500 to a manifest that it cannot read at all.
_UNREADABLE = re.compile(r"failed to create typed patch object|unable to convert unstructured object")
_SCHEMA_PATH = re.compile(
    r"(\.[\w.\[\]\"=,/-]+): (field not declared in schema|duplicate entries|expected \w+)"
)
# https://www.rfc-editor.org/rfc/rfc8446#section-6.2
_GARBLED: Final = ("ALERT_DECODE_ERROR", "BAD_RECORD_MAC")
_USERINFO = re.compile(r"//[^/@\s]+@")
_SENDABLE = re.compile(r"[\t -~]*")  # as the value of a header


class NotFound(ClusterRefused):
    """HTTP 404. `missing` is the (plural, name) that is not there, ("", "") when the kind is not served."""

    def __init__(self, message: str, missing: tuple[str, str]) -> None:
        super().__init__(message, code=404, reason="NotFound")
        self.missing = missing


class Unreachable(ClusterUnavailable):
    """There was no answer at all: nobody is there, or it took too long, or hung up."""


class Untrusted(ClusterRefused):
    """Whoever answers is not known to be the API server, or does not take our certificate."""


class Expired(ClusterRefused):
    """HTTP 410: the server has forgotten the version that a list goes on from."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer below 300. Its data may be a Secret's: it is left out of `repr`.

    `date` is the header of that name: the time as the server has it.
    """

    status: int
    data: bytes = field(repr=False)
    date: str = ""

    def json(self) -> Any:
        """The decoded body. Raises ClusterUnavailable when it is not JSON, as a proxy's page is not."""
        try:
            return decode(self.data)
        except orjson.JSONDecodeError as error:
            raise ClusterUnavailable(_NO_JSON) from error

    def apart(self, begins: bytes) -> tuple[Any, Iterator[Any]]:
        """The decoded body of a list, and its items, as `decode.apart` has them. Both raise as `json`."""
        try:
            about, items = apart(self.data, begins)
        except orjson.JSONDecodeError as error:
            raise ClusterUnavailable(_NO_JSON) from error
        return about, _told(items)


def _told(items: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from items
    except orjson.JSONDecodeError as error:
        raise ClusterUnavailable(_NO_JSON) from error


class Transport:
    """Requests to one API server, from any number of threads of one process.

    `load` gives the connection's configuration, and is called again when the server refuses a
    credential: token files are rotated, exec plugins' certificates expire. `count` has the number of
    requests sent per HTTP method. `source` is what people look at when a credential does not do.
    """

    def __init__(self, load: Callable[[], Configuration], source: str = KUBECONFIG) -> None:
        self._load = load
        self._source = source
        self._lock = Lock()
        self._streams: set[urllib3.BaseHTTPResponse] = set()
        self._use(load())
        self.count: Counter[str] = Counter()

    def _use(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._loaded_at = monotonic()
        self._host: str = configuration.host.rstrip("/")
        self._pool, self._before_path = _pool(configuration, self._source)
        self._authorization, self._asked_at = "", -_ASKED_EVERY

    @property
    def host(self) -> str:
        """The API server's URL, without credentials."""
        return _USERINFO.sub("//", self._host)

    def request(
        self,
        method: str,
        path: str,
        *,
        identity: Identity,
        query: Iterable[tuple[str, str]] = (),
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
        wait_s: float = READ_TIMEOUT,
    ) -> Response:
        """Sends one request. `body` is JSON-ready; `path` begins with a slash and is already quoted.

        Raises Conflict (409), ClusterUnavailable (429, 5xx; Unreachable without an answer in `wait_s`),
        SchemaRefused (server-side apply cannot represent the body), NotFound, Untrusted, ClusterRefused
        (every other 3xx and 4xx; a credential that cannot be sent).
        """
        target = f"{path}?{_encoded(tuple(query))}" if query else path
        data = None if body is None else _encode(body)
        for attempt in ("first", "with fresh credentials"):
            pool, before, authorization = self._credentials()
            headers = _headers(accept, authorization, identity)
            if data is not None:
                headers.append(("Content-Type", content_type))
            began, code = monotonic(), "none"
            try:
                answer = self._ask(pool, method, before + target, headers, data, wait_s)
                code = str(answer.status)
            finally:
                metrics.requested(method, path, content_type, code, monotonic() - began)
            if answer.status == 401 and attempt == "first" and self._reload(pool):
                continue  # the server authenticates first: nothing was done
            break
        if answer.status < 300:
            return Response(answer.status, answer.data, answer.headers.get("date", ""))
        retry_after = answer.headers.get("retry-after")
        raise refusal(method, path, answer.status, answer.data, retry_after, self._source)

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        identity: Identity,
        query: Iterable[tuple[str, str]] = (),
        accept: str = "*/*",
        idle_s: float | None = None,
    ) -> Iterator[Iterator[bytes]]:
        """The body of a GET as it comes, for as long as the server has more of it: logs that are followed,
        changes that are watched. A server of which nothing is heard for `idle_s` seconds is taken for gone.

        Raises as `request`; ClusterUnavailable also while it is read.
        """
        target = f"{path}?{_encoded(tuple(query))}" if query else path
        waits = urllib3.Timeout(connect=CONNECT_TIMEOUT, read=idle_s)
        for attempt in ("first", "with fresh credentials"):
            pool, before, authorization = self._credentials()
            headers = _headers(accept, authorization, identity)
            begun = partial(_sent, pool, "GET", before + target, headers, None, waits, preload_content=False)
            answer = self._tried("GET", begun)
            if answer.status != 401 or attempt != "first" or not self._reload(pool):
                break
            answer.close()
        with self._lock:
            self._streams.add(answer)
        try:
            if answer.status >= 300:
                retry_after = answer.headers.get("Retry-After")
                raise refusal("GET", path, answer.status, answer.read(), retry_after, self._source)
            yield self._chunks(answer)
        finally:
            with self._lock:
                self._streams.discard(answer)
            answer.close()  # it may not be at its end: the connection is of no more use

    def close(self) -> None:
        """Hang up for good: streams come to their end, and nobody is to ask for anything any more."""
        with self._lock:
            pool, streams = self._pool, tuple(self._streams)
        pool.close()
        for answer in streams:
            # It ends with whoever reads it: one that is at its end by itself has nothing to be shut.
            with contextlib.suppress(HTTPError, OSError, ValueError, RuntimeError):
                answer.shutdown()

    def _chunks(self, answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        try:
            yield from answer.stream(decode_content=True)
        except (HTTPError, OSError) as error:
            raise Unreachable(f"{self.host} hung up: {_reason(error)}") from error

    def _credentials(self) -> tuple[Pool, str, str]:
        """Who sends, what stands before the path there, and with which authorization."""
        with self._lock:  # refreshing may run an exec plugin, once
            if monotonic() - self._asked_at >= _ASKED_EVERY:
                try:
                    settings = self._configuration.auth_settings()
                except (ConfigException, OSError, ValueError) as error:
                    message = f"cannot refresh the credential for {self.host}: {error}"
                    raise ClusterUnavailable(message) from error
                authorization = settings.get("BearerToken", {}).get("value") or ""
                if not _SENDABLE.fullmatch(authorization):  # who encodes it would quote it in the error
                    raise ClusterRefused(
                        f"the credential for {self.host} has characters that no header may have, such as an "
                        f"umlaut or the end of a line: check the {self._source}'s user",
                        code=401,
                        reason="Unauthorized",
                    )
                self._authorization, self._asked_at = authorization, monotonic()
            return self._pool, self._before_path, self._authorization

    def _reload(self, refused: Pool) -> bool:
        """True when another credential may be tried than the one `refused` used."""
        with self._lock:
            if self._pool is not refused:
                return True
            if monotonic() - self._loaded_at < RELOAD_EVERY:
                return False
            try:
                self._use(self._load())
            except (
                ClusterRefused
            ) as error:  # it worked before: a file is being replaced, a plugin has no network
                raise ClusterUnavailable(str(error), after=RELOAD_EVERY) from error
            return True

    def _ask(
        self, pool: Pool, method: str, url: str, headers: Headers, data: bytes | None, wait_s: float
    ) -> Answer:
        def asked() -> Answer:
            connect_s = min(wait_s, CONNECT_TIMEOUT)
            if (answer := exchange(pool, method, url, headers, data, wait_s, connect_s)) is not None:
                return answer
            waits = urllib3.Timeout(connect=connect_s, read=wait_s)
            first = _sent(pool, method, url, headers, data, waits)
            return Answer(
                first.status, first.data, {name.lower(): told for name, told in first.headers.items()}
            )

        return self._tried(method, asked, wait_s)

    def _tried(self, method: str, send: Callable[[], T], wait_s: float = READ_TIMEOUT) -> T:
        """What `send` gives: one exchange, tried once more where a failed connection cannot have done
        anything."""
        for again in (True, False):
            with self._lock:
                self.count[method] += 1
            try:
                return send()
            except SSLError as error:
                if _cut_off(error):  # a server that goes away in the middle, or a proxy that has lost it
                    if not again or method != "GET":
                        raise Unreachable(f"{self.host} hung up: {_reason(error)}") from error
                    continue
                raise Untrusted(
                    f"cannot trust {self.host}: {_reason(error)}; check the {self._source}'s certificates"
                ) from error
            except (NewConnectionError, ConnectTimeoutError) as error:  # nothing was sent
                if not again:
                    raise Unreachable(f"cannot reach {self.host}: {_reason(error)}", after=2) from error
            except ReadTimeoutError as error:
                raise Unreachable(f"{self.host} did not answer in {wait_s:.0f} s") from error
            except ProtocolError as error:  # an idle connection that the server had just closed
                if not again or method != "GET":
                    raise Unreachable(f"{self.host} hung up: {_reason(error)}") from error
            except (HTTPError, OSError) as error:
                raise Unreachable(f"cannot reach {self.host}: {_reason(error)}") from error
        raise AssertionError("the second attempt returns or raises")


def _headers(accept: str, authorization: str, identity: Identity) -> Headers:
    found = [("Accept", accept), ("User-Agent", "mooring"), *identity.headers]
    return [*found, ("Authorization", authorization)] if authorization else found


def _sent(
    pool: Pool,
    method: str,
    url: str,
    headers: Headers,
    data: bytes | None,
    waits: urllib3.Timeout,
    **options: Any,
) -> urllib3.BaseHTTPResponse:
    return pool.urlopen(
        method,
        url,
        body=data,
        headers=urllib3.HTTPHeaderDict(headers),
        retries=False,
        redirect=False,
        assert_same_host=False,  # a proxy is another
        timeout=waits,
        **options,
    )


def refusal(
    method: str,
    path: str,
    status: int,
    data: bytes,
    retry_after: str | None,
    source: str = KUBECONFIG,
) -> MooringError:
    """The error for an answer from 300 on. Pure; never quotes what a Secret holds.

    https://kubernetes.io/docs/reference/using-api/api-concepts/#api-error-handling
    """
    answer = _status(data)
    reason = str(answer.get("reason") or "")
    raw = str(answer.get("message") or f"HTTP {status}")
    masked = _SECRETS.match(path) is not None and not _RBAC.match(raw)
    message = _without_values(answer, path, raw) if masked else _one_line(raw)

    if _SCHEMA.search(raw):
        return SchemaRefused(message, code=status, reason=reason)
    if _UNREADABLE.search(raw):
        return ClusterRefused(message, code=status, reason=reason or "Unreadable")
    if status == 409:
        return Conflict(message)
    if status == 429 or status >= 500:
        return ClusterUnavailable(f"the API server asks to come back: {message}", after=_seconds(retry_after))
    if status < 400:
        message = f"the API server redirects {method} {path}: name its own URL in the {source}"
    elif status == 401:
        message = f"the API server does not accept our credential ({message}): check the {source}'s user"
    elif status == 403 and _cause(answer, "NamespaceTerminating"):
        return ClusterUnavailable(message, after=5)
    elif status == 404:
        missing = _missing(answer)
        return NotFound(message if missing[1] else f"the API server does not serve {path}", missing)
    elif status == 410:
        return Expired(message, code=status, reason=reason)
    causes = [
        (str(cause.get("field") or ""), "" if masked else _one_line(str(cause.get("message") or "")))
        for cause in _causes(answer)
    ]
    return ClusterRefused(message, code=status, reason=reason or f"HTTP{status}", causes=causes)


def _missing(answer: dict[str, Any]) -> tuple[str, str]:
    details = answer.get("details")
    if not isinstance(details, dict):
        return "", ""
    return str(details.get("kind") or ""), str(details.get("name") or "")


def _status(data: bytes) -> dict[str, Any]:
    """The body as a metav1.Status; one of our own making when it is none."""
    try:
        answer = orjson.loads(data)
    except orjson.JSONDecodeError:
        answer = None
    if isinstance(answer, dict) and answer.get("kind") == "Status":
        return answer
    return {"message": data[:200].decode(errors="replace").strip()}


def _causes(answer: dict[str, Any]) -> list[dict[str, Any]]:
    details = answer.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    return [cause for cause in causes or [] if isinstance(cause, dict)]


def _cause(answer: dict[str, Any], reason: str) -> bool:
    return any(cause.get("reason") == reason for cause in _causes(answer))


def _without_values(answer: dict[str, Any], path: str, raw: str) -> str:
    """Field paths and reasons only: messages about a Secret can quote the values that it holds."""
    where = [f"{cause.get('field')} ({cause.get('reason')})" for cause in _causes(answer)]
    where += [f"{match[1]} ({match[2]})" for match in _SCHEMA_PATH.finditer(raw)]
    title = f"secret {_missing(answer)[1] or path.rpartition('secrets')[2].strip('/')}".rstrip()
    at = f" at {', '.join(where)}" if where else ""
    reason = answer.get("reason") or "unreadable"
    return _one_line(f"{title}: {reason}{at} (the server's words are withheld: they may quote its data)")


def _one_line(text: str) -> str:
    line = _USERINFO.sub("//", " ".join(text.split()))
    return line if len(line) <= LONGEST_MESSAGE else f"{line[:LONGEST_MESSAGE]}…"


def _reason(error: Exception) -> str:
    """The innermost words of urllib3's nested errors, without object addresses."""
    text = str(error.args[-1] if error.args else error)
    return _one_line(text.rpartition(">: ")[2] or text)


def _cut_off(error: SSLError) -> bool:
    """Whether the connection merely ended, or what came over it was garbled: that says nothing of whom to
    trust."""
    inner = (*error.args, error.__cause__, error.__context__)
    return any(
        isinstance(one, ssl.SSLEOFError | ssl.SSLZeroReturnError)
        or (isinstance(one, ssl.SSLError) and (one.reason or "").endswith(_GARBLED))
        for one in inner
    )


def _seconds(retry_after: str | None) -> float:
    try:
        return min(max(float(retry_after or 1), 0.1), LONGEST_WAIT)
    except ValueError:  # an HTTP date, from a proxy
        return 5.0


@lru_cache(maxsize=512)
def _encoded(query: tuple[tuple[str, str], ...]) -> str:
    """Most requests ask for one of a few: to encode it takes longer than to remember it."""
    return urlencode(query)


def _encode(body: Any) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # an integer of more than 64 bits: the server shall judge it
        return json.dumps(body).encode()


def _said_already(alpn_protocols: Iterable[str]) -> None:
    """In place of `SSLContext.set_alpn_protocols`."""


def _pool(configuration: Configuration, source: str) -> tuple[Pool, str]:
    """The package's own pool (proxies, SOCKS, server name), with our limits, and what stands before the path
    of a request to it: nothing where all of them go to this one server, which saves finding it each time.

    The certificates are read into memory here: the package keeps them in temporary files that
    vanish with the process that wrote them, forked siblings notwithstanding. Raises ClusterRefused for
    what is no certificate, and a key that does not belong to one.
    """
    configuration.connection_pool_maxsize = POOL_SIZE
    manager: urllib3.PoolManager = RESTClientObject(configuration).pool_manager
    context = create_urllib3_context()
    # urllib3 says so again before each handshake, and OpenSSL may just be reading it for another thread's:
    # where many began at once, one of twenty thousand was garbage. So it is said once.
    context.set_alpn_protocols(ALPN_PROTOCOLS)
    context.set_alpn_protocols = _said_already  # type: ignore[method-assign]
    context.check_hostname = bool(configuration.verify_ssl)
    context.verify_mode = ssl.CERT_REQUIRED if configuration.verify_ssl else ssl.CERT_NONE
    try:
        if configuration.ssl_ca_cert:
            context.load_verify_locations(configuration.ssl_ca_cert)
        else:
            context.load_default_certs()
        if configuration.cert_file:
            # With a password nobody asks for one of an encrypted key, on the terminal.
            context.load_cert_chain(configuration.cert_file, configuration.key_file, password="")
    except OSError as error:
        where = f"the {source}"
        if source == KUBECONFIG:
            where = f"certificate-authority and client-certificate in {where}, or ca.crt in the pod"
        raise ClusterRefused(
            f"the certificates for {_USERINFO.sub('//', configuration.host)} cannot be used: {error}; "
            f"check {where}"
        ) from error
    for key in ("ca_certs", "ca_cert_data", "cert_file", "key_file", "cert_reqs"):
        manager.connection_pool_kw.pop(key, None)
    manager.connection_pool_kw["ssl_context"] = context
    manager.connection_pool_kw["timeout"] = urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT)
    host = configuration.host.rstrip("/")
    whole = manager.proxy is not None and host.startswith("http://")  # such a proxy is asked for whole URLs
    return manager.connection_from_url(host), host if whole else urlsplit(host).path

"""From a cluster Secret to a cluster that can be asked. Its credential is in memory alone, never on disk."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Final

from urllib3.exceptions import HTTPError

from mooring.errors import ClusterRefused, ClusterUnavailable, MooringError
from mooring.keys import ClusterRef
from workers.cluster.api import Api
from workers.cluster.client import Configuration
from workers.cluster.identity import MOORING, Identity
from workers.cluster.in_memory import InMemory
from workers.cluster.kinds import Discovery
from workers.cluster.transport import JSON, READ_TIMEOUT, Response, Transport, Unreachable, Untrusted
from workers.clusters.exec import credential
from workers.clusters.secret import Access, ClusterSecret
from workers.schema.openapi import Schemas
from workers.threads import Threads

PROBE_S: Final = 3.0  # as long may a cluster take to say that it is there
READS_S: Final = 10.0  # and to be read from; a write may wait for webhooks
_PARALLEL: Final = 8
_IN_VAIN: Final = 3  # requests in a row: then it is away, whatever it says of itself
# What came of it that a cluster is away: seconds until it is asked again.
Fell = Callable[[ClusterSecret, MooringError], float]


@dataclass(frozen=True, slots=True)
class Reached:
    """A way to a cluster. Its threads are its own: those that wait for one that hangs keep no others busy."""

    secret: ClusterSecret
    api: Api
    transport: Link
    schemas: Schemas
    executor: Executor

    def close(self) -> None:
        """Hang up: nobody uses it any more."""
        self.transport.close()
        self.executor.shutdown(wait=False)


def opened(of: ClusterSecret, programs: Collection[str], fell: Fell = lambda _of, _why: 0.0) -> Reached:
    """The way to the cluster, in the name that its Secret gives; nobody is asked yet but a program that
    gives the credential, which must be one of `programs`. `fell` is told of each outage.

    Raises ClusterRefused, naming the Secret, for what cannot be a credential.
    """
    transport = Link(of, programs, fell)
    ref, discovery = ClusterRef(of.server), Discovery(transport)
    api = Api(ref, transport, discovery, MOORING, namespaces=of.namespaces)
    return Reached(of, api, transport, Schemas(), Threads(_PARALLEL, thread_name_prefix="cluster"))


class Link(Transport):
    """Requests to a cluster whose outages are told, and not waited for again and again."""

    def __init__(self, of: ClusterSecret, programs: Collection[str], fell: Fell) -> None:
        self._of, self._fell = of, fell
        self._closed_until, self._why = 0.0, ""
        self._in_vain = 0  # requests since one was answered
        self._hung_up = False
        source = f"cluster Secret {of.secret}"
        try:
            super().__init__(configuration(of, programs), source)
        except (ValueError, ImportError, HTTPError):  # they quote the proxy, and with that its password
            raise ClusterRefused(f"{source}: its server or proxyUrl cannot be used: correct them") from None

    def version(self, *, thorough: bool) -> str:
        """The version of a server that answers in time, and takes the credential; where it is asked
        thoroughly, of one that has its etcd, too. Raises as `Transport.request` does, and tells nobody."""
        answer = super().request("GET", "/version", identity=MOORING, wait_s=PROBE_S).json()
        version = answer.get("gitVersion") if isinstance(answer, dict) else None
        if not isinstance(version, str):
            raise ClusterUnavailable(f"{self.host} does not tell its version: is it an API server?")
        if thorough:
            self._must_be_ready()
        self._closed_until = 0.0
        return version

    def _must_be_ready(self) -> None:
        """A server without etcd tells its version at once, and nothing else. What else it may lack, some
        webhook or kind, is no outage, and who must not ask cannot know.
        https://kubernetes.io/docs/reference/using-api/health-checks/"""
        try:
            super().request("GET", "/readyz", identity=MOORING, wait_s=PROBE_S)
        except ClusterRefused:
            pass
        except ClusterUnavailable as error:
            if isinstance(error, Unreachable) or "[-]etcd" in str(error):
                raise

    def close(self) -> None:
        """As `Transport.close`; what fails for that is no outage."""
        self._hung_up = True
        super().close()

    def _answers(self) -> bool:
        """Whether the server is there, whatever has become of a request."""
        try:
            return bool(self.version(thorough=True))
        except MooringError:
            return False

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
        """As `Transport.request`; ClusterUnavailable, also where it is not trusted or does not trust us."""
        self._ask_nobody_in_vain()
        if method == "GET":
            wait_s = min(wait_s, READS_S)
        began = monotonic()
        try:
            answer = super().request(
                method,
                path,
                identity=identity,
                query=query,
                body=body,
                content_type=content_type,
                accept=accept,
                wait_s=wait_s,
            )
        except ClusterRefused as error:
            if not isinstance(error, Untrusted) and error.code != 401:
                self._in_vain = 0
                raise
            raise self._outage(error) from error
        except ClusterUnavailable as error:
            if not isinstance(error, Unreachable) and monotonic() - began < PROBE_S:
                raise  # it says so at once: that delays nobody
            self._in_vain += 1
            if self._hung_up or (self._in_vain < _IN_VAIN and self._answers()):
                # One request that takes too long is no outage: nobody else's is delayed by it.
                raise ClusterUnavailable(f"cluster {self._of.title}: {error}", after=error.after) from error
            raise self._outage(error) from error
        self._in_vain = 0
        return answer

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
        """As `Transport.stream`; ClusterUnavailable, also where it is not trusted or does not trust us."""
        self._ask_nobody_in_vain()
        try:
            with super().stream(path, identity=identity, query=query, accept=accept, idle_s=idle_s) as chunks:
                yield chunks
        except ClusterRefused as error:
            if not isinstance(error, Untrusted) and error.code != 401:
                raise
            raise self._outage(error) from error

    def _ask_nobody_in_vain(self) -> None:
        if (left := self._closed_until - monotonic()) > 0:
            raise ClusterUnavailable(self._why, after=left)

    def _outage(self, error: MooringError) -> ClusterUnavailable:
        wait = self._fell(self._of, error)
        self._why = f"cluster {self._of.title}: {error}"
        self._closed_until = monotonic() + wait
        return ClusterUnavailable(self._why, after=wait)


def configuration(of: ClusterSecret, programs: Collection[str]) -> Callable[[], Configuration]:
    """What Transport loads, and loads again when a credential was refused. Raises ClusterRefused then."""

    def load() -> Configuration:
        access = of.access
        if access.exec is not None:
            gave = credential(of, access.exec, programs)
            access = replace(access, token=gave.token, cert=gave.cert, key=gave.key)
        found = Configuration(host=of.server)
        found.verify_ssl = not access.insecure
        found.tls_server_name = access.server_name or None
        if access.proxy:
            found.proxy = access.proxy
        if header := _authorization(access):
            found.api_key["authorization"] = header
        files = [InMemory(text.encode()) if text else None for text in (access.ca, access.cert, access.key)]
        found.ssl_ca_cert, found.cert_file, found.key_file = (file.path if file else None for file in files)
        # They are there as long as whoever may read them.
        found.mooring_files = files
        return found

    return load


def _authorization(access: Access) -> str:
    if access.token:
        return f"Bearer {access.token}"
    if access.username:
        pair = f"{access.username}:{access.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"
    return ""

"""Nobody is talked into asking hosts that are none of his, nor into showing a credential to another one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devcluster.chartserver import ChartServer, Reply
from mooring.errors import MooringError, RemoteFailed, RemoteRefused
from mooring.settings import Settings
from tests.workers.remote.conftest import Serve
from workers.git.credentials import REMOTE, Credential, CredentialKind, RepoSecret, credential_for
from workers.git.remote import Endpoint
from workers.remote.http import Access, Client, Url
from workers.remote.remotes import Remotes

NOBODY = Credential()
PASSWORD = "hunter2-very-secret"
ME = Credential(CredentialKind.BASIC, "me", PASSWORD)


@pytest.fixture
def home(secured: Serve) -> ChartServer:
    """A chart repository over https."""
    return secured()


@pytest.fixture
def inside(secured: Serve) -> ChartServer:
    """Something in the private network that is nobody's business."""
    server = secured()
    (server.root / "secret").write_text("secret")
    return server


# Each is this machine, or where clouds keep their credentials, in one spelling or another.
PLACES = (
    *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "017700000001", "0.0.0.0", "localhost", "LOCALHOST."),
    *("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "169.254.169.254", "[fe80::1]", "10.0.0.1"),
    *("192.168.0.1", "172.16.0.1", "100.64.0.1", "[fd00:ec2::254]", "224.0.0.1", "255.255.255.255"),
    *("[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "169.254.169.254.", "[::127.0.0.1]"),
)


@pytest.mark.parametrize("place", PLACES)
def test_a_redirect_into_the_private_network_is_refused(
    home: ChartServer, inside: ChartServer, known: Credential, remotes: Remotes, place: str
) -> None:
    home.replies["/index.yaml"] = Reply(302, {"Location": f"https://{place}:{inside.port}/secret"})
    with pytest.raises(RemoteRefused, match=r"not a public address|not a URL") as error:
        remotes.chart(home.url, "web", "", known, trusted=True)
    assert "\n" not in str(error.value)
    assert not inside.requests


@pytest.mark.parametrize("place", PLACES)
def test_neither_is_what_an_index_or_a_remote_file_names(
    home: ChartServer, inside: ChartServer, known: Credential, remotes: Remotes, place: str
) -> None:
    index = home.root / "index.yaml"
    index.write_text(index.read_text().replace("- web-1.3.0.tgz", f"- https://{place}:{inside.port}/secret"))
    found = remotes.chart(home.url, "web", "", known, trusted=True)
    for ask in (
        lambda: remotes.tree(found, known),
        lambda: remotes.file(f"https://{place}:{inside.port}/secret", known),
        lambda: remotes.chart(f"https://{place}:{inside.port}", "web", "", known),
        lambda: remotes.artifact(f"oci://{place}:{inside.port}/web", "v1", known),
    ):
        with pytest.raises(RemoteRefused, match=r"not a public address|not a URL"):
            ask()
    assert not inside.requests


@pytest.mark.parametrize(
    "place",
    ["169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "100.100.100.200", "[fe80::1]"],
)
def test_the_metadata_of_clouds_is_refused_even_to_who_names_it(remotes: Remotes, place: str) -> None:
    with pytest.raises(RemoteRefused, match="not a public address"):
        remotes.chart(f"http://{place}", "web", "", NOBODY, trusted=True)


def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose DNS is its own may answer with both, and have the second one tried."""

    def answers(host: str, port: int, **_: Any) -> list[Any]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("93.184.215.14", "127.0.0.1")
        ]

    monkeypatch.setattr(socket, "getaddrinfo", answers)
    access = Access(Endpoint("https", "charts.example.com", 443), NOBODY)
    with pytest.raises(RemoteRefused, match=r"evil\.example is at 127\.0\.0\.1"):
        Client().addresses(Url.parse("https://evil.example/"), access)


def test_what_an_operator_permits_may_be_private(
    home: ChartServer, inside: ChartServer, known: Credential, tmp_path: Path
) -> None:
    home.replies["/index.yaml"] = Reply(302, {"Location": f"{inside.url}/index.yaml"})
    for hosts in (f"127.0.0.1:{inside.port}", "other.example, 127.0.0.1"):
        remotes = Remotes(tmp_path, Settings(remote_hosts=hosts))
        assert remotes.chart(home.url, "web", "", known, trusted=True).version == "1.3.0"
    strict = Remotes(tmp_path, Settings(remote_hosts=f"127.0.0.1:{home.port}"))
    with pytest.raises(RemoteRefused, match="not a public address"):
        strict.chart(home.url, "web", "", known, trusted=True)


def test_a_host_that_a_secret_names_may_be_private(charts: ChartServer, remotes: Remotes) -> None:
    """As the registry of a company is, which charts name as a dependency's repository."""
    secret = RepoSecret("charts", "repository", {"url": charts.url, "type": "helm"})
    assert remotes.chart(charts.url, "web", "", credential_for(charts.url, [secret], types=REMOTE)).version
    other = RepoSecret("other", "repository", {"url": "https://charts.example.com", "type": "helm"})
    with pytest.raises(RemoteRefused, match="not a public address"):
        remotes.chart(charts.url, "web", "", credential_for(charts.url, [other], types=REMOTE))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_credential_does_not_follow_a_redirect(
    home: ChartServer, inside: ChartServer, known: Credential, tmp_path: Path, status: int
) -> None:
    remotes = Remotes(tmp_path, Settings(remote_hosts="127.0.0.1"))
    me = Credential(CredentialKind.BASIC, "me", PASSWORD, authorities=known.authorities)
    home.replies["/index.yaml"] = Reply(status, {"Location": f"{inside.url}/index.yaml"})
    assert remotes.chart(home.url, "web", "", me, trusted=True).version == "1.3.0"
    assert home.requests[-1].headers["authorization"] == me.authorization
    assert "authorization" not in inside.requests[-1].headers


def test_a_credential_goes_to_another_host_only_with_pass_credentials(
    home: ChartServer, inside: ChartServer, secured: Serve, known: Credential, tmp_path: Path
) -> None:
    """Argo CD issue 7364."""
    remotes = Remotes(tmp_path, Settings(remote_hosts="127.0.0.1"))
    me = Credential(CredentialKind.BASIC, "me", PASSWORD, authorities=known.authorities)
    home.index(url=inside.url)
    found = remotes.chart(home.url, "web", "1.2.3", me, trusted=True)
    remotes.tree(found, me)
    assert inside.requests[-1].path == "/web-1.2.3.tgz"
    assert "authorization" not in inside.requests[-1].headers

    passed = Remotes(tmp_path / "other", Settings(remote_hosts="127.0.0.1"))
    passed.tree(passed.chart(home.url, "web", "1.2.3", me, trusted=True, pass_credentials=True), me)
    assert inside.requests[-1].headers["authorization"] == me.authorization

    # And not to whom that host sends us on.
    further = secured()
    inside.replies["/web-1.2.3.tgz"] = Reply(302, {"Location": f"{further.url}/web-1.2.3.tgz"})
    again = Remotes(tmp_path / "third", Settings(remote_hosts="127.0.0.1"))
    again.tree(again.chart(home.url, "web", "1.2.3", me, trusted=True, pass_credentials=True), me)
    assert inside.requests[-1].headers["authorization"] == me.authorization
    assert further.requests[-1].path == "/web-1.2.3.tgz"
    assert "authorization" not in further.requests[-1].headers


def test_what_begins_as_https_does_not_become_plain_http(
    home: ChartServer, charts: ChartServer, known: Credential, tmp_path: Path
) -> None:
    remotes = Remotes(tmp_path, Settings(remote_hosts="127.0.0.1"))
    home.replies["/index.yaml"] = Reply(302, {"Location": f"{charts.url}/index.yaml"})
    with pytest.raises(RemoteRefused, match="is not https"):
        remotes.chart(home.url, "web", "", known, trusted=True)
    del home.replies["/index.yaml"]
    home.index(url=charts.url)
    with pytest.raises(RemoteRefused, match="is not https"):
        remotes.tree(remotes.chart(home.url, "web", "", known, trusted=True), known)
    assert not charts.requests


def test_redirects_end_somewhere(home: ChartServer, known: Credential, remotes: Remotes) -> None:
    home.replies["/index.yaml"] = Reply(302, {"Location": "/index.yaml"})
    with pytest.raises(RemoteRefused, match="more than 5 times"):
        remotes.chart(home.url, "web", "", known, trusted=True)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://CHARTS.example.com.:443/a%20b?q=ü", "charts.example.com"),
        ("https://münchen.example/", "xn--mnchen-3ya.example"),
        ("https://me:word@my_registry:8443", "my_registry:8443"),
        ("https://[2001:DB8::1]:8443/", "[2001:db8::1]:8443"),
    ],
)
def test_a_host_is_spelt_as_dns_and_certificates_have_it(url: str, host: str) -> None:
    parsed = Url.parse(url)
    assert parsed.address == host
    assert str(parsed).isascii()
    assert "word" not in str(parsed)


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "gopher://h/x", "https:///x", "ftp://h/x", "https://h:x/", "https://h/a b", "x"],
)
def test_what_is_no_url_of_the_web_is_refused(remotes: Remotes, url: str) -> None:
    with pytest.raises(RemoteRefused):
        remotes.file(url, NOBODY)


def test_only_who_is_vouched_for_is_believed_to_be_the_host(home: ChartServer, remotes: Remotes) -> None:
    with pytest.raises(RemoteRefused, match="argocd-tls-certs-cm"):
        remotes.chart(home.url, "web", "", ME, trusted=True)
    assert not home.requests
    assert remotes.chart(home.url, "web", "", Credential(insecure=True), trusted=True).version == "1.3.0"


def test_a_wrong_credential_and_none_say_what_to_do_and_nothing_else(remotes: Remotes) -> None:
    with ChartServer(user="me", password="right") as charts:
        with pytest.raises(RemoteRefused, match=r"refuses the credential \(HTTP 401\); check its Secret"):
            remotes.chart(charts.url, "web", "", ME, trusted=True)
        with pytest.raises(RemoteRefused, match=r"wants a credential \(HTTP 401\); add a repository Secret"):
            remotes.chart(charts.url, "web", "", NOBODY, trusted=True)


def test_no_message_shows_a_credential(charts: ChartServer, remotes: Remotes) -> None:
    """Neither the Secret's, nor one in the URL, nor what a host sends back of it."""
    parroted = f"no access for me:{PASSWORD} {ME.authorization}".encode()
    said = list[str]()
    for reply in (
        Reply(403, {"Content-Type": "text/plain"}, parroted),
        Reply(500, {"Content-Type": "text/plain"}, parroted),
        Reply(302, {"Location": f"https://me:{PASSWORD}@127.0.0.1/x?token={PASSWORD}"}),
        Reply(302, {"Location": f"ftp://me:{PASSWORD}@127.0.0.1/x?token={PASSWORD}"}),
        Reply(404),
        Reply(200, {}, b"nonsense"),
    ):
        charts.replies["/index.yaml"] = reply
        address = f"http://me:{PASSWORD}@127.0.0.1:{charts.port}?token={PASSWORD}"
        with pytest.raises(MooringError) as error:
            remotes.chart(address, "web", "", ME, trusted=True)
        said.append(str(error.value))
    assert not [
        line for line in said if PASSWORD in line or ME.authorization.split()[1] in line or "\n" in line
    ]
    assert "no access for me:*** " in said[0]


@pytest.fixture
def stalling() -> Iterator[socket.socket]:
    """Takes connections and says nothing on them, ever."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def test_a_host_that_says_nothing_is_given_up(stalling: socket.socket, tmp_path: Path) -> None:
    remotes = Remotes(tmp_path, Settings(git_timeout_s=0.3))
    for scheme in ("http", "https"):  # before the answer, and in the middle of the handshake
        with pytest.raises(RemoteFailed, match="did not answer in time"):
            remotes.chart(
                f"{scheme}://127.0.0.1:{stalling.getsockname()[1]}", "web", "", NOBODY, trusted=True
            )


def test_a_host_that_trickles_is_given_up(secured: Serve, known: Credential, tmp_path: Path) -> None:
    """Each byte comes in time, and the whole never does."""
    remotes, over = Remotes(tmp_path, Settings(git_timeout_s=0.5)), threading.Event()

    def trickle() -> Iterator[bytes]:
        while not over.wait(0.02):
            yield b"#"

    with ChartServer() as plain:
        for server in (plain, secured()):
            server.replies["/index.yaml"] = Reply(chunks=trickle)
            with pytest.raises(RemoteFailed, match="did not answer in time"):
                remotes.chart(server.url, "web", "", known, trusted=True)
        over.set()


def test_a_proxy_is_used_as_the_environment_says(
    charts: ChartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain http here: the server of charts itself stands in for the proxy, and sees the whole URL."""
    monkeypatch.setenv("http_proxy", f"http://proxy-user:proxy-word@127.0.0.1:{charts.port}")
    monkeypatch.setenv("no_proxy", "other.example")
    remotes = Remotes(tmp_path, Settings())
    with pytest.raises(RemoteRefused, match="no such thing"):
        remotes.chart("http://charts.example.com/stable", "web", "", ME, trusted=True)
    request = charts.requests[-1]
    assert request.path == "http://charts.example.com/stable/index.yaml"
    assert request.headers["host"] == "charts.example.com"
    assert request.headers["proxy-authorization"].startswith("Basic ")
    monkeypatch.setenv("no_proxy", "charts.example.com")
    with pytest.raises(RemoteFailed, match=r"no such host|cannot be asked"):
        remotes.chart("http://charts.example.com/stable", "web", "", ME, trusted=True)


def test_a_proxy_is_no_way_around_the_guard(
    charts: ChartServer, inside: ChartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", charts.url)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(RemoteRefused, match="not a public address"):
        Remotes(tmp_path, Settings()).file("https://169.254.169.254/latest/meta-data", NOBODY)
    assert not charts.requests


def test_https_goes_through_a_proxy_end_to_end(
    home: ChartServer, known: Credential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        told = list[bytes]()

        def tunnel() -> None:
            while True:
                try:
                    near, _ = listening.accept()
                except OSError:
                    return
                told.append(near.recv(4096))
                far = socket.create_connection(("127.0.0.1", home.port))
                near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=_pipe, args=(one, other), daemon=True).start()

        threading.Thread(target=tunnel, daemon=True).start()
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{listening.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        me = Credential(CredentialKind.BASIC, "me", PASSWORD, authorities=known.authorities)
        assert Remotes(tmp_path, Settings()).chart(home.url, "web", "", me, trusted=True).version == "1.3.0"
        assert told[0].startswith(f"CONNECT 127.0.0.1:{home.port} HTTP/1".encode())
        assert me.authorization.encode() not in told[0]
        listening.shutdown(socket.SHUT_RDWR)


def _pipe(near: socket.socket, far: socket.socket) -> None:
    while data := near.recv(65536):
        far.sendall(data)
    far.close()


def test_a_deadline_is_for_all_of_it(home: ChartServer, known: Credential) -> None:
    access = Access(Endpoint("https", "127.0.0.1", home.port), known, private=True)
    with pytest.raises(RemoteFailed, match="did not answer in time"):
        Client().get(f"{home.url}/index.yaml", access, limit=1 << 20, deadline=time.monotonic() - 1)

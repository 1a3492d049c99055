"""Charts and artifacts come from registries as `helm push` and the like put them there."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from devcluster.chartserver import ChartServer, Reply
from devcluster.registry import Registry, TokenAuth, push_artifact
from mooring.errors import MooringError, RemoteFailed, RemoteRefused
from mooring.settings import Settings
from tests.workers.remote.conftest import Serve
from tests.workers.remote.test_archive import file, tar
from workers.git.credentials import REMOTE, Credential, CredentialKind, RepoSecret, credential_for
from workers.remote.oci import Repository, is_oci
from workers.remote.remotes import Remotes
from workers.render.files import Files

PASSWORD = "hunter2-very-secret"
TAR = "application/vnd.oci.image.layer.v1.tar"
CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
PLAIN = Credential(plain_http=True)


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    """A registry that asks for a password, with the chart web in four versions."""
    with ChartServer() as charts, Registry(user="me", password=PASSWORD) as server:
        for version in ("1.2.3", "1.10.0", "1.11.0-rc.1", "2.0.0+build.7"):
            server.push_chart(charts.chart("web", version, {"values.yaml": f"v: {version}\n"}))
        yield server


@pytest.fixture
def me(registry: Registry) -> Credential:
    """As Argo CD's users write it."""
    data = {"type": "helm", "enableOCI": "true", "url": f"{registry.host}/charts"}
    data |= {"username": "me", "password": PASSWORD, "insecureOCIForceHttp": "true"}
    return credential_for(data["url"], [RepoSecret("charts", "repository", data)], types=REMOTE)


@pytest.fixture(scope="module")
def open_registry() -> Iterator[Registry]:
    """One that asks nobody who he is."""
    with Registry() as server:
        yield server


@pytest.mark.parametrize(
    ("revision", "version"),
    [
        ("1.2.3", "1.2.3"),
        ("", "2.0.0+build.7"),
        ("*", "2.0.0+build.7"),
        ("^1", "1.10.0"),
        ("1.2", "1.2.3"),
        (">=1.11.0-0 <2", "1.11.0-rc.1"),
        ("2.0.0+build.7", "2.0.0+build.7"),
    ],
)
@pytest.mark.parametrize("scheme", ["", "oci://"])
def test_a_chart_is_found_by_version_or_range(
    registry: Registry, me: Credential, remotes: Remotes, scheme: str, revision: str, version: str
) -> None:
    found = remotes.chart(f"{scheme}{registry.host}/charts", "web", revision, me)
    assert found.version == version
    assert Files(remotes.tree(found, me), "").read("values.yaml") == f"v: {version}\n".encode()


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("oci://docker.io/library/app", "https://registry-1.docker.io/v2/library/app"),
        ("ghcr.io/acme/charts/web/", "https://ghcr.io/v2/acme/charts/web"),
        ("oci://registry.example.com:5000/a__b/c-d.e", "https://registry.example.com:5000/v2/a__b/c-d.e"),
    ],
)
def test_registries_are_asked_where_they_are(url: str, api: str) -> None:
    assert Repository.parse(url).api == api


@pytest.mark.parametrize(
    "url",
    [
        "oci://",
        "oci://host",
        "oci://me:word@host/app",
        "oci://host/a:tag",
        "oci://host/a/../b",
        "oci://h h/a",
    ],
)
def test_what_names_no_repository_is_refused(url: str) -> None:
    with pytest.raises(RemoteRefused) as error:
        Repository.parse(url)
    assert "word" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "is_one"),
    [
        ("oci://ghcr.io/acme/app", True),
        ("ghcr.io/acme/charts", True),
        ("registry.example.com:5000/charts", True),
        ("https://charts.example.com", False),
        ("git@github.com:acme/deploy", False),
        ("/srv/git/deploy", False),
    ],
)
def test_a_url_without_a_scheme_means_a_registry(url: str, is_one: bool) -> None:
    assert is_oci(url) is is_one


def test_a_chart_is_fetched_once(registry: Registry, me: Credential, tmp_path: Path) -> None:
    with ChartServer() as charts, Registry() as server:
        server.push_chart(charts.chart("web", "1.0.0"))
        remotes = Remotes(tmp_path, Settings())
        found = remotes.chart(f"oci://{server.host}/charts", "web", "1.0.0", PLAIN, trusted=True)
        root = remotes.tree(found, PLAIN).tree_id("", "")
    assert remotes.tree(found, PLAIN).tree_id("", "") == root


@pytest.mark.parametrize(
    ("chart", "revision", "says"),
    [
        ("web", "9.9.9", r"there is no such thing"),
        ("web", "^9", r"has no version that fits '\^9'"),
        ("web", "main", r"'main' is no version or range"),
        ("nothing", "^1", r"there is no such thing"),
        ("../../x", "1.2.3", r"names no repository"),
        ("Web", "1.2.3", r"names no repository.*lower case"),
    ],
)
def test_what_is_not_there_says_what_to_correct(
    registry: Registry, me: Credential, remotes: Remotes, chart: str, revision: str, says: str
) -> None:
    with pytest.raises(RemoteRefused, match=says) as error:
        remotes.chart(f"{registry.host}/charts", chart, revision, me)
    assert "\n" not in str(error.value)


def test_who_has_no_credential_or_a_wrong_one_is_told(registry: Registry, remotes: Remotes) -> None:
    url = f"oci://{registry.host}/charts"
    with pytest.raises(RemoteRefused, match="wants a credential"):
        remotes.chart(url, "web", "1.2.3", PLAIN, trusted=True)
    wrong = Credential(CredentialKind.BASIC, "me", "wrong-word", plain_http=True)
    with pytest.raises(RemoteRefused, match=r"refuses the credential.*check its Secret") as error:
        remotes.chart(url, "web", "1.2.3", wrong, trusted=True)
    assert "wrong-word" not in str(error.value)


def test_an_artifact_is_a_tag_a_digest_or_a_range(open_registry: Registry, remotes: Remotes) -> None:
    url = f"oci://{open_registry.host}/team/app"
    digests = {
        tag: push_artifact(open_registry.url, "team/app", tag, {TAR: tar(file("app/cm.yaml", tag.encode()))})
        for tag in ("v1.0.0", "v1.1.0", "latest")
    }
    for revision, tag in (("latest", "latest"), ("v1.0.0", "v1.0.0"), ("^1", "v1.1.0"), ("", "v1.1.0")):
        found = remotes.artifact(url, revision, PLAIN, trusted=True)
        assert found.version == digests[tag]
        assert Files(remotes.tree(found, PLAIN), "").read("app/cm.yaml") == tag.encode()
        assert remotes.artifact(url, digests[tag], PLAIN, trusted=True) == found

    moved = push_artifact(open_registry.url, "team/app", "latest", {TAR: tar(file("cm.yaml", b"new"))})
    assert remotes.artifact(url, "latest", PLAIN, trusted=True).version == moved


def test_a_chart_as_an_artifact_is_the_chart_itself(
    registry: Registry, me: Credential, remotes: Remotes
) -> None:
    found = remotes.artifact(f"oci://{registry.host}/charts/web", "1.2.3", me)
    assert found.version.startswith("sha256:")
    assert Files(remotes.tree(found, me), "").read("values.yaml") == b"v: 1.2.3\n"


def test_many_tags_are_read_page_by_page(open_registry: Registry, remotes: Remotes) -> None:
    """The registry gives at most a thousand at once."""
    layer = {TAR: tar(file("a"))}
    push_artifact(open_registry.url, "many", "0.0.0", layer)
    tags = open_registry.root / "docker/registry/v2/repositories/many/_manifests/tags"
    for number in range(1, 2100):
        link = tags / f"0.0.{number}" / "current"
        link.mkdir(parents=True)
        (link / "link").write_text((tags / "0.0.0/current/link").read_text())
    repository = f"oci://{open_registry.host}/many"
    # In the order of text 0.0.999 comes last, on the third page.
    assert remotes.artifact(repository, ">0.0.998 <0.0.1000", PLAIN, trusted=True).digest
    with pytest.raises(RemoteRefused, match=r"no version that fits '>0\.0\.2099'"):
        remotes.artifact(repository, ">0.0.2099", PLAIN, trusted=True)


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ([], "has 0 layers"),
        ([(TAR, b"a"), (TAR, b"b")], "has 2 layers"),
        ([("application/x-program", b"a")], "holds 'application/x-program': use one of"),
    ],
)
def test_an_artifact_without_one_archive_is_refused(
    open_registry: Registry, remotes: Remotes, layers: list[tuple[str, bytes]], says: str
) -> None:
    push_artifact(open_registry.url, "odd", "v1", layers)
    with pytest.raises(RemoteRefused, match=says):
        remotes.artifact(f"oci://{open_registry.host}/odd", "v1", PLAIN, trusted=True)


def test_an_artifact_is_no_chart(open_registry: Registry, remotes: Remotes) -> None:
    push_artifact(
        open_registry.url, "charts/app", "1.0.0", {TAR: tar(file("app/Chart.yaml", b"name: app\n"))}
    )
    with pytest.raises(RemoteRefused, match="is no Helm chart"):
        remotes.chart(f"{open_registry.host}/charts", "app", "1.0.0", PLAIN, trusted=True)


def test_an_archive_that_attacks_is_refused_by_its_name(open_registry: Registry, remotes: Remotes) -> None:
    push_artifact(open_registry.url, "evil", "v1", {TAR: tar(file("../../etc/cron.d/x"))})
    found = remotes.artifact(f"oci://{open_registry.host}/evil", "v1", PLAIN, trusted=True)
    with pytest.raises(RemoteRefused, match=r"/v2/evil/blobs/sha256:\w+ cannot be used: .*leads out"):
        remotes.tree(found, PLAIN)


# --- A registry that lies: files of a web server where a registry has its own ------------------
def manifest(data: bytes, kind: str = TAR) -> bytes:
    layer = {"mediaType": kind, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [layer]}).encode()


@pytest.fixture
def liar() -> Iterator[ChartServer]:
    with ChartServer() as server:
        yield server


def at(liar: ChartServer, name: str) -> str:
    return f"oci://127.0.0.1:{liar.port}/{name}"


def test_a_manifest_that_is_not_its_digests_is_refused(liar: ChartServer, remotes: Remotes) -> None:
    wanted = f"sha256:{'0' * 64}"
    liar.replies[f"/v2/app/manifests/{wanted}"] = Reply(body=manifest(b"x"))
    with pytest.raises(RemoteRefused, match="does not have its digest"):
        remotes.artifact(at(liar, "app"), wanted, PLAIN, trusted=True)
    liar.replies["/v2/app/manifests/v1"] = Reply(200, {"Docker-Content-Digest": wanted}, manifest(b"x"))
    with pytest.raises(RemoteRefused, match="does not have its digest"):
        remotes.artifact(at(liar, "app"), "v1", PLAIN, trusted=True)


def test_a_blob_that_is_not_its_digests_is_refused(liar: ChartServer, remotes: Remotes) -> None:
    data = tar(file("a"))
    liar.replies["/v2/app/manifests/v1"] = Reply(body=manifest(data))
    found = remotes.artifact(at(liar, "app"), "v1", PLAIN, trusted=True)
    liar.replies[f"/v2/app/blobs/sha256:{found.digest}"] = Reply(body=tar(file("b")))
    with pytest.raises(RemoteRefused, match="replaced or damaged"):
        remotes.tree(found, PLAIN)
    liar.replies[f"/v2/app/blobs/sha256:{found.digest}"] = Reply(body=data)
    assert remotes.tree(found, PLAIN).tree_id("", "a")


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        (b"<html>", RemoteFailed, "answers no JSON"),
        (b"[]", RemoteFailed, "none of a registry's"),
        (
            b'{"mediaType": "application/vnd.oci.image.index.v1+json"}',
            RemoteRefused,
            "index of several",
        ),
        (b'{"mediaType": "text/plain"}', RemoteRefused, "not known"),
        (manifest(b"").replace(b"sha256:", b"sha512:"), RemoteRefused, "by no SHA-256"),
        (b" " * (5 << 20), RemoteRefused, "limit"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_told(
    liar: ChartServer, remotes: Remotes, body: bytes, kind: type[MooringError], says: str
) -> None:
    liar.replies["/v2/app/manifests/v1"] = Reply(body=body)
    with pytest.raises(kind, match=says):
        remotes.artifact(at(liar, "app"), "v1", PLAIN, trusted=True)


@pytest.mark.parametrize(
    "realm",
    [
        "http://127.0.0.1:9/token",
        "https://127.0.0.1:9/token",
        "https://169.254.169.254/latest/meta-data/iam",
        "http://auth.example.com/token",
        "file:///etc/passwd",
        "",
    ],
)
def test_a_realm_is_no_way_to_a_credential_or_into_the_network(
    liar: ChartServer, remotes: Remotes, realm: str
) -> None:
    challenge = {"WWW-Authenticate": f'Bearer realm="{realm}",service="x"'}
    liar.replies["/v2/app/manifests/v1"] = Reply(401, challenge)
    me = Credential(CredentialKind.BASIC, "me", PASSWORD, plain_http=True)
    with pytest.raises(RemoteRefused, match=r"in the clear|not a public address|not a URL") as error:
        remotes.artifact(at(liar, "app"), "v1", me, trusted=True)
    assert PASSWORD not in str(error.value)


def test_tags_are_not_read_on_at_another_host(
    liar: ChartServer, charts: ChartServer, remotes: Remotes
) -> None:
    link = {"Link": f'<{charts.url}/v2/app/tags/list>; rel="next"'}
    liar.replies["/v2/app/tags/list"] = Reply(200, link, b'{"tags": ["1.0.0"]}')
    with pytest.raises(RemoteRefused, match="at another host"):
        remotes.artifact(at(liar, "app"), "*", PLAIN, trusted=True)
    assert not charts.requests


def test_an_index_of_charts_may_lead_to_a_registry_but_no_credential_with_it(
    liar: ChartServer,
    secured: Serve,
    known: Credential,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As Bitnami's does. The registry is another host than the one that the credential is for."""
    elsewhere = secured()
    archive = (elsewhere.root / "web-1.3.0.tgz").read_bytes()
    digest = hashlib.sha256(archive).hexdigest()
    elsewhere.replies["/v2/charts/web/manifests/1.3.0_b.1"] = Reply(body=manifest(archive, CHART))
    elsewhere.replies[f"/v2/charts/web/blobs/sha256:{digest}"] = Reply(body=archive)

    def index(digest: str) -> Reply:
        url = f"oci://127.0.0.1:{elsewhere.port}/charts/web:1.3.0_b.1"
        return Reply(
            body=f"entries: {{web: [{{version: 1.3.0, digest: {digest}, urls: ['{url}']}}]}}".encode()
        )

    liar.replies["/index.yaml"] = index(digest)
    me = Credential(CredentialKind.BASIC, "me", PASSWORD, authorities=known.authorities)
    with pytest.raises(RemoteRefused, match="not a public address"):
        Remotes(tmp_path, Settings()).chart(liar.url, "web", "*", me, trusted=True)
    remotes = Remotes(tmp_path, Settings(remote_hosts="127.0.0.1"))
    with pytest.raises(RemoteRefused, match="argocd-tls-certs-cm"):  # nor what vouches for the first host
        remotes.chart(liar.url, "web", "*", me, trusted=True)
    assert not elsewhere.requests

    (tmp_path / "system").write_text(known.authorities)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system"))
    found = remotes.chart(liar.url, "web", "*", me, trusted=True, pass_credentials=True)
    assert remotes.tree(found, me).tree_id("", "Chart.yaml")
    assert elsewhere.requests
    assert not [request for request in elsewhere.requests if "authorization" in request.headers]

    liar.replies["/index.yaml"] = index("a" * 64)
    with pytest.raises(RemoteRefused, match="is not the archive that the index names"):
        remotes.chart(liar.url, "web", "*", me, trusted=True)


# --- Tokens ------------------------------------------------------------------------------------
def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Signs the tokens of a registry. https://distribution.github.io/distribution/spec/auth/jwt/"""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())

    def jwks(self) -> str:
        point = self.key.public_key().public_numbers()
        told = {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "tests"}
        told |= {"x": b64(point.x.to_bytes(32, "big")), "y": b64(point.y.to_bytes(32, "big"))}
        return json.dumps({"keys": [told]})

    def token(self, name: str) -> str:
        head = {"typ": "JWT", "alg": "ES256", "kid": "tests"}
        now = int(time.time())
        claims: dict[str, str | int] = {"iss": "tests", "sub": "me", "aud": "registry", "jti": "1"}
        claims |= {"nbf": now - 60, "iat": now - 60, "exp": now + 600}
        access = [{"type": "repository", "name": name, "actions": ["pull", "push"]}]
        signed = f"{b64(json.dumps(head).encode())}.{b64(json.dumps({**claims, 'access': access}).encode())}"
        r, s = decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def test_a_registry_with_tokens_is_given_one_for_pulling(
    authority: trustme.CA, secured: Serve, known: Credential, tmp_path: Path
) -> None:
    """As Docker Hub, GitHub and GitLab have it: the realm is another host, and gets the password."""
    issuer, realm = Issuer(), secured(user="me", password=PASSWORD)
    token = issuer.token("team/app")
    (realm.root / "token").write_text(json.dumps({"token": token, "expires_in": 300}))
    (tmp_path / "jwks").write_text(issuer.jwks())
    pair = authority.issue_cert("127.0.0.1")
    pair.cert_chain_pems[0].write_to_path(tmp_path / "cert")
    pair.private_key_pem.write_to_path(tmp_path / "key")
    tokens = TokenAuth(f"{realm.url}/token", "registry", "tests", tmp_path / "jwks")
    me = Credential(CredentialKind.BASIC, "me", PASSWORD, authorities=known.authorities)
    remotes = Remotes(tmp_path / "state", Settings(remote_hosts=f"127.0.0.1:{realm.port}"))

    with Registry(tokens=tokens, cert=tmp_path / "cert", key=tmp_path / "key") as registry:
        trust = ssl.create_default_context(cadata=known.authorities)
        bearer = {"Authorization": f"Bearer {token}"}
        layer = {TAR: tar(file("a", b"1"))}
        digest = push_artifact(registry.url, "team/app", "v1", layer, headers=bearer, tls=trust)
        url = f"oci://{registry.host}/team/app"

        found = remotes.artifact(url, "v1", me, trusted=True)
        assert found.version == digest
        assert Files(remotes.tree(found, me), "").read("a") == b"1"
        assert [request.path for request in realm.requests] == [
            "/token?scope=repository%3Ateam%2Fapp%3Apull&service=registry"
        ]
        assert realm.requests[0].headers["authorization"] == me.authorization

        with pytest.raises(RemoteRefused, match=r"/token wants a credential \(HTTP 401\)"):
            remotes.artifact(url, "v1", known, trusted=True)
        (realm.root / "token").write_text("{}")
        with pytest.raises(RemoteFailed, match="gives no token"):
            Remotes(tmp_path / "other", Settings(remote_hosts="127.0.0.1")).artifact(
                url, "v1", me, trusted=True
            )
        strict = Remotes(tmp_path / "strict", Settings())
        with pytest.raises(RemoteRefused, match="not a public address"):
            strict.artifact(url, "v1", me, trusted=True)


def test_a_token_that_is_over_is_asked_for_again(liar: ChartServer, remotes: Remotes) -> None:
    """And one that the registry does not take any more, though it should."""
    challenge = {"WWW-Authenticate": f'Bearer realm="{liar.url}/token",service="x"'}
    for lasts, asks in ((300, 1), (1, 2)):
        name = f"app{lasts}"
        liar.requests.clear()
        liar.replies["/token"] = Reply(body=json.dumps({"access_token": "t", "expires_in": lasts}).encode())
        for _ in range(2):
            liar.replies[f"/v2/{name}/manifests/v1"] = Reply(401, challenge)
            with pytest.raises(RemoteRefused, match="401"):
                remotes.artifact(at(liar, name), "v1", PLAIN, trusted=True)
        told = [request.headers.get("authorization") for request in liar.requests if "/v2/" in request.path]
        assert told == [None, "Bearer t", *(["Bearer t"] if asks == 1 else [None]), "Bearer t"]


def test_a_token_that_a_host_repeats_is_not_shown(liar: ChartServer, remotes: Remotes) -> None:
    challenge = {"WWW-Authenticate": f'Bearer realm="{liar.url}/token",service="x"'}
    liar.replies["/token"] = Reply(body=b'{"token": "s3cret-token"}')
    liar.replies["/v2/app/manifests/v1"] = Reply(401, challenge)
    with pytest.raises(RemoteRefused, match="401"):
        remotes.artifact(at(liar, "app"), "v1", PLAIN, trusted=True)
    liar.replies["/v2/app/manifests/v1"] = Reply(500, {"Content-Type": "text/plain"}, b"no s3cret-token")
    with pytest.raises(RemoteFailed, match=r"HTTP 500 \(no \*\*\*\)"):
        remotes.artifact(at(liar, "app"), "v1", PLAIN, trusted=True)

"""https for real: who is believed to be the host, and what opens it. Once by our own client, once by git."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from devcluster.gitserver import GitServer, Repository
from mooring.errors import GitRefused
from workers.git.credentials import Credential, RepoSecret, credential_for
from workers.git.mirror import Mirror, checkout

Fetch = Callable[[str, Credential], Mirror]
TOKEN = "a-very-secret-token"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def pem(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


@pytest.fixture(params=["ourselves", "git"])
def fetch(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fetch]:
    """Brings `main` of a URL into a mirror."""

    def fetch(url: str, credential: Credential) -> Mirror:
        mirror = Mirror.open(tmp_path, url, credential)
        if request.param == "git":
            mirror._git_fetch(["refs/heads/main"], time.monotonic() + 30)
        else:
            checkout(mirror, "main")
        return mirror

    yield fetch
    Mirror.close_all()


@contextmanager
def serving(
    authority: trustme.CA,
    *names: str,
    clients: trustme.CA | None = None,
    user: str = "",
    password: str = "",
    token: str = "",
) -> Iterator[Repository]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*(names or ("127.0.0.1",))).configure_cert(context)
    if clients is not None:
        clients.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    with GitServer(tls=context, user=user, password=password, token=token) as host:
        repository = host.create("app")
        repository.commit({"a": "1"})
        yield repository


def secret(url: str, **data: str) -> list[RepoSecret]:
    return [RepoSecret("app", "repository", {"url": url, **data})]


def test_a_host_that_nobody_vouches_for_is_refused_with_the_next_step(
    authority: trustme.CA, fetch: Fetch
) -> None:
    with serving(authority) as repo, pytest.raises(GitRefused, match="argocd-tls-certs-cm"):
        fetch(repo.url, Credential())


def test_the_authority_named_for_the_host_is_believed(authority: trustme.CA, pem: str, fetch: Fetch) -> None:
    with serving(authority) as repo:
        credential = credential_for(repo.url, [], authorities={"127.0.0.1": pem})
        commit = repo.resolve("main")
        assert commit is not None
        assert fetch(repo.url, credential).has(commit)


def test_an_authority_named_for_another_host_is_not(authority: trustme.CA, pem: str, fetch: Fetch) -> None:
    with serving(authority) as repo, pytest.raises(GitRefused, match="argocd-tls-certs-cm"):
        fetch(repo.url, credential_for(repo.url, [], authorities={"git.example.com": pem}))


def test_a_certificate_for_another_name_is_refused(authority: trustme.CA, pem: str, fetch: Fetch) -> None:
    with serving(authority, "git.example.com") as repo, pytest.raises(GitRefused, match=r"certificate|SSL"):
        fetch(repo.url, credential_for(repo.url, [], authorities={"127.0.0.1": pem}))


def test_a_change_of_whom_to_believe_is_heeded(authority: trustme.CA, pem: str, fetch: Fetch) -> None:
    with serving(authority) as repo:
        with pytest.raises(GitRefused):
            fetch(repo.url, Credential())
        mirror = fetch(repo.url, Credential(authorities=pem))
        with pytest.raises(GitRefused):
            fetch(repo.url, Credential())
        assert Mirror.home_of(mirror.home.parent, repo.url, Credential()) == mirror.home


def test_insecure_in_the_secret_believes_everybody(authority: trustme.CA, fetch: Fetch) -> None:
    with serving(authority) as repo:
        credential = credential_for(repo.url, secret(repo.url, insecure="true"))
        commit = repo.resolve("main")
        assert commit is not None
        assert fetch(repo.url, credential).has(commit)


def test_a_bearer_token_opens_the_repository(authority: trustme.CA, pem: str, fetch: Fetch) -> None:
    with serving(authority, token=TOKEN) as repo:
        vouched = {"127.0.0.1": pem}
        fetch(repo.url, credential_for(repo.url, secret(repo.url, bearerToken=TOKEN), authorities=vouched))
        for wrong in ([], secret(repo.url, bearerToken="wrong"), secret(repo.url, password=TOKEN)):
            with pytest.raises(GitRefused) as refused:
                fetch(repo.url, credential_for(repo.url, wrong, authorities=vouched))
            assert TOKEN not in str(refused.value)


def test_basic_auth_opens_the_repository(authority: trustme.CA, pem: str, fetch: Fetch) -> None:
    with serving(authority, user="deployer", password=TOKEN) as repo:
        vouched = {"127.0.0.1": pem}
        right = secret(repo.url, username="deployer", password=TOKEN)
        fetch(repo.url, credential_for(repo.url, right, authorities=vouched))
        with pytest.raises(GitRefused):
            fetch(repo.url, credential_for(repo.url, [], authorities=vouched))


def test_a_client_certificate_opens_the_repository(
    authority: trustme.CA, pem: str, fetch: Fetch, tmp_path: Path
) -> None:
    issued = authority.issue_cert("deployer@example.com")
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems).decode()
    key = issued.private_key_pem.bytes().decode()
    with serving(authority, clients=authority) as repo:
        vouched = {"127.0.0.1": pem}
        given = secret(repo.url, tlsClientCertData=chain, tlsClientCertKey=key)
        mirror = fetch(repo.url, credential_for(repo.url, given, authorities=vouched))
        assert not any(b"PRIVATE" in path.read_bytes() for path in mirror.home.rglob("*") if path.is_file())
        with pytest.raises(Exception) as refused:
            fetch(repo.url, credential_for(repo.url, [], authorities=vouched))
        assert "PRIVATE" not in str(refused.value)


def test_a_certificate_that_is_none_is_refused_without_showing_it(
    authority: trustme.CA, fetch: Fetch
) -> None:
    with serving(authority) as repo, pytest.raises(GitRefused) as refused:
        fetch(repo.url, replace(Credential(), authorities="not a certificate " + TOKEN))
    assert TOKEN not in str(refused.value)

"""What a kustomization or a chart names elsewhere: who may be asked, and with whose credential."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from devcluster.chartserver import ChartServer
from devcluster.gitserver import Gitlink, GitServer
from mooring.errors import GitFailed, MooringError, Refused
from mooring.model.project import AppProject, default_project
from mooring.model.spec import Source
from mooring.settings import Settings
from tests.stories.ship import until
from workers.apps.home import HomeApplications
from workers.cluster.api import Api
from workers.cluster.kinds import Kind
from workers.fetch import Fetcher, check_host
from workers.git.mirror import Mirror
from workers.git.remote import Endpoint, endpoint_of
from workers.render.files import digest_of

pytestmark = pytest.mark.cluster
SECRET = Kind("", "v1", "Secret", "secrets", namespaced=True)
HOME = Source(repo_url="https://git.example/org/app")

Make = Callable[..., Fetcher]


@pytest.fixture
def fetcher(api: Api, namespace: str, tmp_path: Path) -> Iterator[Make]:
    """A fetcher for an app of the project `default`, whose source is at `home`."""
    settings = Settings(state_dir=str(tmp_path), git_allow_file=True)

    def make(home: Source = HOME, project: AppProject | None = None, remote_hosts: str = "") -> Fetcher:
        return Fetcher(
            HomeApplications(api, namespace),
            replace(settings, remote_hosts=remote_hosts),
            project or default_project(namespace),
            home,
            20.0,
        )

    yield make
    Mirror.close_all()


def permitting(*patterns: str) -> AppProject:
    project = default_project("mooring")
    return project.model_copy(update={"spec": project.spec.model_copy(update={"source_repos": patterns})})


def test_a_repository_at_the_sources_own_host_is_fetched_at_its_branch_as_it_is_now(
    fetcher: Make, git_server: GitServer
) -> None:
    shared = git_server.create(f"shared-{secrets.token_hex(4)}")
    first = shared.commit({"base/a.yaml": "a: 1\n"})
    home = Source(repo_url=f"{git_server.url}/app.git")

    once = fetcher(home)
    tree, commit = once.git(shared.url, "main")
    assert commit == first
    assert [entry.path for entry in tree.walk(commit)] == ["base", "base/a.yaml"]
    assert once.git(shared.url, "")[1] == first

    second = shared.commit({"base/a.yaml": "a: 2\n"})
    assert once.git(shared.url, "main")[1] == first, "one look sees one commit"
    assert fetcher(home).git(shared.url, "main")[1] == second
    assert fetcher(home).git(shared.url, first)[1] == first
    assert fetcher(home).digest(f"git {shared.url} main") == second


def test_a_repository_has_its_submodules_where_these_are_wanted(fetcher: Make, git_server: GitServer) -> None:
    library = git_server.create(f"library-{secrets.token_hex(4)}")
    there = library.commit({"a.yaml": "a: 1\n"})
    shared = git_server.create(f"shared-{secrets.token_hex(4)}")
    told = f'[submodule "lib"]\n\tpath = lib\n\turl = ../{library.path.name}\n'
    shared.commit({".gitmodules": told, "lib": Gitlink(there)})
    once = fetcher(Source(repo_url=f"{git_server.url}/app.git"))
    tree, commit = once.git(shared.url, "main")
    assert [entry.path for entry in tree.walk(commit, "lib")] == ["lib/a.yaml"]
    assert once.digest(f"git {shared.url} main") == digest_of(tree, commit) != commit

    without = replace(once, settings=replace(once.settings, git_submodules=False), _known={})
    tree, commit = without.git(shared.url, "main")
    assert list(tree.walk(commit, "lib")) == []
    assert without.digest(f"git {shared.url} main") == commit


def test_a_host_that_only_the_repository_names_must_be_public(fetcher: Make, git_server: GitServer) -> None:
    inside = git_server.create(f"inside-{secrets.token_hex(4)}")
    commit = inside.commit({"a.yaml": "a: 1\n"})
    asked = len(git_server.requests)

    with pytest.raises(Refused, match=r"127\.0\.0\.1, which is not a public address"):
        fetcher().git(inside.url, "main")
    assert len(git_server.requests) == asked, "nobody was asked"

    host = f"127.0.0.1:{endpoint_of(inside.url).port}"
    assert fetcher(remote_hosts=f"charts.example, {host}").git(inside.url, "main")[1] == commit


def test_a_secret_of_the_operator_opens_a_private_host_and_is_sent_there(
    fetcher: Make, api: Api, namespace: str
) -> None:
    with GitServer(user="robot", password="hunter2") as server:
        private = server.create("private")
        commit = private.commit({"a.yaml": "a: 1\n"})
        with pytest.raises(Refused, match="not a public address"):
            fetcher().git(private.url, "main")
        data = {"type": "git", "url": server.url, "username": "robot", "password": "hunter2"}
        api.create(
            SECRET,
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    "name": "private",
                    "namespace": namespace,
                    "labels": {"argocd.argoproj.io/secret-type": "repo-creds"},
                },
                "data": {key: base64.b64encode(text.encode()).decode() for key, text in data.items()},
            },
        )

        def fetched() -> str | None:
            with suppress(Refused):  # as long as the API server's cache does not have it
                return fetcher().git(private.url, "main")[1]
            return None

        assert until("the Secret to count", fetched) == commit


def test_only_what_the_project_permits(fetcher: Make, git_server: GitServer) -> None:
    shared = git_server.create(f"shared-{secrets.token_hex(4)}")
    shared.commit({"a.yaml": "a: 1\n"})
    home = Source(repo_url=f"{git_server.url}/app.git")
    with pytest.raises(Refused, match=r"does not permit this address: spec\.sourceRepos does not list it"):
        fetcher(home, permitting(f"{git_server.url}/app.git")).git(shared.url, "main")
    assert fetcher(home, permitting(f"{git_server.url}/*")).git(shared.url, "main")


def test_a_chart_and_a_file_of_another_host(fetcher: Make) -> None:
    with ChartServer() as server:
        server.chart("web", "1.0.0", {"values.yaml": "a: 1\n"}, under="charts")
        server.index(under="charts")
        charts = f"{server.url}/charts"
        (server.root / "web.yaml").write_text("a: 1\n")
        asked = len(server.requests)
        for fetch in (
            lambda: fetcher().chart(charts, "web", "1.0.0"),
            lambda: fetcher().file(f"{server.url}/web.yaml"),
            lambda: fetcher(project=permitting("https://charts.example")).chart(charts, "web", "1.0.0"),
            lambda: fetcher(project=permitting("https://charts.example")).file(f"{server.url}/web.yaml"),
        ):
            with pytest.raises(Refused, match=r"not a public address|does not permit"):
                fetch()
        assert len(server.requests) == asked, "nobody was asked"

        permitted = fetcher(remote_hosts=f"127.0.0.1:{server.port}")
        tree, version, digest = permitted.chart(charts, "web", "~1.0")
        assert (version, [entry.path for entry in tree.walk("")]) == ("1.0.0", ["Chart.yaml", "values.yaml"])
        assert permitted.digest(f"chart {charts} web ~1.0") == digest
        data, digest = permitted.file(f"{server.url}/web.yaml")
        assert data == b"a: 1\n"
        assert permitted.digest(f"file {server.url}/web.yaml") == digest
        (server.root / "web.yaml").write_text("a: 2\n")
        assert permitted.digest(f"file {server.url}/web.yaml") != digest
        with pytest.raises(Refused, match="is not understood: render anew"):
            permitted.digest("what others have remembered")


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc", "/etc", "ext::sh -c 'touch /tmp/x'", "user@ext::sh", "git@-oProxyCommand=x:a/b"),
        *("--upload-pack=touch x", "https://git.example/o/r\n", "ftp://git.example/o/r", "fd::17/foo"),
    ],
)
def test_what_git_must_never_be_given(fetcher: Make, url: str) -> None:
    with pytest.raises(Refused):
        fetcher().git(url, "main")


@pytest.mark.parametrize("revision", ["--upload-pack=touch x", "a..b", "refs/heads/x y", "^main"])
def test_a_ref_is_no_option(fetcher: Make, git_server: GitServer, revision: str) -> None:
    shared = git_server.create(f"shared-{secrets.token_hex(4)}")
    shared.commit({"a.yaml": "a: 1\n"})
    with pytest.raises(MooringError):
        fetcher(Source(repo_url=shared.url)).git(shared.url, revision)


# --- addresses ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"),
        *("localhost", "169.254.169.254", "fd00:ec2::254", "10.0.0.1", "192.168.1.1", "172.16.0.1"),
        *("100.64.0.1", "224.0.0.1", "fe80::1", "2002:7f00:1::", "64:ff9b::7f00:1", "255.255.255.255"),
    ],
)
@pytest.mark.parametrize("scheme", ["https", "ssh"])
def test_no_way_of_writing_an_address_that_is_not_public_is_asked(scheme: str, host: str) -> None:
    with pytest.raises(Refused, match="not a public address"):
        check_host(Endpoint(scheme, host, 443), Settings(), vouched=False)


@pytest.mark.parametrize("host", ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254"])
def test_nobody_vouches_for_the_metadata_of_a_cloud(host: str) -> None:
    with pytest.raises(Refused, match="not a public address"):
        check_host(Endpoint("http", host, 80), Settings(), vouched=True)


def test_public_addresses_and_vouched_ones_are_asked() -> None:
    check_host(Endpoint("https", "93.184.215.14", 443), Settings(), vouched=False)
    check_host(Endpoint("https", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", 443), Settings(), vouched=False)
    check_host(Endpoint("https", "10.0.0.1", 443), Settings(), vouched=True)
    check_host(Endpoint("ssh", "10.0.0.1", 22), Settings(remote_hosts="10.0.0.1:22"), vouched=False)
    with pytest.raises(Refused):
        check_host(Endpoint("ssh", "10.0.0.1", 23), Settings(remote_hosts="10.0.0.1:22"), vouched=False)


def test_a_name_that_nobody_knows_may_be_known_later() -> None:
    with pytest.raises(GitFailed, match="no such host"):
        check_host(Endpoint("https", "nowhere.invalid", 443), Settings(), vouched=False)

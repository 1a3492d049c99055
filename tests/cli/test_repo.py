"""`mooring repo`: Argo CD's Secrets, written only when the host lets us in, and never shown."""

from __future__ import annotations

import base64
import json
import ssl
from pathlib import Path

import pytest
import trustme

from cli.repo import secret_name
from devcluster import cluster as devcluster
from devcluster.chartserver import ChartServer
from devcluster.cluster import Cluster
from devcluster.gitserver import Repository
from devcluster.registry import Registry
from tests.cli.conftest import Mooring

pytestmark = pytest.mark.cluster


def test_a_password_is_read_from_where_it_is_and_shown_nowhere(
    mooring: Mooring, shop: str, cluster: Cluster, namespace: str, git_repo: Repository
) -> None:
    flags = ["--username", "sailor", "--project", "fleet"]
    done = mooring("repo", "add", git_repo.url, *flags, "--password-stdin", given="swordfish\n")
    assert done.returncode == 0, done.stderr
    listed = mooring("repo", "list", "-o", "json")
    (repo,) = json.loads(listed.stdout)
    assert repo["url"] == git_repo.url
    assert repo["credential"] == "password"
    path = f"/api/v1/namespaces/{namespace}/secrets/{repo['secret']}"
    secret = devcluster.ask(cluster, path)
    assert secret["metadata"]["labels"]["argocd.argoproj.io/secret-type"] == "repository"
    data = {field: base64.b64decode(value).decode() for field, value in secret["data"].items()}
    assert data == {
        "type": "git",
        "url": git_repo.url,
        "username": "sailor",
        "password": "swordfish",
        "project": "fleet",
    }
    again = mooring("repo", "add", git_repo.url, *flags, "--password-env", "PASS", PASS="swordfish")
    assert "unchanged" in again.stdout
    changed = mooring(
        *("repo", "add", git_repo.url, "--project", "fleet", "--bearer", "--upsert"),
        *("--password-env", "TOKEN", "-o", "json"),
        TOKEN="catfish",
    )
    assert changed.returncode == 0, changed.stderr
    assert json.loads(changed.stdout)["credential"] == "token"
    data = devcluster.ask(cluster, path)["data"]
    assert "password" not in data
    assert base64.b64decode(data["bearerToken"]) == b"catfish"
    wide = mooring("repo", "list", "--check")
    for shown in (done, listed, again, changed, wide):
        assert "swordfish" not in shown.stdout + shown.stderr
        assert "catfish" not in shown.stdout + shown.stderr
        assert "c3dvcmRmaXNo" not in shown.stdout + shown.stderr
    assert mooring("repo", "rm", git_repo.url, "--yes").returncode == 13  # that is another project's
    assert mooring("repo", "rm", git_repo.url, "--project", "fleet", "--yes").returncode == 0
    assert json.loads(mooring("repo", "list", "-o", "json").stdout) == []


def test_a_host_that_lets_nobody_in_is_not_made_known(
    mooring: Mooring, shop: str, git_repo: Repository
) -> None:
    url = git_repo.url.replace("/repo-", "/nobody-")
    done = mooring("repo", "add", url, "--username", "sailor", "--password-stdin", given="swordfish")
    assert done.returncode == 20
    assert "swordfish" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert mooring("repo", "list", "-o", "url").stdout == ""


MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: it, namespace: x}\n"


def an_application(namespace: str, url: str, chart: str) -> str:
    return f"""apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {{name: charted, namespace: {namespace}}}
spec:
  project: default
  source: {{repoURL: {url}, chart: {chart}, targetRevision: 1.0.0}}
  destination: {{name: in-cluster, namespace: {namespace}}}
"""


def secret_of(mooring: Mooring, cluster: Cluster, namespace: str) -> dict[str, str]:
    """What is in the only repository's Secret."""
    (name,) = mooring("repo", "list", "-o", "name").stdout.split()
    told = devcluster.ask(cluster, f"/api/v1/namespaces/{namespace}/secrets/{name}")["data"]
    return {field: base64.b64decode(value).decode() for field, value in told.items()}


def test_a_chart_repository_is_made_known_and_its_charts_rendered(
    tools: Path, mooring: Mooring, shop: str, cluster: Cluster, namespace: str
) -> None:
    with ChartServer(user="sailor", password="swordfish") as charts:
        charts.chart("web", "1.0.0", {"templates/map.yaml": MAP})
        charts.index()
        add = ["repo", "add", charts.url, "--type", "helm", "--name", "harbour"]
        add += ["--username", "sailor", "--password-stdin"]
        wrong = mooring(*add, given="catfish\n")
        assert wrong.returncode == 20
        assert "refuses the credential" in wrong.stderr and "catfish" not in wrong.stderr
        assert mooring("repo", "list", "-o", "name").stdout == ""

        done = mooring(*add, given="swordfish\n")
        assert done.returncode == 0, done.stderr
        assert secret_of(mooring, cluster, namespace) == {
            "type": "helm",
            "name": "harbour",
            "url": charts.url,
            "username": "sailor",
            "password": "swordfish",
        }
        (listed,) = json.loads(mooring("repo", "list", "--check", "-o", "json").stdout)
        assert (listed["type"], listed["oci"], listed["status"]) == ("helm", False, "Successful")

        made = mooring("app", "create", "-f", "-", given=an_application(namespace, charts.url, "web"))
        assert made.returncode == 0, made.stderr
        shown = mooring("app", "manifests", "charted", "-o", "name")
        assert shown.stdout == "ConfigMap x/it\n", shown.stderr


def test_a_registry_is_made_known_for_the_charts_below_it_or_for_one_artifact(
    tools: Path, mooring: Mooring, shop: str, cluster: Cluster, namespace: str
) -> None:
    with ChartServer() as charts, Registry(user="sailor", password="swordfish") as registry:
        registry.push_chart(charts.chart("web", "1.0.0", {"templates/map.yaml": MAP}))
        known = ["--username", "sailor", "--password-stdin", "--insecure-oci-force-http"]
        below = ["repo", "add", f"oci://{registry.host}/charts", "--type", "helm", "--enable-oci"]
        below += ["--name", "harbour", *known]
        wrong = mooring(*below, given="catfish\n")
        assert wrong.returncode == 20
        assert "refuses the credential" in wrong.stderr and "catfish" not in wrong.stderr

        done = mooring(*below, given="swordfish\n")
        assert done.returncode == 0, done.stderr
        url = f"{registry.host}/charts"
        assert secret_of(mooring, cluster, namespace) == {
            "type": "helm",
            "enableOCI": "true",
            "insecureOCIForceHttp": "true",
            "name": "harbour",
            "url": url,  # as Argo CD has it
            "username": "sailor",
            "password": "swordfish",
        }
        made = mooring("app", "create", "-f", "-", given=an_application(namespace, url, "web"))
        assert made.returncode == 0, made.stderr
        shown = mooring("app", "manifests", "charted", "-o", "name")
        assert shown.stdout == "ConfigMap x/it\n", shown.stderr
        assert mooring("repo", "rm", url, "--yes").returncode == 0

        artifact = ["repo", "add", f"oci://{registry.host}/charts/web", "--type", "oci", *known]
        assert mooring(*artifact, given="catfish\n").returncode == 20
        nothing = mooring(*artifact[:2], f"oci://{registry.host}/none", *artifact[3:], given="swordfish\n")
        assert nothing.returncode == 20 and "there is no such thing" in nothing.stderr
        done = mooring(*artifact, given="swordfish\n")
        assert done.returncode == 0, done.stderr
        assert secret_of(mooring, cluster, namespace)["type"] == "oci"
        assert "Successful" in mooring("repo", "list", "--check").stdout


def test_a_client_certificate_opens_a_chart_repository(
    tools: Path, mooring: Mooring, shop: str, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    sailor = authority.issue_cert("sailor@example.com")
    sailor.cert_chain_pems[0].write_to_path(tmp_path / "cert")
    sailor.private_key_pem.write_to_path(tmp_path / "key")
    with ChartServer(tls=context) as charts:
        charts.chart("web", "1.0.0")
        charts.index()
        add = ["repo", "add", charts.url, "--type", "helm", "--name", "harbour"]
        add += ["--insecure-skip-server-verification"]
        assert mooring(*add).returncode != 0, "it wants a certificate"
        done = mooring(
            *add,
            *("--tls-client-cert-path", str(tmp_path / "cert")),
            *("--tls-client-cert-key-path", str(tmp_path / "key")),
        )
        assert done.returncode == 0, done.stderr
    found = secret_of(mooring, cluster, namespace)
    assert found["tlsClientCertData"] == (tmp_path / "cert").read_text()
    assert found["tlsClientCertKey"] == (tmp_path / "key").read_text()
    assert found["insecure"] == "true"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["oci://registry.example/a"], "give --type oci"),
        (["registry.example/a", "--type", "helm", "--name", "a"], "give --enable-oci"),
        (["https://charts.example", "--type", "helm"], "give --name"),
        (["https://charts.example", "--type", "helm", "--enable-oci", "--name", "a"], "host/path"),
        (["registry.example/a", "--type", "oci"], "oci://host/path"),
        (["https://git.example/a", "--enable-oci"], "give --type helm"),
        (["oci://registry.example/a", "--type", "oci", "--bearer"], "for Git"),
        (["https://git.example/a", "--insecure-oci-force-http"], "for registries"),
        (["https://git.example/a", "--tls-client-cert-path", "x"], "together"),
    ],
)
def test_what_does_not_belong_together_is_said(mooring: Mooring, arguments: list[str], says: str) -> None:
    done = mooring("repo", "add", *arguments)
    assert done.returncode == 2
    assert says in done.stderr


def test_a_secret_is_called_as_argo_cd_calls_it() -> None:
    # https://datatracker.ietf.org/doc/html/draft-eastlake-fnv: FNV-1a of "foobar" is 0xbf9cf968
    assert secret_name("repo", "foo", "bar") == f"repo-{0xBF9CF968}"

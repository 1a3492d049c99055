"""What a cluster Secret says, and that one which is wrong is named and quoted nowhere."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from mooring.keys import ClusterRef
from mooring.model.spec import Destination
from workers.clusters.named import secret_of
from workers.clusters.secret import ClusterSecret, Exec, read

URL = "https://prod.example.org:6443"
PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
HIDDEN = "hunter2-hunter2"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def secret(config: Any = None, **fields: str) -> ClusterSecret:
    given = {"name": "prod", "server": URL, **fields}
    if config is not None:
        given["config"] = config if isinstance(config, str) else json.dumps(config)
    return read(
        "cluster-prod", {name: b64(text) for name, text in given.items()}, {"l": "1"}, {"a": "2"}, "7"
    )


def test_everything_that_argo_cds_secret_says_of_a_cluster_is_read() -> None:
    found = secret(
        {"bearerToken": HIDDEN},
        server="https://PROD.example.org:443/",
        project="team",
        namespaces="a, b,a,",
        clusterResources="true",
        shard="3",
    )
    assert not found.wrong
    assert (found.name, found.server, found.project) == ("prod", "https://prod.example.org", "team")
    assert (found.namespaces, found.cluster_resources, found.shard) == (("a", "b"), True, 3)
    assert (found.secret, found.version, found.labels, found.annotations) == (
        "cluster-prod",
        "7",
        {"l": "1"},
        {"a": "2"},
    )
    plain = secret()
    assert (plain.namespaces, plain.cluster_resources, plain.shard, plain.project) == ((), False, None, "")


def test_each_way_to_open_a_cluster_is_read() -> None:
    assert secret({"bearerToken": f"{HIDDEN}\n"}).access.token == HIDDEN
    basic = secret({"username": "me", "password": HIDDEN}).access
    assert (basic.username, basic.password) == ("me", HIDDEN)
    assert secret({"username": "m\u00fcller", "password": "\u0142"}).access.password == "\u0142"
    tls = {"serverName": "api", "caData": b64(PEM), "certData": b64(PEM), "keyData": b64(PEM)}
    access = secret({"tlsClientConfig": tls}).access
    assert (access.server_name, access.ca, access.cert, access.key) == ("api", PEM, PEM, PEM)
    assert secret({"tlsClientConfig": {"insecure": True}}).access.insecure
    assert secret({"proxyUrl": "http://proxy:3128"}).access.proxy == "http://proxy:3128"
    program = {"command": "login", "args": ["-v"], "env": {"A": "b"}, "installHint": "apt install login"}
    assert secret({"execProviderConfig": program}).access.exec == Exec(
        "login", ("-v",), {"A": "b"}, hint="apt install login"
    )
    aws = secret({"awsAuthConfig": {"clusterName": "c", "roleARN": "r"}, "bearerToken": "x"}).access
    assert aws.exec is not None and aws.token == ""
    assert (aws.exec.command, aws.exec.args) == (
        "argocd-k8s-auth",
        ("aws", "--cluster-name", "c", "--role-arn", "r"),
    )


@pytest.mark.parametrize(
    ("config", "fields", "told"),
    [
        (None, {"server": ""}, "server is missing"),
        (None, {"server": "http://prod.example.org"}, "server must be a URL that begins with https://"),
        (None, {"server": f"https://me:{HIDDEN}@prod.example.org"}, "credentials go into config"),
        (None, {"server": "https://[prod"}, "server is no URL"),
        (None, {"server": "https://prod:99999"}, "server is no URL"),
        (None, {"server": "https://☃☃:6443"}, "server is no URL"),
        (None, {"name": "a\nb"}, "name has a line break"),
        (None, {"shard": "-1"}, "shard must be a whole number"),
        (f'{{"bearerToken": "{HIDDEN}"', {}, "config is no JSON (line 1, column"),
        ([HIDDEN], {}, "config must be a JSON object"),
        ({"bearerToken": [HIDDEN]}, {}, "config.bearerToken must be a text"),
        ({"bearerToken": f"{HIDDEN}\r\nX-Evil: 1"}, {}, "config.bearerToken has a line break"),
        ({"bearerToken": f"{HIDDEN}\u0142"}, {}, "config.bearerToken has a character that is not ASCII"),
        ({"proxyUrl": f"http://me:{HIDDEN}\u0142@proxy"}, {}, "config.proxyUrl has a character that is not"),
        (
            {"tlsClientConfig": {"serverName": f"{HIDDEN}\u0142"}},
            {},
            "serverName has a character that is not",
        ),
        ({"bearerToken": HIDDEN, "username": "me"}, {}, "exclude each other"),
        ({"password": HIDDEN}, {}, "password without username"),
        ({"username": f"me:{HIDDEN}"}, {}, "config.username has a colon"),
        ({"tlsClientConfig": {"caData": HIDDEN}}, {}, "config.tlsClientConfig.caData must be PEM"),
        ({"tlsClientConfig": {"caData": [HIDDEN]}}, {}, "config.tlsClientConfig.caData must be PEM"),
        ({"tlsClientConfig": {"keyData": b64(PEM)}}, {}, "certData and keyData go together"),
        ({"tlsClientConfig": {"insecure": "yes"}}, {}, "insecure must be true or false"),
        ({"tlsClientConfig": {"insecure": True, "caData": b64(PEM)}}, {}, "insecure and caData exclude"),
        ({"proxyUrl": f"file:///{HIDDEN}"}, {}, "config.proxyUrl must be a URL"),
        ({"proxyUrl": "http://[::1"}, {}, "config.proxyUrl must be a URL"),
        ({"proxyUrl": "http://proxy:99999999"}, {}, "config.proxyUrl must be a URL"),
        ({"proxyUrl": f"http://me:{HIDDEN}/2@proxy"}, {}, "config.proxyUrl must be a URL"),
        ({"proxyUrl": f"socks5://me:{HIDDEN}@proxy"}, {}, "config.proxyUrl must be a URL"),
        ({"execProviderConfig": {"args": [HIDDEN]}}, {}, "execProviderConfig.command is missing"),
        ({"execProviderConfig": {"command": "x", "args": HIDDEN}}, {}, "args must be a list of texts"),
        ({"execProviderConfig": {"command": "x", "env": {"A=": HIDDEN}}}, {}, "env must be an object"),
        ({"execProviderConfig": {"command": "x", "apiVersion": "v9"}}, {}, "apiVersion must be"),
        ({"awsAuthConfig": {"roleARN": "r"}}, {}, "awsAuthConfig.clusterName is missing"),
        ("[" * 300_000, {}, "config is longer than"),
    ],
)
def test_what_is_wrong_names_the_secret_and_the_field_and_quotes_no_value(
    config: Any, fields: dict[str, str], told: str
) -> None:
    found = secret(config, **fields)
    assert found.wrong.startswith("cluster Secret cluster-prod: ")
    assert told in found.wrong
    assert HIDDEN not in found.wrong and "\n" not in found.wrong


def test_a_field_that_cannot_be_read_leaves_the_others() -> None:
    home = {"name": "in\tcluster", "server": "https://KUBERNETES.default.svc:443", "shard": "x"}
    found = secret(namespaces="team-a,\n team-b,\n", **home)
    assert "name has a line break" in found.wrong
    assert (found.server, found.namespaces) == ("https://kubernetes.default.svc", ("team-a", "team-b"))
    assert found.unclear == ""


def test_a_secret_that_may_narrow_a_cluster_says_why_nobody_can_tell_how() -> None:
    for fields, told in (
        ({"namespaces": "team-a\nteam-b"}, "namespaces has a line break or control character"),
        ({"namespaces": "a", "clusterResources": "tr\tue"}, "clusterResources has a line break"),
        ({"namespaces": "a", "server": "https://prod\t"}, ""),
        ({"namespaces": "a", "server": "https://pr\tod"}, "server has a line break or control character"),
        ({"namespaces": "a", "server": ""}, "server is missing"),
        ({"server": ""}, ""),
        ({"clusterResources": "tr\tue"}, ""),
    ):
        unclear = secret(**fields).unclear
        assert unclear.startswith(f"cluster Secret cluster-prod: {told}") if told else not unclear, fields


def test_bytes_that_are_no_text_are_told_and_fields_of_others_are_passed_over() -> None:
    binary = base64.b64encode(b"\xff").decode()
    assert read("x", {"name": binary}).wrong == "cluster Secret x: name is no text"
    assert read("x", {"server": b64(URL), "somebodys": binary}).wrong == ""


def test_nobody_who_prints_a_cluster_prints_what_opens_it() -> None:
    tls = {"certData": b64(PEM), "keyData": b64(PEM + HIDDEN)}
    for config in (
        {"bearerToken": HIDDEN},
        {"username": HIDDEN, "password": HIDDEN},
        {"tlsClientConfig": tls},
        {"execProviderConfig": {"command": "x", "env": {"A": HIDDEN}, "args": [HIDDEN]}},
    ):
        found = secret(config)
        assert not found.wrong
        assert HIDDEN not in repr(found) + str(found) + repr(found.access)


@pytest.mark.parametrize(
    ("server", "shown"),
    [
        (f"https://me:{HIDDEN}@prod:6443", "https://***@prod:6443"),
        (f"https://{HIDDEN}@prod:6443/", "https://***@prod:6443"),
        (f"https://me:{HIDDEN}/2@prod/c-1", "https://***@prod/c-1"),
        (f"https://prod?token={HIDDEN}", "https://***@prod"),
        (f"https://prod/c-1#{HIDDEN}", "https://***@prod/c-1"),
        (f"me:{HIDDEN}@prod", "***"),
        (f"https:/me:{HIDDEN}@prod", "***"),
        (f"//me:{HIDDEN}@prod", "***"),
        (f"ssh://me:{HIDDEN}@prod", "***"),
        (f"https://me:{HIDDEN}@", "https://***@"),
        ("http://prod", "http://prod"),
        ("prod", "prod"),
    ],
)
def test_of_a_server_that_is_none_no_credential_is_shown(server: str, shown: str) -> None:
    found = read("cluster-prod", {"server": b64(server), "config": b64("{}")})
    assert found.wrong and found.server == shown
    assert HIDDEN not in repr(found) + found.title + found.wrong


def test_a_server_with_credentials_is_taken_for_no_other() -> None:
    bad = read("bad", {"server": b64(f"https://me:{HIDDEN}@prod:6443"), "name": b64("bad")})
    good = read("good", {"server": b64("https://prod:6443"), "name": b64("good")})
    destination = Destination(server="https://prod:6443")
    assert secret_of(destination, ClusterRef("https://home"), lambda: (bad, good)) == good

"""Deliveries as hosts sent them and others published them: the test data of Go modules.

The modules are fetched by pinned version and checksum into Go's own cache, outside the repository. Which
event a payload belongs to, and how it was signed, is read from the tables of the modules' own tests.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from devcluster.build import find_go
from tests.webhook import payloads
from tests.webhook.payloads import Sent


@dataclass(frozen=True)
class Module:
    """A Go module, pinned as go.sum pins it."""

    path: str
    version: str
    checksum: str


WEBHOOKS = Module(
    "github.com/go-playground/webhooks/v6", "v6.4.0", "h1:KLa6y7bD19N48rxJDHM0DpE3T4grV7GxMy1b/aHMWPY="
)
GO_SCM = Module("github.com/drone/go-scm", "v1.40.0", "h1:YaIOuSu6guBjOV+eFaD8CDPN+QLfR9BfjZ0w0ypmhY8=")
GITLAB = Module(
    "gitlab.com/gitlab-org/api/client-go", "v1.46.0", "h1:YxBWFZIFYKcGESCb9fpkwzouo+apyB9pr/XTWzNoL24="
)

# How the modules call the hosts, where they do so differently.
_WEBHOOKS_HOSTS = {host: host for host in payloads.SECRETS} | {"azure-devops": "azuredevops"}
_GO_SCM_HOSTS = {host: host for host in payloads.SECRETS} | {
    "azure-devops": "azure",
    "bitbucket-server": "stash",
}


@dataclass(frozen=True)
class Published:
    """A delivery of `host`, signed as it was published, else by us."""

    host: str
    name: str  # "gitlab: go-scm push", after module and file
    event: str
    request: Sent = field(repr=False)


@cache
def deliveries() -> tuple[Published, ...]:
    """Everything that was published. Skips the test where the registry is out of reach."""
    return (*_of_webhooks(), *_of_go_scm(), *_of_gitlab())


def directory(module: Module) -> Path:
    """Where `module` is, fetched now if need be.

    Skips the test when nobody answers; fails it when what is served is not what was pinned.
    """
    # A GOROOT would be another Go's; and the checksum is ours to compare, no other server is asked for it.
    environment = {name: value for name, value in os.environ.items() if name != "GOROOT"} | {
        "GOFLAGS": "-mod=mod",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GOSUMDB": "off",
    }
    argv = [str(find_go()), "mod", "download", "-json", f"{module.path}@{module.version}"]
    with tempfile.TemporaryDirectory() as nowhere:  # outside of any module
        answer = subprocess.run(
            argv, cwd=nowhere, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
    found = json.loads(answer.stdout or "{}")
    error = found.get("Error") or answer.stderr.strip()
    if re.search(r"dial tcp|no such host|i/o timeout|TLS handshake timeout|module lookup disabled", error):
        pytest.skip(f"offline, and {module.path} is not in Go's cache: {error.splitlines()[-1]}")
    assert found.get("Sum") == module.checksum, f"{module.path}@{module.version}: {error or found}"
    return Path(found["Dir"])


def _of_webhooks() -> Iterator[Published]:
    place = directory(WEBHOOKS)
    for host, package in _WEBHOOKS_HOSTS.items():
        (test,) = (place / package).glob("*_test.go")
        text = test.read_text(encoding="utf-8")
        secret = re.search(r'Options\.Secret\("([^"]+)"\)', text)
        table = r'filename:\s+"\.\./(testdata/[^"]+)",(?:\s+headers:\s+http\.Header\{(.*?)\n\t\t\t\},)?'
        for number, (file, lines) in enumerate(re.findall(table, text, re.DOTALL)):
            sent = dict(re.findall(r'"([\w-]+)":\s+\[\]string\{"([^"]*)"\}', lines))
            sent.pop("X-Gogs-Delivery", None)  # one and the same for all
            events = [value for name, value in sent.items() if name.endswith(("-Event", "-Event-Key"))]
            event = events[0] if events else "System Hook"  # GitLab's others; Azure DevOps names none
            body = (place / file).read_bytes()
            name = f"{host}: webhooks {Path(file).stem}"
            headers = payloads.event_headers(host, event, f"webhooks-{number}")
            signed = any(header.endswith("-Signature") for header in sent)
            key = secret[1].encode() if secret and signed else payloads.SECRETS[host]
            headers |= sent if signed else payloads.sign(host, key, body, headers)
            yield Published(host, name, event, Sent(headers, body, key))


def _of_go_scm() -> Iterator[Published]:
    drivers = directory(GO_SCM) / "scm/driver"
    for host, package in _GO_SCM_HOSTS.items():
        place = drivers / package
        text = (place / "webhook_test.go").read_text(encoding="utf-8")
        text = re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)  # rows without a payload are commented out
        for number, (row, file) in enumerate(re.findall(r'\{([^{}]*before:\s+"([^"]+)")', text)):
            found = re.search(r'event:\s+"([^"]+)"', row)
            event = found[1] if found else ""
            yield _signed(host, f"{host}: go-scm {Path(file).stem}", event, f"go-scm-{number}", place / file)


def _of_gitlab() -> Iterator[Published]:
    """GitLab's own client has GitLab's own examples, named after their events."""
    place = directory(GITLAB) / "testdata"
    for file in sorted(place.glob("webhooks/*.json")):
        event = file.stem.replace("_", " ").title()
        yield _signed(
            "gitlab", f"gitlab: client-go webhooks/{file.stem}", event, f"webhooks-{file.stem}", file
        )
    for file in sorted(place.glob("systemhooks/*.json")):
        yield _signed(
            "gitlab", f"gitlab: client-go systemhooks/{file.stem}", "System Hook", f"system-{file.stem}", file
        )


def _signed(host: str, name: str, event: str, delivery: str, file: Path) -> Published:
    body, secret = file.read_bytes(), payloads.SECRETS[host]
    headers = payloads.event_headers(host, event, delivery)
    return Published(host, name, event, Sent(payloads.sign(host, secret, body, headers), body, secret))

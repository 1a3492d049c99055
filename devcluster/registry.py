"""An OCI registry on loopback: the distribution project's own, built from its Go module.

For tests and benchmarks. https://distribution.github.io/distribution/
"""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from devcluster.build import REGISTRY, build, tool
from devcluster.errors import DevclusterError

_START_WITHIN = 15.0  # seconds


@dataclass(frozen=True, slots=True)
class TokenAuth:
    """Who gives out the registry's tokens: https://distribution.github.io/distribution/spec/auth/token/

    `jwks` is a file with the public keys that sign them.
    """

    realm: str
    service: str
    issuer: str
    jwks: Path


class Registry:
    """A registry of our own; a context manager. Ends with this process or with the block.

    With `user` and `password`, every request needs them as basic auth; with `tokens`, a token. With `cert`
    and `key`, two PEM files, it speaks https. `root` holds what was pushed (a temporary directory when None).
    """

    def __init__(
        self,
        root: Path | None = None,
        *,
        user: str = "",
        password: str = "",
        tokens: TokenAuth | None = None,
        cert: Path | None = None,
        key: Path | None = None,
    ) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="mooring-registry-")
        self._directory = Path(self._temporary.name)
        self.root = root or self._directory / "data"
        self.port = _free_port()
        self.user, self.password = user, password
        self._tokens = tokens
        self._tls = (cert, key) if cert and key else None
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT`, as a reference of an image or chart begins."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Base URL of its API, without a slash at the end."""
        return f"{'https' if self._tls else 'http'}://{self.host}"

    def push_chart(self, archive: Path, path: str = "charts") -> str:
        """Pushes a packaged chart with `helm push` below `path`, and returns the digest of its manifest.

        Raises DevclusterError with what helm says.
        """
        arguments = ["push", str(archive), f"oci://{self.host}/{path}"]
        arguments += ["--insecure-skip-tls-verify"] if self._tls else ["--plain-http"]
        if self.user:
            arguments += ["--username", self.user, "--password", self.password]
        said = _helm(arguments, self._directory)
        return next(word for word in said.split() if word.startswith("sha256:"))

    def start(self) -> None:
        """Starts it and returns when it answers. Raises DevclusterError when it does not come up."""
        binary = build(REGISTRY, print)
        config, log = self._directory / "config.json", self._directory / "log"
        config.write_text(json.dumps(self._config(binary)))  # JSON is YAML
        with log.open("wb") as sink:
            self._child = subprocess.Popen(
                [str(binary), "serve", str(config)],
                cwd=self._directory,
                env={"OTEL_TRACES_EXPORTER": "none"},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        deadline, pause = time.monotonic() + _START_WITHIN, threading.Event()
        while not self._listens():
            if self._child.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace").splitlines()[-3:]
                self.stop()
                raise DevclusterError(f"the registry does not come up: {' / '.join(tail)}")
            pause.wait(0.02)

    def stop(self) -> None:
        """Ends it; what is in a temporary directory is removed."""
        child, self._child = self._child, None
        if child is not None:
            child.terminate()
            child.wait()
        self._temporary.cleanup()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _config(self, binary: Path) -> dict[str, Any]:
        # https://distribution.github.io/distribution/about/configuration/
        http: dict[str, Any] = {"addr": self.host, "secret": "of no use to anybody else"}
        if self._tls:
            http["tls"] = {"certificate": str(self._tls[0]), "key": str(self._tls[1])}
        config: dict[str, Any] = {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(self.root)}, "delete": {"enabled": True}},
            "http": http,
        }
        if self.user:
            htpasswd = self._directory / "htpasswd"
            hashed = subprocess.run(
                [str(binary), "hash"], input=self.password, capture_output=True, text=True, check=True
            )
            htpasswd.write_text(f"{self.user}:{hashed.stdout}\n")
            config["auth"] = {"htpasswd": {"realm": "registry", "path": str(htpasswd)}}
        if self._tokens:
            config["auth"] = {
                "token": {
                    "realm": self._tokens.realm,
                    "service": self._tokens.service,
                    "issuer": self._tokens.issuer,
                    "jwks": str(self._tokens.jwks),
                }
            }
        return config

    def _listens(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False


def push_artifact(
    base: str,
    repository: str,
    tag: str,
    layers: Mapping[str, bytes] | list[tuple[str, bytes]],
    *,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> str:
    """Pushes an artifact of `layers` (media type and bytes each), and returns its manifest's digest.

    `base` is `Registry.url`; `headers` go with each request, as Authorization.
    https://github.com/opencontainers/distribution-spec/blob/main/spec.md#push
    """
    import hashlib

    def digest(data: bytes) -> str:
        return f"sha256:{hashlib.sha256(data).hexdigest()}"

    def send(method: str, url: str, data: bytes, kind: str) -> HTTPResponse:
        told = {"Content-Type": kind, **(headers or {})}
        request = urllib.request.Request(url, data, told, method=method)  # noqa: S310  # the test's own
        answer: HTTPResponse = urllib.request.urlopen(request, context=tls)  # noqa: S310
        return answer

    api, described = f"{base}/v2/{repository}", []
    pairs = list(layers.items()) if isinstance(layers, Mapping) else layers
    for kind, data in [("application/vnd.oci.empty.v1+json", b"{}"), *pairs]:
        with send("POST", f"{api}/blobs/uploads/", b"", "application/octet-stream") as begun:
            place = begun.headers["Location"]
        place = place if "://" in place else base + place
        place += ("&" if "?" in place else "?") + f"digest={digest(data)}"
        send("PUT", place, data, "application/octet-stream").close()
        described.append({"mediaType": kind, "digest": digest(data), "size": len(data)})
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.mooring.test",
        "config": described[0],
        "layers": described[1:],
    }
    body = json.dumps(manifest).encode()
    send("PUT", f"{api}/manifests/{tag}", body, str(manifest["mediaType"])).close()
    return digest(body)


def _helm(arguments: list[str], home: Path) -> str:
    done = subprocess.run(
        [str(tool("helm", print)), *arguments],
        env={"HOME": str(home), "PATH": "/nonexistent"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DevclusterError(f"helm {arguments[0]}: {done.stdout.strip()}")
    return done.stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

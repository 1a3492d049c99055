"""Makes "in the middle of it" certain: an admission webhook that holds writes until it is opened."""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from devcluster import cluster as devcluster
from devcluster.cluster import Cluster
from tests.stories.ship import configmap, until

LABEL = "mooring-story-gate"
CLOSED = {LABEL: "closed"}
_CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
# The API server waits no longer for a webhook than this.
_LONGEST_S = 30


def gated(name: str, **data: str) -> str:
    """The manifest of a ConfigMap whose writes the gate holds."""
    return configmap(name, **data).replace("metadata:\n", f"metadata:\n  labels: {CLOSED}\n")


class Gate:
    """Holds every create and update, in one namespace, of an object that carries `CLOSED` as a label.

    The API server really asks it, over TLS with its own certificate. Nothing is held for longer than 30 s.
    """

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._name = f"gate-{secrets.token_hex(5)}.mooring.test"
        self._open = threading.Event()
        self.asked: list[str] = []  # the names of what was held
        gate = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                gate._hold(review["request"])
                response = {"uid": review["request"]["uid"], "allowed": True}
                body = json.dumps({**review, "request": None, "response": response}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # the API server hangs up when the writer was killed

        self._server = Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cluster.ca, cluster.ca.with_suffix(".key"))
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )

    def waits(self, name: str) -> None:
        """Waits until a write of the object `name` is held here."""
        until(f"the write of {name} to be held", lambda: name in self.asked)

    def open(self) -> None:
        """Lets everything pass, now and later."""
        self._open.set()

    def _hold(self, request: Any) -> None:
        labels = (request.get("object") or {}).get("metadata", {}).get("labels") or {}
        if labels.get(LABEL) == "closed" and not request.get("dryRun"):
            self.asked.append(request["name"])
            self._open.wait(_LONGEST_S)
        elif labels.get(LABEL) == "probe":
            self.asked.append(request["name"])

    def _answers(self) -> bool:
        probe = {"metadata": {"name": "gate-probe", "labels": {LABEL: "probe"}}}
        devcluster.ask(self._cluster, f"/api/v1/namespaces/{self._namespace}/configmaps?dryRun=All", probe)
        return "gate-probe" in self.asked

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True, name="gate").start()
        webhook = {
            "name": self._name,
            "clientConfig": {
                "url": f"https://127.0.0.1:{self._server.server_address[1]}/",
                "caBundle": base64.b64encode(self._cluster.ca.read_bytes()).decode(),
            },
            "rules": [
                {
                    "operations": ["CREATE", "UPDATE"],
                    "apiGroups": ["*"],
                    "apiVersions": ["*"],
                    "resources": ["configmaps", "services"],
                }
            ],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self._namespace}},
            "objectSelector": {"matchExpressions": [{"key": LABEL, "operator": "Exists"}]},
            "failurePolicy": "Ignore",
            "sideEffects": "None",
            "timeoutSeconds": _LONGEST_S,
            "admissionReviewVersions": ["v1"],
        }
        devcluster.ask(
            self._cluster, _CONFIGURATIONS, {"metadata": {"name": self._name}, "webhooks": [webhook]}
        )
        until("the API server to ask the gate", self._answers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.set()
        devcluster.ask(self._cluster, f"{_CONFIGURATIONS}/{self._name}", method="DELETE")
        self._server.shutdown()
        self._server.server_close()

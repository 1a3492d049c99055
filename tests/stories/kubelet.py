"""The one thing of a node that KWOK's nodes lack here: it answers when the API server asks for logs."""

from __future__ import annotations

import contextlib
import secrets
import ssl
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from devcluster import cluster as devcluster
from devcluster.cluster import Cluster

_TAINT = "tests.mooring.dev/logs"


@contextlib.contextmanager
def node(cluster: Cluster) -> Iterator[str]:
    """A node of the cluster on which nothing runs unless it is put there; its name.

    A container's log has one line for each of its names and each parameter it was asked with; with
    `follow`, one more that comes a moment later.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Kubelet)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cluster.ca, cluster.ca.with_suffix(".key"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    name = f"logs-{secrets.token_hex(4)}"
    path = f"/api/v1/nodes/{name}"
    taint = {"key": _TAINT, "effect": "NoSchedule"}
    devcluster.ask(cluster, "/api/v1/nodes", {"metadata": {"name": name}, "spec": {"taints": [taint]}})
    try:
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": server.server_address[1]}},
        }
        devcluster.ask(
            cluster,
            f"{path}/status",
            {"status": status},
            method="PATCH",
            content_type="application/merge-patch+json",
        )
        yield name
    finally:
        devcluster.ask(cluster, path, method="DELETE")
        server.shutdown()
        server.server_close()


class _Kubelet(BaseHTTPRequestHandler):
    """https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/: GET /containerLogs/…"""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urllib.parse.urlsplit(self.path)
        container = parts.path.rpartition("/")[2]
        asked = dict(urllib.parse.parse_qsl(parts.query))
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._say(f"{container} begins\n")
        for name, value in sorted(asked.items()):
            self._say(f"{name}={value}\n")
        if asked.get("follow") == "true":
            threading.Event().wait(0.3)
            self._say(f"{container} goes on\n")
        self.wfile.write(b"0\r\n\r\n")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Not among the output of the tests."""

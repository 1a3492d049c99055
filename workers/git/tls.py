"""Connections of our own HTTP clients: whom to believe that it is the host, and how to end a slow one."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from collections.abc import Sequence

from mooring.errors import GitRefused
from workers.git.credentials import Credential
from workers.git.process import memory_file


def context_of(credential: Credential) -> ssl.SSLContext:
    """What verifies the host, and shows it the client certificate. Raises GitRefused when one of the
    certificates or the key cannot be read."""
    try:
        return _verified(credential)
    except ssl.SSLError as error:
        raise GitRefused(f"a certificate or key for the host cannot be read: {error.reason}") from error


def _verified(credential: Credential) -> ssl.SSLContext:
    # As Argo CD has it: the certificates named for a host are the only ones that vouch for it, and the
    # host's very own may be among them.
    context = ssl.create_default_context(cadata=credential.authorities or None)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if credential.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if credential.tls_cert:
        with memory_file(credential.tls_cert) as cert, memory_file(credential.tls_key) as key:
            context.load_cert_chain(cert, key)
    return context


def cut(connection: http.client.HTTPConnection, sockets: Sequence[socket.socket]) -> None:
    """Ends the connection in the midst of whatever it does: its reader meets the end, or an error."""
    # The connection forgets its socket when the host says `Connection: close`; `sockets` does not.
    for sock in {connection.sock, *sockets} - {None}:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)  # below TLS: no farewell to wait for

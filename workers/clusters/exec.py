"""Runs the program that a cluster Secret names for its credential, where the operator allows that program.

Whoever may write a Secret in Mooring's namespace would otherwise run programs in the workers, which hold the
credentials of all clusters. So none is run unless MOORING_CLUSTER_EXEC names it.
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection
from typing import Any, Final

import orjson

from mooring.errors import ClusterRefused
from mooring.text import few
from workers.clusters.secret import Access, ClusterSecret, Exec

_PATIENCE_S: Final = 15.0
# What programs need to find themselves and their user's files; no setting of ours, none of which is theirs.
_PASSED: Final = ("PATH", "HOME", "LANG", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE")
# With these one who may not choose the program chooses what it runs, beside what is known of it.
_RULING: Final = ("LD_", "DYLD_", "PYTHON", "PERL5", "RUBY", "NODE_", "BASH_", "JAVA_", "GCONV_")
_RULING_NAMES: Final = ("PATH", "ENV", "SHELLOPTS")


def allowed(setting: str) -> frozenset[str]:
    """The programs that MOORING_CLUSTER_EXEC names."""
    return frozenset(one for part in setting.split(",") if (one := part.strip()))


def credential(of: ClusterSecret, wanted: Exec, programs: Collection[str]) -> Access:
    """What `wanted` gives for the cluster: a token, or a certificate with its key. Raises ClusterRefused
    naming the Secret; what the program says is not told, for nobody knows what it quotes."""
    title = f"cluster Secret {of.secret}: the program {wanted.command!r}"
    if wanted.command not in programs:
        raise ClusterRefused(
            f"{title} is to give the credential, and no such program is allowed: name it in "
            "MOORING_CLUSTER_EXEC, or give the Secret a bearerToken or a client certificate"
        )
    if ruling := [name for name in wanted.env if name in _RULING_NAMES or name.startswith(_RULING)]:
        raise ClusterRefused(f"{title} is not run with {few(sorted(ruling), 3)} in its env: leave that out")
    # Ours, so that the Secret has no say in which program a name means.
    program = shutil.which(wanted.command, path=os.environ.get("PATH", os.defpath))
    if program is None:
        hint = f" ({wanted.hint})" if wanted.hint else ""
        raise ClusterRefused(f"{title} is not installed where the workers run{hint}")
    info = {
        "apiVersion": wanted.api_version,
        "kind": "ExecCredential",
        "spec": {"interactive": False},
    }
    ours = {name: os.environ[name] for name in _PASSED if name in os.environ}
    environ = {**wanted.env, **ours, "KUBERNETES_EXEC_INFO": orjson.dumps(info).decode()}
    try:
        done = subprocess.run(
            [program, *wanted.args],
            env=environ,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ClusterRefused(f"{title} has not ended within {_PATIENCE_S:.0f} s") from None
    except (OSError, ValueError):
        raise ClusterRefused(f"{title} cannot be run: look at its file, its arguments and env") from None
    if done.returncode:
        raise ClusterRefused(f"{title} has failed (exit status {done.returncode}): run it by hand to see why")
    status = _status(done.stdout)
    token, cert, key = (
        value if isinstance(value := status.get(name), str) else ""
        for name in ("token", "clientCertificateData", "clientKeyData")
    )
    if not token.isascii() or not token.isprintable():
        raise ClusterRefused(f"{title} gave a status.token that is no line of ASCII: run it by hand")
    if not (token or (cert and key)):
        raise ClusterRefused(f"{title} gave no credential: run it by hand")
    return Access(token=token, cert=cert, key=key)


def _status(out: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(out)
    except orjson.JSONDecodeError:
        return {}
    status = answer.get("status") if isinstance(answer, dict) else None
    return status if isinstance(status, dict) else {}

"""What can never be a way to a cluster is told as a Secret to be corrected, and nothing of it is quoted."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

import pytest

from mooring.errors import ClusterRefused
from workers.clusters.link import opened
from workers.clusters.secret import Access, ClusterSecret

HIDDEN = "hunter2"
PROD = ClusterSecret("prod", "https://prod.example.org", "", "cluster-prod")


@pytest.mark.filterwarnings("ignore:SOCKS support")
@pytest.mark.parametrize("proxy", [f"http://me:{HIDDEN}/2@proxy", f"socks5://me:{HIDDEN}@proxy"])
def test_a_proxy_that_cannot_be_used_is_the_secrets_fault(proxy: str) -> None:
    with pytest.raises(ClusterRefused, match="cluster Secret cluster-prod: its server or proxyUrl") as told:
        opened(replace(PROD, access=Access(proxy=proxy)), ())
    assert HIDDEN not in str(told.value) and told.value.__suppress_context__


def test_a_credential_that_cannot_be_kept_closes_nobody_elses_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    unraisable: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", unraisable.append)
    with monkeypatch.context() as no_more:
        no_more.setattr(os, "dup", full)
        with pytest.raises(ClusterRefused, match="cannot be kept in memory"):
            opened(replace(PROD, access=Access(ca="PEM")), ())
    assert unraisable == []

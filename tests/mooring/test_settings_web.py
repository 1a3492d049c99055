"""What an operator may tell the web tier, and how a mistake is answered."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from mooring.errors import Refused
from mooring.settings_web import HOSTS, Secret, WebSettings, secret_variable, settings


def test_nothing_set_gives_the_defaults() -> None:
    found = WebSettings.from_env({})
    assert found == WebSettings()
    assert found.max_body_bytes == 25 * 1024 * 1024
    assert not found.secrets and not found.allow_unsigned


def test_values_are_read_from_the_environment() -> None:
    found = WebSettings.from_env(
        {
            "MOORING_REDIS_URL": "redis://redis:6379/1",
            "MOORING_ALLOW_UNSIGNED": "gogs, gitea",
            "MOORING_MAX_BODY_BYTES": "1000",
            "MOORING_TRUSTED_PROXIES": "10.0.0.0/8,fd00::/8",
        }
    )
    assert found.allow_unsigned == {"gogs", "gitea"}
    assert found.max_body_bytes == 1000
    assert found.trusted_proxies == (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MOORING_ALLOW_UNSIGNED", "sourceforge"),
        ("MOORING_MAX_BODY_BYTES", "25M"),
        ("MOORING_MAX_IN_FLIGHT", "0"),
        ("MOORING_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("MOORING_WEBHOOK_GITHAB_SECRET", "x"),
        ("MOORING_WEBHOOK_SECRETS_DIR", "/nowhere/at/all"),
    ],
)
def test_a_mistake_is_refused_naming_the_variable(variable: str, value: str) -> None:
    with pytest.raises(Refused, match=variable):
        WebSettings.from_env({variable: value})


def test_secrets_come_from_variables_and_from_files_one_a_line(tmp_path: Path) -> None:
    (tmp_path / "github").write_text("old\nhttps://github.com/acme/shop  shops own\n\n")
    (tmp_path / "azure-devops").write_text("user:password\n")
    (tmp_path / "..data").mkdir()  # as in a mounted Secret
    found = WebSettings.from_env(
        {"MOORING_WEBHOOK_SECRETS_DIR": str(tmp_path), "MOORING_WEBHOOK_GITHUB_SECRET": "new\n"}
    )
    assert found.secrets == {
        "github": (Secret(b"new"), Secret(b"old"), Secret(b"shops own", "https://github.com/acme/shop")),
        "azure-devops": (Secret(b"user:password"),),
    }


def test_a_file_that_belongs_to_no_host_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gihub").write_text("x")
    with pytest.raises(Refused, match="gihub"):
        WebSettings.from_env({"MOORING_WEBHOOK_SECRETS_DIR": str(tmp_path)})


def test_secrets_are_not_shown() -> None:
    found = WebSettings.from_env(
        {"MOORING_WEBHOOK_GITHUB_SECRET": "s3cret", "MOORING_REDIS_URL": "redis://:passw0rd@redis"}
    )
    assert "s3cret" not in repr(found) and "s3cret" not in repr(found.secrets)
    assert "passw0rd" not in repr(found)


def test_every_setting_documents_itself() -> None:
    for setting, _ in settings():
        assert setting.env.startswith("MOORING_") and len(setting.doc) > 20
    assert len({secret_variable(host) for host in HOSTS}) == len(HOSTS)

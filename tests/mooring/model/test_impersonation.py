"""Which service account writes for an app, rule by rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mooring.errors import Refused
from mooring.model.impersonation import SETTING, ServiceAccount, service_account, turned_off
from mooring.model.project import AppProject, Cluster

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "service_accounts.yaml").read_text())


def _project(rules: list[list[str]]) -> AppProject:
    named = [
        {"server": server, "namespace": namespace, "defaultServiceAccount": account}
        for server, namespace, account in rules
    ]
    return AppProject.parse(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "AppProject",
            "metadata": {"name": "shop"},
            "spec": {"destinationServiceAccounts": named},
        }
    )


def _config(case: dict[str, Any]) -> dict[str, str]:
    return {SETTING: case["setting"]} if "setting" in case else {}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_first_entry_that_fits_says_who_writes(case: dict[str, Any]) -> None:
    project, (*servers, namespace) = _project(case["rules"]), case["to"]
    cluster, home = Cluster(tuple(servers)), case.get("home", "argocd")
    if "refused" in case:
        with pytest.raises(Refused) as told:
            service_account(project, cluster, namespace, home, _config(case))
        assert case["refused"] in str(told.value)
        assert "\n" not in str(told.value)
        assert told.value.condition == "InvalidSpecError"
        return
    found = service_account(project, cluster, namespace, home, _config(case))
    assert (str(found) if found else "") == case["acts"]


def test_a_service_account_is_a_user_of_kubernetes_and_back() -> None:
    account = ServiceAccount("shop", "deployer")
    assert account.user == "system:serviceaccount:shop:deployer"
    assert ServiceAccount.of_user(account.user) == account
    assert ServiceAccount.of_user("bob") is None


def test_who_is_not_heeded_is_told_of() -> None:
    named = _project([["*", "*", "deployer"]])
    assert turned_off(named, {}) == turned_off(named, {SETTING: "true"}) == ""
    assert turned_off(_project([]), {SETTING: "false"}) == ""
    assert "project shop: spec.destinationServiceAccounts is not heeded" in turned_off(
        named, {SETTING: "false"}
    )

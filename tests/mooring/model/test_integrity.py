"""Whose signature a project wants, and what it says of that makes no sense."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.model.integrity import key_of
from mooring.model.project import AppProject
from mooring.model.support import unsupported_project

ALICE, BOB = "4AEE18F83AFDEB23", "07E34825A909B250"
SSH = "SHA256:uABEgKHbaiIw6z7BGuWAXl8IJ2SFg/7KsKtjj4fM1zc"


def project(**spec: Any) -> AppProject:
    head = {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "shop"}}
    return AppProject.parse({**head, "spec": spec})


def policy(*repos: str, mode: str = "head", keys: tuple[str, ...] = (ALICE,)) -> dict[str, Any]:
    return {"repos": [{"url": url} for url in repos], "gpg": {"mode": mode, "keys": [*keys]}}


def integrity(*policies: dict[str, Any], **more: Any) -> AppProject:
    return project(sourceIntegrity={"git": {"policies": [*policies]}}, **more)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (ALICE, ALICE),
        ("0x4aee18f83afdeb23", ALICE),
        ("5DE3 E050 9C47 EA3C F04A 42D3 4AEE 18F8 3AFD EB23", "5DE3E0509C47EA3CF04A42D34AEE18F83AFDEB23"),
        (SSH, SSH),
        ("3AFDEB23", ""),
        ("SHA256:short", ""),
        ("", ""),
    ],
)
def test_a_key_is_named_by_a_whole_id_or_fingerprint(text: str, key: str) -> None:
    assert key_of(text) == key
    told = [str(one) for one in unsupported_project(project(signatureKeys=[{"keyID": text}])) if one.blocks]
    assert told == ([] if key else [f"AppProject shop: spec.signatureKeys[0]: {text!r} {_NO_KEY}"])


_NO_KEY = "names no key: give a GPG key by 16 or 40 hexadecimal digits, or an SSH key by SHA256:…"


def test_signature_keys_are_about_every_repository() -> None:
    found = project(signatureKeys=[{"keyID": ALICE}, {"keyID": SSH}])
    assert found.signers("https://git.example.org/a/b") == frozenset({ALICE, SSH})
    assert found.asks_signatures
    assert project().signers("https://git.example.org/a/b") is None
    assert not project().asks_signatures


def test_of_several_policies_the_first_that_is_about_a_repository_counts() -> None:
    found = integrity(
        policy("https://github.com/shop/secure", keys=(ALICE, BOB)),
        policy("https://github.com/shop/free", mode="none"),
        policy("https://github.com/*", "!https://github.com/other/*", keys=(BOB,)),
    )
    assert found.signers("https://github.com/shop/secure") == frozenset({ALICE, BOB})
    assert found.signers("git@github.com:Shop/secure.git") == frozenset({ALICE, BOB})
    assert found.signers("https://github.com/shop/free") is None
    assert found.signers("https://github.com/shop/web") == frozenset({BOB})
    assert found.signers("https://github.com/other/web") is None
    assert found.signers("https://git.example.org/a") is None
    assert integrity(policy("*")).signers("https://git.example.org/a/b/c") == frozenset({ALICE})
    assert not [one for one in unsupported_project(found) if one.blocks]


@pytest.mark.parametrize(
    ("found", "path"),
    [
        (integrity(policy("*", mode="strict")), "sourceIntegrity.git.policies[0].gpg.mode"),
        (
            integrity(policy("a", mode="none"), policy("*", mode="hed")),
            "sourceIntegrity.git.policies[1].gpg.mode",
        ),
        (integrity({"repos": [{"url": "*"}]}), "sourceIntegrity.git.policies[0].gpg"),
        (integrity(policy("*", keys=(ALICE, "swordfish"))), "sourceIntegrity.git.policies[0].gpg.keys[1]"),
        (integrity(policy("*"), signatureKeys=[{"keyID": ALICE}]), "sourceIntegrity"),
        (
            project(sourceIntegrity={"helm": {"policies": [{"repos": [], "provenance": {"keys": [ALICE]}}]}}),
            "sourceIntegrity.helm",
        ),
    ],
)
def test_what_is_not_done_or_makes_no_sense_blocks_and_is_named(found: AppProject, path: str) -> None:
    ((told, blocks),) = [(one.path, one.blocks) for one in unsupported_project(found) if one.blocks]
    assert (told, blocks) == (f"AppProject shop: spec.{path}", True)


@pytest.mark.parametrize("mode", ["strict", "hed"])
def test_a_policy_that_is_not_understood_is_kept_by_no_signature(mode: str) -> None:
    assert integrity(policy("*", mode=mode)).signers("https://git.example.org/a") == frozenset()


def test_a_field_of_a_project_that_nobody_knows_blocks() -> None:
    ((told, blocks),) = [(one.path, one.blocks) for one in unsupported_project(project(sourceIntegritee={}))]
    assert (told, blocks) == ("AppProject shop: spec.sourceIntegritee", True)

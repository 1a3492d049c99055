"""Whose signature makes a commit one that a project's apps may deploy.

https://argo-cd.readthedocs.io/en/latest/user-guide/source-integrity-git-gpg/
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

from mooring import repourl
from mooring.model.globs import glob
from mooring.model.part import Part

# Of GPG 8 digits name too many keys: https://www.rfc-editor.org/rfc/rfc9580#name-key-ids-and-fingerprints
_GPG_KEY: Final = re.compile(r"[0-9A-F]{16}|[0-9A-F]{40}|[0-9A-F]{64}")
_SSH_KEY: Final = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_NO_KEY: Final = "names no key: give a GPG key by 16 or 40 hexadecimal digits, or an SSH key by SHA256:…"
_NONE, _HEAD, _STRICT = "none", "head", "strict"


class SignatureKey(Part):
    """A key of GPG, as in Argo CD, or of SSH."""

    key_id: str


class PolicyRepo(Part):
    url: str


class GpgPolicy(Part):
    """`mode`: `none`, `head` (the commit or the tag that is deployed) or `strict` (all before it, too)."""

    mode: str
    keys: tuple[str, ...] = ()


class GitPolicy(Part):
    """What holds for the Git repositories that match one of the patterns, and none that begins with `!`."""

    repos: tuple[PolicyRepo, ...] = ()
    gpg: GpgPolicy | None = None

    def covers(self, url: str) -> bool:
        """Whether it is about this repository, in any of its spellings. `*` goes over a `/` here."""
        wanted = repourl.normalise(url)
        found = {
            repo.url.startswith("!") for repo in self.repos if _matches(repo.url.removeprefix("!"), wanted)
        }
        return found == {False}


class GitIntegrity(Part):
    policies: tuple[GitPolicy, ...] = ()


class Provenance(Part):
    keys: tuple[str, ...] = ()


class HelmPolicy(Part):
    repos: tuple[PolicyRepo, ...] = ()
    provenance: Provenance | None = None


class HelmIntegrity(Part):
    policies: tuple[HelmPolicy, ...] = ()


class SourceIntegrity(Part):
    """What sources must be for a project to deploy them: `signatureKeys` of Argo CD 3.5, by repository."""

    git: GitIntegrity | None = None
    helm: HelmIntegrity | None = None


def key_of(text: str) -> str:
    """A key as it is compared: a GPG key's id or fingerprint in capitals, an SSH key's `SHA256:…`; "" where
    the text names no key."""
    text = text.strip()
    if _SSH_KEY.fullmatch(text):
        return text
    digits = text.replace(" ", "").removeprefix("0x").upper()
    return digits if _GPG_KEY.fullmatch(digits) else ""


def signers(
    keys: Collection[SignatureKey], integrity: SourceIntegrity | None, url: str
) -> frozenset[str] | None:
    """The keys of which one must have signed what is deployed from the repository; None where none need have.

    Of several policies the first that is about the repository counts. One that makes no sense has no keys,
    and so nothing is signed by one of them.
    """
    if keys:
        return frozenset(key_of(key.key_id) for key in keys) - {""}
    policies = integrity.git.policies if integrity is not None and integrity.git is not None else ()
    for policy in policies:
        if policy.covers(url):
            if policy.gpg is not None and policy.gpg.mode == _NONE:
                return None
            known = policy.gpg.keys if policy.gpg is not None and policy.gpg.mode == _HEAD else ()
            return frozenset(map(key_of, known)) - {""}
    return None


def mistakes(keys: Collection[SignatureKey], integrity: SourceIntegrity | None) -> Iterator[tuple[str, str]]:
    """Where in a project's spec something stands that is not done or makes no sense, and what is wrong."""
    for number, key in enumerate(keys):
        if not key_of(key.key_id):
            yield f"signatureKeys[{number}]", f"{key.key_id!r} {_NO_KEY}"
    if integrity is None:
        return
    if keys:
        yield "sourceIntegrity", "cannot be together with signatureKeys: leave one of them out"
    if integrity.helm is not None and integrity.helm.policies:
        yield "sourceIntegrity.helm", "the provenance of charts is not checked yet: leave it out"
    for number, policy in enumerate(integrity.git.policies if integrity.git is not None else ()):
        path = f"sourceIntegrity.git.policies[{number}].gpg"
        if policy.gpg is None:
            yield path, "is missing: say there what must be signed, and by whom"
            continue
        if policy.gpg.mode == _STRICT:
            yield (
                f"{path}.mode",
                "strict is not done yet: head checks what is deployed, and not what was before it",
            )
        elif policy.gpg.mode not in (_NONE, _HEAD):
            yield f"{path}.mode", f"{policy.gpg.mode!r} is none of {_NONE}, {_HEAD}, {_STRICT}"
        for place, text in enumerate(policy.gpg.keys):
            if not key_of(text):
                yield f"{path}.keys[{place}]", f"{text!r} {_NO_KEY}"


def _matches(pattern: str, wanted: str) -> bool:
    return pattern == "*" or glob(repourl.normalise(pattern)).fullmatch(wanted) is not None

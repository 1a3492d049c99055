"""Commits and tags, really signed and fetched: what counts as signed by one of a project's keys."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from devcluster.gitserver import GitServer, Repository
from mooring.errors import Refused
from mooring.settings import Settings
from tests.signing import Keyring, Signer, ssh_signer
from workers.git.credentials import Credential
from workers.git.mirror import Mirror, checkout
from workers.signatures.check import _why_not, why_not_signed
from workers.signatures.keys import Keys
from workers.signatures.signed import of_commit


@pytest.fixture(scope="module")
def ring() -> Iterator[Keyring]:
    with Keyring() as found:
        yield found


@pytest.fixture(scope="module")
def alice(ring: Keyring) -> Signer:
    return ring.signer("alice")


@pytest.fixture(scope="module")
def mallory(ring: Keyring) -> Signer:
    return ring.signer("mallory")


@pytest.fixture(scope="module")
def bob(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return ssh_signer(tmp_path_factory.mktemp("bob"), "bob")


class Desk:
    """A repository on a host, its mirror here, and the question."""

    def __init__(self, server: GitServer, directory: Path) -> None:
        self.server = server
        self.repo = server.create("team/app")
        self.settings = Settings(state_dir=str(directory / "state"))
        self.mirror = Mirror.open(directory / "mirrors", self.repo.url, Credential())

    def why_not(self, keys: Keys, *wanted: str, revision: str = "main", named: str | None = None) -> str:
        """Of what the host says that `revision` is now."""
        commit = checkout(self.mirror, revision).commit
        judge = partial(_why_not, keys=keys, wanted=frozenset(wanted), settings=self.settings, hour=0)
        return why_not_signed(self.mirror, commit, revision if named is None else named, revision, judge, 30)

    def pushed(self, text: str = "1") -> str:
        return self.repo.commit({"a.yaml": text})


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with GitServer() as server:
        yield Desk(server, tmp_path)


def gpg(ring: Keyring, *signers: Signer) -> Keys:
    return Keys(tuple((signer.primary, ring.public(signer)) for signer in signers))


def ssh(signer: Signer, options: str = "") -> Keys:
    return Keys((), f"# who may sign\n{signer.name}@example.org {options} {signer.public}\n")


# --- GPG ------------------------------------------------------------------------------------------


def test_a_commit_that_a_listed_gpg_key_has_signed_counts(desk: Desk, ring: Keyring, alice: Signer) -> None:
    alice.commit(desk.repo, desk.pushed())
    assert desk.why_not(gpg(ring, alice), alice.key) == ""
    fingerprint = next(line for line in ring._fingerprints("alice"))
    assert desk.why_not(gpg(ring, alice), fingerprint) == ""


def test_a_commit_that_nobody_has_signed_does_not(desk: Desk, ring: Keyring, alice: Signer) -> None:
    desk.pushed()
    assert desk.why_not(gpg(ring, alice), alice.key) == "is not signed"
    # Nor does a signature below it.
    alice.commit(desk.repo, desk.pushed("2"))
    desk.pushed("3")
    assert desk.why_not(gpg(ring, alice), alice.key) == "is not signed"


def test_a_key_that_is_not_there_or_not_listed_does_not_count(
    desk: Desk, ring: Keyring, alice: Signer, mallory: Signer
) -> None:
    mallory.commit(desk.repo, desk.pushed())
    told = desk.why_not(gpg(ring, alice), alice.key, mallory.key)
    assert told == (
        f"is not trusted: it is signed by GPG key {mallory.key}, which ConfigMap argocd-gpg-keys-cm does not "
        "have"
    )
    told = desk.why_not(gpg(ring, alice, mallory), alice.key)
    assert told == (f"is not trusted: it is signed by GPG key {mallory.key}, which the project does not list")
    assert desk.why_not(Keys(), alice.key)


def test_a_signature_of_something_else_does_not_count(desk: Desk, ring: Keyring, alice: Signer) -> None:
    """Somebody takes a signature off one commit and puts it on another."""
    good = alice.commit(desk.repo, desk.pushed())
    bad = desk.pushed("evil")
    signed = _raw(desk.repo, good).decode()
    header = signed[signed.index("gpgsig ") : signed.index("\n\n")]
    forged = _raw(desk.repo, bad).decode().replace("\n\n", f"\n{header}\n\n", 1)
    desk.repo.point("refs/heads/main", _write(desk.repo, "commit", forged.encode()))
    assert desk.why_not(gpg(ring, alice), alice.key) == (
        f"is not trusted: its signature by GPG key {alice.key} is not of these contents"
    )


def test_a_key_that_has_expired_does_not_count(desk: Desk, ring: Keyring) -> None:
    old = ring.signer("old", made="20200101T000000", expires="2020-06-01")
    old.commit(desk.repo, desk.pushed())
    assert desk.why_not(gpg(ring, old), old.key) == (
        f"is not trusted: it is signed by GPG key {old.key}, which has expired"
    )


def test_a_key_that_was_revoked_does_not_count(desk: Desk, ring: Keyring) -> None:
    lost = ring.signer("lost")
    lost.commit(desk.repo, desk.pushed())
    assert desk.why_not(gpg(ring, lost), lost.key) == ""
    fingerprint = ring._fingerprints("lost")[0]
    revocation = (ring.home / "openpgp-revocs.d" / f"{fingerprint}.rev").read_text()
    ring.gpg("--import", given=revocation[revocation.index(":-----") + 1 :].encode())
    assert desk.why_not(gpg(ring, lost), lost.key) == (
        f"is not trusted: it is signed by GPG key {lost.key}, which was revoked"
    )


def test_a_primary_key_stands_for_its_subkeys(desk: Desk, ring: Keyring) -> None:
    carol = ring.signer("carol", subkey=True)
    assert carol.key != carol.primary
    carol.commit(desk.repo, desk.pushed())
    assert desk.why_not(gpg(ring, carol), carol.primary) == ""
    assert desk.why_not(gpg(ring, carol), carol.key) == ""


def test_an_entry_that_is_no_key_is_named(desk: Desk, alice: Signer) -> None:
    alice.commit(desk.repo, desk.pushed())
    for text in (
        "",
        "swordfish",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!!\n-----END PGP PUBLIC KEY BLOCK-----",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n…\n-----END PGP PUBLIC KEY BLOCK-----",
    ):
        with pytest.raises(
            Refused, match=r"argocd-gpg-keys-cm: 4AEE18F83AFDEB23 is no armoured GPG public key"
        ):
            desk.why_not(Keys((("4AEE18F83AFDEB23", text),)), alice.key)


# --- SSH ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_commit_that_a_listed_ssh_key_has_signed_counts(desk: Desk, tmp_path: Path, kind: str) -> None:
    dave = ssh_signer(tmp_path, "dave", kind=kind)
    dave.commit(desk.repo, desk.pushed())
    assert desk.why_not(ssh(dave), dave.key) == ""
    assert desk.why_not(ssh(dave, 'namespaces="git"'), dave.key) == ""


def test_an_ssh_key_counts_only_where_both_lists_have_it(desk: Desk, tmp_path: Path, bob: Signer) -> None:
    bob.commit(desk.repo, desk.pushed())
    other = ssh_signer(tmp_path, "other")
    told = desk.why_not(ssh(other), bob.key)
    assert told == (
        f"is not trusted: it is signed by SSH key {bob.key}, for which allowed_signers in ConfigMap "
        "mooring-ssh-signers-cm has no line that is valid now"
    )
    told = desk.why_not(ssh(bob), other.key)
    assert told == f"is not trusted: it is signed by SSH key {bob.key}, which the project does not list"
    assert "no line that is valid now" in desk.why_not(Keys(), bob.key)


def test_an_ssh_key_that_has_expired_or_may_sign_files_only_does_not_count(desk: Desk, bob: Signer) -> None:
    bob.commit(desk.repo, desk.pushed())
    assert "no line that is valid now" in desk.why_not(ssh(bob, 'valid-before="20200101"'), bob.key)
    assert "that key may not sign for Git" in desk.why_not(ssh(bob, 'namespaces="file"'), bob.key)


def test_an_ssh_signature_of_something_else_does_not_count(desk: Desk, bob: Signer) -> None:
    good = bob.commit(desk.repo, desk.pushed())
    forged = _raw(desk.repo, good).replace(b"\n\nsigned\n", b"\n\nsigned, and more\n")
    desk.repo.point("refs/heads/main", _write(desk.repo, "commit", forged))
    assert "is not of these contents" in desk.why_not(ssh(bob), bob.key)


# --- tags -----------------------------------------------------------------------------------------


def test_of_an_annotated_tag_its_own_signature_counts(
    desk: Desk, ring: Keyring, alice: Signer, mallory: Signer, bob: Signer
) -> None:
    keys = Keys(gpg(ring, alice, mallory).gpg, ssh(bob).ssh)
    commit = desk.pushed()
    alice.tag(desk.repo, "v1", commit)
    assert desk.why_not(keys, alice.key, revision="v1") == ""
    assert desk.why_not(keys, alice.key, revision="1.*") == ""
    assert desk.why_not(keys, alice.key) == "is not signed"  # as a branch

    bob.tag(desk.repo, "v2", commit)
    assert desk.why_not(keys, bob.key, revision="refs/tags/v2") == ""
    assert "the project does not list" in desk.why_not(keys, alice.key, revision="v2")

    # A commit that is signed does not help a tag that is not.
    signed = mallory.commit(desk.repo, desk.pushed("2"))
    assert desk.why_not(keys, mallory.key) == ""
    alice.tag(desk.repo, "v3", signed)
    assert "tag v3" in desk.why_not(keys, mallory.key, revision="v3")


def test_of_a_plain_tag_the_signature_of_the_commit_counts(desk: Desk, ring: Keyring, alice: Signer) -> None:
    desk.repo.point("refs/tags/v1", desk.pushed())
    assert desk.why_not(gpg(ring, alice), alice.key, revision="v1") == "is not signed"
    desk.repo.point("refs/tags/v2", alice.commit(desk.repo, desk.pushed("2")))
    assert desk.why_not(gpg(ring, alice), alice.key, revision="v2") == ""


def test_a_tag_that_is_signed_later_counts_from_then_on(
    desk: Desk, ring: Keyring, alice: Signer, mallory: Signer
) -> None:
    keys, commit = gpg(ring, alice, mallory), desk.pushed()
    mallory.tag(desk.repo, "v1", commit)
    assert "tag v1" in desk.why_not(keys, alice.key, revision="v1")
    alice.tag(desk.repo, "v1", commit)
    assert desk.why_not(keys, alice.key, revision="v1") == ""


def test_a_tag_speaks_for_the_commit_that_an_operation_names(
    desk: Desk, ring: Keyring, alice: Signer
) -> None:
    commit = desk.pushed()
    alice.tag(desk.repo, "v1", commit)
    assert desk.why_not(gpg(ring, alice), alice.key, revision="v1", named=commit) == ""


def test_what_was_found_signed_is_known_without_its_host(desk: Desk, ring: Keyring, alice: Signer) -> None:
    alice.tag(desk.repo, "v1", desk.pushed())
    alice.commit(desk.repo, desk.pushed("2"))
    for revision in ("v1", "main"):
        assert desk.why_not(gpg(ring, alice), alice.key, revision=revision) == ""
    commits = {name: desk.repo.resolve(name) or "" for name in ("v1", "main")}
    desk.server.requests.clear()
    assert desk.mirror.tag_of("v1", commits["v1"])
    assert desk.mirror.tag_of("main", commits["main"]) == ""
    assert desk.mirror.tag_of(commits["main"], commits["main"]) == ""
    assert not desk.server.requests


def test_what_was_found_out_is_remembered_for_an_hour_and_as_long_as_the_keys_are_the_same(
    desk: Desk, ring: Keyring, alice: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice.commit(desk.repo, desk.pushed())
    signed = of_commit(desk.mirror.tree.object(checkout(desk.mirror, "main").commit)[1])
    keys = gpg(ring, alice)
    ask = partial(_why_not, signed, wanted=frozenset({alice.key}), settings=desk.settings)
    assert ask(keys=keys, hour=0) == ""
    monkeypatch.setenv("PATH", "")  # from here on nobody can be asked
    assert ask(keys=Keys(keys.gpg), hour=0) == ""
    for other, hour in ((keys, 1), (Keys(), 0)):
        with pytest.raises(Refused, match="gpgv is not on PATH"):
            ask(keys=other, hour=hour)


# --- what is signed -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"gpgsig x\ntree 0\n\nm",  # the tree that is deployed would not be among what was signed
        b"tree 0\ngpgsig a\ngpgsig b\n\nm",
        b"",
        b"parent 0\n\ntree 0",
    ],
)
def test_a_commit_of_which_it_is_not_clear_what_was_signed_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not those of a commit"):
        of_commit(data)


def test_all_of_a_commit_is_signed_but_for_its_signature() -> None:
    head = b"tree 0\nparent 1\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n x\nmergetag object 2\n type commit"
    data = head + b"\n\nm\n\ngpgsig y\n"
    signed = of_commit(data)
    assert signed.payload == b"tree 0\nparent 1\nmergetag object 2\n type commit\n\nm\n\ngpgsig y\n"
    assert (signed.signature, signed.by) == (b"-----BEGIN PGP SIGNATURE-----\n\nx\n", "gpg")
    assert of_commit(b"tree 0\n\nm").by == ""
    assert of_commit(b"tree 0\ngpgsig hello\n\nm").by == "something else"


def _raw(repo: Repository, commit: str) -> bytes:
    return repo._git("cat-file", "commit", commit).encode() + b"\n"


def _write(repo: Repository, kind: str, data: bytes) -> str:
    return repo._git("hash-object", "-t", kind, "-w", "--stdin", given=data)

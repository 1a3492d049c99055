"""One repository has many spellings, and two repositories never share one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.errors import Refused
from mooring.repourl import check_repo_url, masked, normalise, same_repository

_SLUG = st.from_regex(r"[a-z0-9][a-z0-9-]{0,8}[a-z0-9]", fullmatch=True)
_HOST = st.sampled_from(["github.com", "gitlab.com", "git.example.org", "forge.internal"])
_PATH = st.lists(_SLUG, min_size=2, max_size=4).map("/".join)
_SPELLINGS = (
    "https://{host}/{path}",
    "https://{host}/{path}.git",
    "https://{host}/{path}/",
    "https://{host}:443/{path}.git/",
    "HTTPS://{HOST}/{path}.git",
    "http://{host}:80/{path}",
    "https://x-token:s3cr3t@{host}/{path}.git",
    "git@{host}:{path}.git",
    "git@{HOST}:{path}",
    "{host}:{path}.git",
    "ssh://git@{host}/{path}.git",
    "ssh://git@{host}:22/{path}",
    "git+ssh://git@{host}/{path}.git",
    "git://{host}/{path}.git",
    "https://{host}./{path}",
    "https://{host}//{path}",
)


def _spell(form: str, host: str, path: str) -> str:
    return form.format(host=host, HOST=host.upper(), path=path)


@given(_HOST, _PATH, st.sampled_from(_SPELLINGS), st.sampled_from(_SPELLINGS))
def test_every_spelling_of_a_repository_is_the_same_repository(host: str, path: str, a: str, b: str) -> None:
    assert same_repository(_spell(a, host, path), _spell(b, host, path))


@given(
    st.tuples(_HOST, _PATH), st.tuples(_HOST, _PATH), st.sampled_from(_SPELLINGS), st.sampled_from(_SPELLINGS)
)
def test_different_repositories_differ(one: tuple[str, str], other: tuple[str, str], a: str, b: str) -> None:
    assert same_repository(_spell(a, *one), _spell(b, *other)) is (one == other)


@given(
    st.text() | st.builds("{}://{}/{}".format, st.sampled_from(["https", "ssh", "x"]), st.text(), st.text())
)
def test_whatever_is_sent_has_a_normal_form_that_stays(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(_HOST, _PATH, st.sampled_from(_SPELLINGS))
def test_the_normal_form_stays_for_ordinary_urls(host: str, path: str, form: str) -> None:
    once = normalise(_spell(form, host, path))
    assert once == normalise(once) == f"https://{host}/{path}"


def test_case_of_the_path_counts_only_where_the_host_counts_it() -> None:
    assert same_repository("https://github.com/Org/Repo", "git@github.com:org/repo.git")
    assert not same_repository("https://git.example.org/Org/Repo", "git@git.example.org:org/repo.git")


@pytest.mark.parametrize(
    "url",
    [
        "https://dev.azure.com/acme/shop/_git/web",
        "https://acme@dev.azure.com/acme/shop/_git/web",
        "git@ssh.dev.azure.com:v3/acme/shop/web",
        "https://acme.visualstudio.com/shop/_git/web",
        "https://acme.visualstudio.com/DefaultCollection/shop/_git/web",
        "acme@vs-ssh.visualstudio.com:v3/acme/shop/web",
        "ssh://git@ssh.dev.azure.com:22/v3/Acme/Shop/Web",
    ],
)
def test_azure_devops_has_one_repository_under_all_its_spellings(url: str) -> None:
    assert normalise(url) == "https://dev.azure.com/acme/shop/_git/web"


def test_azure_devops_leaves_a_project_of_the_same_name_out() -> None:
    assert same_repository("https://dev.azure.com/acme/_git/web", "git@ssh.dev.azure.com:v3/acme/web/web")
    assert same_repository(
        "https://dev.azure.com/acme/My%20Shop/_git/web", "https://dev.azure.com/acme/My Shop/_git/web"
    )


def test_ssh_over_the_https_port_is_the_same_repository() -> None:
    assert same_repository("ssh://git@ssh.github.com:443/acme/shop.git", "https://github.com/acme/shop")


def test_another_port_is_another_server() -> None:
    assert not same_repository("https://git.example.org:8443/a/b", "https://git.example.org/a/b")
    assert not same_repository("ssh://git@git.example.org:2222/a/b", "https://git.example.org:2222/a/b")


def test_dot_segments_do_not_step_out_of_a_pattern() -> None:
    assert normalise("https://git.example.org/team/../other/repo") == "https://git.example.org/other/repo"
    assert normalise("https://git.example.org/team/%2e%2e/other") == "https://git.example.org/other"


def test_nested_groups_keep_their_depth() -> None:
    assert (
        normalise("git@gitlab.com:acme/platform/shop/web.git") == "https://gitlab.com/acme/platform/shop/web"
    )


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:s3cr3t@git.example.org/a/b.git", "https://git.example.org/a/b.git"),
        ("https://s3cr3t@git.example.org/a/b.git", "https://git.example.org/a/b.git"),
        ("https://user:s3cr3t/x@git.example.org/a", "https://git.example.org/a"),
        ("https://user:s3@cr3t@git.example.org/a", "https://git.example.org/a"),
        ("https://git.example.org/a?private_token=s3cr3t", "https://git.example.org/a"),
        ("ssh://git:s3cr3t@git.example.org:2222/a", "ssh://git@git.example.org:2222/a"),
        ("git@git.example.org:a/b.git", "git@git.example.org:a/b.git"),
        ("git:s3cr3t@git.example.org:a/b", "git.example.org:a/b"),
    ],
)
def test_a_shown_url_has_no_credentials(url: str, shown: str) -> None:
    assert masked(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "",
        " https://github.com/a/b",
        "--upload-pack=touch /tmp/x",
        "-u",
        "ssh://-oProxyCommand=touch/a/b",
        "ssh://-oProxyCommand=x@host/a",
        "-oProxyCommand=x:path",
        "git@-oProxyCommand=x:path",
        "git@host:-path",
        "ext::sh -c touch% /tmp/x",
        "fd::17",
        "https://github.com/a/b\n--x",
        "https://github.com/a\x00b",
        "ftp://host/a",
        "oci://registry/a",
        "https:///a/b",
        "https://github.com",
        "./relative",
        "just-a-word",
        "file://host/srv/a",
    ],
)
def test_what_git_could_misunderstand_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        check_repo_url(url, allow_file=True)


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/a/b.git",
        "http://127.0.0.1:8080/a.git",
        "git@github.com:a/b",
        "ssh://git@[::1]:22/a",
        "git://host/a",
    ],
)
def test_ordinary_urls_are_taken(url: str) -> None:
    check_repo_url(url, allow_file=False)


@pytest.mark.parametrize("url", ["file:///srv/a.git", "/srv/a.git"])
def test_paths_of_this_machine_need_the_setting(url: str) -> None:
    check_repo_url(url, allow_file=True)
    with pytest.raises(Refused, match="MOORING_GIT_ALLOW_FILE"):
        check_repo_url(url, allow_file=False)


def test_a_refusal_does_not_show_the_password() -> None:
    with pytest.raises(Refused) as refused:
        check_repo_url("ftp://user:s3cr3t@host/a", allow_file=False)
    assert "s3cr3t" not in str(refused.value)

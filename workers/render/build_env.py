"""The build environment: what of the Application its parameters may name, as in `$ARGOCD_APP_NAME`.

https://argo-cd.readthedocs.io/en/stable/user-guide/build-environment/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from mooring.repourl import masked
from workers.render.source import Capabilities, Job

# What a commit's own id can be told by.
_REVISION: Final = ("ARGOCD_APP_REVISION", "ARGOCD_APP_REVISION_SHORT", "ARGOCD_APP_REVISION_SHORT_8")
_OF_CLUSTER: Final = ("KUBE_VERSION", "KUBE_API_VERSIONS")
# The syntax of Go's os.Expand, which Argo CD uses: `${` that is never closed and `${}` are swallowed, a `$`
# before anything else stays. https://pkg.go.dev/os#Expand
_NAMED: Final = re.compile(r"\$(?:\{([^}]*)\}|([*#$@!?0-9-]|[A-Za-z_][A-Za-z0-9_]*))")
_UNCLOSED: Final = re.compile(r"\$(?:(\{)|([*#$@!?0-9-]|[A-Za-z_][A-Za-z0-9_]*))")
_VERSION: Final = re.compile(r"v?(\d+(?:\.\d+)*)")


class BuildEnv(Mapping[str, str]):
    """Values by name. The cluster is asked only once one of those it knows is wanted."""

    def __init__(self, told: Mapping[str, str], capabilities: Callable[[], Capabilities]) -> None:
        self._told = told
        self._capabilities = capabilities

    def __getitem__(self, name: str) -> str:
        if name == "KUBE_VERSION":
            number = _VERSION.match(self._capabilities().kube_version)
            return number[1] if number else ""
        if name == "KUBE_API_VERSIONS":
            return ",".join(self._capabilities().api_versions)
        return self._told[name]

    def __iter__(self) -> Iterator[str]:
        yield from (*self._told, *_OF_CLUSTER)

    def __contains__(self, name: object) -> bool:
        return name in self._told or name in _OF_CLUSTER

    def __len__(self) -> int:
        return len(self._told) + len(_OF_CLUSTER)


def build_env(job: Job) -> BuildEnv:
    """What the parameters of `job` may name. A password in the repository's URL is not among it."""
    source, revision = job.source, job.files.commit
    told = {
        "ARGOCD_APP_NAME": job.app.name,
        "ARGOCD_APP_NAMESPACE": job.app.to_namespace,
        "ARGOCD_APP_PROJECT_NAME": job.app.project,
        **dict(zip(_REVISION, (revision, revision[:7], revision[:8]), strict=True)),
        "ARGOCD_APP_SOURCE_PATH": source.path,
        "ARGOCD_APP_SOURCE_REPO_URL": masked(source.repo_url),
        "ARGOCD_APP_SOURCE_TARGET_REVISION": source.target_revision,
    }
    return BuildEnv(told, job.parameters.capabilities)


def substitute(text: str, env: Mapping[str, str]) -> str:
    """`text` with each `$NAME` and `${NAME}` replaced: `$$` by a dollar, what `env` has not by nothing."""
    return _expanded(text, lambda name: "$" if name == "$" else env.get(name, ""))


def names_revision(texts: Iterable[str]) -> bool:
    """Whether one of `texts`, substituted, can be another text at another commit.

    Whoever substitutes it then has the commit among the inputs of the render: each commit is another render.
    """
    told = dict.fromkeys(_REVISION, "1")
    return any(substitute(text, told) != substitute(text, {}) for text in texts)


def _expanded(text: str, value: Callable[[str], str]) -> str:
    # Past the last `}` nothing closes: looked for at each `${` there, it would take time without end.
    closed = text.rfind("}") + 1
    return _NAMED.sub(lambda match: _value(match[1] or match[2], value), text[:closed]) + _UNCLOSED.sub(
        lambda match: _value(match[2], value), text[closed:]
    )


def _value(name: str | None, value: Callable[[str], str]) -> str:
    return value(name) if name else ""

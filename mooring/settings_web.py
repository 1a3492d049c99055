"""The web tier's settings: all it is ever told. Nothing else in its environment is looked at.

Each field names its variable and documents itself, so that `docs/` is generated from here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from mooring.errors import Refused
from mooring.redis_url import redis_url

HOSTS: Final = ("github", "gitlab", "gitea", "gogs", "bitbucket", "bitbucket-server", "azure-devops")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Secret:
    """A webhook secret. With a `repository` it vouches for that repository only."""

    value: bytes = field(repr=False)
    repository: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """How a field is read from the environment. `read` raises ValueError saying what it wants."""

    env: str
    doc: str
    read: Callable[[str], Any]


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError("a number above 0")
    return number


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(part) for part in _listed(text))


def _hosts(text: str) -> frozenset[str]:
    named = frozenset(_listed(text))
    if unknown := named - set(HOSTS):
        raise ValueError(f"{', '.join(sorted(unknown))} is none of {', '.join(HOSTS)}")
    return named


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _setting(env: str, read: Callable[[str], Any], doc: str, **default: Any) -> Any:
    return field(metadata={"setting": Setting(env, " ".join(doc.split()), read)}, **default)


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Everything the web tier knows. It holds webhook secrets, and no Git or cluster credential."""

    redis_url: str = _setting(
        "MOORING_REDIS_URL",
        str,
        "Redis, as redis://, rediss:// or unix:// URL.",
        repr=False,
        default="redis://127.0.0.1:6379/0",
    )
    allow_unsigned: frozenset[str] = _setting(
        "MOORING_ALLOW_UNSIGNED",
        _hosts,
        """Hosts, separated by commas, whose deliveries are accepted without any proof as long as no
        secret is set for them.""",
        default=frozenset(),
    )
    max_body_bytes: int = _setting(
        "MOORING_MAX_BODY_BYTES",
        _positive,
        "The largest delivery accepted, in bytes. The default is GitHub's own limit.",
        default=25 * 1024 * 1024,
    )
    trusted_proxies: tuple[Network, ...] = _setting(
        "MOORING_TRUSTED_PROXIES",
        _networks,
        """Networks, as 10.0.0.0/8 and separated by commas, whose X-Forwarded-For is believed when
        failed verifications are counted per address.""",
        default=(),
    )
    metrics_address: str = _setting(
        "MOORING_METRICS_ADDRESS",
        str,
        """Where /metrics and /healthz of the processes are, as 0.0.0.0:9090; empty: nowhere. Never the
        address of the webhooks: metrics are for those who run Mooring.""",
        default="",
    )
    log_format: str = _setting(
        "MOORING_LOG_FORMAT",
        str,
        "`json`, `human`, or `auto`: human on a terminal, JSON elsewhere.",
        default="auto",
    )
    max_in_flight: int = _setting(
        "MOORING_MAX_IN_FLIGHT",
        _positive,
        """Deliveries that one web process receives at once; more are answered 503 with Retry-After.
        Bounds memory: each may hold MOORING_MAX_BODY_BYTES.""",
        default=32,
    )
    max_unfinished: int = _setting(
        "MOORING_MAX_UNFINISHED",
        _positive,
        "Unfinished deliveries at which new ones are answered 503 with Retry-After.",
        default=10_000,
    )
    max_failures_per_minute: int = _setting(
        "MOORING_MAX_FAILURES_PER_MINUTE",
        _positive,
        """Failed verifications a minute from one address after which further failed ones are answered
        429. Deliveries that verify are never held back.""",
        default=30,
    )
    secrets: Mapping[str, tuple[Secret, ...]] = field(default_factory=dict, repr=False)
    """Secrets by host. See `read_secrets` for where they come from."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> WebSettings:
        """The settings in `environ` (usually `os.environ`); what is unset or empty has its default.

        Raises Refused naming the variable that is wrong and what it wants.
        """
        values: dict[str, Any] = {"secrets": read_secrets(environ)}
        for setting, name in settings():
            text = environ.get(setting.env, "").strip()
            if not text:
                continue
            try:
                values[name] = setting.read(text)
            except ValueError as error:
                raise Refused(f"{setting.env} cannot be used: {error}") from error
        if url := redis_url(environ):
            values["redis_url"] = url
        return cls(**values)


def settings() -> tuple[tuple[Setting, str], ...]:
    """Each setting with the name of its field, in the order in which to document them."""
    return tuple((f.metadata["setting"], f.name) for f in fields(WebSettings) if "setting" in f.metadata)


def secret_variable(host: str) -> str:
    """The environment variable that holds the secrets of `host`."""
    return f"MOORING_WEBHOOK_{host.upper().replace('-', '_')}_SECRET"


SECRETS_DIR: Final = "MOORING_WEBHOOK_SECRETS_DIR"


def read_secrets(environ: Mapping[str, str]) -> dict[str, tuple[Secret, ...]]:
    """The webhook secrets by host: from `MOORING_WEBHOOK_<HOST>_SECRET` and from files.

    `MOORING_WEBHOOK_SECRETS_DIR` is a directory, as a Kubernetes Secret is mounted, with a file for
    each host, named as in its URL (`github`, `bitbucket-server`). Variable and file have the same form:
    one secret a line, all of them valid at once, so a secret is rotated by adding the new one, changing
    the host, and removing the old one. A line `<repository URL> <secret>` is good for that repository
    alone. For azure-devops a secret is `user:password`.

    Raises Refused for a variable or file that belongs to no host, and for a file that cannot be read.
    """
    found: dict[str, list[Secret]] = {}
    by_variable = {secret_variable(host): host for host in HOSTS}
    for name, text in environ.items():
        if name.startswith("MOORING_WEBHOOK_") and name.endswith("_SECRET"):
            if name not in by_variable:
                raise Refused(f"{name} belongs to no host: the names are {', '.join(by_variable)}")
            found.setdefault(by_variable[name], []).extend(_secrets(text.encode()))

    if directory := environ.get(SECRETS_DIR, "").strip():
        try:
            for file in sorted(Path(directory).iterdir()):
                if file.name.startswith(".") or file.is_dir():
                    continue  # a mounted Secret has ..data and the like beside its keys
                if file.name not in HOSTS:
                    raise Refused(
                        f"{file} belongs to no host: the names in {SECRETS_DIR} are {', '.join(HOSTS)}"
                    )
                found.setdefault(file.name, []).extend(_secrets(file.read_bytes()))
        except OSError as error:
            raise Refused(f"{SECRETS_DIR} cannot be read: {error}") from error
    return {host: tuple(secrets) for host, secrets in found.items() if secrets}


def _secrets(text: bytes) -> list[Secret]:
    secrets = []
    for line in text.splitlines():
        line = line.strip()
        first, _, rest = line.partition(b" ")
        if rest and b"/" in first:
            secrets.append(Secret(rest.strip(), first.decode("utf-8", "replace")))
        elif line:
            secrets.append(Secret(line))
    return secrets

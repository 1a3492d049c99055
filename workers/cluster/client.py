"""What we use of the package `kubernetes`, without what its `__init__` imports beside it.

That is websockets, informers, and all that an OpenID provider is asked with: a quarter of what a command
imports, for nothing. Whoever needs something of the package takes it from here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

_OPENID = ("oauthlib", "oauthlib.oauth2", "requests_oauthlib")


def _without_init(name: str) -> None:
    """The package is there, and its modules can be imported one by one."""
    if name not in sys.modules and (spec := find_spec(name)) is not None:
        sys.modules[name] = module_from_spec(spec)


@contextmanager
def _left_out(*names: str) -> Iterator[None]:
    """Whoever imports these modules meanwhile gets empty ones."""
    empty = {name: ModuleType(name) for name in names if name not in sys.modules}
    for module in empty.values():
        module.__dict__["__getattr__"] = lambda _name: None  # https://peps.python.org/pep-0562/
    sys.modules.update(empty)
    try:
        yield
    finally:
        for name in empty:
            del sys.modules[name]


_without_init("kubernetes")
with _left_out(*_OPENID):
    from kubernetes.client import Configuration
    from kubernetes.client.rest import RESTClientObject
    from kubernetes.config import ConfigException, kube_config, load_incluster_config
    from kubernetes.config.kube_config import KubeConfigLoader, KubeConfigMerger


def _session(*args: Any, **how: Any) -> Any:
    """What the package asks an OpenID provider with, once a token has to be renewed."""
    import oauthlib.oauth2
    from requests_oauthlib import OAuth2Session

    vars(kube_config).update(oauthlib=oauthlib)
    return OAuth2Session(*args, **how)


vars(kube_config).update(OAuth2Session=_session)

__all__ = [
    "ConfigException",
    "Configuration",
    "KubeConfigLoader",
    "KubeConfigMerger",
    "RESTClientObject",
    "load_incluster_config",
]

"""Objects as people may see them, by what this installation keeps secret of a Secret's annotations."""

from __future__ import annotations

from typing import Any

from cli.home import Home
from mooring.errors import MooringError


def masked(home: Home, *bodies: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Versions of one object as `masked_together` shows them. Where ConfigMap argocd-cm, which names secret
    annotations, cannot be read, all annotations of a Secret are masked."""
    from workers.redact import is_secret, masked_together, sensitive

    if not any(map(is_secret, bodies)):
        return bodies
    try:
        annotations = sensitive(home.applications.config())
    except MooringError:
        return masked_together(*bodies, annotations=lambda _: True)
    return masked_together(*bodies, annotations=annotations)

"""What can go wrong with the embedded parts, said so that a newcomer knows the next step."""

from __future__ import annotations

from mooring.errors import MooringError


class DevclusterError(MooringError):
    """An embedded part could not be built, started or stopped."""

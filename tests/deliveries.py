"""What tests ask the ledger."""

from __future__ import annotations

from mooring.delivery import Delivery
from mooring.store.ledger import Ledger


def known(ledger: Ledger, id: str) -> Delivery:
    """The delivery, which must be there."""
    found = ledger.get(id)
    assert found is not None
    return found

"""How seldom a process that stays looks for garbage."""

from __future__ import annotations

import gc
from typing import Final

# Objects that are new until the youngest are looked through. Python's 700 are there within one Application
# that is read: a sixth of the time that takes went into looking, in vain, as cycles are rare here.
_NEW: Final = 20_000


def settle() -> None:
    """To be called once a process has started: what is here now stays, and looking through it again and again
    would hold up a push, or an answer, by 40 ms now and then.

    https://docs.python.org/3/library/gc.html#gc.freeze
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW, 20, 20)

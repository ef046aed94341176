"""How often a test repeats what it does: a little in CI, a lot in ``make soak``."""

from __future__ import annotations

import os

FACTOR = int(os.environ.get("LEUKO_SOAK", "1"))


def repeated(count: int) -> int:
    """``count`` in CI; so many times more in a soak."""
    return count * FACTOR

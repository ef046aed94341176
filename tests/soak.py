"""How often a test repeats what it does: a little in CI, a lot in ``make soak``."""

from __future__ import annotations

import os

FACTOR = int(os.environ.get("LEUKO_SOAK", "1"))
SOAKING = FACTOR > 1


def repeated(count: int, full: int | None = None) -> int:
    """``count`` in CI; in a soak ``full``, or so many times more where no figure is wanted."""
    if SOAKING and full is not None:
        return full
    return count * FACTOR

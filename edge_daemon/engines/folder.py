"""The folder in which this machine keeps what it has compiled, from one start to the next."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "LEUKO_ENGINE_CACHE"


def engine_folder(chosen: Path | None = None) -> Path:
    """Where engines are kept: as chosen, ``LEUKO_ENGINE_CACHE``, or the user's cache folder."""
    if chosen is not None:
        return chosen
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "leukoedge" / "engines"

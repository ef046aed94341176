"""How networks are run here: one value, from command line or configuration to the engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_daemon.engines.names import EngineChoice, PrecisionChoice
from edge_daemon.engines.nvidia.build_settings import BuildSettings


@dataclass(frozen=True)
class EngineOptions:
    """What a user may choose about engines; the defaults suit any machine."""

    engine: EngineChoice = "auto"
    precision: PrecisionChoice = "auto"
    """A precision that the bundle ships, or ``auto``."""
    threads: int | None = None
    """Processor threads; all this process may use when None. A GPU does not ask."""
    engine_cache: Path | None = None
    """Folder of what is compiled here; the user's cache folder when None."""
    build: BuildSettings = BuildSettings()
    """How engines for a GPU are built."""

"""How an engine is built, besides from which graph and for which GPU. Light: loads no library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BatchRange:
    """Batches that one optimisation profile serves, and the one it is tuned for."""

    least: int
    usual: int
    most: int

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.usual <= self.most:
            raise ValueError("a batch range needs 1 <= least <= usual <= most")


@dataclass(frozen=True)
class BuildSettings:
    """What decides an engine besides the graph and the GPU: part of its identity in the cache."""

    batches: tuple[BatchRange, ...] = (BatchRange(1, 1, 4), BatchRange(1, 16, 32))
    """Profiles of a network with a free batch, ascending: most fields hold one to four white
    cells, and a field of a leukaemic marrow holds dozens."""
    workspace_mb: int = 512
    """Scratch memory that a layer may use; a Jetson shares it with the camera."""
    optimization_level: int = 3
    """0 builds fastest, 5 searches longest; 3 is the library's own choice."""
    dla_core: int | None = None
    """Core of the deep-learning accelerator that takes what it can; None: GPU only."""

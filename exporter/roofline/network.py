"""A network as its device sees it: kernels, each with what it calculates and what it moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Arithmetic = Literal["int8", "fp16", "tf32", "fp32"]
"""In what numbers a layer calculates. ``tf32``: float32 in memory, multiplied by tensor cores with
ten bits behind the point."""

ELEMENT_BYTES: dict[Arithmetic, int] = {"int8": 1, "fp16": 2, "tf32": 4, "fp32": 4}


@dataclass(frozen=True)
class Layer:
    """One kernel: what it calculates and what it moves, for a whole batch."""

    name: str
    """Name of the node that leads it: its convolution or product, else its first."""
    operators: tuple[str, ...]
    arithmetic: Arithmetic
    tensor_macs: int
    """Multiply-accumulates that tensor cores can take."""
    cuda_macs: int
    """Multiply-accumulates that they cannot: depthwise convolutions."""
    pass_operations: int
    """Operations of everything else."""
    weight_bytes: int
    """Read once, whatever the batch."""
    read_bytes: int
    written_bytes: int

    @property
    def macs(self) -> int:
        """All multiply-accumulates."""
        return self.tensor_macs + self.cuda_macs

    @property
    def moved_bytes(self) -> int:
        """All bytes that cross between GPU and memory."""
        return self.weight_bytes + self.read_bytes + self.written_bytes


@dataclass(frozen=True)
class Network:
    """The layers of a graph for one batch size."""

    batch: int
    layers: tuple[Layer, ...]
    boundary_bytes: int
    """Weights, inputs and outputs: what must move even if a cache kept every tensor between."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the whole batch."""
        return sum(layer.macs for layer in self.layers)

    @property
    def weight_bytes(self) -> int:
        """Weights, as often as layers read them."""
        return sum(layer.weight_bytes for layer in self.layers)

    @property
    def moved_bytes(self) -> int:
        """All bytes that cross between GPU and memory."""
        return sum(layer.moved_bytes for layer in self.layers)

"""The seam where networks run: numpy in, numpy out, one thread, one owner.

An engine is one network, loaded and ready. It belongs to the thread that opened it: accelerators
keep a context per thread, and an engine that is only ever touched by its owner needs no locks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_daemon.contract.roles import Precision

Array: TypeAlias = npt.NDArray[Any]
Outputs: TypeAlias = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class TensorSpec:
    """Name, element type and shape of a network input or output; None is a free dimension."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]

    def accepts(self, array: Array) -> bool:
        """Whether ``array`` has this type and shape."""
        return (
            array.dtype == self.dtype
            and array.ndim == len(self.shape)
            and all(
                want in (None, have) for want, have in zip(self.shape, array.shape, strict=True)
            )
        )

    def __str__(self) -> str:
        sizes = ", ".join("N" if size is None else str(size) for size in self.shape)
        return f"{self.name}: {self.dtype} [{sizes}]"


class Engine(Protocol):
    """One network, ready to run."""

    @property
    def name(self) -> str:
        """The runtime and what it runs on, for logs and messages."""

    @property
    def precision(self) -> Precision:
        """The coarsest arithmetic it may use; bfloat16 counts as ``fp16``."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What :meth:`run` must be given."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What :meth:`run` returns."""

    def run(self, inputs: Mapping[str, Array]) -> Outputs:
        """Run the network once.

        Args:
            inputs: one array per input, C-contiguous, of the declared type and shape.

        Returns:
            One float32 array per output. The arrays are the caller's to keep.

        Raises:
            EngineError: for a missing, unknown or misshapen input, or when the runtime fails.
            LostDeviceError: when it will go on failing until the process has ended.
        """

    def close(self) -> None:
        """Free the network. Further calls of :meth:`run` raise :class:`EngineError`."""

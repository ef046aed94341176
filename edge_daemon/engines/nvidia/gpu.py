"""The seam to a GPU: memory, copies and one stream, as far as running an engine needs them.

Everything that touches CUDA goes through this Protocol, so that what is done with buffers, shapes
and threads can be tested where there is no GPU. A GPU belongs to the thread that opened it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edge_daemon.engines.base import Array
from edge_daemon.errors import ConfigError


@dataclass(frozen=True)
class GpuInfo:
    """What a GPU is: an engine built for one does not run on another."""

    name: str
    compute_capability: tuple[int, int]
    """Major and minor version of the architecture, such as (8, 7) for Orin."""
    memory_bytes: int


def compute_capability(text: str) -> tuple[int, int]:
    """``8.6`` as (8, 6). Raises :class:`ConfigError`."""
    found = re.fullmatch(r"(\d+)\.(\d)", text)
    if found is None:
        raise ConfigError(f"--for {text}: give a compute capability such as 8.6")
    return int(found[1]), int(found[2])


class Mark(Protocol):
    """A point in the stream, to be waited for."""


class Gpu(Protocol):
    """One GPU with one stream. Copies are asynchronous: what they read and write must stay."""

    @property
    def info(self) -> GpuInfo:
        """What it is."""

    @property
    def stream(self) -> int:
        """The stream's handle, as TensorRT takes it; never the default stream."""

    def allocate(self, size_bytes: int) -> int:
        """Memory on the GPU; its address.

        Raises:
            EngineError: there is not so much left.
        """

    def free(self, address: int) -> None:
        """Give back what :meth:`allocate` gave, once the stream no longer uses it."""

    def host_array(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Page-locked memory of the host, which the GPU reads and writes by itself."""

    def upload(self, address: int, array: Array) -> None:
        """Enqueue a copy from a C-contiguous part of a :meth:`host_array` to the GPU."""

    def download(self, array: Array, address: int) -> None:
        """Enqueue a copy from the GPU into a C-contiguous part of a :meth:`host_array`."""

    def mark(self) -> Mark:
        """A point behind everything that was enqueued so far."""

    def wait(self, mark: Mark) -> None:
        """Return when the stream has passed ``mark``.

        Raises:
            LostDeviceError: something that was enqueued before failed.
        """

    def close(self) -> None:
        """Let go of it; the last user closes stream and context."""

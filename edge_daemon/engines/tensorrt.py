"""TensorRT on an NVIDIA GPU: a Jetson's, or through TensorRT for RTX a workstation's.

One thread owns the GPU's context, its one stream and all buffers. A batch of any size is cut into
parts that fit the engine's profiles. While the GPU computes one part, the next is copied into
page-locked memory and the one before is copied out of it: two sets of host buffers take turns.
Inputs and outputs have fixed addresses, so that TensorRT for RTX can replay what it captured in a
CUDA graph; TensorRT itself would need capture calls that pycuda does not have.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_daemon.contract.roles import Precision
from edge_daemon.engines.base import Array, Outputs, TensorSpec
from edge_daemon.engines.checked import CheckedEngine
from edge_daemon.engines.nvidia.gpu import Gpu, Mark
from edge_daemon.engines.nvidia.library import NvidiaLibrary
from edge_daemon.errors import EngineError

_DTYPES: dict[str, np.dtype[Any]] = {
    "UINT8": np.dtype(np.uint8),
    "FLOAT": np.dtype(np.float32),
    "HALF": np.dtype(np.float16),
}
_PARTS_UNDER_WAY = 2


class RefusedEngineError(EngineError):
    """The library does not take an engine that was built: to build it again is the cure."""


class TensorRtEngine(CheckedEngine):
    """A built engine on the GPU of this thread."""

    def __init__(
        self, engine: bytes, precision: Precision, library: NvidiaLibrary, gpu: Gpu, source: str
    ) -> None:
        """Load ``engine``; ``source`` names its file. The GPU is closed with this engine.

        Raises:
            RefusedEngineError: the library does not take it.
            EngineError: the GPU's memory does not suffice.
        """
        self.runtime = str(library)
        self._gpu = gpu
        self._library = library
        self._profiles: list[_Profile] = []
        self._engine: Any = None
        try:
            trt = library.module
            library.complaints.clear()
            self._runtime: Any = trt.Runtime(library.logger)
            self._engine = self._runtime.deserialize_cuda_engine(engine)
            if self._engine is None:
                raise RefusedEngineError(f"{library} does not take {source}: {library.reason()}")
            inputs, outputs = _specs(self._engine, trt)
            for index in range(max(self._engine.num_optimization_profiles, 1)):
                self._profiles.append(_Profile(self._engine, library, gpu, index, inputs, outputs))
        except BaseException:
            self._free()
            raise
        super().__init__(f"{library.name}:{gpu.info.name}", precision, inputs, outputs)

    def _infer(self, feed: dict[str, Array]) -> Outputs:
        count = len(next(iter(feed.values())))
        results: Outputs = {
            spec.name: np.empty((count, *_fixed(spec.shape[1:])), np.float32)
            for spec in self.outputs
        }
        under_way: deque[_Part] = deque()
        try:
            for number, (rows, profile) in enumerate(self._parts(count)):
                if len(under_way) == _PARTS_UNDER_WAY:
                    self._collect(under_way.popleft(), results)
                under_way.append(profile.start(feed, rows, number % _PARTS_UNDER_WAY))
            while under_way:
                self._collect(under_way.popleft(), results)
        except BaseException:
            # The host buffers are free again only when the GPU has let go of them.
            with suppress(EngineError):
                self._gpu.wait(self._gpu.mark())
            raise
        return results

    def _parts(self, count: int) -> Iterator[tuple[slice, _Profile]]:
        """Rows ``0..count`` in parts, each with the smallest profile that takes it."""
        most = self._profiles[-1].most
        for first in range(0, count, most):
            rows = slice(first, min(first + most, count))
            size = rows.stop - rows.start
            yield rows, next(profile for profile in self._profiles if size <= profile.most)

    def _collect(self, part: _Part, results: Outputs) -> None:
        self._gpu.wait(part.done)
        for name, values in part.outputs.items():
            results[name][part.rows] = values

    def _free(self) -> None:
        # Contexts go before their engine, that before its runtime, all before the GPU's context.
        for profile in self._profiles:
            profile.free()
        self._profiles.clear()
        self._engine = None
        self._runtime = None
        self._gpu.close()


@dataclass(frozen=True)
class _Part:
    """Rows of a batch that the GPU is at work on."""

    rows: slice
    outputs: dict[str, npt.NDArray[Any]]
    """Page-locked; good once ``done`` has passed."""
    done: Mark


class _Profile:
    """One optimisation profile with its context and buffers."""

    def __init__(
        self,
        engine: Any,
        library: NvidiaLibrary,
        gpu: Gpu,
        index: int,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
    ) -> None:
        self._gpu, self._library = gpu, library
        self._inputs, self._outputs = inputs, outputs
        first = inputs[0]
        self.most = first.shape[0] or int(engine.get_tensor_profile_shape(first.name, index)[2][0])
        self._context = _context(engine, library)
        if self._context is None:
            raise EngineError(f"{library} makes no context: {library.reason()}")
        if not self._context.set_optimization_profile_async(index, gpu.stream):
            raise EngineError(f"{library} refuses profile {index}: {library.reason()}")
        self._addresses: dict[str, int] = {}
        self._host: list[dict[str, npt.NDArray[Any]]] = [{} for _ in range(_PARTS_UNDER_WAY)]
        try:
            for spec in (*inputs, *outputs):
                shape = (self.most, *_fixed(spec.shape[1:]))
                size = int(np.prod(shape)) * spec.dtype.itemsize
                self._addresses[spec.name] = gpu.allocate(size)
                self._context.set_tensor_address(spec.name, self._addresses[spec.name])
                for buffers in self._host:
                    buffers[spec.name] = gpu.host_array(shape, spec.dtype)
        except BaseException:
            self.free()
            raise

    def start(self, feed: dict[str, Array], rows: slice, turn: int) -> _Part:
        """Enqueue one part; the host buffers of this ``turn`` must be free."""
        host, size = self._host[turn], rows.stop - rows.start
        for spec in self._inputs:
            staged = host[spec.name][:size]
            np.copyto(staged, feed[spec.name][rows])
            self._gpu.upload(self._addresses[spec.name], staged)
            if not self._context.set_input_shape(spec.name, staged.shape):
                raise EngineError(f"shape {staged.shape} refused: {self._library.reason()}")
        if not self._context.execute_async_v3(self._gpu.stream):
            raise EngineError(self._library.reason())
        outputs = {spec.name: host[spec.name][:size] for spec in self._outputs}
        for name, values in outputs.items():
            self._gpu.download(values, self._addresses[name])
        return _Part(rows, outputs, self._gpu.mark())

    def free(self) -> None:
        """Free context and buffers."""
        self._context = None
        for buffers in self._host:
            buffers.clear()
        while self._addresses:
            self._gpu.free(self._addresses.popitem()[1])


def _context(engine: Any, library: NvidiaLibrary) -> Any:
    """An execution context; with CUDA graphs where the library makes them by itself."""
    strategies = getattr(library.module, "CudaGraphStrategy", None)
    if strategies is None:
        return engine.create_execution_context()
    config = engine.create_runtime_config()
    config.cuda_graph_strategy = strategies.WHOLE_GRAPH_CAPTURE
    return engine.create_execution_context(config)


def _specs(engine: Any, trt: Any) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of an engine."""
    inputs: list[TensorSpec] = []
    outputs: list[TensorSpec] = []
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        dtype = engine.get_tensor_dtype(name).name
        if dtype not in _DTYPES:
            raise EngineError(f"tensor {name} has type {dtype}; export the bundle again")
        sizes = tuple(engine.get_tensor_shape(name))
        spec = TensorSpec(name, _DTYPES[dtype], tuple(s if s >= 0 else None for s in sizes))
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        (inputs if is_input else outputs).append(spec)
    return tuple(inputs), tuple(outputs)


def _fixed(sizes: tuple[int | None, ...]) -> tuple[int, ...]:
    """Sizes behind the batch, which no network of a bundle leaves free."""
    known = tuple(size for size in sizes if size is not None)
    if len(known) != len(sizes):
        raise EngineError(f"sizes {sizes} are free; export the bundle again")
    return known

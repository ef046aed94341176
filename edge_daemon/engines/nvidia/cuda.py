"""A GPU through pycuda: the primary context of one thread, one stream, page-locked buffers.

Rules that CUDA imposes and this module keeps:

* ``pycuda.autoinit`` makes a context of its own at import; here the *primary* context is retained,
  the one that TensorRT uses by itself.
* A context is current in one thread. The thread that opens the GPU pushes it, uses it, frees all
  that lives in it and pops it; any other thread is refused.
* After a failed kernel every later call fails too, until the process ends: that is
  :class:`LostDeviceError`, and the service manager starts the daemon again. Out of memory is not.

Not run on hardware yet: what was tested where is in ``docs/results.md``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from edge_daemon.engines.base import Array
from edge_daemon.engines.nvidia.gpu import GpuInfo, Mark
from edge_daemon.errors import EngineError, LostDeviceError


@cache
def why_no_gpu() -> str | None:
    """Why CUDA cannot be used in this process; None when it can."""
    if find_spec("pycuda") is None:
        return "pycuda is not installed; pip install 'leukoedge[jetson]'"
    try:
        import pycuda.driver as driver

        driver.init()
        count: int = driver.Device.count()
    except Exception as error:  # noqa: BLE001 - no driver, no device, too old: each another type
        return f"CUDA does not start ({_line(error)})"
    return None if count else "there is no CUDA device"


class CudaGpu:
    """A :class:`edge_daemon.engines.nvidia.gpu.Gpu` in the thread that made it."""

    def __init__(self, driver: Any, index: int = 0) -> None:
        """``driver`` is ``pycuda.driver``.

        Raises:
            EngineError: there is no such device, or it does not answer.
        """
        self._driver = driver
        self._owner = threading.get_ident()
        self._memory: dict[int, Any] = {}
        self.users = 1
        try:
            driver.init()
            device = driver.Device(index)
            self._context = device.retain_primary_context()
            self._context.push()
        except driver.Error as error:
            raise EngineError(f"GPU {index} cannot be opened: {_line(error)}") from error
        try:
            self._stream: Any = driver.Stream()
            self._info = GpuInfo(
                name=str(device.name()),
                compute_capability=cast("tuple[int, int]", tuple(device.compute_capability())),
                memory_bytes=int(device.total_memory()),
            )
        except BaseException:
            self._let_go()
            raise

    @property
    def info(self) -> GpuInfo:
        """What it is."""
        return self._info

    @property
    def stream(self) -> int:
        """The stream's handle."""
        return int(self._stream.handle)

    def allocate(self, size_bytes: int) -> int:
        """See :class:`edge_daemon.engines.nvidia.gpu.Gpu`."""
        with self._calling("allocating memory"):
            allocation = self._driver.mem_alloc(size_bytes)
        self._memory[int(allocation)] = allocation
        return int(allocation)

    def free(self, address: int) -> None:
        """See :class:`edge_daemon.engines.nvidia.gpu.Gpu`."""
        self._check_thread()
        with suppress(self._driver.Error):  # a lost device takes its memory with it
            self._memory.pop(address).free()

    def host_array(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """See :class:`edge_daemon.engines.nvidia.gpu.Gpu`."""
        with self._calling("locking host memory"):
            return cast("npt.NDArray[Any]", self._driver.pagelocked_empty(shape, dtype))

    def upload(self, address: int, array: Array) -> None:
        """See :class:`edge_daemon.engines.nvidia.gpu.Gpu`."""
        with self._calling("copying to the GPU"):
            self._driver.memcpy_htod_async(address, array, self._stream)

    def download(self, array: Array, address: int) -> None:
        """See :class:`edge_daemon.engines.nvidia.gpu.Gpu`."""
        with self._calling("copying from the GPU"):
            self._driver.memcpy_dtoh_async(array, address, self._stream)

    def mark(self) -> Mark:
        """See :class:`edge_daemon.engines.nvidia.gpu.Gpu`."""
        with self._calling("recording an event"):
            event = self._driver.Event()
            event.record(self._stream)
        return cast("Mark", event)

    def wait(self, mark: Mark) -> None:
        """See :class:`edge_daemon.engines.nvidia.gpu.Gpu`."""
        with self._calling("computing"):
            cast("Any", mark).synchronize()

    def close(self) -> None:
        """See :class:`edge_daemon.engines.nvidia.gpu.Gpu`."""
        self._check_thread()
        self.users -= 1
        if self.users:
            return
        _open_gpus.pop(self._owner, None)
        for address in list(self._memory):
            self.free(address)
        self._let_go()

    def _let_go(self) -> None:
        self._stream = None
        self._context.pop()
        self._context.detach()

    def _check_thread(self) -> None:
        if threading.get_ident() != self._owner:
            raise EngineError("the GPU is used from a thread that did not open it; report this bug")

    @contextmanager
    def _calling(self, doing: str) -> Iterator[None]:
        self._check_thread()
        try:
            yield
        except self._driver.MemoryError as error:
            raise EngineError(
                f"the GPU has no memory left ({doing}): end other programs that use it, or take a "
                "smaller --precision"
            ) from error
        except self._driver.Error as error:
            raise LostDeviceError(
                f"the GPU failed while {doing} ({_line(error)}); only a new process can use it"
            ) from error


_open_gpus: dict[int, CudaGpu] = {}
"""By thread: engines of one thread share its GPU."""


def open_gpu(import_driver: Callable[[], Any] | None = None) -> CudaGpu:
    """The GPU of this thread; every user closes it once.

    Raises:
        EngineError: CUDA cannot be used here.
    """
    shared = _open_gpus.get(threading.get_ident())
    if shared is not None:
        shared.users += 1
        return shared
    opened = CudaGpu((import_driver or _pycuda)())
    _open_gpus[threading.get_ident()] = opened
    return opened


def _pycuda() -> Any:
    reason = why_no_gpu()
    if reason is not None:
        raise EngineError(f"no GPU can be used here: {reason}")
    import pycuda.driver as driver

    return driver


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

"""A stand-in for ``pycuda.driver`` where there is no GPU: the same names, and CUDA's rules.

Memory of the "GPU" is the host's, but only at addresses that were given out and not yet freed. A
stream does nothing before somebody waits for it: whoever reads a result too early, or writes into a
buffer that is still to be copied, gets what he would get on a bad day on hardware. Copies take
page-locked memory only, contexts are current in one thread, and after a failed kernel nothing works
any more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np


class Error(Exception):
    """``pycuda.driver.Error``."""


class OutOfMemoryError(Error):
    """``pycuda.driver.MemoryError``."""


class LaunchError(Error):
    """A kernel failed."""


class LogicError(Error):
    """A call that is against the rules."""


class StandInDriver:
    """One GPU; an instance takes the place of the module ``pycuda.driver``."""

    Error = Error
    MemoryError = OutOfMemoryError
    LaunchError = LaunchError
    LogicError = LogicError

    def __init__(self, memory_bytes: int = 64 << 20, count: int = 1) -> None:
        self.memory_bytes = memory_bytes
        self.memory: dict[int, bytearray] = {}
        self.pinned: list[np.ndarray] = []
        self.current: dict[int, list[Any]] = {}
        self.retained = 0
        self.waits = 0
        self.kernels_until_failure: int | None = None
        self._broken = False
        self._next_address = 0x7F00_0000_0000
        self._initialised = False
        driver = self

        class Device:
            def __init__(self, index: int) -> None:
                driver._require(driver._initialised, "not initialized")
                driver._require(index < count, "invalid device ordinal")

            @staticmethod
            def count() -> int:
                return count

            def name(self) -> str:
                return "Stand-in Orin"

            def compute_capability(self) -> tuple[int, int]:
                return (8, 7)

            def total_memory(self) -> int:
                return driver.memory_bytes

            def retain_primary_context(self) -> Context:
                driver.retained += 1
                return Context()

        class Context:
            def push(self) -> None:
                driver.current.setdefault(threading.get_ident(), []).append(self)

            @staticmethod
            def pop() -> None:
                driver.current[threading.get_ident()].pop()

            def detach(self) -> None:
                driver.retained -= 1

        class Stream:
            def __init__(self) -> None:
                driver.check()
                self.queue: list[Callable[[], None]] = []
                self.handle = 0x5000 + id(self) % 0xFFF
                driver.streams[self.handle] = self

            def synchronize(self) -> None:
                driver.check()
                self.drain(len(self.queue))

            def drain(self, count: int) -> None:
                done, self.queue[:count] = self.queue[:count], []
                for work in done:
                    work()

        class Event:
            def record(self, stream: Stream) -> None:
                driver.check()
                self.passed = False

                def pass_by() -> None:
                    self.passed = True

                self.stream = stream
                stream.queue.append(pass_by)

            def synchronize(self) -> None:
                driver.check()
                driver.waits += 1
                while not self.passed:
                    self.stream.drain(1)
                driver.check()

        class Allocation:
            def __init__(self, address: int) -> None:
                self.address = address

            def __int__(self) -> int:
                return self.address

            def free(self) -> None:
                driver.check()
                del driver.memory[self.address]

        self.Device, self.Context, self.Stream, self.Event = Device, Context, Stream, Event
        self._allocation = Allocation
        self.streams: dict[int, Stream] = {}

    def init(self) -> None:
        self._initialised = True

    def mem_alloc(self, size: int) -> Any:
        self.check()
        if sum(map(len, self.memory.values())) + size > self.memory_bytes:
            raise OutOfMemoryError("cuMemAlloc failed: out of memory")
        address, self._next_address = self._next_address, self._next_address + size + 256
        self.memory[address] = bytearray(b"\xab" * size)
        return self._allocation(address)

    def pagelocked_empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        self.check()
        array = np.full(shape, 77, dtype)
        self.pinned.append(array)
        return array

    def memcpy_htod_async(self, destination: int, source: np.ndarray, stream: Any) -> None:
        self.check()
        self._require_pinned(source)
        target = self.memory[destination]
        self._require(source.nbytes <= len(target), "invalid argument")

        def copy() -> None:
            target[: source.nbytes] = source.tobytes()

        stream.queue.append(copy)

    def memcpy_dtoh_async(self, destination: np.ndarray, source: int, stream: Any) -> None:
        self.check()
        self._require_pinned(destination)
        origin = self.memory[source]

        def copy() -> None:
            flat = np.frombuffer(origin, destination.dtype, destination.size)
            np.copyto(destination, flat.reshape(destination.shape))

        stream.queue.append(copy)

    def launch(self, stream_handle: int, kernel: Callable[[], None]) -> None:
        """What TensorRT does: enqueue work on a stream."""

        def run() -> None:
            if self.kernels_until_failure is not None:
                self.kernels_until_failure -= 1
                if self.kernels_until_failure < 0:
                    self._broken = True
                    return
            kernel()

        self.streams[stream_handle].queue.append(run)

    def check(self) -> None:
        """What every call begins with."""
        if self._broken:
            raise LaunchError("cuEventSynchronize failed: unspecified launch failure")
        self._require(bool(self.current.get(threading.get_ident())), "invalid device context")

    def _require_pinned(self, array: np.ndarray) -> None:
        self._require(array.flags.c_contiguous, "not contiguous")
        locked = any(np.shares_memory(array, one) for one in self.pinned)
        self._require(locked, "memory is not page-locked: the copy would not be asynchronous")

    @staticmethod
    def _require(holds: bool, otherwise: str) -> None:
        if not holds:
            raise LogicError(f"failed: {otherwise}")

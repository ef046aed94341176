"""Every graph of a bundle through NVIDIA's parser and builder, on a machine without a GPU.

TensorRT for RTX builds for a GPU that is not here, by the same API and from the same strongly typed
graphs as TensorRT on a Jetson. What it refuses would be refused at the microscope; what it builds
runs on RTX cards only, so nothing of it is kept unless a folder is named.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edge_daemon.contract.bundle import PRECISIONS, Bundle, RoleName
from edge_daemon.contract.roles import Precision
from edge_daemon.engines.nvidia.build_settings import BuildSettings
from edge_daemon.engines.nvidia.builder import build_engine
from edge_daemon.engines.nvidia.gpu import GpuInfo, compute_capability
from edge_daemon.engines.nvidia.library import load_library
from exporter.errors import ExportError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuiltEngine:
    """One graph that NVIDIA's library took."""

    role: RoleName
    precision: Precision
    size_bytes: int
    build_s: float
    library: str

    def __str__(self) -> str:
        return (
            f"{self.role} {self.precision}: built by {self.library} in {self.build_s:.1f} s, "
            f"{self.size_bytes / 1e6:.1f} MB"
        )


def build_all(bundle: Bundle, target: str, out: Path | None = None) -> Iterator[BuiltEngine]:
    """Build the engines of all roles and precisions, into ``out`` if it is given.

    ``target`` is the compute capability of the GPU, such as ``8.6``.

    Raises:
        ConfigError: ``target`` is none.
        EngineError: the library is not installed, does not know the GPU, or refuses a graph,
            naming operator and layer.
        ExportError: ``out`` cannot be written.
    """
    library = load_library("tensorrt_rtx")
    gpu = GpuInfo(f"compute capability {target}", compute_capability(target), 0)
    shipped = [
        (role, precision)
        for role in bundle.roles
        for precision in PRECISIONS
        if precision in bundle.role(role).models
    ]
    for role, precision in shipped:
        started = time.monotonic()
        file = bundle.model(role, precision)
        exact = precision == "fp32"
        with chatter_logged():
            engine, _ = build_engine(library, file, gpu, BuildSettings(), exact_fp32=exact)
        if out is not None:
            _write(out / f"{role}.{precision}.engine", engine)
        yield BuiltEngine(role, precision, len(engine), time.monotonic() - started, str(library))


@contextmanager
def chatter_logged() -> Iterator[None]:
    """What is printed within this is logged at its end.

    NVIDIA's logger is ours, but parts of its builder print by themselves, two lines for every
    layer in INT8.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    before = {number: os.dup(number) for number in (1, 2)}
    with tempfile.TemporaryFile() as caught:
        for number in before:
            os.dup2(caught.fileno(), number)
        try:
            yield
        finally:
            ctypes.CDLL(None).fflush(None)  # what C holds back
            for number, place in before.items():
                os.dup2(place, number)
                os.close(place)
            caught.seek(0)
            for line in caught:
                log.debug("%s", line.decode(errors="replace").rstrip())


def _write(file: Path, engine: bytes) -> None:
    partial = file.with_name(file.name + ".partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(engine)
        partial.replace(file)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise ExportError(f"cannot write {file}: {error.strerror}; name another --out") from error

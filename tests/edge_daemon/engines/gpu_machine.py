"""A machine with a GPU, as far as stand-ins for pycuda and TensorRT make one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_daemon.commands import engine
from edge_daemon.engines import select
from edge_daemon.engines.folder import CACHE_VARIABLE
from edge_daemon.engines.nvidia import cuda, opened
from edge_daemon.engines.nvidia.engine_cache import EngineCache
from edge_daemon.engines.nvidia.library import wrap_library
from tests.edge_daemon.engines.stand_in_cuda import StandInDriver
from tests.edge_daemon.engines.stand_in_tensorrt import StandInTensorRt


@dataclass
class GpuMachine:
    """What a test may do to it and ask of it."""

    driver: StandInDriver
    tensorrt: StandInTensorRt
    cache: EngineCache


@pytest.fixture
def gpu_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GpuMachine]:
    driver = StandInDriver()
    machine = GpuMachine(driver, StandInTensorRt(driver), EngineCache(tmp_path / "engines"))
    for module in (opened, engine):
        monkeypatch.setattr(
            module, "load_library", lambda _name: wrap_library("tensorrt", machine.tensorrt)
        )
        monkeypatch.setattr(module, "open_gpu", lambda: cuda.open_gpu(lambda: driver))
    for module in (select, engine):
        monkeypatch.setattr(module, "is_installed", lambda name: name == "tensorrt")
        monkeypatch.setattr(module, "why_no_gpu", lambda: None)
    monkeypatch.setenv(CACHE_VARIABLE, str(machine.cache.folder))
    yield machine
    cuda._open_gpus.clear()  # left open by a test: no concern of the next

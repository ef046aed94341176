"""From an ONNX file to an engine for one GPU, by NVIDIA's builder.

Precision is in the graph (quantise and dequantise nodes, float16 tensors) and the network is
strongly typed, which TensorRT 10 must be told and TensorRT 11 takes for granted: one code path, no
precision flags, no calibrators. Building takes seconds to minutes and is not deterministic, so
every engine is held against the golden set afterwards.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from edge_daemon.engines.nvidia.build_settings import BuildSettings
from edge_daemon.engines.nvidia.gpu import GpuInfo
from edge_daemon.engines.nvidia.library import NvidiaLibrary
from edge_daemon.errors import EngineError

log = logging.getLogger(__name__)

Progress: TypeAlias = Callable[[str, int, int], bool]
"""Told phase, steps done and steps in all; answers whether to go on."""


def build_engine(
    library: NvidiaLibrary,
    model: Path,
    gpu: GpuInfo,
    settings: BuildSettings,
    *,
    exact_fp32: bool = False,
    timing_cache: bytes = b"",
    progress: Progress | None = None,
) -> tuple[bytes, bytes]:
    """Build an engine of ``model`` for ``gpu``.

    Args:
        library: TensorRT, or TensorRT for RTX.
        model: ONNX file with the precision in its graph.
        gpu: what it is built for. TensorRT builds for the GPU that is here; TensorRT for RTX also
            for another one, and without any.
        settings: profiles, memory, effort.
        exact_fp32: multiply float32 as float32; tensor cores would round it to 10 bits (TF32).
        timing_cache: measurements of earlier builds; with them the same layers build at once.
            TensorRT for RTX measures nothing while it builds.
        progress: told how far it is; answers False to stop.

    Returns:
        The engine, and the timing cache with what was measured now.

    Raises:
        EngineError: the graph holds what the library does not know (naming operator and layer), or
            cannot be built.
    """
    started = time.monotonic()
    trt = library.module
    library.complaints.clear()
    builder = trt.Builder(library.logger)
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, library.logger)
    if not parser.parse_from_file(str(model)):
        raise EngineError(f"{library} cannot read {model}: {_parser_errors(parser, library)}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_mb << 20)
    config.builder_optimization_level = settings.optimization_level
    if exact_fp32:
        config.clear_flag(trt.BuilderFlag.TF32)
    _target(library, config, gpu)
    _place_on_dla(trt, config, settings.dla_core)
    _add_profiles(builder, network, config, settings)
    measured = None if library.name == "tensorrt_rtx" else _reuse(config, timing_cache)
    if progress is not None:
        monitor = _monitor(trt, progress)
        config.progress_monitor = monitor
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise EngineError(f"{library} cannot build {model}: {library.reason()}")
    log.info("%s: built by %s in %.1f s", model.name, library, time.monotonic() - started)
    return _bytes(engine), b"" if measured is None else _bytes(measured.serialize())


def _network_flags(trt: Any) -> int:
    """Strongly typed where that has to be asked for."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _parser_errors(parser: Any, library: NvidiaLibrary) -> str:
    if not parser.num_errors:
        return library.reason()
    error = parser.get_error(0)
    cause = " ".join(str(error.desc()).split())[:300]
    node = " ".join(filter(None, (error.node_operator(), error.node_name())))
    return f"{node}: {cause}" if node else cause


def _target(library: NvidiaLibrary, config: Any, gpu: GpuInfo) -> None:
    """Name the GPU where the library builds for one that may not be here."""
    if library.name != "tensorrt_rtx":
        return
    known = library.module.ComputeCapability
    name = "SM{}{}".format(*gpu.compute_capability)
    if not hasattr(known, name):
        raise EngineError(f"{library} does not know {gpu.name} ({name}); use --engine tensorrt")
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(known, name), 0)


def _place_on_dla(trt: Any, config: Any, core: int | None) -> None:
    if core is None:
        return
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def _add_profiles(builder: Any, network: Any, config: Any, settings: BuildSettings) -> None:
    """One profile for each batch range where the network takes any batch; none otherwise."""
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    if not any(-1 in tuple(tensor.shape) for tensor in inputs):
        return
    for batches in settings.batches:
        profile = builder.create_optimization_profile()
        for tensor in inputs:
            rest = tuple(tensor.shape)[1:]
            sizes = ((batch, *rest) for batch in (batches.least, batches.usual, batches.most))
            profile.set_shape(tensor.name, *sizes)
        config.add_optimization_profile(profile)


def _reuse(config: Any, timing_cache: bytes) -> Any:
    """The timing cache of this build: what is known, or nothing if it was measured elsewhere."""
    for known in (timing_cache, b""):
        measured = config.create_timing_cache(known)
        if config.set_timing_cache(measured, False):
            return measured
        log.info("the timing cache is of another device or version: measured anew")
    return None


def _bytes(memory: Any) -> bytes:
    return bytes(memoryview(memory))


def _monitor(trt: Any, progress: Progress) -> Any:
    """``progress`` as TensorRT's own interface. Its methods are called from several threads."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, _parent_phase: str, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            progress(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return progress(phase_name, step, self._steps.get(phase_name, step))

        def phase_finish(self, phase_name: str) -> None:
            steps = self._steps.pop(phase_name, 0)
            progress(phase_name, steps, steps)

    return Monitor()

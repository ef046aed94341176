"""Which engine runs a network on this machine, and at which precision.

``auto`` takes the first engine that can be used here, fastest first, and of the precisions that the
bundle ships the fastest on it (a precision that failed the exporter's gate is not in the bundle).
A precision that fails the golden set here gives way to the next one (:mod:`edge_daemon.inference`):
OpenVINO overflows in INT8 on processors without VNNI. What was chosen is said in the log and in
every health message; there is no silent fallback, and none from what was asked for by name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import get_args

from edge_daemon.contract.bundle import Bundle, RoleName
from edge_daemon.contract.roles import Precision
from edge_daemon.engines.base import Engine
from edge_daemon.engines.folder import engine_folder
from edge_daemon.engines.names import EngineName
from edge_daemon.engines.nvidia.cuda import why_no_gpu
from edge_daemon.engines.nvidia.library import HOW_TO_INSTALL, is_installed
from edge_daemon.engines.openvino_cache import compiled_folder
from edge_daemon.engines.options import EngineOptions
from edge_daemon.errors import EngineError

_FASTEST_FIRST: Mapping[EngineName, tuple[Precision, ...]] = {
    "tensorrt": ("int8", "fp16", "fp32"),
    "tensorrt_rtx": ("int8", "fp16", "fp32"),
    "openvino": ("int8", "fp32", "fp16"),
    "onnxruntime": ("fp32", "fp16", "int8"),
}
"""What ``auto`` prefers. On a processor OpenVINO runs a float16 graph no faster than a float32 one,
and ONNX Runtime takes three times as long for INT8 as for float32 (docs/results.md)."""


def precisions(bundle: Bundle, role: RoleName, options: EngineOptions) -> tuple[Precision, ...]:
    """Precisions of a role in the order in which they are to be tried here, never empty.

    Where ``options`` name one it is that one alone.

    Raises:
        EngineError: the engine cannot be used here.
        BundleError: the bundle lacks the role or the precision.
    """
    if options.precision != "auto":
        bundle.model(role, options.precision)
        return (options.precision,)
    shipped = bundle.role(role).models
    return tuple(one for one in _FASTEST_FIRST[engine_of(options)] if one in shipped)


def open_engine(
    bundle: Bundle,
    role: RoleName,
    options: EngineOptions = EngineOptions(),
    precision: Precision | None = None,
) -> Engine:
    """Load a role's network from a verified bundle, at the first of :func:`precisions` by default.

    Raises:
        EngineError: the runtime is not installed or cannot load the model.
        BundleError: the bundle lacks the role or the precision.
    """
    chosen = engine_of(options)
    wanted = precision or precisions(bundle, role, options)[0]
    model = bundle.model(role, wanted)
    threads = options.threads or len(os.sched_getaffinity(0))
    if chosen == "openvino":
        from edge_daemon.engines.openvino import OpenVinoEngine

        exact = options.precision == "fp32"
        keep_in = compiled_folder(
            engine_folder(options.engine_cache),
            bundle.manifest.files[model.name].sha256,
            "f32" if exact else "auto",
        )
        return OpenVinoEngine(model, wanted, threads, exact_fp32=exact, keep_in=keep_in)
    if chosen == "onnxruntime":
        from edge_daemon.engines.onnxruntime import OnnxRuntimeEngine

        return OnnxRuntimeEngine(model, wanted, threads)
    from edge_daemon.engines.nvidia.opened import open_on_gpu

    return open_on_gpu(bundle, role, wanted, chosen, options)


def usable_engines() -> tuple[EngineName, ...]:
    """The runtimes that ``auto`` may choose here, fastest first."""
    return tuple(name for name in get_args(EngineName) if _why_not(name) is None)


def engine_of(options: EngineOptions) -> EngineName:
    """The runtime that ``options`` come to here.

    Raises:
        EngineError: it cannot be used here, or there is none.
    """
    engine = options.engine
    if engine == "auto":
        usable = usable_engines()
        if not usable:
            raise EngineError("no inference runtime is installed; pip install openvino")
        return usable[0]
    reason = _why_not(engine)
    if reason is not None:
        raise EngineError(f"engine {engine!r} cannot be used here: {reason}")
    return engine


def _why_not(name: EngineName) -> str | None:
    """Why an engine cannot be used here; None when it can."""
    if name == "openvino" or name == "onnxruntime":
        return None if find_spec(name) else f"not installed; pip install {name}"
    return why_no_gpu() if is_installed(name) else f"not installed; {HOW_TO_INSTALL[name]}"

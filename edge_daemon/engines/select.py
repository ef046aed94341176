"""Which engine runs a network on this machine, and at which precision.

``auto`` takes the first engine whose runtime is installed here, fastest first, and the smallest
precision the bundle ships (a precision that failed the exporter's gate is not in the bundle). What
was chosen is said in the log and in every health message; there is no silent fallback from an
engine that was asked for by name.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import get_args

from edge_daemon.contract.bundle import Bundle, RoleName
from edge_daemon.contract.roles import Precision
from edge_daemon.engines.base import Engine
from edge_daemon.engines.names import EngineChoice, EngineName, PrecisionChoice
from edge_daemon.errors import EngineError

_FASTEST_FIRST: tuple[Precision, ...] = ("int8", "fp16", "fp32")


def open_engine(
    bundle: Bundle,
    role: RoleName,
    *,
    engine: EngineChoice = "auto",
    precision: PrecisionChoice = "auto",
    threads: int | None = None,
) -> Engine:
    """Load a role's network.

    Args:
        bundle: a verified bundle.
        role: which network.
        engine: a runtime by name, or ``auto``.
        precision: a precision the bundle ships, or ``auto``.
        threads: processor threads; all this process may use when None.

    Raises:
        EngineError: the runtime is not installed or cannot load the model.
        BundleError: the bundle lacks the role or the precision.
    """
    chosen = _choose(engine)
    shipped = bundle.role(role).models
    wanted = next(p for p in _FASTEST_FIRST if p in shipped) if precision == "auto" else precision
    model = bundle.model(role, wanted)
    count = threads or len(os.sched_getaffinity(0))
    if chosen == "openvino":
        from edge_daemon.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(model, wanted, count, exact_fp32=precision == "fp32")
    from edge_daemon.engines.onnxruntime import OnnxRuntimeEngine

    return OnnxRuntimeEngine(model, wanted, count)


def installed_engines() -> tuple[EngineName, ...]:
    """The runtimes that can be used here, fastest first."""
    return tuple(name for name in get_args(EngineName) if find_spec(name) is not None)


def _choose(engine: EngineChoice) -> EngineName:
    available = installed_engines()
    if engine == "auto":
        if not available:
            raise EngineError("no inference runtime is installed; pip install openvino")
        return available[0]
    if engine not in available:
        raise EngineError(f"engine {engine!r} is not installed here; pip install {engine}")
    return engine

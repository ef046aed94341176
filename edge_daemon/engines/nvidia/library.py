"""Which of NVIDIA's two libraries is here: TensorRT (Jetson, data centre) or TensorRT for RTX.

Both have the same Python API and both are strongly typed: precision is in the ONNX graph. A Jetson
brings TensorRT with JetPack; a workstation with an RTX card installs ``tensorrt-rtx``, which also
builds engines on a machine that has no GPU at all.
"""

from __future__ import annotations

import importlib
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from edge_daemon.engines.names import NvidiaLibraryName
from edge_daemon.errors import EngineError

log = logging.getLogger(__name__)

_MODULES: Mapping[NvidiaLibraryName, tuple[str, ...]] = {
    "tensorrt": ("tensorrt",),
    "tensorrt_rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings"),
}
"""Modules that may bring a library; the second without NVIDIA's meta package."""
HOW_TO_INSTALL: Mapping[NvidiaLibraryName, str] = {
    "tensorrt": "on a Jetson it comes with JetPack: make the environment with "
    "'python3 -m venv --system-site-packages'",
    "tensorrt_rtx": "pip install 'leukoedge[rtx]'",
}
_COMPLAINTS_KEPT = 3


@dataclass(frozen=True)
class NvidiaLibrary:
    """One of the two libraries, loaded."""

    name: NvidiaLibraryName
    module: Any
    """The Python module: ``tensorrt`` or what has the same API."""
    logger: Any
    """An ``ILogger`` that writes into Python's logging; one for the process, as TensorRT wants."""
    complaints: deque[str]
    """The last errors that the library logged: the reason when it returns nothing."""

    @property
    def version(self) -> str:
        """Its version, such as ``10.3.0``."""
        return str(self.module.__version__)

    def __str__(self) -> str:
        title = "TensorRT for RTX" if self.name == "tensorrt_rtx" else "TensorRT"
        return f"{title} {self.version}"

    def reason(self) -> str:
        """Why it returned nothing, in its own words; forgets them."""
        said = "; ".join(self.complaints) or "it gives no reason"
        self.complaints.clear()
        return said


def is_installed(name: NvidiaLibraryName) -> bool:
    """Whether the library can be imported."""
    return any(find_spec(module) is not None for module in _MODULES[name])


_loaded: dict[NvidiaLibraryName, NvidiaLibrary] = {}


def load_library(name: NvidiaLibraryName) -> NvidiaLibrary:
    """The library, imported once.

    Raises:
        EngineError: it is not installed, or is broken.
    """
    if name not in _loaded:
        module = next((one for one in _MODULES[name] if find_spec(one) is not None), None)
        if module is None:
            raise EngineError(f"{name} is not installed here; {HOW_TO_INSTALL[name]}")
        try:
            _loaded[name] = wrap_library(name, importlib.import_module(module))
        except (ImportError, OSError, RuntimeError) as error:
            cause = " ".join(str(error).split())[:300]
            raise EngineError(f"{name} does not load: {cause}") from error
    return _loaded[name]


def wrap_library(name: NvidiaLibraryName, module: Any) -> NvidiaLibrary:
    """``module`` with its logger turned into Python's."""
    complaints: deque[str] = deque(maxlen=_COMPLAINTS_KEPT)
    errors = (module.ILogger.INTERNAL_ERROR, module.ILogger.ERROR)

    class PythonLogger(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            line = " ".join(message.split())
            if severity in errors:  # told by whoever is given nothing, in one line
                complaints.append(line[:300])
                log.info("%s", line)
            elif severity == module.ILogger.WARNING:
                log.warning("%s", line)
            else:  # a hundred lines for each engine
                log.debug("%s", line)

    return NvidiaLibrary(name, module, PythonLogger(), complaints)

"""A precision that failed its golden set on this processor is not tried again at every start.

A note beside what is compiled here, by graph, golden set, runtime and processor: when one of these
changes, it is tried again. A note only ever leads to a slower precision, which is proven itself,
so a wrong one costs speed and never a result.
"""

from __future__ import annotations

import hashlib
import logging
import platform
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from edge_daemon.contract.bundle import GOLDEN, Bundle, RoleName
from edge_daemon.contract.roles import Precision
from edge_daemon.engines.folder import engine_folder
from edge_daemon.engines.options import EngineOptions
from edge_daemon.engines.select import engine_of

log = logging.getLogger(__name__)


class Refusal:
    """Whether a network in one precision is known to answer wrongly here."""

    def __init__(
        self, bundle: Bundle, role: RoleName, precision: Precision, options: EngineOptions
    ) -> None:
        engine = engine_of(options)
        files = bundle.manifest.files
        self._file: Path | None = None
        if engine not in ("openvino", "onnxruntime") or GOLDEN not in files:
            return  # an engine for a GPU is built anew, and may be right then
        about = (
            files[bundle.model(role, precision).name].sha256,
            files[GOLDEN].sha256,
            engine,
            version(engine),
            _processor(),
        )
        key = hashlib.sha256("\n".join(about).encode()).hexdigest()[:16]
        self._file = engine_folder(options.engine_cache) / "refused" / f"{key}.txt"

    @property
    def known(self) -> str | None:
        """Why it was refused; None where that is not known."""
        if self._file is None:
            return None
        with suppress(OSError, UnicodeDecodeError):
            return self._file.read_text(encoding="utf-8").strip() or None
        return None

    def note(self, why: str) -> None:
        """Keep it for the next start, where that can be written."""
        if self._file is None:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(f"{why}\n", encoding="utf-8")
        except OSError as error:
            log.warning("%s: %s; it is tried again at the next start", self._file, error.strerror)


def _processor() -> str:
    """What it can compute decides how a network is compiled."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        wanted = ("model name", "flags", "Features")
        return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))
    return platform.processor()

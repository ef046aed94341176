"""The engine of a role on this machine: the one that was kept, or a new one, and why a new one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_daemon.contract.bundle import Bundle, RoleName
from edge_daemon.contract.roles import Precision
from edge_daemon.engines.checked import require_model
from edge_daemon.engines.nvidia.build_settings import BuildSettings
from edge_daemon.engines.nvidia.builder import Progress, build_engine
from edge_daemon.engines.nvidia.engine_cache import EngineCache, KeptEngine
from edge_daemon.engines.nvidia.engine_record import EngineKey, engine_key
from edge_daemon.engines.nvidia.gpu import GpuInfo
from edge_daemon.engines.nvidia.library import NvidiaLibrary
from edge_daemon.errors import EngineError

log = logging.getLogger(__name__)

BeforeBuild = Callable[[RoleName, Precision, str], Progress | None]
"""Told role, precision and why it is built; gives what is told of the progress."""


def _silently(_role: RoleName, _precision: Precision, _why: str) -> Progress | None:
    return None


@dataclass(frozen=True)
class EngineSupply:
    """What engines are made with here, and where they are kept."""

    library: NvidiaLibrary
    gpu: GpuInfo
    cache: EngineCache
    settings: BuildSettings = BuildSettings()
    before_build: BeforeBuild = _silently

    def key(self, bundle: Bundle, role: RoleName, precision: Precision) -> EngineKey:
        """What the engine of a role must have been made from to be used."""
        model = bundle.model(role, precision)
        digest = bundle.manifest.files[model.name].sha256
        return engine_key(digest, precision, self.library, self.gpu, self.settings)

    def engine(self, bundle: Bundle, role: RoleName, precision: Precision) -> KeptEngine:
        """A sound engine, built if need be. What was kept for others is left alone.

        Raises:
            BundleError: the bundle has no such role or precision.
            EngineError: it cannot be built or kept.
        """
        key = self.key(bundle, role, precision)
        kept = self.cache.find(role, key)
        if kept is not None and kept.fault is None:
            return kept
        return self.build(bundle, role, precision, self._why(role, key, kept))

    def build(
        self, bundle: Bundle, role: RoleName, precision: Precision, why: str = "it is asked for"
    ) -> KeptEngine:
        """Build an engine and keep it, whatever is there; see :meth:`engine`."""
        key = self.key(bundle, role, precision)
        model = bundle.model(role, precision)
        require_model(model)
        self.cache.require_writable()
        log.warning("building the %s engine of the %s: %s", precision, role, why)
        started = time.monotonic()
        content, timing = build_engine(
            self.library,
            model,
            self.gpu,
            self.settings,
            exact_fp32=precision == "fp32",
            timing_cache=self.cache.timing(),
            progress=self.before_build(role, precision, why),
        )
        kept = self.cache.store(role, key, content, time.monotonic() - started)
        self.cache.note_timing(timing)
        return kept

    def read(self, kept: KeptEngine) -> bytes:
        """The engine's bytes.

        Raises:
            EngineError: they cannot be read.
        """
        try:
            return kept.path.read_bytes()
        except OSError as error:
            raise EngineError(
                f"cannot read {kept.path}: {error.strerror}; build it again"
            ) from error

    def _why(self, role: RoleName, key: EngineKey, kept: KeptEngine | None) -> str:
        if kept is not None:
            return f"{kept.path.name} {kept.fault}"
        different = next(self.cache.others(role, key), None)
        if different is None:
            return "there is none yet"
        return f"the one that is kept is for {different}"

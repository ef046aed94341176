"""A role's engine on the GPU of this thread: found or built, loaded, proven before first use."""

from __future__ import annotations

import numpy as np

from edge_daemon.contract.bundle import Bundle, RoleName
from edge_daemon.contract.roles import Precision
from edge_daemon.engines.folder import engine_folder
from edge_daemon.engines.golden import check_golden
from edge_daemon.engines.names import NvidiaLibraryName
from edge_daemon.engines.nvidia.cuda import open_gpu
from edge_daemon.engines.nvidia.engine_cache import EngineCache, KeptEngine
from edge_daemon.engines.nvidia.engine_record import GoldenRecord
from edge_daemon.engines.nvidia.gpu import Gpu
from edge_daemon.engines.nvidia.library import load_library
from edge_daemon.engines.nvidia.supply import EngineSupply
from edge_daemon.engines.options import EngineOptions
from edge_daemon.engines.tensorrt import RefusedEngineError, TensorRtEngine
from edge_daemon.errors import GoldenSetError


def open_on_gpu(
    bundle: Bundle,
    role: RoleName,
    precision: Precision,
    library_name: NvidiaLibraryName,
    options: EngineOptions = EngineOptions(),
) -> TensorRtEngine:
    """Load the engine of a role, building it first where there is none.

    Raises:
        EngineError: there is no GPU or no library, the engine cannot be built or kept, or it does
            not pass its golden set; it is built again at the next start then.
        BundleError: the bundle has no such role, precision or golden set.
    """
    library, gpu = load_library(library_name), open_gpu()
    try:
        cache = EngineCache(engine_folder(options.engine_cache))
        supply = EngineSupply(library, gpu.info, cache, options.build)
        kept = supply.engine(bundle, role, precision)
    except BaseException:
        gpu.close()
        raise
    try:
        engine = _loaded(supply, kept, precision, gpu)
    except RefusedEngineError as error:
        # Same versions, same GPU, and yet refused: as good as stale.
        kept = supply.build(bundle, role, precision, f"{kept.path.name} is refused ({error})")
        engine = _loaded(supply, kept, precision, open_gpu())
    if kept.record is not None and kept.record.golden is None:
        _prove(engine, bundle, role, supply, kept)
    return engine


def _loaded(
    supply: EngineSupply, kept: KeptEngine, precision: Precision, gpu: Gpu
) -> TensorRtEngine:
    """The engine; it closes ``gpu`` when it is closed, and also when it cannot be loaded."""
    try:
        content = supply.read(kept)
    except BaseException:
        gpu.close()
        raise
    return TensorRtEngine(content, precision, supply.library, gpu, str(kept.path))


def _prove(
    engine: TensorRtEngine, bundle: Bundle, role: RoleName, supply: EngineSupply, kept: KeptEngine
) -> None:
    """Hold a new engine against the golden set and write down what came of it."""
    try:
        result = check_golden(engine, bundle, role)
        supply.cache.note_golden(
            kept,
            GoldenRecord(
                # JSON has neither infinity nor NaN.
                difference=float(np.nan_to_num(result.difference, nan=1e9, posinf=1e9)),
                tolerance=result.tolerance,
                passed=result.passed,
            ),
        )
    except BaseException:
        engine.close()
        raise
    if not result.passed:
        engine.close()
        raise GoldenSetError(
            f"{kept.path} fails its golden set: it differs by {result.difference:.2g}, allowed is "
            f"{result.tolerance:.2g}; start again and it is built anew"
        )

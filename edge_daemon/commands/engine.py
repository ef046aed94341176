"""``leuko-edge engine``: build, list, verify and prune the engines that this device keeps.

``run`` and the other commands build what they need by themselves; these are for whoever wants the
minutes spent before the microscope is switched on, or wants to know what is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from edge_daemon.contract.bundle import Bundle, RoleName
from edge_daemon.contract.roles import Precision
from edge_daemon.engines.names import NvidiaLibraryName
from edge_daemon.engines.nvidia.builder import Progress as BuildProgress
from edge_daemon.engines.nvidia.cuda import open_gpu, why_no_gpu
from edge_daemon.engines.nvidia.engine_cache import EngineCache, KeptEngine
from edge_daemon.engines.nvidia.gpu import GpuInfo
from edge_daemon.engines.nvidia.library import is_installed, load_library
from edge_daemon.engines.nvidia.opened import open_on_gpu
from edge_daemon.engines.nvidia.supply import EngineSupply
from edge_daemon.engines.openvino_cache import prune_compiled
from edge_daemon.engines.options import EngineOptions
from edge_daemon.errors import ConfigError, EngineError

_LIBRARIES: tuple[NvidiaLibraryName, ...] = ("tensorrt", "tensorrt_rtx")


@dataclass(frozen=True)
class EngineRequest:
    """Which engines of a bundle, and where they are kept."""

    bundle: Bundle
    folder: Path
    options: EngineOptions
    role: RoleName | None = None
    """All roles of the bundle when None."""
    target: tuple[int, int] | None = None
    """Compute capability to build for; the GPU that is here when None."""

    def wanted(self) -> Iterator[tuple[RoleName, Precision]]:
        """Roles and precisions: the one that was asked for, or all that the bundle ships."""
        for role in self.bundle.roles if self.role is None else (self.role,):
            shipped = self.bundle.role(role).models
            precision = self.options.precision
            if precision == "auto":
                yield from ((role, one) for one in shipped)
            else:
                self.bundle.model(role, precision)  # says what there is when this is not
                yield role, precision


def build(request: EngineRequest, console: Console, *, again: bool = False) -> int:
    """Build what is not there yet, or everything ``again``; how many engines are there now.

    Raises:
        EngineError: there is no library or GPU, or an engine cannot be built, kept or proven.
    """
    library = load_library(_library(request.options))
    cache = EngineCache(request.folder)
    count = 0
    with _target_gpu(request.target) as gpu, _bars(console) as bars:
        supply = EngineSupply(
            library,
            gpu,
            cache,
            request.options.build,
            lambda role, precision, _why: _told(bars, f"{role} {precision}"),
        )
        for role, precision in request.wanted():
            # What is there stays until the new one is whole.
            make = supply.build if again else supply.engine
            kept = make(request.bundle, role, precision)
            if request.target is None:
                _prove(request, role, precision)
            console.print(_line(kept), highlight=False, soft_wrap=True, markup=False)
            count += 1
    return count


def show(folder: Path, console: Console) -> list[KeptEngine]:
    """Print every engine of a folder."""
    engines = EngineCache(folder).engines()
    if not engines:
        console.print(f"no engines in {folder}", highlight=False, soft_wrap=True, markup=False)
        return engines
    table = Table(box=None, pad_edge=False)
    for title in ("engine", "for", "by", "MB", "built", "golden set", ""):
        table.add_column(title, overflow="fold")
    for kept in engines:
        table.add_row(kept.path.name, *_cells(kept))
    console.print(table, highlight=False)
    return engines


def verify(request: EngineRequest, console: Console) -> bool:
    """Hold every kept engine against its record, and the bundle's own against the golden set.

    Without a GPU the golden set cannot be run, and that is said.
    """
    engines = EngineCache(request.folder).engines()
    for kept in engines:
        console.print(_line(kept), highlight=False, soft_wrap=True, markup=False)
    sound = all(kept.fault is None for kept in engines)
    reason = why_no_gpu()
    if reason is not None:
        console.print(
            f"golden set not run: {reason}", highlight=False, soft_wrap=True, markup=False
        )
        return sound
    faults = {one: _fault(request, *one) for one in request.wanted()}
    for (role, precision), fault in faults.items():
        verdict = "ok   " if fault is None else "FAIL "
        line = f"{verdict}{role} {precision}: {fault or 'golden set passed'}"
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    return sound and not any(faults.values())


def prune(bundle: Bundle, folder: Path, console: Console) -> list[Path]:
    """Delete engines of other graphs than the bundle's, broken ones, and unfinished files.

    Raises:
        EngineError: something cannot be deleted.
    """
    graphs = {
        bundle.manifest.files[name].sha256
        for role in bundle.roles
        for name in bundle.role(role).models.values()
    }
    cache = EngineCache(folder)
    keep = [
        kept.path
        for kept in cache.engines()
        if kept.fault is None and kept.record is not None and kept.record.key.onnx_sha256 in graphs
    ]
    gone = [*cache.prune(keep), *prune_compiled(folder, graphs)]
    for path in gone:
        console.print(f"deleted {path.name}", highlight=False, soft_wrap=True, markup=False)
    console.print(f"{len(keep)} engines kept, {len(gone)} others deleted", highlight=False)
    return gone


def _library(options: EngineOptions) -> NvidiaLibraryName:
    if options.engine in _LIBRARIES:
        return options.engine
    if options.engine != "auto":
        raise ConfigError(f"--engine {options.engine} builds no engines; only TensorRT does")
    return next((name for name in _LIBRARIES if is_installed(name)), "tensorrt")


@contextmanager
def _target_gpu(target: tuple[int, int] | None) -> Iterator[GpuInfo]:
    if target is not None:
        yield GpuInfo("compute capability {}.{}".format(*target), target, 0)
        return
    gpu = open_gpu()
    try:
        yield gpu.info
    finally:
        gpu.close()


def _prove(request: EngineRequest, role: RoleName, precision: Precision) -> None:
    """Load the engine and hold it against the golden set, now and not at the first frame."""
    from edge_daemon.engines.golden import check_golden

    options = request.options
    chosen = EngineOptions(options.engine, precision, None, request.folder, options.build)
    engine = open_on_gpu(request.bundle, role, precision, _library(options), chosen)
    try:
        result = check_golden(engine, request.bundle, role)
    finally:
        engine.close()
    if not result.passed:
        missed = f"{result.difference:.2g}, allowed is {result.tolerance:.2g}"
        raise EngineError(f"the golden set is missed by {missed}")


def _fault(request: EngineRequest, role: RoleName, precision: Precision) -> str | None:
    try:
        _prove(request, role, precision)
    except EngineError as error:
        return str(error)
    return None


@contextmanager
def _bars(console: Console) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        yield bars


def _told(bars: Progress, what: str) -> BuildProgress:
    """A bar for one engine; TensorRT's phases follow each other in it."""
    task = bars.add_task(f"building {what}", total=None)

    def progress(phase: str, done: int, steps: int) -> bool:
        bars.update(task, description=f"{what}: {phase}", completed=done, total=max(steps, 1))
        return True

    return progress


def _line(kept: KeptEngine) -> str:
    state = "ok  " if kept.fault is None else "FAIL"
    return f"{state} {kept.path.name}  {'  '.join(filter(None, _cells(kept)))}"


def _cells(kept: KeptEngine) -> tuple[str, ...]:
    """For which GPU, by which library, size, when built, golden set, fault."""
    record = kept.record
    if record is None:
        return ("", "", "", "", "", kept.fault or "")
    key = record.key
    golden = "not run yet"
    if record.golden is not None:
        golden = "passed" if record.golden.passed else "failed"
    where = key.gpu if key.platform is None else f"{key.gpu}, {key.platform}"
    return (
        where,
        f"{key.library} {key.version}",
        f"{record.bytes / 1e6:.1f}",
        f"{record.built:%Y-%m-%d %H:%M} in {record.build_s:.1f} s",
        golden,
        kept.fault or "",
    )

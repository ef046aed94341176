"""Write a bundle whole or not at all, and prove an existing one.

The bundle is built in a hidden folder beside its place, loaded back with the daemon's own loader,
run on its own golden set, and only then renamed to ``<name>-<version>``. A kill or a full disk in
between leaves a hidden folder that nobody takes for a bundle, and the bundle that was there. What
the gate found until then is kept (:mod:`exporter.gate.trials`): the same command goes on from it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from pydantic import ValidationError

from edge_daemon.contract.bundle import (
    GOLDEN,
    PRECISIONS,
    SCHEMA,
    Bundle,
    BundleManifest,
    FileEntry,
    RoleName,
    file_entry,
    load_bundle,
    write_manifest,
)
from edge_daemon.contract.golden import TOLERANCES
from edge_daemon.contract.roles import Precision
from exporter.bundle.draft import BundleDraft, RoleDraft
from exporter.bundle.golden import GoldenDifference, compare_golden, golden_answers, write_golden
from exporter.bundle.model_card import model_card
from exporter.errors import ExportError
from exporter.gate.page import JudgedRole, write_gate_page
from exporter.gate.reduce import Reduction
from exporter.gate.trials import Trials
from exporter.gate.verdict import Verdict
from exporter.graphs.fine_tuning import fine_tuned
from exporter.graphs.from_torch import Parity, export_graph
from exporter.graphs.rendered import proofs_for
from exporter.graphs.rewriting import check_graph
from exporter.graphs.signature import check_signature
from trainer.data.data_manifest import DATA_JSON

MODEL_CARD = "MODEL_CARD.md"
MAX_BYTES = 30_000_000
"""Most that a bundle may have beside its graphs in float32, unless another limit is asked for.
Those are what all else is proven against, and what runs where nothing else does."""

Models: TypeAlias = dict[RoleName, dict[Precision, str]]
"""Of each role the file of each precision."""


@dataclass(frozen=True)
class ModelProof:
    """One model of a bundle, held against the golden set in ONNX Runtime."""

    role: RoleName
    precision: Precision
    size_bytes: int
    difference: GoldenDifference

    def __str__(self) -> str:
        return (
            f"{self.role} {self.precision}: {self.size_bytes / 1e6:.1f} MB, golden set off by "
            f"{self.difference.share:.1e} of its spread, {self.difference.max_abs:.1e} at most"
        )


def write_bundle(
    draft: BundleDraft,
    out: Path,
    *,
    force: bool = False,
    max_bytes: int = MAX_BYTES,
    report: Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """Write ``draft`` to ``out/<name>-<version>`` and return it, verified.

    Args:
        draft: what to write.
        out: folder of bundles; made when it is absent.
        force: replace a bundle of the same name and version.
        max_bytes: largest size of all files together, without the graphs in float32.
        report: where to write the gate's page, with pictures of the cells that were lost.
        tell: is given one line per step that is done.

    Raises:
        ExportError: the bundle exists or is too large, or a graph, the golden set or the manifest
            does not hold.
        BundleError: what was written cannot be loaded as a bundle.
    """
    # a wrong name costs a second, not an export
    _manifest(draft, _promised_files(draft), _float32_only(draft))
    place = out / draft.label
    if place.exists() and not force:
        raise ExportError(
            f"{place} exists; a published version never changes: raise --version, or replace it "
            "with --force"
        )
    read = "no record" if draft.data is None else draft.data.digest
    trials = Trials(out / f".{draft.label}.trials", read)
    with _hidden_folder(out, draft.label) as folder:
        judged = _fill(folder, draft, trials, tell)
        if report is not None:
            write_gate_page(draft.label, judged, report)
        float32 = {_model_name(role, "fp32") for role in draft.roles}
        sizes = {file.name: file.stat().st_size for file in folder.iterdir()}
        size = sum(bytes_ for name, bytes_ in sizes.items() if name not in float32)
        if size > max_bytes:
            raise ExportError(
                f"{draft.label} has {size / 1e6:.1f} MB beside float32, {max_bytes / 1e6:.1f} MB "
                "are allowed: every device of a fleet fetches it; train a smaller network, or "
                "raise --max-mb"
            )
        for proof in verify_bundle(folder):
            tell(str(proof))
        _to_disk(folder)
        _move_into_place(folder, place)
    trials.forget()
    return load_bundle(place)


def verify_bundle(path: Path) -> tuple[ModelProof, ...]:
    """Load a bundle as the daemon does, and prove every model in it.

    Digests, ``onnx.checker``, the contract's signature, and the golden set in ONNX Runtime.

    Raises:
        BundleError: the folder is not a sound bundle.
        ExportError: a model in it does not hold.
    """
    bundle = load_bundle(path)
    return tuple(
        _proof(bundle, role, precision)
        for role in bundle.roles
        for precision in PRECISIONS
        if precision in bundle.role(role).models
    )


def _proof(bundle: Bundle, role: RoleName, precision: Precision) -> ModelProof:
    file = bundle.model(role, precision)
    model = onnx.load(file)
    check_graph(model, str(file))
    check_signature(model, bundle.role(role).spec, str(file))
    difference = compare_golden(bundle.golden, role, file)
    if not difference.share <= TOLERANCES[precision]:  # a NaN does not hold either
        raise ExportError(
            f"{file} differs from the golden set by {difference.share:.2e} of its spread "
            f"(allowed {TOLERANCES[precision]:.0e}); export the bundle again"
        )
    return ModelProof(role, precision, file.stat().st_size, difference)


def _fill(
    folder: Path, draft: BundleDraft, trials: Trials, tell: Callable[[str], None]
) -> tuple[JudgedRole, ...]:
    """Write every file of the bundle into ``folder``, the manifest last; what the gate said."""
    parities: dict[str, Parity] = {}
    golden: dict[str, NDArray[np.generic]] = {}
    models: Models = {}
    judged: list[JudgedRole] = []
    for role in draft.roles:
        file = folder / _model_name(role, "fp32")
        parities[file.name] = export_graph(
            role.graph, role.spec, file, proofs=proofs_for(role.spec), metadata=_metadata(role)
        )
        tell(f"{file.name}: off PyTorch by {parities[file.name].max_abs:.1e} at most")
        golden.update(golden_answers(role.name, role.spec, file))
        models[role.name] = {"fp32": file.name}
        if role.examples is None:
            tell(f"{role.name}: no data at hand to calibrate and judge with: float32 only")
            continue
        reduction = Reduction(
            role.name,
            file,
            role.examples,
            tell,
            fine_tune=partial(_write_fine_tuned, role),
            trials=trials.of(role.spec.model_dump_json()),
        )
        steps: dict[Precision, Callable[[Path], Verdict]] = {
            "fp16": reduction.to_fp16,
            "int8": reduction.to_int8,
        }
        for precision, reduce in steps.items():
            reduced = folder / _model_name(role, precision)
            verdict = reduce(reduced)
            judged.append(JudgedRole(verdict, role.examples))
            if verdict.passed:
                models[role.name][precision] = reduced.name
    write_golden(folder / GOLDEN, golden)
    if draft.data is not None:
        draft.data.write(folder / DATA_JSON)
    verdicts = [one.verdict for one in judged]
    (folder / MODEL_CARD).write_text(model_card(draft, parities, verdicts), encoding="utf-8")
    files = {file.name: file_entry(file) for file in sorted(folder.iterdir())}
    write_manifest(folder, _manifest(draft, files, models, verdicts))
    return tuple(judged)


def _write_fine_tuned(role: RoleDraft, file: Path) -> None:
    """Write the graph of ``role`` with weights that bear INT8, in float32."""
    assert role.examples is not None  # noqa: S101 - without examples nothing is quantised
    tuned = fine_tuned(role.graph, role.examples.calibration())
    export_graph(tuned, role.spec, file, proofs=proofs_for(role.spec), metadata=_metadata(role))


def _metadata(role: RoleDraft) -> dict[str, str]:
    """What the ONNX file says of itself. Nothing of the bundle's version: see ``from_torch``."""
    return {
        "leukoedge.role": role.name,
        "leukoedge.precision": "fp32",
        "leukoedge.input": "uint8 NHWC RGB; normalisation is inside",
        "leukoedge.use": "research use only, not a medical device",
    }


def _model_name(role: RoleDraft, precision: Precision) -> str:
    return f"{role.name}.{precision}.onnx"


def _float32_only(draft: BundleDraft) -> Models:
    return {role.name: {"fp32": _model_name(role, "fp32")} for role in draft.roles}


def _promised_files(draft: BundleDraft) -> dict[str, FileEntry]:
    """The files the bundle will have at least, empty."""
    names = [*(_model_name(role, "fp32") for role in draft.roles), GOLDEN, MODEL_CARD]
    return dict.fromkeys(names, FileEntry(sha256="0" * 64, bytes=0))


def _manifest(
    draft: BundleDraft,
    files: Mapping[str, FileEntry],
    models: Models,
    verdicts: Sequence[Verdict] = (),
) -> BundleManifest:
    calibrations: defaultdict[str, dict[Precision, object]] = defaultdict(dict)
    for one in verdicts:
        if one.passed and one.reduced.calibration is not None:
            calibrations[one.role][one.precision] = one.reduced.calibration.model_dump(mode="json")
    roles = {
        role.name: {
            "spec": role.spec.model_dump(mode="json"),
            "models": models[role.name],
            **({"calibrations": own} if (own := calibrations[role.name]) else {}),
        }
        for role in draft.roles
    }
    reduced = {
        f"{one.role}.{one.precision}.{name}".replace("/", "."): value
        for one in verdicts
        if one.passed
        for name, value in one.reduced.figures.items()
    }
    content = {
        "schema": SCHEMA,
        "name": draft.name,
        "version": draft.version,
        "roles": roles,
        "metrics": {name: round(value, 6) for name, value in {**draft.metrics, **reduced}.items()},
        "provenance": draft.provenance.model_dump(mode="json"),
        "stain": None if draft.stain is None else draft.stain.model_dump(mode="json"),
        "files": {name: entry.model_dump() for name, entry in files.items()},
    }
    try:
        return BundleManifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "manifest"
        raise ExportError(f"{draft.label} is no bundle: {where}: {first['msg']}") from None


@contextmanager
def _hidden_folder(out: Path, label: str) -> Iterator[Path]:
    """A new folder on the file system of ``out``, gone afterwards unless it was moved."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{label}.", dir=out))
    except OSError as error:
        raise ExportError(f"cannot write into {out}: {error.strerror}") from error
    try:
        folder.chmod(0o755)  # mkdtemp makes it private; a bundle is read by the daemon's user
        yield folder
    except OSError as error:
        raise ExportError(f"cannot write the bundle into {out}: {error.strerror}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move_into_place(folder: Path, place: Path) -> None:
    """Rename ``folder`` to ``place``; what was there is moved aside first and then removed."""
    aside = folder.with_name(folder.name + ".replaced")
    if place.exists():
        place.rename(aside)
    try:
        folder.rename(place)
    except OSError:
        if aside.exists():
            aside.rename(place)
        raise
    shutil.rmtree(aside, ignore_errors=True)
    _sync(place.parent)


def _to_disk(folder: Path) -> None:
    """Make sure that a power cut after the rename cannot leave empty files behind the name."""
    for file in folder.iterdir():
        _sync(file)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

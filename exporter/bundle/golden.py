"""The golden set: a few rendered inputs and what the float32 graphs answer to them.

A device runs it before it trusts an engine, the exporter before it trusts a file, and both read
the same ``golden.npz``: ``<role>/input`` and ``<role>/<output name>`` for every role. The bytes
depend on the content alone (``numpy.savez`` would write the time of day into them).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_daemon.contract.bundle import RoleName
from edge_daemon.contract.golden import INPUT, golden_set, spread_share
from exporter.errors import ExportError
from exporter.graphs.reference import ReferenceSession
from exporter.graphs.rendered import rendered_inputs
from exporter.graphs.signature import RoleSpec, signature_of

GOLDEN_CROPS = 12
"""Classifier crops in the set; the detector has one frame, the only batch its graph takes."""

MAX_BYTES = 1_500_000
"""A bundle travels to every device of a fleet; the golden set must not weigh on it."""

_SEED = (
    20191  # never the seed of the parity proofs: the golden set is checked on pictures of its own
)
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest moment a zip file can name
_PLAIN_FILE = 0o644 << 16

Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class GoldenDifference:
    """How far a network is from its golden outputs."""

    share: float
    """Mean absolute difference over the standard deviation of the output; of the worst output."""
    max_abs: float
    """Largest difference of any number, in units of the outputs (logits, grid units)."""


def golden_answers(role: RoleName, spec: RoleSpec, file: Path) -> dict[str, NDArray[np.generic]]:
    """The golden entries of one role: its rendered input and the outputs of the fp32 ``file``.

    Raises:
        ExportError: an output is not finite.
    """
    count = GOLDEN_CROPS if signature_of(spec).free_batch else 1
    pictures = rendered_inputs(spec, count, _SEED)
    entries: dict[str, NDArray[np.generic]] = {f"{role}/{INPUT}": pictures}
    for name, values in ReferenceSession(file).run(pictures).items():
        if not np.isfinite(values).all():
            raise ExportError(f"{file.name} answers {name} with numbers that are not finite")
        entries[f"{role}/{name}"] = values
    return entries


def write_golden(file: Path, entries: Arrays) -> None:
    """Write the entries to ``file``, compressed, the same content as the same bytes.

    Raises:
        ExportError: the set is larger than ``MAX_BYTES``.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in sorted(entries):
            member = zipfile.ZipInfo(f"{name}.npy", date_time=_EPOCH)
            member.create_system = 3  # Unix, also when written on Windows
            member.external_attr = _PLAIN_FILE
            array = io.BytesIO()
            np.lib.format.write_array(
                array, np.ascontiguousarray(entries[name]), allow_pickle=False
            )
            archive.writestr(
                member, array.getvalue(), compress_type=zipfile.ZIP_DEFLATED, compresslevel=9
            )
    if packed.tell() > MAX_BYTES:
        raise ExportError(f"the golden set is {packed.tell()} bytes, {MAX_BYTES} are allowed")
    file.write_bytes(packed.getvalue())


def compare_golden(golden: Path, role: RoleName, model: Path) -> GoldenDifference:
    """Run ``model`` on the golden input of ``role`` in ONNX Runtime and compare.

    Raises:
        BundleError: the set cannot be read or lacks the role.
        ExportError: it has other outputs.
    """
    expected = golden_set(golden, role)
    pictures = expected.pop(INPUT)
    found = ReferenceSession(model).run(pictures)
    shapes = {name: values.shape for name, values in expected.items()}
    if {name: values.shape for name, values in found.items()} != shapes:
        raise ExportError(f"{golden} expects {shapes} of {role}; {model.name} answers otherwise")
    shares = [spread_share(found[name], expected[name]) for name in sorted(expected)]
    largest = [float(np.abs(found[name] - expected[name]).max()) for name in sorted(expected)]
    return GoldenDifference(float(np.max(shares)), float(np.max(largest)))

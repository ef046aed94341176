"""What a bundle's networks cost, and the frames a second that follow from it.

A frame is one run of the detector and one batch of the classifier with every white cell in it.
Reading pictures, judging and scaling them, decoding boxes and everything else on the processor is
not here: it runs beside the networks or comes on top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from edge_daemon.contract.bundle import PRECISIONS, Bundle, RoleName, load_bundle
from edge_daemon.contract.roles import Precision
from exporter.errors import ExportError
from exporter.graphs.signature import signature_of
from exporter.roofline.bound import bound_s
from exporter.roofline.devices import Device
from exporter.roofline.layers import count_layers
from exporter.roofline.network import Arithmetic, Network

CELLS = (1, 10, 50)
"""White cells in a frame: ordinary blood, a dense field, a leukaemic marrow."""

_AS_THE_DAEMON_BUILDS: Mapping[Precision, Arithmetic] = {
    "fp32": "fp32",
    "fp16": "tf32",
    "int8": "tf32",
}
"""What float32 tensors of a graph are calculated in: a float32 engine multiplies them exactly, any
other may round them to TF32 (``edge_daemon/engines/nvidia/supply.py``)."""


@dataclass(frozen=True)
class Variant:
    """A role's network in one precision, counted at every batch that it takes."""

    role: RoleName
    label: str
    shipped: bool
    """Whether the bundle holds this graph, or it is another one counted as if it were so."""
    networks: Mapping[int, Network]
    """Batch -> its layers."""


@dataclass(frozen=True)
class Choice:
    """One precision for each network of a frame."""

    label: str
    detector: Variant
    classifier: Variant

    def detector_s(self, device: Device) -> float:
        """Seconds that the detector takes at least."""
        return bound_s(self.detector.networks[1], device)

    def classifier_s(self, device: Device, cells: int) -> float:
        """Seconds that the classifier takes at least for all cells of a frame."""
        return bound_s(self.classifier.networks[cells], device)

    def frames_per_s(self, device: Device, cells: int) -> float:
        """Frames a second that no device of this kind can exceed."""
        return 1 / (self.detector_s(device) + self.classifier_s(device, cells))


@dataclass(frozen=True)
class BundleCosts:
    """All networks of a bundle, counted, and the ways to put a frame together."""

    label: str
    digest: str
    variants: tuple[Variant, ...]
    choices: tuple[Choice, ...]

    def shipped_choice(self) -> Choice:
        """What the daemon takes of this bundle."""
        return next(one for one in self.choices if one.label == AS_SHIPPED)


AS_SHIPPED = "as shipped"


def count_bundle(path: Path) -> BundleCosts:
    """Count every graph of the bundle at ``path``.

    Raises:
        BundleError: there is no sound bundle.
        ExportError: a graph holds an operator whose cost is not known, or cannot be read.
    """
    bundle = load_bundle(path)
    variants = tuple(variant for role in bundle.roles for variant in _variants(bundle, role))
    return BundleCosts(bundle.label, bundle.digest, variants, _choices(variants))


def _variants(bundle: Bundle, role: RoleName) -> list[Variant]:
    spec = bundle.role(role).spec
    batches = CELLS if signature_of(spec).free_batch else (1,)
    models = {
        precision: _read(bundle.model(role, precision))
        for precision in PRECISIONS
        if precision in bundle.role(role).models
    }

    def variant(label: str, precision: Precision, float32: Arithmetic, shipped: bool) -> Variant:
        where = bundle.model(role, precision).name
        networks = {
            batch: count_layers(models[precision], where, batch=batch, float32=float32)
            for batch in batches
        }
        return Variant(role, label, shipped, networks)

    found = [variant(one, one, _AS_THE_DAEMON_BUILDS[one], True) for one in models]
    if "fp16" not in models and "fp32" in models:
        found.append(variant("fp16", "fp32", "fp16", False))
    if "int8" in models and _has_float32(models["int8"]):
        found.append(variant("int8, rest fp16", "int8", "fp16", False))
    return found


def _read(file: Path) -> onnx.ModelProto:
    try:
        return onnx.load(file)
    except Exception as error:  # the protocol buffers of different versions raise different things
        raise ExportError(f"{file} is no ONNX graph: {error}") from error


def _has_float32(model: onnx.ModelProto) -> bool:
    """Whether weights beside the quantised ones are float32, and are no mere scales or biases."""
    return any(
        tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1
        for tensor in model.graph.initializer
    )


def _choices(variants: Sequence[Variant]) -> tuple[Choice, ...]:
    of = {(variant.role, variant.label): variant for variant in variants}

    def first(role: RoleName, labels: Sequence[str], *, shipped: bool = False) -> Variant | None:
        found = (of[role, label] for label in labels if (role, label) in of)
        return next((one for one in found if one.shipped or not shipped), None)

    wanted = (
        ("float32", ["fp32"], False),
        (AS_SHIPPED, ["int8", "fp16", "fp32"], True),
        ("floats in fp16", ["int8, rest fp16", "int8", "fp16"], False),
    )
    choices = []
    for label, labels, shipped in wanted:
        detector = first("detector", labels, shipped=shipped)
        classifier = first("classifier", labels, shipped=shipped)
        if detector is not None and classifier is not None:
            choices.append(Choice(label, detector, classifier))
    return tuple(choices)

"""Real pictures for a role: what INT8 is calibrated with, and what every precision is judged on.

Calibration sees training frames and training patients only, through the daemon's own letterbox and
crops; the judgement sees the held-out ones. Which pictures calibrate is decided by their names, so
that the same data give the same bundle, and the list's digest goes into the file.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_daemon.contract.roles import Calibration, ClassifierRole, DetectorRole
from edge_daemon.contract.terms import CellLabel
from edge_daemon.vision.classify import judge_cells
from edge_daemon.vision.detect import Detections, decode, letterbox
from exporter.gate.verdict import Measured
from trainer.classifier.calibration import calibrated
from trainer.data.boxes import overlaps
from trainer.data.cnmc import CellRecord, of_split, read_manifest
from trainer.data.device_crops import crops_of_blood, crops_on_black, crops_on_fields
from trainer.data.fields import FieldRecord, read_field_sets
from trainer.data.smear_fields import real_fields
from trainer.detector.evaluate import evaluation_role
from trainer.detector.metrics import match, mean_average_precision
from trainer.statistics.calibration import expected_calibration_error, p_blast_of
from trainer.statistics.ranking import auroc

Pictures = NDArray[np.uint8]
Answers = Mapping[str, NDArray[np.float32]]
Network = Callable[[Pictures], Answers]
"""Pictures, uint8 ``[N, H, W, 3]``, to outputs by name."""

CALIBRATION_FRAMES = 160
CALIBRATION_CELLS = 320
"""Each is shown twice, on black and on a training field."""
_SAME_CELL_IOU = 0.5
_BATCH = 32


class Examples(Protocol):
    """Calibration and judgement of one role."""

    def calibration(self) -> Iterator[Pictures]:
        """Batches of network inputs from training data."""

    def calibration_digest(self) -> str:
        """SHA-256 of the sorted names of what :meth:`calibration` shows."""

    def measure(self, network: Network, *, recalibrate: bool = False) -> Measured:
        """What a network is worth on held-out data.

        ``recalibrate``: a classifier's answers are read by a calibration fitted to themselves, by
        the rule that the role's own was fitted with.
        """

    def picture(self, positive: str) -> NDArray[np.uint8]:
        """What a positive of :meth:`measure` shows, RGB uint8 ``[H, W, 3]``, by its name."""


def examples_for(spec: DetectorRole | ClassifierRole, data: Path) -> Examples:
    """The examples of a role from a folder of ``bccd``, ``txl-pbc`` and ``cnmc2019``.

    Raises:
        DataError: a set is missing or cannot be read.
    """
    if isinstance(spec, DetectorRole):
        return FieldExamples(data, spec)
    records = read_manifest(data / "cnmc2019")
    return CellExamples(data, spec, of_split(records, "train"), of_split(records, "val"))


class FieldExamples:
    """Frames of BCCD and TXL-PBC for a detector."""

    def __init__(self, data: Path, role: DetectorRole) -> None:
        self._role = role
        frames = [r for one in read_field_sets(data, "train") for r in one.records]
        self._training = _spread(frames, CALIBRATION_FRAMES)
        self._held_out = read_field_sets(data, "val")

    def calibration(self) -> Iterator[Pictures]:
        """See :class:`Examples`."""
        for record in self._training:
            yield letterbox(record.read(), self._role)[0]

    def calibration_digest(self) -> str:
        """See :class:`Examples`."""
        return _digest(record.image.name for record in self._training)

    def measure(self, network: Network, *, recalibrate: bool = False) -> Measured:  # noqa: ARG002
        """mAP50 of each set, and recall of each kind at the shipped thresholds.

        A detector has no calibration; its thresholds are those of float32.
        """
        figures: dict[str, float] = {}
        positives: set[str] = set()
        for field_set in self._held_out:
            found = [self._detected(network, record) for record in field_set.records]
            matches = match(found, [(r.boxes, r.kinds) for r in field_set.records])
            figures[f"{field_set.name}.map50"] = mean_average_precision(matches)
            for kind, one in matches.items():
                recall = one.recall(self._role.score_thresholds[kind])
                if recall is not None:
                    figures[f"{field_set.name}.{kind}_recall"] = recall
            for record, cells in zip(field_set.records, found, strict=True):
                positives |= self._found_white_cells(record, cells, field_set.name)
        return Measured(figures, frozenset(positives))

    def picture(self, positive: str) -> NDArray[np.uint8]:
        """See :class:`Examples`: the marked white cell and half its size around it."""
        where, _, number = positive.rpartition(" white cell ")
        set_name, _, file = where.rpartition("/")
        (field_set,) = (one for one in self._held_out if one.name == set_name)
        (record,) = (one for one in field_set.records if one.image.name == file)
        white = record.boxes[record.kinds == self._role.kinds.index("wbc")]
        x0, y0, x1, y1 = white[int(number)]
        margin = 0.5 * max(x1 - x0, y1 - y0)
        rows = slice(max(0, round(y0 - margin)), round(y1 + margin))
        columns = slice(max(0, round(x0 - margin)), round(x1 + margin))
        return record.read()[rows, columns]

    def _detected(self, network: Network, record: FieldRecord) -> Detections:
        pixels = record.read()
        image, scale = letterbox(pixels, self._role)
        return decode(network(image), evaluation_role(self._role), scale, *pixels.shape[:2])

    def _found_white_cells(self, record: FieldRecord, found: Detections, name: str) -> set[str]:
        white = self._role.kinds.index("wbc")
        reported = (found.kinds == white) & (found.scores >= self._role.score_thresholds["wbc"])
        marked = record.boxes[record.kinds == white]
        covered = overlaps(marked, found.boxes[reported]) > _SAME_CELL_IOU
        hit = covered.any(axis=1)
        return {f"{name}/{record.image.name} white cell {i}" for i in np.flatnonzero(hit)}


class CellExamples:
    """Cells of C-NMC for a classifier, on black and on real smear background."""

    def __init__(
        self,
        data: Path,
        role: ClassifierRole,
        training: Sequence[CellRecord],
        held_out: Sequence[CellRecord],
    ) -> None:
        self._root, self._data, self._role = data / "cnmc2019", data, role
        self._training = _over_groups(training, CALIBRATION_CELLS)
        self._held_out = held_out

    def calibration(self) -> Iterator[Pictures]:
        """See :class:`Examples`."""
        for crops in self._shown(self._training, "train", seed=3).values():
            yield from np.array_split(crops, max(1, len(crops) // _BATCH))

    def calibration_digest(self) -> str:
        """See :class:`Examples`."""
        return _digest(record.file for record in self._training)

    def measure(self, network: Network, *, recalibrate: bool = False) -> Measured:
        """AUROC, sensitivity and specificity where an abstaining device would still decide."""
        is_blast = np.array([record.label == "blast" for record in self._held_out])
        figures: dict[str, float] = {}
        positives: set[str] = set()
        labels: dict[str, CellLabel] = {}
        answers = {shown: _answers(network, one) for shown, one in self._held_out_crops.items()}
        own = self._calibrated(network, answers, is_blast) if recalibrate else None
        role = self._role if own is None else self._role.read_by(own)
        for shown, said in answers.items():
            p_blast = p_blast_of(said["logits"], role.temperature)
            called = p_blast >= role.blast_threshold
            figures[f"{shown}.auroc"] = auroc(is_blast, p_blast)
            figures[f"{shown}.sensitivity"] = float(called[is_blast].mean())
            figures[f"{shown}.specificity"] = float(1 - called[~is_blast].mean())
            figures[f"{shown}.calibration_error"] = expected_calibration_error(is_blast, p_blast)
            names = [f"{record.file} {shown}" for record in self._held_out]
            positives |= {names[i] for i in np.flatnonzero(called & is_blast)}
            verdicts = judge_cells(said["logits"], role, said.get("novelty"))
            labels |= dict(zip(names, verdicts.labels, strict=True))
        return Measured(figures, frozenset(positives), labels, own)

    def picture(self, positive: str) -> NDArray[np.uint8]:
        """See :class:`Examples`: the crop as the network was shown it."""
        file, _, shown = positive.rpartition(" ")
        names = [record.file for record in self._held_out]
        return self._held_out_crops[shown][names.index(file)]

    @cached_property
    def _held_out_crops(self) -> dict[str, Pictures]:
        return self._shown(self._held_out, "val", seed=1)

    def _calibrated(
        self,
        network: Network,
        answers: Mapping[str, Answers],
        is_blast: NDArray[np.bool_],
    ) -> Calibration:
        logits = np.concatenate([said["logits"] for said in answers.values()])
        familiar: list[NDArray[np.float32]] = []
        if self._role.novelty_limit is not None:
            fields, role = real_fields(read_field_sets(self._data, "val")), self._role
            blood = crops_of_blood(fields, crop_um=role.crop_um, size=role.size)
            familiar = [said["novelty"] for said in (*answers.values(), _answers(network, blood))]
        return calibrated(logits, np.tile(is_blast, len(answers)), familiar)

    def _shown(self, records: Sequence[CellRecord], split: str, seed: int) -> dict[str, Pictures]:
        role = self._role
        fields = real_fields(read_field_sets(self._data, split))
        return {
            "on_black": crops_on_black(self._root, records, role.size),
            "composited": crops_on_fields(
                self._root, records, fields, crop_um=role.crop_um, size=role.size, seed=seed
            ),
        }


def _answers(network: Network, crops: Pictures) -> dict[str, NDArray[np.float32]]:
    parts = [network(part) for part in np.array_split(crops, max(1, len(crops) // _BATCH))]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _spread(frames: Sequence[FieldRecord], count: int) -> list[FieldRecord]:
    """``count`` frames at even distances, so that every set and session has its share."""
    places = np.linspace(0, len(frames) - 1, min(count, len(frames)))
    return [frames[round(place)] for place in places]


def _over_groups(records: Sequence[CellRecord], count: int) -> list[CellRecord]:
    """``count`` cells, one of each patient group and class in turn, ordered by digest."""
    waiting: dict[tuple[str, str], list[CellRecord]] = defaultdict(list)
    for record in sorted(records, key=lambda one: one.original_sha256):
        waiting[record.label, record.group].append(record)
    chosen: list[CellRecord] = []
    for turn in range(max(map(len, waiting.values()), default=0)):
        chosen += [cells[turn] for _, cells in sorted(waiting.items()) if turn < len(cells)]
        if len(chosen) >= count:
            break
    return chosen[:count]


def _digest(names: Iterator[str]) -> str:
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()

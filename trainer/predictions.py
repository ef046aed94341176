"""What one model said of every cell, each cell judged by a network that never saw its fold.

One file a model, so that models are compared on the very same cells, long after their training.
Nothing in it is fitted to the cells it is measured on, as long as whole patient groups were held
out; predictions of a split by image are kept too, marked as such, to show what such a split would
have claimed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edge_daemon.contract.terms import CLASSES
from edge_daemon.errors import DataError
from trainer.whole_files import written_whole

Split = Literal["groups", "images"]
"""What a fold held out: whole patient groups, or single pictures without regard to patients."""

FORMAT = "leukoedge-predictions/1"

PREDICTIONS = "predictions.npz"
"""File of a cross-validation's predictions, beside the runs of its folds."""

_COLUMNS = ("file", "subject", "group", "fold", "is_blast", "area_um2")
# Where the columns and the logits lie in the file.
_CELL = "cell."
_LOGITS = "logits."


@dataclass(frozen=True, eq=False)
class Predictions:
    """Out-of-fold logits of one model for N cells, and what the cells are.

    Raises :class:`DataError` when the parts contradict each other: columns of different lengths, a
    cell listed twice, a value that is not finite, a group in two folds (unless ``split`` is
    ``images``), or a fold outside which only one class is left to learn from.
    """

    model: str
    file: NDArray[np.str_]
    """Path of each picture below the data set's folder, with forward slashes; names the cell."""
    subject: NDArray[np.str_]
    group: NDArray[np.str_]
    """Patients that share cells share a group."""
    fold: NDArray[np.intp]
    """Number of the fold that held the cell out."""
    is_blast: NDArray[np.bool_]
    area_um2: NDArray[np.float64]
    logits: Mapping[str, NDArray[np.float32]]
    """Condition (``on_black``, ``composited``, ``own_stain``) -> ``[N, 2]``, in the order of
    ``CLASSES``."""
    description: Mapping[str, str | float] = field(default_factory=dict)
    """What the model is: ``parameters``, ``gflops``, ``input_px``, ``latency_ms`` per crop,
    ``initial_weights``, and whatever else a reader should know."""
    split: Split = "groups"

    def __post_init__(self) -> None:
        types = {"fold": np.intp, "is_blast": np.bool_, "area_um2": np.float64}
        for name in _COLUMNS:
            column: NDArray[Any] = np.asarray(getattr(self, name), types.get(name, np.str_))
            object.__setattr__(self, name, column)
        logits = {name: np.asarray(values, np.float32) for name, values in self.logits.items()}
        object.__setattr__(self, "logits", logits)
        self._refuse_contradictions()

    def __len__(self) -> int:
        return len(self.file)

    @property
    def conditions(self) -> tuple[str, ...]:
        """The conditions under which the cells were shown."""
        return tuple(self.logits)

    def margin(self, condition: str) -> NDArray[np.float64]:
        """Logit of blast minus logit of normal, ``[N]``: ranks as p(blast), and never saturates."""
        logits = self.logits[condition].astype(np.float64)
        blast = CLASSES.index("blast")
        return np.asarray(logits[:, blast] - logits[:, 1 - blast])

    def take(self, index: NDArray[np.intp]) -> Predictions:
        """The same model on the cells at ``index``, in that order."""
        columns = {name: getattr(self, name)[index] for name in _COLUMNS}
        logits = {name: values[index] for name, values in self.logits.items()}
        return Predictions(
            model=self.model,
            description=self.description,
            split=self.split,
            logits=logits,
            **columns,
        )

    def digest_of_cells(self) -> str:
        """SHA-256 over files, groups and classes in sorted order: names this selection of cells."""
        cells = zip(self.file, self.group, self.is_blast, strict=True)
        lines = sorted(f"{file} {group} {int(blast)}" for file, group, blast in cells)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def digest(self) -> str:
        """SHA-256 over everything in here."""
        hashed = hashlib.sha256()
        for name, values in sorted(_arrays(self).items()):
            hashed.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
            hashed.update(np.ascontiguousarray(values).tobytes())
        return hashed.hexdigest()

    def _refuse_contradictions(self) -> None:
        cells = len(self.file)
        if not cells or not self.logits:
            raise DataError(f"predictions of {self.model!r} hold no cell or no condition")
        for name in _COLUMNS:
            if getattr(self, name).shape != (cells,):
                raise DataError(f"{self.model!r}: {name} does not hold one value for each cell")
        for name, values in self.logits.items():
            if values.shape != (cells, len(CLASSES)):
                raise DataError(
                    f"{self.model!r}: logits {name!r} are {list(values.shape)}, not [{cells}, 2]"
                )
            self._refuse_infinite(f"logits {name!r}", values)
        self._refuse_infinite("area_um2", self.area_um2)
        names, counts = np.unique(self.file, return_counts=True)
        if counts.max() > 1:
            raise DataError(f"{self.model!r}: the cell {names[counts.argmax()]} is listed twice")
        if self.split not in get_args(Split):
            raise DataError(f"{self.model!r}: split {self.split!r} is not one of groups, images")
        if self.split == "groups":
            self._refuse_crossing_groups()
        for one in np.unique(self.fold):
            if len(np.unique(self.is_blast[self.fold != one])) < len(CLASSES):
                raise DataError(
                    f"{self.model!r}: outside fold {one} there are not both classes; out-of-fold "
                    "predictions need two folds or more"
                )

    def _refuse_infinite(self, name: str, values: NDArray[np.floating]) -> None:
        bad = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if bad.any():
            raise DataError(f"{self.model!r}: {name} of {self.file[bad.argmax()]} is not finite")

    def _refuse_crossing_groups(self) -> None:
        fold_of: dict[str, int] = {}
        for group, fold in zip(self.group.tolist(), self.fold.tolist(), strict=True):
            if fold_of.setdefault(group, fold) != fold:
                raise DataError(
                    f"{self.model!r}: group {group!r} is in the folds {fold_of[group]} and {fold}: "
                    "hold whole groups out, or mark the predictions as split by images"
                )


def save_predictions(predictions: Predictions, path: Path) -> None:
    """Write an ``.npz`` of plain arrays, whole or not at all."""
    arrays: dict[str, Any] = dict(_arrays(predictions))
    with written_whole(path) as file:
        np.savez_compressed(file, **arrays)


def load_predictions(path: Path) -> Predictions:
    """Read what :func:`save_predictions` wrote.

    Raises :class:`DataError` when the file is missing, cut off, of something else, or holds
    predictions that contradict each other.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        kind = str(arrays.pop("format"))
        model, split = str(arrays.pop("model")), str(arrays.pop("split"))
        description = json.loads(str(arrays.pop("description")))
        columns: dict[str, Any] = {name: arrays.pop(_CELL + name) for name in _COLUMNS}
    except FileNotFoundError:
        raise DataError(f"no predictions at {path}: write them first, or check the name") from None
    except Exception as error:
        raise DataError(
            f"{path} is not a readable file of predictions ({type(error).__name__}): it was cut "
            "off or is of something else; write it again"
        ) from error
    if kind != FORMAT:
        raise DataError(f"{path} is written as {kind!r}; this version reads {FORMAT!r}")
    logits = {name.removeprefix(_LOGITS): values for name, values in arrays.items()}
    try:
        return Predictions(
            model=model,
            description=description,
            split=split,  # type: ignore[arg-type]  # checked on construction
            logits=logits,
            **columns,
        )
    except (DataError, TypeError, ValueError) as error:
        raise DataError(f"{path}: {error}") from None


def _arrays(predictions: Predictions) -> dict[str, NDArray[Any]]:
    """Everything as plain arrays, by the names that they have in the file."""
    arrays: dict[str, NDArray[Any]] = {
        "format": np.array(FORMAT),
        "model": np.array(predictions.model),
        "split": np.array(predictions.split),
        "description": np.array(json.dumps(dict(predictions.description), sort_keys=True)),
    }
    arrays |= {_CELL + name: getattr(predictions, name) for name in _COLUMNS}
    return arrays | {_LOGITS + name: values for name, values in predictions.logits.items()}

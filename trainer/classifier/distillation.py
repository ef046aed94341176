"""A small network learns what a larger one says of cells that the larger one was not taught.

A teacher that was trained on a cell only repeats its label. So the teacher's committee is trained
anew, several times, each time without some of the patient groups, and what it says of those is the
softer truth that the student is given (Hinton et al. 2015, arXiv:1503.02531; held out as in
cross-fitting). Its backbones stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edge_daemon.errors import DataError
from trainer.classifier.config import ClassifierConfig, Distillation
from trainer.classifier.shown import NO_RECORD
from trainer.data.cnmc import CellRecord
from trainer.data.splits import make_folds
from trainer.models.classifier import CellClassifier, load_classifier
from trainer.models.committee import CommitteeTraining, refit_and_judge
from trainer.training.run_folder import BEST


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network whose committee is trained anew to speak of cells it was not taught."""

    network: CellClassifier
    told: Distillation
    training: CommitteeTraining
    seed: int

    @classmethod
    def of(cls, config: ClassifierConfig) -> Teacher | None:
        """The one that ``config`` names, if it does.

        Raises :class:`DataError` when there is no such run, or it looks at other crops.
        """
        told = config.distillation
        if told is None:
            return None
        graph = load_classifier(told.teacher / BEST)
        if graph.geometry != config.geometry:
            raise DataError(
                f"distillation.teacher: {told.teacher} looks at {graph.geometry.visible} of "
                f"{graph.geometry.size} px, the student at {config.geometry.visible} of "
                f"{config.geometry.size}; train one of them anew with the geometry of the other"
            )
        return cls(graph.network, told, config.committee, config.seed)

    def soften(
        self,
        truth: Tensor,
        joined: Tensor,
        weights: Tensor,
        cells: Tensor,
        records: Sequence[CellRecord],
    ) -> Tensor:
        """What the student is told of M crops: the labels, and the teacher's word for its share.

        Args:
            truth: the labels, float ``[M, classes]``, one 1 a row.
            joined: the teacher's features of the crops, float ``[M, width]``.
            weights: float ``[M]``, how often each crop is shown.
            cells: int64 ``[M]``, which of ``records`` each is; of those that are none
                (:data:`NO_RECORD`) the label is the truth.
            records: the cells, whose patient groups are kept whole.
        """
        folds = torch.where(cells == NO_RECORD, -1, self._folds(records)[cells])
        told = truth.clone()
        for fold in range(self.told.folds):
            taught, asked = folds != fold, folds == fold
            (said,) = refit_and_judge(
                joined[taught],
                truth[taught],
                weights[taught],
                [joined[asked]],
                self.training,
                seed=self.seed,
            )
            told[asked] = said.softmax(1)
        return truth.lerp(told, self.told.share)

    def _folds(self, records: Sequence[CellRecord]) -> Tensor:
        parts = make_folds(records, self.told.folds, self.seed).parts
        fold_of = {record.file: fold for fold, part in enumerate(parts) for record in part}
        return torch.tensor([fold_of[record.file] for record in records])

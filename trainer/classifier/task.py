"""Train a classifier on real cells, from what its backbones already know.

Steps, each from where the one before ends. First the mask learns to find the cell. Backbones that
know nothing yet learn from the cells, with one linear layer behind them. Then, for one epoch, the
features of the backbones, read over the masked cell, are standardised, and the committee is trained
on them, on cells as the daemon will show them (:mod:`trainer.classifier.shown`). Last everything
but the mask and the earliest stages is fine-tuned from there, with a low rate. Labels are smoothed,
and an average of the weights (EMA) is what gets evaluated and saved.

Patients are drawn alike (:mod:`trainer.data.sampling`). AUROC is measured on the groups held out,
on black and composited on validation fields; the epoch with the best mean of the two is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional

from edge_daemon.contract.terms import CLASSES
from trainer.classifier.config import ClassifierConfig
from trainer.classifier.crop_stream import Batches, crops_of_epoch, training_crops
from trainer.classifier.distillation import Teacher
from trainer.classifier.evaluate import read_validation
from trainer.classifier.groups import held_out, trained_on
from trainer.classifier.networks import Pupil, first_network
from trainer.classifier.reading import as_input, read_shown
from trainer.models.cell_mask import mask_loss, mask_overlap
from trainer.models.classifier import (
    CellClassifier,
    ClassifierGraph,
    saved_classifier,
)
from trainer.models.committee import fit_committee
from trainer.models.efficientnet_lite import standardise
from trainer.training.averaging import AveragedWeights
from trainer.training.checkpoint import save_checkpoint
from trainer.training.compute import Compute
from trainer.training.loop import Stateful, Tick
from trainer.training.optimisation import parameter_groups, set_rate, warm_cosine
from trainer.training.parallel import Ranks
from trainer.training.run_folder import RunFolder

_LONG_AGO = 1_000_000
"""Steps that the average takes to lie behind it when fine-tuning starts: it starts at an optimum,
not at random weights that it should forget quickly."""


class ClassifierTask:
    """The training that ``config`` describes; satisfies :class:`trainer.training.loop.Task`.

    Raises :class:`DataError` for data, weights or a run to start from that is missing or not sound.
    """

    def __init__(self, config: ClassifierConfig, ranks: Ranks, console: Console) -> None:
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)  # random first weights
        self.config, self.ranks = config, ranks
        self.epochs, self.patience = config.epochs, config.patience
        self._compute = Compute(config.arithmetic)
        self.network = first_network(config).to(self._compute.device)
        self._averaged = AveragedWeights(self.network, config.ema_decay)
        rates = {"backbones.": config.backbone_rate}
        groups = parameter_groups(self.network, rates, config.weight_decay)
        self._teacher = Teacher.of(config)
        if self._teacher is not None:
            self._teacher.network.to(self._compute.device)
        self._pupil = None
        if config.learn_epochs:
            self._pupil = Pupil(self.network).to(self._compute.device)
            groups += parameter_groups(self._pupil.last, {}, config.weight_decay)
        self._optimizer = torch.optim.AdamW(groups, lr=config.learning_rate)
        console.print("reading cells and fields")
        self._crops = training_crops(config)
        self._validation = None
        if ranks.leads:
            self._validation = read_validation(config.data, held_out(config), config.geometry)

    def parts(self) -> Mapping[str, Stateful]:
        """Network, its average, the optimiser, and what learning needs."""
        learning = {} if self._pupil is None else {"last_layers": self._pupil.last}
        return {
            "network": self.network,
            "averaged": self._averaged.model,
            "optimizer": self._optimizer,
            **learning,
        }

    def train_epoch(self, epoch: int, tick: Tick) -> dict[str, float]:
        """The mask first, backbones that know nothing, the committee once, then everything."""
        # dropout differs between ranks, and repeats when a run is resumed
        config, ranks = self.config, self.ranks
        torch.manual_seed((config.seed * 1000 + epoch) * ranks.world + ranks.rank)
        batches = crops_of_epoch(self._crops, config, epoch, ranks)
        if epoch < config.mask_epochs:
            return self._train_mask(batches, epoch, tick)
        self.network.hold_mask()
        if epoch < config.settle_epoch:
            return self._learn(batches, epoch - config.mask_epochs, tick)
        if epoch == config.settle_epoch:
            return self._settle(tick)
        return self._fine_tune(batches, epoch - config.settle_epoch - 1, tick)

    def is_due(self, epoch: int) -> bool:
        """Once there is a committee, every few epochs from there, and the last three."""
        config = self.config
        tuned = epoch - config.settle_epoch
        return tuned >= 0 and (tuned % config.evaluate_every == 0 or epoch >= config.epochs - 3)

    def measure(self) -> tuple[float, dict[str, Any]]:
        """Mean AUROC of both kinds of crop on the groups held out."""
        if self._validation is None:
            raise RuntimeError("only the leading rank measures")
        measured = self._validation.measure(ClassifierGraph(self._average, self.config.geometry))
        return (measured["auroc_on_black"] + measured["auroc_composited"]) / 2, dict(measured)

    def save_best(self, folder: RunFolder) -> None:
        """The averaged weights, the architecture and the geometry."""
        save_checkpoint(saved_classifier(self._average, self.config.geometry), folder.best)

    @property
    def _average(self) -> CellClassifier:
        return cast("CellClassifier", self._averaged.model)

    def _train_mask(self, batches: Batches, epoch: int, tick: Tick) -> dict[str, float]:
        """One pass for the mask alone; this rank's loss, and the overlap before it learnt."""
        config, network = self.config, self.network
        network.train()
        losses, overlaps = [], []
        steps, first = config.mask_epochs * len(batches), epoch * len(batches)
        for step, batch in enumerate(batches, start=first):
            set_rate(self._optimizer, config.mask_rate * _rate_share(step, steps, config))
            pixels, truth, _ = self._compute.take(*batch)
            with self._compute.mixed():
                logits = network.mask(standardise(as_input(pixels)))
            logits, truth = logits.float(), truth[:, None]
            loss = mask_loss(logits, truth)
            self._step(loss, network.mask)
            self._averaged.follow(network, step)
            losses.append(loss.item())
            known = truth.amax((1, 2, 3)) > 0
            overlaps += mask_overlap(logits.detach(), truth)[known].tolist()
            tick(step - first + 1, len(batches))
        return {"loss": float(np.mean(losses)), "mask_iou": float(np.mean(overlaps))}

    def _learn(self, batches: Batches, epoch: int, tick: Tick) -> dict[str, float]:
        """One pass for backbones that know nothing."""
        if self._pupil is None:
            raise RuntimeError("only a training with learn_epochs learns")
        config = self.config
        behind = config.mask_epochs * len(batches)
        epochs = epoch, config.learn_epochs
        return self._pass(self._pupil, batches, epochs, config.learn_rate, behind, tick)

    @torch.no_grad()
    def _settle(self, tick: Tick) -> dict[str, float]:
        """Take the averaged mask, standardise the features, train the committee on them.

        Every rank does the same sums on the same crops, so all go on alike. The networks look in
        float32 as they will on the device; what follows them is small, and done by the processor.
        """
        config, network = self.config, self.network
        network.load_state_dict(self._averaged.model.state_dict())
        network.eval()
        records = trained_on(config)
        looking = [network] if self._teacher is None else [network, self._teacher.network]
        read = read_shown(looking, config, records, self._compute, tick)
        features, label, weight = read.features[0], read.labels, read.weights
        truth = functional.one_hot(label, len(CLASSES)).float()
        if self._teacher is not None:
            truth = self._teacher.soften(truth, read.features[1], weight, read.cells, records)
        judging = (network.fusion, network.committee, network.novelty)
        for part in judging:
            part.cpu()
        network.fusion.settle(features)
        standardised = network.fusion(features)
        with torch.enable_grad():
            fit_committee(
                network.committee,
                standardised,
                truth,
                weight,
                config.committee,
                seed=config.seed,
                tick=tick,
            )
        network.novelty.settle(standardised, weight)
        right = (network.committee(standardised).argmax(1) == label).float()
        for part in judging:
            part.to(self._compute.device)
        self._averaged.model.load_state_dict(network.state_dict())
        return {"training_accuracy": ((right * weight).sum() / weight.sum()).item()}

    def _fine_tune(self, batches: Batches, epoch: int, tick: Tick) -> dict[str, float]:
        """One pass for everything that may still be trained."""
        config = self.config
        epochs = epoch, config.epochs - config.settle_epoch - 1
        return self._pass(self.network, batches, epochs, config.learning_rate, _LONG_AGO, tick)

    def _pass(
        self,
        trained: nn.Module,
        batches: Batches,
        epochs: tuple[int, int],
        rate: float,
        behind: int,
        tick: Tick,
    ) -> dict[str, float]:
        """Train ``trained`` to tell the classes; this rank's loss, and the share that was right.

        ``epochs``: which of how many at the highest ``rate``. ``behind``: steps that the average
        takes to lie behind it. The averaged weights move with every step.
        """
        criterion = nn.CrossEntropyLoss(label_smoothing=self.config.label_smoothing)
        trained.train()
        losses, right = [], []
        first, steps = (count * len(batches) for count in epochs)
        for step, batch in enumerate(batches, start=first):
            set_rate(self._optimizer, rate * _rate_share(step, steps, self.config))
            pixels, _, labels = self._compute.take(*batch)
            with self._compute.mixed():
                logits = trained(as_input(pixels))
            loss = criterion(logits.float(), labels)
            self._step(loss, trained)
            self._averaged.follow(self.network, behind + step)
            losses.append(loss.item())
            right.append((logits.argmax(1) == labels).float().mean().item())
            tick(step - first + 1, len(batches))
        return {"loss": float(np.mean(losses)), "right": float(np.mean(right))}

    def _step(self, loss: Tensor, trained: nn.Module) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.ranks.average_gradients(trained)
        nn.utils.clip_grad_norm_(trained.parameters(), 2.0)
        self._optimizer.step()


def _rate_share(step: int, steps: int, config: ClassifierConfig) -> float:
    return warm_cosine(step, steps, max(1, round(config.warmup_share * steps)))

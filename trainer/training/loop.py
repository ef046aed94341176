"""One loop for every training: epochs, measuring, the best kept, stopped and taken up again.

What is trained is a :class:`Task`; the loop knows nothing of cells. After each epoch everything
that the next one depends on is on disk, so that a run which was killed ends in the same weights,
bit for bit on a CPU, as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typing_extensions import Self

from edge_daemon.errors import DataError
from trainer.training.parallel import Ranks
from trainer.training.run_folder import CURVES, RunFolder

Tick = Callable[[int, int], None]
"""Called with the steps done and the steps of the epoch."""


class Stateful(Protocol):
    """Part of a training that is saved and restored: network, average, optimiser."""

    def state_dict(self) -> dict[str, Any]:
        """All of its state."""

    def load_state_dict(self, state_dict: Any) -> Any:
        """Take up what :meth:`state_dict` gave."""


class Task(Protocol):
    """What is trained."""

    epochs: int
    patience: int | None
    """Measurements without a new best after which training stops; ``None``: never."""

    def parts(self) -> Mapping[str, Stateful]:
        """Everything that an epoch changes, by name."""

    def train_epoch(self, epoch: int, tick: Tick) -> dict[str, float]:
        """One pass; what happened depends on the parts, the seed and ``epoch`` alone."""

    def is_due(self, epoch: int) -> bool:
        """Whether to measure after this epoch."""

    def measure(self) -> tuple[float, dict[str, Any]]:
        """A score, higher is better, and figures for the log; on the leading rank only."""

    def save_best(self, folder: RunFolder) -> None:
        """Write what is worth keeping of the present epoch to ``folder.best``."""


def train(task: Task, folder: RunFolder, ranks: Ranks, console: Console) -> dict[str, Any]:
    """Train, or go on where ``folder`` stands, and return the best line of the log (``{}``: none).

    Raises:
        DataError: the checkpoint is broken or of another network, the disk is full, or the memory
            does not suffice.
    """
    parts = task.parts()
    history = _take_up(folder, parts, console)
    scores = [line["score"] for line in history if "score" in line]
    best = max(scores, default=float("-inf"))
    stale = len(scores) - 1 - scores.index(best) if scores else 0
    with _Curves(folder, ranks) as curves:
        for epoch in range(len(history), task.epochs):
            if task.patience is not None and stale >= task.patience:
                console.print(f"no better for {stale} measurements: stopped after epoch {epoch}")
                break
            started = time.monotonic()
            line: dict[str, Any] = {"epoch": epoch}
            line |= _one_epoch(task, epoch, console)
            line["seconds"] = round(time.monotonic() - started, 1)
            if ranks.leads and task.is_due(epoch):
                score, figures = task.measure()
                line |= {**figures, "score": score}
                stale += 1
                if score > best:
                    best, stale = score, 0
                    task.save_best(folder)
            stale = ranks.agree(stale)
            history.append(line)
            if ranks.leads:
                saved = {name: part.state_dict() for name, part in parts.items()}
                folder.save_last(saved, history)
                curves.add(line)
                console.print(describe(line), highlight=False)
    scored = [line for line in history if "score" in line]
    return max(scored, key=lambda line: line["score"], default={})


def describe(line: Mapping[str, Any]) -> str:
    """One line of the log for a person."""
    return " ".join(f"{name} {_text(value)}" for name, value in _flat(line).items())


def _take_up(
    folder: RunFolder, parts: Mapping[str, Stateful], console: Console
) -> list[dict[str, Any]]:
    found = folder.load_last()
    if found is None:
        return []
    state, history = found
    try:
        for name, part in parts.items():
            part.load_state_dict(state[name])
    except (KeyError, RuntimeError, ValueError) as error:
        what = " ".join(str(error).split())[:160]
        raise DataError(
            f"{folder.path}: the checkpoint is of another network ({what}); go on with the "
            "settings it was made with, or take another --out"
        ) from None
    console.print(f"going on after epoch {len(history) - 1} of {folder.path}")
    return history


def _one_epoch(task: Task, epoch: int, console: Console) -> dict[str, float]:
    columns = (
        TextColumn("epoch {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(f"{epoch + 1}/{task.epochs}", total=None)
        try:
            return task.train_epoch(
                epoch, lambda done, total: progress.update(bar, completed=done, total=total)
            )
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise _too_little_memory(error) from None
        except RuntimeError as error:
            if "allocate memory" in str(error) or "DataLoader worker" in str(error):
                raise _too_little_memory(error) from None
            raise


def _too_little_memory(error: BaseException) -> DataError:
    what = " ".join(str(error).split())[:120]
    return DataError(
        f"too little memory for this training ({what}): lower batch or workers; the last whole "
        "epoch is safe"
    )


class _Curves:
    """The log as TensorBoard curves; nothing on ranks that do not lead."""

    def __init__(self, folder: RunFolder, ranks: Ranks) -> None:
        self._folder, self._leads = folder, ranks.leads
        self._writer: Any = None

    def __enter__(self) -> Self:
        if self._leads:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder.path / CURVES))
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, line: Mapping[str, Any]) -> None:
        for name, value in _flat(line).items():
            if name != "epoch" and isinstance(value, int | float):
                self._writer.add_scalar(name, value, line["epoch"])
        self._writer.flush()


def _flat(line: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in line.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{above}{name}/")
        else:
            flat[f"{above}{name}"] = value
    return flat


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

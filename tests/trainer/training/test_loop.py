"""The loop keeps the best, stops when told, goes on exactly, and says what is wrong in one line."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn

from edge_daemon.errors import DataError
from trainer.training.checkpoint import save_checkpoint
from trainer.training.loop import Stateful, Tick, train
from trainer.training.parallel import Ranks
from trainer.training.run_folder import RunFolder

QUIET = Console(quiet=True)


class Line(nn.Linear):
    """A task of one weight, with the scores of its epochs given."""

    def __init__(self, scores: Sequence[float], patience: int | None = None, width: int = 1):
        super().__init__(width, 1)
        self.scores, self.patience, self.epochs = scores, patience, len(scores)
        self.now, self.kept = -1, []

    def parts(self) -> Mapping[str, Stateful]:
        return {"network": self}

    def train_epoch(self, epoch: int, tick: Tick) -> dict[str, float]:
        self.now = epoch
        tick(1, 1)
        return {"loss": 1.0 / (epoch + 1)}

    def is_due(self, epoch: int) -> bool:
        return True

    def measure(self) -> tuple[float, dict[str, Any]]:
        return self.scores[self.now], {"set": {"map50": self.scores[self.now]}}

    def save_best(self, folder: RunFolder) -> None:
        self.kept.append(self.now)
        save_checkpoint({"epoch": self.now}, folder.best)


def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    task = Line([0.1, 0.7, 0.3])
    best = train(task, RunFolder(tmp_path), Ranks(), QUIET)
    assert best["epoch"] == 1
    assert task.kept == [0, 1]
    assert torch.load(tmp_path / "best.pt", weights_only=True) == {"epoch": 1}


def test_training_stops_when_nothing_gets_better(tmp_path: Path) -> None:
    train(Line([0.5, 0.4, 0.3, 0.9], patience=2), RunFolder(tmp_path), Ranks(), QUIET)
    assert len(RunFolder(tmp_path).history()) == 3


def test_a_run_taken_up_remembers_its_best(tmp_path: Path) -> None:
    train(Line([0.5]), RunFolder(tmp_path), Ranks(), QUIET)
    later = Line([0.5, 0.4, 0.6])
    train(later, RunFolder(tmp_path), Ranks(), QUIET)
    assert later.kept == [2]
    assert [line["epoch"] for line in RunFolder(tmp_path).history()] == [0, 1, 2]


def test_the_curves_are_there_for_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(Line([0.1, 0.7]), RunFolder(tmp_path), Ranks(), QUIET)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [point.value for point in events.Scalars("set/map50")] == pytest.approx([0.1, 0.7])


def test_a_checkpoint_of_another_network_is_refused_in_one_line(tmp_path: Path) -> None:
    train(Line([0.1]), RunFolder(tmp_path), Ranks(), QUIET)
    with pytest.raises(DataError, match="of another network") as refused:
        train(Line([0.1, 0.2], width=2), RunFolder(tmp_path), Ranks(), QUIET)
    assert "\n" not in str(refused.value)


def test_a_broken_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes(b"cut off in the mid")
    with pytest.raises(DataError, match=r"last\.pt is not a readable checkpoint"):
        train(Line([0.1]), RunFolder(tmp_path), Ranks(), QUIET)


def test_too_little_memory_is_one_line_and_loses_no_epoch(tmp_path: Path) -> None:
    class Hungry(Line):
        def train_epoch(self, epoch: int, tick: Tick) -> dict[str, float]:
            if epoch == 1:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: 99999999999 bytes")
            return super().train_epoch(epoch, tick)

    with pytest.raises(DataError, match=r"too little memory.*lower batch"):
        train(Hungry([0.1, 0.2]), RunFolder(tmp_path), Ranks(), QUIET)
    assert len(RunFolder(tmp_path).history()) == 1


def test_a_full_disk_leaves_the_checkpoint_before_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint({"a": 1}, path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match=r"last\.pt: cannot be written \(No space left"):
        save_checkpoint({"a": 2}, path)
    assert torch.load(path, weights_only=True) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


def test_settings_do_not_change_in_the_middle_of_a_run(tmp_path: Path) -> None:
    folder = RunFolder.at(tmp_path / "run")
    folder.save_config({"epochs": 3, "data": Path("x")})
    folder.save_config({"epochs": 4, "data": Path("x")})  # nothing trained yet
    folder.save_last({}, [])
    folder.save_config({"epochs": 4, "data": Path("x")})
    with pytest.raises(DataError, match="'epochs' was 4 and is now 5"):
        folder.save_config({"epochs": 5, "data": Path("x")})


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="name the folder of a run"):
        RunFolder(tmp_path).config()
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be a run folder"):
        RunFolder.at(tmp_path / "file" / "run")
    (tmp_path / "config.json").write_text(json.dumps([1]))
    with pytest.raises(DataError, match="not the settings of a run"):
        RunFolder(tmp_path).config()


def test_a_run_of_an_earlier_release_goes_on_where_new_settings_keep_their_defaults(
    tmp_path: Path,
) -> None:
    folder = RunFolder(tmp_path)
    folder.save_config({"epochs": 4})
    folder.save_last({}, [])
    folder.save_config({"epochs": 4, "mixed": False}, defaults={"mixed": False})
    folder.save_last({}, [])
    with pytest.raises(DataError, match="'mixed' was false and is now true"):
        folder.save_config({"epochs": 4, "mixed": True}, defaults={"mixed": False})

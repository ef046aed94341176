"""A checkpoint is there whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from edge_daemon.errors import DataError
from trainer.training import checkpoint
from trainer.training.checkpoint import load_checkpoint, save_checkpoint
from trainer.whole_files import write_json


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    save_checkpoint({"weights": torch.arange(3), "epoch": 4}, tmp_path / "c.pt")
    loaded = load_checkpoint(tmp_path / "c.pt")
    assert loaded["epoch"] == 4
    assert loaded["weights"].tolist() == [0, 1, 2]


def test_a_cut_while_writing_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.pt"
    save_checkpoint({"epoch": 1}, path)

    def cut(state: object, file: object) -> None:
        file.write(b"half of it")  # type: ignore[attr-defined]
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", cut)
    with pytest.raises(DataError, match="no space"):
        save_checkpoint({"epoch": 2}, path)
    assert load_checkpoint(path)["epoch"] == 1


@pytest.mark.parametrize("content", [b"", b"half of it"])
def test_a_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.pt").write_bytes(content)
    with pytest.raises(DataError, match=r"c\.pt is not a readable checkpoint"):
        load_checkpoint(tmp_path / "c.pt")


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train first"):
        load_checkpoint(tmp_path / "c.pt")


def test_json_is_readable_by_others(tmp_path: Path) -> None:
    write_json({"map50": 0.5, "data": Path("x")}, tmp_path / "m.json")
    assert json.loads((tmp_path / "m.json").read_text()) == {"map50": 0.5, "data": "x"}

"""The folder of one training: what it was told, how far it is, and what came out.

``config.json``
    the settings, as resolved; ``leuko-train resume`` reads them again
``last.pt``
    everything needed to go on after the last whole epoch, its history included
``log.jsonl``
    a line an epoch, written whole from that history: it can never say more or less than ``last.pt``
``best.pt``
    what the best epoch was worth keeping for: the averaged weights and what belongs to them
``data.json``
    the data by name, count and digest (:mod:`trainer.data.data_manifest`)
``tensorboard/``
    the same figures as curves, for ``tensorboard --logdir``
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edge_daemon.errors import DataError
from trainer.training.checkpoint import load_checkpoint, save_checkpoint
from trainer.whole_files import write_json, write_text

CONFIG, LAST, LOG, BEST, CURVES = (
    "config.json",
    "last.pt",
    "log.jsonl",
    "best.pt",
    "tensorboard",
)


def fold_folder(folder: Path, fold: int) -> Path:
    """The run of one fold in the folder of a cross-validation."""
    return folder / f"fold-{fold}"


@dataclass(frozen=True)
class RunFolder:
    """Reads and writes the files of a run; each is replaced whole or not at all."""

    path: Path

    @classmethod
    def at(cls, path: Path) -> RunFolder:
        """The run in ``path``, which is made. Raises :class:`DataError` when it cannot be."""
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"{path}: cannot be a run folder ({error.strerror}); name another with --out"
            ) from None
        return cls(path)

    @property
    def best(self) -> Path:
        """Where the best weights are."""
        return self.path / BEST

    def save_config(
        self, config: Mapping[str, Any], defaults: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        """Write the settings. Raises :class:`DataError` when the run has been told others.

        What decides the weights must not change in the middle of a run: nobody could say afterwards
        what they come from.
        """
        path = self.path / CONFIG
        if path.exists() and (self.path / LAST).exists():
            self.refuse_others(config, defaults)
        write_json(_plain(config), path)

    def refuse_others(
        self, config: Mapping[str, Any], defaults: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        """Raise :class:`DataError` when the run has been told other settings than ``config``.

        ``defaults`` stand for what a run of an earlier release could not be told.
        """
        own, before = _plain(config), _plain(defaults) | self.config()
        changed = [key for key in own if before.get(key) != own[key]]
        if changed:
            raise DataError(
                f"{self.path / CONFIG}: {changed[0]!r} was {_short(before.get(changed[0]))} and is "
                f"now {_short(own[changed[0]])}; go on with the old settings (leuko-train resume), "
                "or take another --out"
            )

    def config(self) -> dict[str, Any]:
        """The settings of the run. Raises :class:`DataError` when there are none."""
        path = self.path / CONFIG
        try:
            read = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror}); name the folder of a run"
            ) from None
        except ValueError as error:
            raise DataError(f"{path}: not JSON ({error}); train into a new folder") from None
        if not isinstance(read, dict):
            raise DataError(f"{path}: not the settings of a run")
        return read

    def save_last(self, state: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> None:
        """Write what the next epoch starts from, then the log."""
        save_checkpoint({**state, "history": json.dumps(list(history))}, self.path / LAST)
        lines = "".join(json.dumps(line) + "\n" for line in history)
        write_text(lines, self.path / LOG)

    def load_last(self) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
        """State and history after the last whole epoch; ``None`` for a run that has none."""
        path = self.path / LAST
        if not path.exists():
            return None
        state = load_checkpoint(path)
        try:
            return state, list(json.loads(state.pop("history")))
        except (KeyError, ValueError, TypeError):
            raise DataError(
                f"{path} was written by another release; train into a new folder"
            ) from None

    def history(self) -> list[dict[str, Any]]:
        """The lines of the log. Raises :class:`DataError` when there is none."""
        path = self.path / LOG
        try:
            return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror}); name the folder of a run"
            ) from None
        except ValueError as error:
            raise DataError(f"{path}: not JSON lines ({error})") from None


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(dict(config), default=str))
    return plain


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."

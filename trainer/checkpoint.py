"""Training that survives a power cut: checkpoints written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from edge_daemon.errors import DataError
from trainer.whole_files import write_whole


def save_checkpoint(state: Mapping[str, Any], path: Path) -> None:
    """Write ``state`` to ``path``, whole or not at all."""
    write_whole(path, lambda file: torch.save(dict(state), file))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what :func:`save_checkpoint` wrote; tensors and plain types only.

    Raises :class:`DataError` for a missing or unreadable file.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"no checkpoint at {path}: train first, or check the run folder") from None
    except Exception as error:
        raise DataError(
            f"{path} is not a readable checkpoint ({type(error).__name__}): delete it to start anew"
        ) from error
    if not isinstance(state, dict):
        raise DataError(f"{path} is not a checkpoint of LeukoEdge")
    return state


def save_json(value: Any, path: Path) -> None:
    """Write ``value`` as indented JSON, whole or not at all."""
    text = json.dumps(value, indent=2, default=str) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))

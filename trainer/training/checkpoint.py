"""Training that survives a power cut: checkpoints written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from edge_daemon.errors import DataError
from trainer.whole_files import written_whole


def save_checkpoint(state: Mapping[str, Any], path: Path) -> None:
    """Write ``state`` to ``path``, whole or not at all; see :func:`written_whole`."""
    with written_whole(path) as file:
        torch.save(dict(state), file)


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

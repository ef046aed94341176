"""Training that survives a power cut: checkpoints written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch

from edge_daemon.errors import DataError


def save_checkpoint(state: Mapping[str, Any], path: Path) -> None:
    """Write ``state`` to ``path``: under another name first, flushed to disk, then renamed.

    Raises :class:`DataError` when it cannot be written; what was at ``path`` before is still whole.
    """
    with _written_whole(path) as file:
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


def save_json(value: Any, path: Path) -> None:
    """Write ``value`` as indented JSON, whole; raises like :func:`save_checkpoint`."""
    save_text(json.dumps(value, indent=2, default=str) + "\n", path)


def save_text(text: str, path: Path) -> None:
    """Write ``text``, whole or not at all; raises like :func:`save_checkpoint`."""
    with _written_whole(path) as file:
        file.write(text.encode())


@contextmanager
def _written_whole(path: Path) -> Iterator[IO[bytes]]:
    draft = path.with_name(path.name + ".part")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except (OSError, RuntimeError) as error:  # torch.save reports a full disk as RuntimeError
        draft.unlink(missing_ok=True)
        what = getattr(error, "strerror", None) or " ".join(str(error).split())[:120]
        raise DataError(
            f"{path}: cannot be written ({what}); what was there before is whole: make room and "
            "go on with leuko-train resume"
        ) from error

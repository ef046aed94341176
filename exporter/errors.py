"""What can go wrong between a trained model and a bundle, as one line for the user."""

from __future__ import annotations

from edge_daemon.errors import LeukoError


class ExportError(LeukoError):
    """A model cannot be exported, or what was exported is not what was trained."""

    exit_code = 26

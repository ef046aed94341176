"""What can go wrong with alerts, as one line for whoever is told."""

from __future__ import annotations

from edge_daemon.errors import LeukoError


class AlertError(LeukoError):
    """There is no such alert, or it is over, or somebody acknowledged it before."""

    exit_code = 27

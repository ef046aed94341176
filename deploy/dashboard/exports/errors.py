"""What can go wrong when something leaves the dashboard, as one line."""

from __future__ import annotations

from edge_daemon.errors import LeukoError


class ExportError(LeukoError):
    """This cannot be exported, purged or shown as asked: nothing was written or deleted."""

    exit_code = 25

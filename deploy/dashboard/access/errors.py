"""What can go wrong with users of the dashboard, as one line."""

from __future__ import annotations

from edge_daemon.errors import LeukoError


class AccessError(LeukoError):
    """A user cannot be made, changed or found as asked."""

    exit_code = 21

"""What can go wrong when devices are reached by hand, as one line for whoever does it."""

from __future__ import annotations

from edge_daemon.errors import LeukoError


class PushError(LeukoError):
    """The inventory, a host or what was to be brought there is not as it must be."""

    exit_code = 24

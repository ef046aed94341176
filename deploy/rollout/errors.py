"""What can go wrong with a rollout, as one line for whoever runs it."""

from __future__ import annotations

from edge_daemon.errors import LeukoError


class RolloutError(LeukoError):
    """A rollout file, its journal or its devices are not as they must be; nothing is half done."""

    exit_code = 19


class JournalError(RolloutError):
    """A journal that cannot be read, written or believed."""

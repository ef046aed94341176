"""What can go wrong with the repository on the central side, as one line for the user."""

from __future__ import annotations

from edge_daemon.errors import LeukoError


class TrustError(LeukoError):
    """A key, the repository, or what should go into it is not as it must be."""

    exit_code = 16

"""What can go wrong with the registry, as one line for whoever keeps it."""

from __future__ import annotations

from edge_daemon.errors import LeukoError


class RegistryError(LeukoError):
    """The registry cannot be opened, written or trusted, or knows no such device."""

    exit_code = 18


class RegistryAwayError(RegistryError):
    """The registry's server does not answer now, and may later."""

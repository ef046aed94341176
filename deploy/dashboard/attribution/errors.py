"""Why there is no attribution, as one line for whoever looks at the page."""

from __future__ import annotations

from edge_daemon.errors import LeukoError


class AttributionError(LeukoError):
    """It cannot be computed here: the bundle is missing or broken, or the picture does not fit."""

    exit_code = 28


class BusyError(AttributionError):
    """Too many wait already; it may be asked for again."""

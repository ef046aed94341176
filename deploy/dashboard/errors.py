"""What can go wrong with the central database, as one line for whoever keeps it."""

from __future__ import annotations

from edge_daemon.errors import LeukoError


class DatabaseError(LeukoError):
    """The database cannot be opened, read or written, or is of another version."""

    exit_code = 20


class DatabaseAwayError(DatabaseError):
    """A database server does not answer now, and may later."""

"""What the daemon publishes of how updates stand: one file, of the bundle's journal and its own.

A file of its own, because what the journals hold is the updater's business, and what a daemon reads
must not change with it.
"""

from __future__ import annotations

from pathlib import Path

from edge_daemon.contract.update import ReleaseStanding, UpdateStanding
from edge_daemon.whole_files import write_whole

ANSWER = "standing.json"
_NOTHING_YET = UpdateStanding(
    order=None,
    step=None,
    desired=None,
    role=None,
    runs=None,
    waits_for=None,
    refused=None,
    orders_refused=(),
    looked_at=None,
)


class StandingFile:
    """Both parts, as their journals have them; replaced as a whole when one of them changes."""

    def __init__(self, state: Path) -> None:
        """Of the updater's folder; nothing is read, and nothing written yet."""
        self._file = state / ANSWER
        self.bundle = _NOTHING_YET
        self.daemon: ReleaseStanding | None = None
        """None where this updater brings no versions of the daemon."""

    def keep(self, part: UpdateStanding | ReleaseStanding) -> None:
        """Know a part, and write nothing: it is what the file says already."""
        if isinstance(part, ReleaseStanding):
            self.daemon = part
        else:
            self.bundle = part

    def put(self, part: UpdateStanding | ReleaseStanding) -> None:
        """Write it down with a part anew; raises :class:`OSError` where that cannot be."""
        self.keep(part)
        told = self.bundle.model_copy(update={"daemon": self.daemon})
        write_whole(self._file, told.model_dump_json().encode() + b"\n")

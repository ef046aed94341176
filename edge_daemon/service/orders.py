"""What is desired of this device, written down for the updater; and its answer, read for others.

The daemon holds the one connection that a broker grants to this device's certificate: a second
program with the same name would throw it out, every time that it looks. So the daemon takes the
order that the broker keeps, and writes it to a file; the updater, a process of its own, judges it
and leaves its answer in another.
"""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import ValidationError

from edge_daemon.contract.update import UpdateStanding
from edge_daemon.delivery.link import Arrival
from edge_daemon.whole_files import write_whole

MOST_BYTES = 16_384
"""An order is some hundred bytes; anything larger is none."""

log = logging.getLogger(__name__)


class OrderFile:
    """The last order that came, as it came."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def take(self, arrival: Arrival) -> None:
        """Write it down; in the publisher's thread, whose connection no fault of it may end.

        An order that was taken back (an empty message, as MQTT has it) leaves the one before.
        """
        payload = arrival.payload
        if not payload:
            return
        if len(payload) > MOST_BYTES:
            log.warning("%s: over %d bytes: not an order of updates", arrival.topic, MOST_BYTES)
            return
        try:
            if self.file.exists() and self.file.read_bytes() == payload:
                return
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.file, payload)
        except OSError as error:
            log.warning("cannot write %s: %s; no update is taken", self.file, error.strerror)


class AnswerFile:
    """What the updater said last; read again only when the file is another one."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._of: tuple[int, int] | None = None
        self._standing: UpdateStanding | None = None

    def read(self) -> UpdateStanding | None:
        """How updates stand; None where no updater has looked. Raises nothing."""
        try:
            found = self.file.stat()
            of = (found.st_ino, found.st_mtime_ns)
            if of != self._of:
                self._of = of
                self._standing = UpdateStanding.model_validate_json(self.file.read_bytes())
        except FileNotFoundError:
            self._of = self._standing = None
        except (OSError, ValidationError) as error:
            why = error.strerror if isinstance(error, OSError) else "of another version"
            log.warning("cannot read %s (%s): how updates stand is not told", self.file, why)
            self._standing = None
        return self._standing

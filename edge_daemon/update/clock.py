"""The latest time that this device has ever seen: a clock that goes back brings nothing back.

Signed metadata expires, so that nobody can keep a device on old updates by showing it nothing else.
A microscope's computer may have no battery for its clock, or somebody sets it back; without a
memory, what had expired would hold again.

The other way round, a clock that once ran ahead blocks updates until somebody says that it did, by
deleting the file. No signed time may lift that: whoever can hold back metadata could do the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

from edge_daemon.contract.envelope import utc_now
from edge_daemon.errors import UpdateError
from edge_daemon.whole_files import write_whole

_WORTH_SAYING = timedelta(minutes=10)


class LatestTime:
    """One small file, and the clock."""

    def __init__(self, file: Path, clock: Callable[[], datetime] = utc_now) -> None:
        """Of ``file``, which need not be there yet. ``clock`` gives UTC."""
        self.file = file
        self._clock = clock

    def now(self) -> datetime:
        """The clock's time, or the latest that was seen where the clock is behind it, UTC.

        Raises:
            UpdateError: the file cannot be read or written.
        """
        now, seen = self._clock(), self._seen()
        if seen is not None and now <= seen:
            return seen
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.file, json.dumps({"utc": now.isoformat()}).encode() + b"\n")
        except OSError as error:
            raise UpdateError(
                f"cannot write {self.file}: {error.strerror}; without it no update is trusted"
            ) from None
        return now

    def doubt(self) -> str:
        """What to do where the clock is behind what was seen; empty where it is not."""
        now, seen = self._clock(), self._seen()
        if seen is None or seen - now < _WORTH_SAYING:
            return ""
        return (
            f"; the clock says {now:%Y-%m-%d %H:%M}, but this device has seen "
            f"{seen:%Y-%m-%d %H:%M}: set the clock, or delete {self.file} if it ran ahead then"
        )

    def _seen(self) -> datetime | None:
        try:
            seen = datetime.fromisoformat(json.loads(self.file.read_bytes())["utc"])
            return seen.astimezone(timezone.utc)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, OverflowError) as error:
            raise UpdateError(
                f"{self.file} cannot be read ({error}); look at the clock, then delete the file"
            ) from None

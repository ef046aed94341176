"""One reading of everything the machine says of itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_daemon.contract.findings import Clock
from edge_daemon.service.host.clock import clock_quality
from edge_daemon.service.host.files import named, number
from edge_daemon.service.host.power import power_w
from edge_daemon.service.host.throttling import Throttling


@dataclass(frozen=True)
class Readings:
    """The machine at one moment."""

    temperatures_c: dict[str, float]
    power_w: dict[str, float]
    throttled: tuple[str, ...]
    throttle_alerts: dict[str, int]
    """Counted since the machine started, by cause."""
    disk_free_bytes: int | None
    memory_bytes: int | None
    """Resident memory of this process."""
    clock: Clock


class Host:
    """The machine this process runs on. Methods may be called from one thread at a time."""

    def __init__(
        self,
        disk: Path,
        sys: Path = Path("/sys"),
        clock: Callable[[], Clock] = clock_quality,
    ) -> None:
        """Read the machine whose ``/sys`` is at ``sys``; ``disk`` is a folder on the disk meant."""
        self._disk = disk
        self._sys = sys
        self._clock = clock
        self._throttling = Throttling(sys)

    def read(self) -> Readings:
        """Read everything; a few milliseconds, for sensors on a slow bus are among it."""
        return Readings(
            temperatures_c=temperatures_c(self._sys),
            power_w=power_w(self._sys),
            throttled=self._throttling.reasons(),
            throttle_alerts=self._throttling.alerts(),
            disk_free_bytes=disk_free_bytes(self._disk),
            memory_bytes=resident_bytes(),
            clock=self._clock(),
        )


def temperatures_c(sys: Path = Path("/sys")) -> dict[str, float]:
    """Degrees Celsius per thermal zone, as the kernel names them; empty where there are none."""
    found: dict[str, float] = {}
    for name, zone in named(sys / "class" / "thermal", "thermal_zone*", "type"):
        milli = number(zone / "temp")  # a zone that is switched off has no reading
        if milli is not None:
            found.setdefault(name, milli / 1000)
    return found


def disk_free_bytes(folder: Path) -> int | None:
    """What is free for this process on the disk of ``folder``; None where nobody tells."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def resident_bytes() -> int | None:
    """Resident memory of this process; None where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None

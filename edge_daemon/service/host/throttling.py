"""What holds processor or GPU back now: heat, over-current, or a power mode.

A slow device that does not say why is taken for a broken one. Three places tell:

* **Cooling devices** of the thermal framework: a state above 0 means that heat is being paid for
  with speed. Fans are cooling devices too, and a turning fan is no throttling.
* **Frequency caps**: the highest clock that is allowed now is below the highest that the part has.
  Heat does that, and so does a power mode (``nvpmodel``).
* **Alerts that are counted**: over-current events of a Jetson (``soctherm_oc``: under-voltage,
  average and instantaneous over-current) and thermal throttling of a PC. They last milliseconds:
  what is reported is that there were some since the last reading.

Sources: kernel documentation ``thermal/sysfs-api``, ``cpu-freq``; NVIDIA Jetson Linux Developer
Guide, "Platform Power and Performance", sections on thermal management and over-current throttling.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edge_daemon.service.host.files import named, number, text

_SLOWING = ("throttle-alert", "hot-surface", "cpufreq", "devfreq", "Processor", "powerclamp")
"""Parts of the names of cooling devices that slow the machine down; a fan is not among them."""
_OVER_CURRENT = {1: "under-voltage", 2: "average over-current", 3: "over-current"}
_CAP_TOLERANCE = 0.99
"""The highest step of a governor may be a little below what the part could do."""


class Throttling:
    """Reads what throttles a machine; remembers the counters between readings."""

    def __init__(self, sys: Path = Path("/sys")) -> None:
        self._sys = sys
        self._counted = self.alerts()

    def alerts(self) -> dict[str, int]:
        """Throttling events since the machine started, by cause."""
        counted: dict[str, int] = {}
        for monitor in sorted((self._sys / "class" / "hwmon").glob("hwmon*")):
            for which, meaning in _OVER_CURRENT.items():
                events = number(monitor / f"oc{which}_event_cnt")
                if events is not None:
                    counted[meaning] = counted.get(meaning, 0) + events
        processors = self._sys / "devices" / "system" / "cpu"
        hot = [
            events
            for path in processors.glob("cpu[0-9]*/thermal_throttle/core_throttle_count")
            if (events := number(path)) is not None
        ]
        if hot:
            counted["processor too hot"] = sum(hot)
        return counted

    def reasons(self) -> tuple[str, ...]:
        """What holds the machine back, a sentence each; empty when nothing is known to."""
        return (*self._cooling(), *self._caps(), *self._new_alerts())

    def _cooling(self) -> Iterator[str]:
        for name, folder in named(self._sys / "class" / "thermal", "cooling_device*", "type"):
            state = number(folder / "cur_state")
            if state is not None and state > 0 and any(part in name for part in _SLOWING):
                most = number(folder / "max_state")
                yield f"cooling by {name} is at {state} of {most if most is not None else '?'}"

    def _caps(self) -> Iterator[str]:
        policies = self._sys / "devices" / "system" / "cpu" / "cpufreq"
        for folder in sorted(policies.glob("policy*")):
            allowed = number(folder / "scaling_max_freq")
            able = number(folder / "cpuinfo_max_freq")
            if _capped(allowed, able):
                yield _cap(f"the processor ({folder.name})", allowed, able, 1000)
        for folder in sorted((self._sys / "class" / "devfreq").glob("*")):
            if not _is_gpu(folder.name):
                continue
            said = (text(folder / "available_frequencies") or "").split()
            steps = [int(step) for step in said if step.isdecimal()]
            allowed = number(folder / "max_freq")
            if steps and _capped(allowed, max(steps)):
                yield _cap(f"the GPU ({folder.name})", allowed, max(steps), 1_000_000)

    def _new_alerts(self) -> Iterator[str]:
        before, self._counted = self._counted, self.alerts()
        for cause, events in self._counted.items():
            new = events - before.get(cause, 0)
            if new > 0:
                times = "once" if new == 1 else f"{new} times"
                yield f"throttled {times} since the last reading: {cause}"


def _is_gpu(name: str) -> bool:
    return "gpu" in name or "ga10b" in name  # 17000000.gpu on JetPack 6, 17000000.ga10b on 5


def _capped(allowed: int | None, able: int | None) -> bool:
    return allowed is not None and able is not None and 0 < allowed < able * _CAP_TOLERANCE


def _cap(what: str, allowed: int | None, able: int | None, per_mhz: int) -> str:
    return (
        f"{what} is limited to {(allowed or 0) // per_mhz} of {(able or 0) // per_mhz} MHz, "
        "by heat or by its power mode"
    )

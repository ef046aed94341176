"""Power per supply rail, from the monitors that a Jetson module or its carrier board has.

* INA3221 through hwmon (JetPack 5 and 6): ``in<n>_label``, ``in<n>_input`` in mV and
  ``curr<n>_input`` in mA for three channels. Orin Nano and NX: VDD_IN, VDD_CPU_GPU_CV, VDD_SOC.
  AGX Orin has two monitors: VDD_GPU_SOC, VDD_CPU_CV, VIN_SYS_5V0 and VDDQ_VDD2_1V8AO.
* The same chip through the older driver (JetPack 4): ``rail_name_<n>`` and ``in_power<n>_input``
  in mW below the device on the I2C bus.
* Monitors that compute power themselves (INA226, INA238): ``power1_input`` in uW.

Sources: kernel documentation ``hwmon/sysfs-interface``, ``hwmon/ina3221``; NVIDIA Jetson Linux
Developer Guide, "Platform Power and Performance".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edge_daemon.service.host.files import named, number, text

_CHANNELS = (1, 2, 3)
_NOT_CONNECTED = "NC"
"""Label of a channel that measures nothing."""


def power_w(sys: Path = Path("/sys")) -> dict[str, float]:
    """Watts by the name of the rail; empty where nothing measures power."""
    rails: dict[str, float] = {}
    for name, watts in (*_hwmon(sys), *_older(sys)):
        rails.setdefault(name, round(watts, 3))
    return rails


def _hwmon(sys: Path) -> Iterator[tuple[str, float]]:
    for chip, folder in named(sys / "class" / "hwmon", "hwmon*", "name"):
        if not chip.startswith("ina"):
            continue
        for channel in _CHANNELS:
            label = text(folder / f"in{channel}_label")
            millivolts = number(folder / f"in{channel}_input")
            milliamperes = number(folder / f"curr{channel}_input")
            if label in (None, _NOT_CONNECTED) or millivolts is None or milliamperes is None:
                continue
            yield str(label), millivolts * milliamperes / 1e6
        microwatts = number(folder / "power1_input")
        if microwatts is not None:
            yield text(folder / "power1_label") or chip, microwatts / 1e6


def _older(sys: Path) -> Iterator[tuple[str, float]]:
    drivers = sys / "bus" / "i2c" / "drivers"
    for folder in sorted(drivers.glob("ina3221x/*/iio*device*")):
        for channel in range(len(_CHANNELS)):  # counted from 0 here
            label = text(folder / f"rail_name_{channel}")
            milliwatts = number(folder / f"in_power{channel}_input")
            if label not in (None, _NOT_CONNECTED) and milliwatts is not None:
                yield str(label), milliwatts / 1e3

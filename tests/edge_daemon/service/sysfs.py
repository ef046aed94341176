"""Trees of ``/sys`` as the kernels of four machines show them; fakes, for none of them is here.

Names, units and layout are those of the kernel's drivers (hwmon ``ina3221`` and ``soctherm_oc``,
thermal, cpufreq, devfreq) on JetPack 4 to 6 and on a PC. Values are of an idle machine.
"""

from __future__ import annotations

from pathlib import Path

ZONES = ("cpu-thermal", "gpu-thermal", "soc0-thermal", "soc1-thermal", "soc2-thermal", "tj-thermal")


def write(sys: Path, files: dict[str, object]) -> Path:
    """Write each file, ended by a newline as the kernel does."""
    for name, value in files.items():
        path = sys / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return sys


def ina3221(number: int, rails: dict[str, tuple[int, int]]) -> dict[str, object]:
    """A monitor of three channels: label -> (mV, mA)."""
    base = f"class/hwmon/hwmon{number}"
    files: dict[str, object] = {f"{base}/name": "ina3221"}
    for channel, (label, (millivolts, milliamperes)) in enumerate(rails.items(), start=1):
        files |= {
            f"{base}/in{channel}_label": label,
            f"{base}/in{channel}_enable": 1,
            f"{base}/in{channel}_input": millivolts,
            f"{base}/curr{channel}_input": milliamperes,
            f"{base}/curr{channel}_crit_alarm": 0,
        }
    # The sum of the shunt voltages is a channel without a current of its own.
    return files | {f"{base}/in7_label": "sum of shunt voltages", f"{base}/in7_input": 2}


def jetson(
    gpu: str, gpu_hz: list[int], cpu_khz: int, policies: tuple[int, ...]
) -> dict[str, object]:
    """What the modules of the Orin family have in common."""
    files: dict[str, object] = {}
    for index, zone in enumerate(ZONES):
        files |= {
            f"class/thermal/thermal_zone{index}/type": zone,
            f"class/thermal/thermal_zone{index}/temp": 45_000 + 500 * index,
        }
    cooling = ("cpufreq-cpu0", f"devfreq-{gpu}", "cpu-throttle-alert", "gpu-throttle-alert")
    for index, kind in enumerate((*cooling, "hot-surface-alert")):
        files |= _cooling(index, kind, 0, 2)
    files |= _cooling(len(cooling) + 1, "pwm-fan", 2, 4)
    oc = "class/hwmon/hwmon5"
    files |= {f"{oc}/name": "soctherm_oc"}
    for which in (1, 2, 3):
        files |= {f"{oc}/oc{which}_event_cnt": 0, f"{oc}/oc{which}_throt_en": 1}
    for policy in policies:
        files |= {
            f"devices/system/cpu/cpufreq/policy{policy}/scaling_max_freq": cpu_khz,
            f"devices/system/cpu/cpufreq/policy{policy}/cpuinfo_max_freq": cpu_khz,
        }
    files |= {
        f"class/devfreq/{gpu}/available_frequencies": " ".join(map(str, gpu_hz)),
        f"class/devfreq/{gpu}/max_freq": max(gpu_hz),
        f"class/devfreq/{gpu}/cur_freq": min(gpu_hz),
    }
    return files


def _cooling(index: int, kind: str, state: int, most: int) -> dict[str, object]:
    base = f"class/thermal/cooling_device{index}"
    return {f"{base}/type": kind, f"{base}/cur_state": state, f"{base}/max_state": most}


_MODULE = {"VDD_IN": (4984, 1856), "VDD_CPU_GPU_CV": (4984, 320), "VDD_SOC": (4976, 480)}

ORIN_NANO = jetson(
    "17000000.gpu", [306_000_000, 510_000_000, 624_750_000], 1_510_400, (0, 4)
) | ina3221(1, _MODULE)
ORIN_NX = jetson(
    "17000000.ga10b", [306_000_000, 765_000_000, 918_000_000], 1_984_000, (0, 4)
) | ina3221(3, _MODULE)
AGX_ORIN = (
    jetson("17000000.gpu", [306_000_000, 1_020_000_000, 1_300_500_000], 2_201_600, (0, 4, 8))
    | ina3221(
        1, {"VDD_GPU_SOC": (19_232, 176), "VDD_CPU_CV": (19_240, 40), "VIN_SYS_5V0": (4976, 620)}
    )
    | ina3221(2, {"NC": (0, 0), "VDDQ_VDD2_1V8AO": (19_232, 48), "NC ": (0, 0)})
)
JETPACK_4 = {
    "class/thermal/thermal_zone0/type": "AO-therm",
    "class/thermal/thermal_zone0/temp": 41_500,
    "bus/i2c/drivers/ina3221x/7-0040/iio:device0/rail_name_0": "VDD_IN",
    "bus/i2c/drivers/ina3221x/7-0040/iio:device0/in_power0_input": 5210,
    "bus/i2c/drivers/ina3221x/7-0040/iio:device0/rail_name_1": "VDD_CPU_GPU_CV",
    "bus/i2c/drivers/ina3221x/7-0040/iio:device0/in_power1_input": 1230,
}
PC = {
    "class/thermal/thermal_zone0/type": "x86_pkg_temp",
    "class/thermal/thermal_zone0/temp": 52_000,
    **_cooling(0, "Processor", 0, 10),
    **_cooling(1, "intel_powerclamp", -1, 50),
    "class/hwmon/hwmon0/name": "coretemp",
    "class/hwmon/hwmon0/temp1_input": 52_000,
    "class/hwmon/hwmon1/name": "nvme",
    "devices/system/cpu/cpufreq/policy0/scaling_max_freq": 4_500_000,
    "devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": 4_500_000,
    "devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": 3,
    "devices/system/cpu/cpu1/thermal_throttle/core_throttle_count": 0,
}

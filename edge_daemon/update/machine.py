"""What an update must fit: the releases that are installed here."""

from __future__ import annotations

import platform
import re
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edge_daemon import __version__
from edge_daemon.contract.target import Machine
from edge_daemon.errors import UpdateError

_DPKG = Path("var/lib/dpkg/status")
_L4T = Path("etc/nv_tegra_release")


def this_machine(jetpack: str | None = None, root: Path = Path("/")) -> Machine:
    """Daemon, JetPack, TensorRT, Python and system of this machine.

    Args:
        jetpack: as configured; read from the packages when None.
        root: where the system lies.

    Raises:
        UpdateError: this is a Jetson, and nobody knows of which JetPack.
    """
    return Machine(
        __version__,
        jetpack or _jetpack(root),
        _tensorrt(),
        python=platform.python_version(),
        glibc=_glibc(),
        platform=re.sub(r"[-.]", "_", sysconfig.get_platform()),
    )


def _jetpack(root: Path) -> str | None:
    if not (root / _L4T).exists():
        return None
    try:
        packages = (root / _DPKG).read_text(encoding="utf-8", errors="replace")
    except OSError:
        packages = ""
    for package in packages.split("\n\n"):
        if package.startswith("Package: nvidia-jetpack\n"):
            found = re.search(r"^Version: (\d+(?:\.\d+)*)", package, re.MULTILINE)
            if found and "\nStatus: install ok installed\n" in package:
                return found.group(1)
    raise UpdateError(
        "this is a Jetson without the package nvidia-jetpack: set [update] jetpack to its release, "
        "as 6.1, so that only what fits it is taken"
    )


def _tensorrt() -> str | None:
    try:
        return version("tensorrt")
    except PackageNotFoundError:
        return None


def _glibc() -> str | None:
    library, release = platform.libc_ver()
    return release if library == "glibc" and release else None

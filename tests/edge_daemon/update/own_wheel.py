"""This very checkout as versions of the daemon: installed as the first one, and as small wheels."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping
from pathlib import Path

from edge_daemon import __version__
from edge_daemon.update.environment import CURRENT, Versions

CHECKOUT = Path(__file__).parents[3]
_ABOUT = "edge_daemon/__init__.py"


def install_checkout(versions: Versions) -> None:
    """As `docs/fleet/install.md` has it, without pip: the first version is what is tested here."""
    place = versions.place(__version__)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    program = versions.program(__version__)
    program.write_text(
        f"#!{place}/bin/python\nimport sys\nsys.path.insert(0, {str(CHECKOUT)!r})\n"
        "from edge_daemon.cli import main\nmain()\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    versions.point(CURRENT, __version__)


def link_packages(folder: Path) -> Path:
    """What this machine has installed, for a PYTHONPATH: it stands for JetPack's packages.

    They are seen, and not installed anew. Without LeukoEdge, which shall be found in no place but
    a version's own.
    """
    folder.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.lower().startswith("leukoedge") and entry.suffix != ".pth":
            (folder / entry.name).symlink_to(entry)
    return folder


def write_daemon(
    folder: Path,
    version: str,
    appended: Mapping[str, str] | None = None,
    beside: Mapping[str, bytes] | None = None,
) -> Path:
    """A wheel of the daemon as it is here under another version.

    Args:
        folder: where it is written.
        version: what it says that it is.
        appended: by file, what is written to its end: a fault.
        beside: other files, by their paths; none otherwise.
    """
    info = f"leukoedge-{version}.dist-info"
    sources = (CHECKOUT / "edge_daemon").rglob("*")
    files = {
        str(path.relative_to(CHECKOUT)): path.read_bytes()
        for path in sorted(sources)
        if path.is_file() and "__pycache__" not in path.parts
    }
    about = files[_ABOUT].decode().replace(f'"{__version__}"', f'"{version}"')
    files[_ABOUT] = about.encode()
    for name, text in (appended or {}).items():
        files[name] += text.encode()
    files |= beside or {}
    files |= {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: leukoedge\nVersion: {version}\n"
        "Provides-Extra: update\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": b"[console_scripts]\nleuko-edge = edge_daemon.cli:main\n",
    }
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"leukoedge-{version}-py3-none-any.whl"
    write_archive(wheel, info, files)
    return wheel


def write_archive(wheel: Path, info: str, files: Mapping[str, bytes]) -> None:
    """Zip the files of a wheel, with the record of them in its folder ``info``."""
    rows = []
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
            rows.append(f"{name},sha256={digest.decode().rstrip('=')},{len(content)}")
            archive.writestr(name, content)
        archive.writestr(f"{info}/RECORD", "\n".join([*rows, f"{info}/RECORD,,"]))

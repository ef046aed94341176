"""Which video device is meant: by index, by path, or by the serial number of the camera.

Indices change with the order of plugging in; a serial number does not. Linux tells it in two
places: in the names under /dev/v4l/by-id (made by udev) and in sysfs beside the USB device.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from edge_daemon.errors import AbsentSourceError, SourceError


@dataclass(frozen=True)
class ListedCamera:
    """A video device that gives pictures, as Linux tells of it."""

    node: Path
    name: str
    """What its driver calls it; empty if it does not."""
    serial: str | None


@dataclass(frozen=True)
class VideoDevices:
    """Where Linux shows its video devices; other folders than the system's are for tests."""

    dev: Path = Path("/dev")
    sysfs: Path = Path("/sys/class/video4linux")

    def resolve(self, which: str) -> str:
        """The path of the device node for ``0``, ``/dev/video0``, or ``serial/ABC``.

        Raises:
            SourceError: no such camera, or no permission; the line names the cameras that exist.
        """
        if which.startswith("serial/"):
            node = self._by_serial(which.removeprefix("serial/"))
        elif re.fullmatch(r"[0-9]+", which):
            node = self.dev / f"video{int(which)}"
        elif which.startswith("/"):
            node = Path(which)
        else:
            raise SourceError(
                f"camera {which!r}: not an index, a path or serial/NUMBER: write camera://0, "
                "camera:///dev/video0 or camera://serial/ABC123"
            )
        if not node.exists():
            raise AbsentSourceError(
                f"camera {node}: there is no such device: {self._what_exists()}"
            )
        if not os.access(node, os.R_OK | os.W_OK):
            raise SourceError(
                f"camera {node}: no permission to open it: add this user to the group video"
            )
        return str(node)

    def cameras(self) -> list[ListedCamera]:
        """All that give pictures, in the order of their numbers; metadata nodes are left out."""
        listed = [
            ListedCamera(
                self.dev / entry.name,
                _text(entry / "name") or "",
                self.serial_of(str(self.dev / entry.name)),
            )
            for entry in _entries(self.sysfs)
            if _text(entry / "index") in ("0", None)
        ]
        return sorted(listed, key=lambda camera: (len(camera.node.name), camera.node.name))

    def serial_of(self, node: str) -> str | None:
        """The serial number of the camera behind a device node, or None if it has none."""
        # `device` is the USB interface; the serial number stands one level above it.
        return _text(self._in_sys(node) / "device" / ".." / "serial") or None

    def name_of(self, node: str) -> str | None:
        """What the driver calls the camera behind a device node."""
        return _text(self._in_sys(node) / "name")

    def with_serial(self, serial: str) -> set[Path]:
        """The device nodes of the cameras that have this serial number."""
        return {node.resolve() for node in (*self._in_by_id(serial), *self._in_sysfs(serial))}

    def _in_sys(self, node: str) -> Path:
        return self.sysfs / Path(node).resolve().name

    def _by_serial(self, serial: str) -> Path:
        nodes = self.with_serial(serial)
        if not serial or not nodes:
            raise AbsentSourceError(
                f"camera with serial number {serial!r}: it is not connected: {self._what_exists()}"
            )
        if len(nodes) > 1:
            listed = ", ".join(sorted(map(str, nodes)))
            raise SourceError(
                f"camera with serial number {serial!r}: several devices have it ({listed}): "
                "give the path of one, as in camera:///dev/video0"
            )
        return nodes.pop()

    def _in_by_id(self, serial: str) -> list[Path]:
        # usb-<maker>_<model>_<serial>-video-index0; index1 and up carry metadata, no pictures.
        ending = re.compile(rf"(^|[-_]){re.escape(serial)}-video-index0$")
        folder = self.dev / "v4l" / "by-id"
        return [link for link in _entries(folder) if ending.search(link.name)]

    def _in_sysfs(self, serial: str) -> list[Path]:
        return [
            self.dev / entry.name
            for entry in _entries(self.sysfs)
            if _text(entry / "device" / ".." / "serial") == serial and _text(entry / "index") == "0"
        ]

    def _what_exists(self) -> str:
        links = [str(link) for link in _entries(self.dev / "v4l" / "by-id")]
        nodes = [str(node) for node in _entries(self.dev) if re.match(r"video[0-9]+$", node.name)]
        found = links or nodes
        if not found:
            return "no camera is connected; plug one in"
        return f"connected are {', '.join(found)}"


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str | None:
    try:
        return path.resolve().read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None

"""A USB port without hardware: fake cameras are plugged in, and Linux's folders tell of them."""

from __future__ import annotations

import threading
from pathlib import Path

from edge_daemon.sources.camera import CameraSettings, CameraSource
from edge_daemon.sources.v4l import VideoDevices
from tests.edge_daemon.sources import fake_camera as fake
from tests.edge_daemon.sources.events import Events
from tests.edge_daemon.sources.fake_camera import FakeCamera


class UsbPort:
    """``plug`` a camera in under a serial number and ``unplug`` it, as often as you like."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "dev").mkdir()
        (folder / "class").mkdir()
        self.devices = VideoDevices(dev=folder / "dev", sysfs=folder / "class")
        self.cameras: list[FakeCamera] = []
        self._at: dict[str, FakeCamera] = {}
        self.opened: list[str] = []

    def plug(
        self, camera: FakeCamera | None = None, serial: str = "A1", node: str = "video0"
    ) -> FakeCamera:
        """A camera (one that lives, if not given) appears under a device node."""
        camera = camera or FakeCamera(fake.lives, frame_interval_s=0.005)
        self.cameras.append(camera)
        interface = self._folder / "usb" / node / "1:0"
        interface.mkdir(parents=True, exist_ok=True)
        (interface.parent / "serial").write_text(serial)
        entry = self._folder / "class" / node
        entry.mkdir()
        (entry / "index").write_text("0\n")
        (entry / "name").write_text(f"Acme {serial}\n")
        (entry / "device").symlink_to(interface)
        self._at[str(self._folder / "dev" / node)] = camera
        (self._folder / "dev" / node).touch()
        return camera

    def unplug(self, node: str = "video0") -> None:
        """The device node goes, and a read ends without a picture, as V4L2's does."""
        (self._folder / "dev" / node).unlink()
        for path in (self._folder / "class" / node).iterdir():
            path.unlink()
        (self._folder / "class" / node).rmdir()
        camera = self._at.pop(str(self._folder / "dev" / node))
        camera.script, camera.afterwards = (), fake.gives_nothing

    def open(self, node: str) -> FakeCamera:
        self.opened.append(Path(node).name)
        return self._at[str(Path(node).resolve())]

    def source(
        self,
        which: str = "serial/A1",
        settings: CameraSettings | None = None,
        stop: threading.Event | None = None,
        events: Events | None = None,
        may_come_later: bool = False,
    ) -> CameraSource:
        return CameraSource(
            which,
            settings,
            devices=self.devices,
            open_capture=self.open,
            stop=stop,
            on_event=events,
            may_come_later=may_come_later,
        )

    def let_all_go(self) -> None:
        """Whatever read still blocks ends: the test is over."""
        for camera in self.cameras:
            camera.unplugged.set()

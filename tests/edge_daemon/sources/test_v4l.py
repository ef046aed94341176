"""Which device node is meant by an index, a path or a serial number."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_daemon.errors import SourceError
from edge_daemon.sources.v4l import VideoDevices
from edge_daemon.sources.v4l_formats import formats_of


@pytest.fixture
def devices(tmp_path: Path) -> VideoDevices:
    """Two cameras as Linux shows them; each has a second node that carries metadata only."""
    dev, sysfs, usb = tmp_path / "dev", tmp_path / "sys" / "class", tmp_path / "sys" / "usb"
    by_id = dev / "v4l" / "by-id"
    by_id.mkdir(parents=True)
    sysfs.mkdir(parents=True)
    for number, (model, serial) in enumerate([("Acme_Scope", "A-17"), ("Acme_Scope", "B_17")]):
        interface = usb / f"1-{number}" / "1:0"
        interface.mkdir(parents=True)
        (usb / f"1-{number}" / "serial").write_text(f"{serial}\n")
        for index in (0, 1):
            node = f"video{2 * number + index}"
            (dev / node).touch()
            (by_id / f"usb-{model}_{serial}-video-index{index}").symlink_to(f"../../{node}")
            (sysfs / node).mkdir()
            (sysfs / node / "index").write_text(f"{index}\n")
            (sysfs / node / "device").symlink_to(interface)
    return VideoDevices(dev=dev, sysfs=sysfs)


def test_an_index(devices: VideoDevices) -> None:
    assert devices.resolve("2") == str(devices.dev / "video2")


def test_a_path(devices: VideoDevices) -> None:
    path = str(devices.dev / "v4l" / "by-id" / "usb-Acme_Scope_A-17-video-index0")
    assert devices.resolve(path) == path


@pytest.mark.parametrize(("serial", "node"), [("A-17", "video0"), ("B_17", "video2")])
def test_a_serial_number_is_found_by_the_names_of_udev(
    devices: VideoDevices, tmp_path: Path, serial: str, node: str
) -> None:
    only_udev = VideoDevices(dev=devices.dev, sysfs=tmp_path / "none")
    assert only_udev.resolve(f"serial/{serial}") == str(devices.dev / node)


@pytest.mark.parametrize(("serial", "node"), [("A-17", "video0"), ("B_17", "video2")])
def test_a_serial_number_is_found_in_sysfs_without_udev(
    devices: VideoDevices, serial: str, node: str
) -> None:
    for link in (devices.dev / "v4l" / "by-id").iterdir():
        link.unlink()
    assert devices.resolve(f"serial/{serial}") == str(devices.dev / node)


def test_a_part_of_a_serial_number_does_not_match_another(devices: VideoDevices) -> None:
    with pytest.raises(SourceError, match="'7': it is not connected"):
        devices.resolve("serial/7")


def test_two_cameras_of_one_serial_number_are_not_guessed_at(devices: VideoDevices) -> None:
    """`17` ends both names, behind `A-` and behind `B_`."""
    with pytest.raises(SourceError, match=r"several devices have it .*video0.*video2"):
        devices.resolve("serial/17")


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("9", r"video9: there is no such device: connected are .*usb-Acme_Scope_A-17"),
        ("/dev/no-such-camera", "there is no such device: connected are"),
        ("serial/", "it is not connected: connected are"),
        ("usb", r"not an index, a path or serial/NUMBER: write camera://0"),
        ("", r"not an index, a path or serial/NUMBER: write camera://0"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(
    devices: VideoDevices, which: str, words: str
) -> None:
    with pytest.raises(SourceError, match=words):
        devices.resolve(which)


def test_no_camera_at_all(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no camera is connected; plug one in"):
        VideoDevices(dev=tmp_path, sysfs=tmp_path).resolve("0")


def test_cameras_are_listed_with_name_and_serial_number(devices: VideoDevices) -> None:
    (devices.sysfs / "video0" / "name").write_text("Acme Scope\n")
    listed = [(camera.node.name, camera.name, camera.serial) for camera in devices.cameras()]
    assert listed == [("video0", "Acme Scope", "A-17"), ("video2", "", "B_17")]


def test_where_linux_shows_no_cameras_none_are_listed(tmp_path: Path) -> None:
    assert VideoDevices(dev=tmp_path, sysfs=tmp_path / "none").cameras() == []


class FakeDriver:
    """Answers VIDIOC_ENUM_FMT and VIDIOC_ENUM_FRAMESIZES as <linux/videodev2.h> lays them out."""

    formats = (b"MJPG", b"YUYV")
    sizes = ((1920, 1080), (640, 480))

    def __call__(self, file: int, request: int, asked: bytearray) -> int:
        index = int.from_bytes(asked[:4], "little")
        if request == 0xC0405602:
            assert len(asked) == 64
            assert asked[4] == 1, "video capture"
            if index >= len(self.formats):
                raise OSError(22, "Invalid argument")
            asked[44:48] = self.formats[index]
            return 0
        assert request == 0xC02C564A
        assert len(asked) == 44
        if bytes(asked[4:8]) == b"YUYV":  # any size within limits, in steps
            asked[8:12] = (3).to_bytes(4, "little")
            numbers = (64, 1280, 2, 48, 960, 2)
            asked[12:36] = b"".join(number.to_bytes(4, "little") for number in numbers)
            return 0
        if index >= len(self.sizes):
            raise OSError(22, "Invalid argument")
        asked[8:12] = (1).to_bytes(4, "little")
        width, height = self.sizes[index]
        asked[12:20] = width.to_bytes(4, "little") + height.to_bytes(4, "little")
        return 0


def test_formats_and_sizes_are_asked_of_the_driver(devices: VideoDevices) -> None:
    assert formats_of(devices.dev / "video0", FakeDriver()) == {
        "MJPG": ["1920x1080", "640x480"],
        "YUYV": ["64x48 to 1280x960"],
    }


def test_what_is_no_camera_has_no_formats(devices: VideoDevices) -> None:
    assert formats_of(devices.dev / "video0") == {}
    assert formats_of(devices.dev / "none") == {}

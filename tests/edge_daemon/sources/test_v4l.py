"""Which device node is meant by an index, a path or a serial number."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_daemon.errors import SourceError
from edge_daemon.sources.v4l import VideoDevices


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

"""However a download breaks off, the next one goes on; and only what was signed is kept."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from edge_daemon.contract.bundle import load_bundle
from edge_daemon.errors import UpdateError
from edge_daemon.locks import FileLock
from edge_daemon.update import download as download_module
from edge_daemon.update import fetch
from edge_daemon.update.archive import unpack
from edge_daemon.update.fetch import HttpFetcher
from tests.deploy.trust.fleet import Device, Fleet
from tests.edge_daemon.update.web import Web, served

BUNDLE = "paper-0.1.0.tar"
CONTENT = random.Random(0).randbytes(1 << 20)


@pytest.fixture
def large(fleet: Fleet) -> Fleet:
    """With a bundle of a few megabytes."""
    fleet.add("0.1.0", CONTENT)
    fleet.publish()
    return fleet


@pytest.fixture
def web(large: Fleet) -> Iterator[Web]:
    with served(large.repository.folder) as web:
        yield web


@pytest.fixture
def device(large: Fleet, web: Web) -> Device:
    device = large.device()
    device.source = web.url
    return device


def part(device: Device) -> Path:
    return device.state / "downloads" / f"{BUNDLE}.partial"


class TestOverHttp:
    def test_a_bundle_comes_as_it_was_put_in(
        self, large: Fleet, device: Device, tmp_path: Path
    ) -> None:
        bundle = load_bundle(unpack(device.fetched("0.1.0"), tmp_path / "unpacked"))

        assert bundle.digest == load_bundle(large.source("0.1.0", CONTENT)).digest

    def test_a_download_that_broke_off_is_gone_on_with(self, device: Device, web: Web) -> None:
        web.breaks_after = 1_000_000
        with pytest.raises(UpdateError, match="broke off"):
            device.fetched("0.1.0")
        assert part(device).stat().st_size == 1_000_000
        web.breaks_after = None
        device.fetched("0.1.0")

        assert web.ranges_of(BUNDLE) == [None, "bytes=1000000-"]
        assert not part(device).exists()

    def test_it_comes_in_as_many_tries_as_it_takes(self, device: Device, web: Web) -> None:
        web.breaks_after = 700_000
        for _ in range(4):
            with pytest.raises(UpdateError, match="broke off"):
                device.fetched("0.1.0")

        assert device.fetched("0.1.0").name == BUNDLE

    def test_a_server_without_ranges_begins_anew(self, device: Device, web: Web) -> None:
        web.breaks_after = 1_000_000
        with pytest.raises(UpdateError, match="broke off"):
            device.fetched("0.1.0")
        web.breaks_after, web.knows_ranges = None, False

        assert device.fetched("0.1.0").exists()

    def test_without_a_length_the_end_is_noticed_all_the_same(
        self, device: Device, web: Web
    ) -> None:
        web.breaks_after, web.says_length = 1_000_000, False
        with pytest.raises(UpdateError, match="ended after 1000000 of"):
            device.fetched("0.1.0")

    def test_what_is_here_is_not_fetched_again(self, device: Device, web: Web) -> None:
        device.fetched("0.1.0")
        device.fetched("0.1.0")

        assert web.ranges_of(BUNDLE) == [None]

    def test_a_part_that_was_spoilt_is_thrown_away_and_fetched_once_more(
        self, device: Device, web: Web
    ) -> None:
        web.breaks_after = 1_000_000
        with pytest.raises(UpdateError, match="broke off"):
            device.fetched("0.1.0")
        with part(device).open("r+b") as file:
            file.write(b"spoilt")
        web.breaks_after = None

        assert device.fetched("0.1.0").exists()
        assert web.ranges_of(BUNDLE) == [None, "bytes=1000000-", None]

    def test_a_part_that_is_too_long_is_begun_anew(self, device: Device) -> None:
        part(device).parent.mkdir()
        part(device).write_bytes(bytes(10 << 20))

        assert device.fetched("0.1.0").exists()

    @pytest.mark.parametrize("what", ["timestamp.json", "2.snapshot.json", "2.targets.json"])
    def test_endless_metadata_is_cut_off(self, device: Device, web: Web, what: str) -> None:
        web.endless = what
        with pytest.raises(UpdateError, match="other bytes than were signed"):
            device.versions()

    def test_an_endless_bundle_is_cut_off_and_nothing_of_it_stays(
        self, device: Device, web: Web
    ) -> None:
        web.endless = next(file.name for file in web.folder.rglob(f"*{BUNDLE}"))
        with pytest.raises(UpdateError, match="has more than the"):
            device.fetched("0.1.0")

        assert list(part(device).parent.iterdir()) == []

    def test_a_drip_is_as_bad_as_silence(
        self, device: Device, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A clock that jumps a minute at every look: too few bytes for the time that went by."""
        monkeypatch.setattr(fetch, "SLOWEST_BYTES", 100 << 20)
        minutes = iter(range(0, 60_000, 60))
        repository = device.repository()
        repository._fetcher = HttpFetcher(clock=lambda: next(minutes))

        with pytest.raises(UpdateError, match=r"only \d+ bytes came in 60 s"):
            repository.refresh()

    @pytest.mark.parametrize("status", [403, 500, 503])
    def test_a_server_that_refuses_is_one_line(self, device: Device, web: Web, status: int) -> None:
        web.status = HTTPStatus(status)
        with pytest.raises(UpdateError, match=f"HTTP status {status}") as caught:
            device.versions()
        assert "\n" not in str(caught.value)

    def test_a_server_that_is_not_there_is_one_line(self, device: Device, web: Web) -> None:
        with served(web.folder) as gone:
            pass
        with pytest.raises(UpdateError, match=f"cannot reach {gone.url}.*refused") as caught:
            device.versions(gone.url)
        assert "\n" not in str(caught.value)


class TestFromAFolder:
    def test_a_stick_that_was_pulled_out_is_gone_on_with(
        self, large: Fleet, device: Device, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stick = large.copy("stick")
        monkeypatch.setattr(fetch, "_read", _pulled_out_after(3 << 18))
        with pytest.raises(UpdateError, match=r"cannot read .*Input/output error"):
            device.fetched("0.1.0", stick)
        monkeypatch.undo()

        assert part(device).stat().st_size == 3 << 18
        assert device.fetched("0.1.0", stick.as_uri()).exists()

    @pytest.mark.parametrize("name", ["USB STICK", "Müller & Söhne", "100%", "a#b?c", "%2e%2e"])
    def test_a_stick_may_have_any_name(self, large: Fleet, device: Device, name: str) -> None:
        stick = large.copy(name)

        assert device.versions(stick) == device.versions(stick.as_uri()) == ["0.1.0"]

    def test_no_folder_there_is_one_line(self, device: Device, tmp_path: Path) -> None:
        with pytest.raises(UpdateError, match=r"there is no folder .*; is the stick in"):
            device.versions(tmp_path / "absent")

    def test_any_other_address_is_refused(self, device: Device) -> None:
        with pytest.raises(UpdateError, match="is no address of a repository"):
            device.versions("ftp://updates/fleet")


class TestHalfCopied:
    """Copied to a stick that was pulled out, or was full."""

    def test_an_empty_folder(self, large: Fleet, tmp_path: Path) -> None:
        (tmp_path / "stick").mkdir()
        with pytest.raises(UpdateError, match=r"timestamp\.json is not there: is the repository"):
            large.device().versions(tmp_path / "stick")

    @pytest.mark.parametrize("name", ["2.snapshot", "2.targets", "timestamp"])
    @pytest.mark.parametrize("state", ["missing", "empty", "half"])
    def test_metadata(self, large: Fleet, name: str, state: str) -> None:
        stick = large.copy("stick")
        file = stick / "metadata" / f"{name}.json"
        content = file.read_bytes()
        file.unlink()
        if state != "missing":
            file.write_bytes(content[: len(content) // 2] if state == "half" else b"")
        device = large.device()

        with pytest.raises(UpdateError, match=r"copied (halfway|to the end)") as caught:
            device.versions(stick)
        assert "\n" not in str(caught.value)
        assert device.versions() == ["0.1.0"]

    def test_a_bundle(self, large: Fleet) -> None:
        stick = large.copy("stick")
        next(stick.rglob(f"*{BUNDLE}")).unlink()

        with pytest.raises(UpdateError, match="is not there: is the repository copied to the end"):
            large.device().fetched("0.1.0", stick)


class TestTheDevicesDisk:
    def test_without_room_nothing_is_begun(
        self, device: Device, web: Web, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = download_module.shutil.disk_usage
        monkeypatch.setattr(
            download_module.shutil, "disk_usage", lambda path: usage(path)._replace(free=1000)
        )
        with pytest.raises(UpdateError, match=r"needs 3 MB more in .*make room and try again"):
            device.fetched("0.1.0")
        assert web.ranges_of(BUNDLE) == []

    def test_what_is_not_offered_any_more_makes_room(self, large: Fleet, device: Device) -> None:
        other = device.state / "downloads" / "paper-0.0.9.tar"
        kept = device.fetched("0.1.0")
        other.write_bytes(b"old")
        other.with_name("paper-0.0.8.tar.partial").write_bytes(b"old")
        device.versions()

        assert list(kept.parent.iterdir()) == [kept]

    def test_two_at_once_are_one_too_many(self, device: Device) -> None:
        lock = FileLock(device.state / ".lock")
        with pytest.raises(UpdateError, match="another update is under way"):
            device.versions()
        lock.release()
        assert device.versions() == ["0.1.0"]


def _pulled_out_after(bytes_read: int) -> Callable[..., Iterator[bytes]]:
    """The end of a stick: so much can be read of a target, then the kernel says EIO."""
    read = fetch._read

    def reading(path: Path, handle: int, start: int) -> Iterator[bytes]:
        left = bytes_read
        for chunk in read(path, handle, start):
            if path.suffix == ".tar" and (left := left - len(chunk)) < 0:
                error = OSError(errno.EIO, os.strerror(errno.EIO))
                raise fetch.DownloadError(f"cannot read {path}: {error.strerror}")
            yield chunk

    return reading

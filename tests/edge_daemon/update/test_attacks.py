"""What a device does with a repository that somebody got at: nothing, and it says why.

Each attack is built as an attacker would: from copies of what was once published, from keys of his
own, from bytes that were changed. After each, the device still takes the genuine repository.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Root

from deploy.trust.rotate import rotate_root
from edge_daemon.contract.bundle import load_bundle
from edge_daemon.contract.envelope import utc_now
from edge_daemon.errors import ExpiredError, UpdateError
from edge_daemon.service.bundle_store import BundleStore
from edge_daemon.update import trust
from edge_daemon.update.archive import unpack
from edge_daemon.update.trust import provision
from tests.deploy.trust.fleet import Device, Fleet


def refused(device: Device, source: Path | str, why: str) -> None:
    """One line that says why, and the device goes on with the genuine repository."""
    with pytest.raises(UpdateError, match=why) as caught:
        take_all(device, source)
    assert "\n" not in str(caught.value)
    device.repository().refresh()


def take_all(device: Device, source: Path | str) -> None:
    repository = device.repository(source)
    for offer in repository.refresh():
        repository.fetch(offer)


def days_ago(days: float) -> Callable[[], datetime]:
    moment = utc_now() - timedelta(days=days)
    return lambda: moment


class TestOldStates:
    def test_rollback_to_what_was_once_published(self, fleet: Fleet) -> None:
        fleet.offer("0.1.0")
        old = fleet.copy("old")
        fleet.offer("0.2.0")
        device = fleet.device()
        assert device.versions() == ["0.1.0", "0.2.0"]

        refused(device, old, "older than what this device has seen")

    def test_rollback_of_the_list_of_targets_under_a_new_timestamp(self, fleet: Fleet) -> None:
        """Who stole the online keys can publish, but no list that the device has outgrown."""
        fleet.offer("0.1.0")
        stolen = fleet.copy("stolen")
        fleet.offer("0.2.0")
        device = fleet.device()
        assert device.versions() == ["0.1.0", "0.2.0"]
        thief = Fleet(fleet.folder, place=stolen.name)
        for _ in range(3):
            thief.publish()

        refused(device, stolen, "older than what this device has seen")

    def test_freeze_on_an_old_state_until_it_expires(self, tmp_path: Path) -> None:
        fleet = Fleet.founded(tmp_path, days_ago(31))
        fleet.offer("0.1.0")
        frozen = fleet.copy("frozen")
        fleet.now = utc_now
        fleet.offer("0.2.0")

        with pytest.raises(ExpiredError, match="updates wait until it is published anew"):
            fleet.device().repository(frozen).refresh()
        assert fleet.device().versions() == ["0.1.0", "0.2.0"]

    def test_mix_of_two_states(self, fleet: Fleet) -> None:
        """A snapshot of the one under the timestamp of the other, both genuine."""
        fleet.offer("0.1.0")
        old = fleet.copy("old")
        fleet.offer("0.2.0")
        mixed = fleet.copy("mixed")
        shutil.copy(old / "metadata" / "2.snapshot.json", mixed / "metadata" / "3.snapshot.json")

        refused(fleet.device(), mixed, "altered, mixed up or copied halfway")

    def test_mix_of_targets_of_two_states(self, fleet: Fleet) -> None:
        fleet.offer("0.1.0")
        old = fleet.copy("old")
        fleet.offer("0.2.0")
        mixed = fleet.copy("mixed")
        shutil.copy(old / "metadata" / "2.targets.json", mixed / "metadata" / "3.targets.json")

        refused(fleet.device(), mixed, "altered, mixed up or copied halfway")


class TestForeignKeys:
    def test_a_repository_of_somebody_else(self, fleet: Fleet, tmp_path: Path) -> None:
        fleet.offer("0.1.0")
        foreign = Fleet.founded(tmp_path / "foreign")
        foreign.offer("0.1.0", "6.6.6")

        refused(fleet.device(), foreign.repository.folder, "not signed by those whom this device")

    def test_a_timestamp_signed_with_another_key(self, fleet: Fleet, tmp_path: Path) -> None:
        fleet.offer("0.1.0")
        foreign = Fleet.founded(tmp_path / "foreign")
        forged = fleet.copy("forged")
        document = Metadata.from_file(str(forged / "metadata" / "timestamp.json"))
        document.signed.version += 1
        keyid = foreign.repository.root().signed.roles["timestamp"].keyids[0]
        document.sign(
            foreign.ring().signer("timestamp", foreign.repository.root().signed.keys[keyid])
        )
        document.to_file(str(forged / "metadata" / "timestamp.json"))

        refused(fleet.device(), forged, "not signed by those whom this device trusts")

    def test_a_new_root_with_one_signature_of_two(self, fleet: Fleet) -> None:
        fleet.offer("0.1.0")
        forged = fleet.copy("forged")
        root = fleet.repository.root().signed
        root.version = 2
        document: Metadata[Root] = Metadata(root)
        document.sign(fleet.ring().signer("root", root.keys[root.roles["root"].keyids[0]]))
        document.to_file(str(forged / "metadata" / "2.root.json"))

        refused(fleet.device(), forged, "root was signed by 1/2 keys")

    def test_a_new_root_that_asks_for_nobody_but_the_forger(
        self, fleet: Fleet, tmp_path: Path
    ) -> None:
        fleet.offer("0.1.0")
        foreign = Fleet.founded(tmp_path / "foreign")
        forged = fleet.copy("forged")
        document = foreign.repository.root()
        document.signed.version = 2
        for keyid in document.signed.roles["root"].keyids:
            document.sign(foreign.ring().signer("root", document.signed.keys[keyid]), append=True)
        document.to_file(str(forged / "metadata" / "2.root.json"))

        refused(fleet.device(), forged, "root was signed by 0/2 keys")

    def test_a_key_that_was_taken_out_of_the_root(self, fleet: Fleet) -> None:
        """The old root keys, all of them, make nothing that a device takes after the exchange."""
        fleet.offer("0.1.0")
        old_keys = Path(shutil.copytree(fleet.keys, fleet.folder / "stolen-keys"))
        device = fleet.device()
        for keyid in fleet.repository.root().signed.roles["root"].keyids:
            rotate_root(fleet.repository, fleet.ring(), utc_now(), keyid)
        assert device.versions() == ["0.1.0"]
        forged = fleet.copy("forged")
        first: Metadata[Root] = Metadata.from_file(str(fleet.first_root))
        first.signed.version = 5
        ring = fleet.ring(old_keys)
        first.signatures.clear()
        for keyid in first.signed.roles["root"].keyids:
            first.sign(ring.signer("root", first.signed.keys[keyid]), append=True)
        first.to_file(str(forged / "metadata" / "5.root.json"))

        refused(device, forged, "root was signed by 0/2 keys")


class TestBytes:
    @pytest.mark.parametrize("change", ["one bit", "longer", "shorter", "empty"])
    def test_swapped_bytes_in_a_bundle(self, fleet: Fleet, change: str) -> None:
        fleet.offer("0.1.0")
        forged = fleet.copy("forged")
        (bundle,) = (forged / "targets" / "bundles").iterdir()
        content = bytearray(bundle.read_bytes())
        content[len(content) // 2] ^= 1
        bundle.write_bytes(
            {
                "one bit": bytes(content),
                "longer": bundle.read_bytes() + b"!",
                "shorter": bundle.read_bytes()[:-1],
                "empty": b"",
            }[change]
        )

        why = "try again to go on" if change in ("shorter", "empty") else "other bytes|has more"
        refused(fleet.device(), forged, why)

    @pytest.mark.parametrize("name", ["timestamp", "2.snapshot", "2.targets"])
    def test_swapped_bytes_in_metadata(self, fleet: Fleet, name: str) -> None:
        fleet.offer("0.1.0")
        forged = fleet.copy("forged")
        file = forged / "metadata" / f"{name}.json"
        document = json.loads(file.read_bytes())
        document["signed"]["expires"] = "2099-01-01T00:00:00Z"
        file.write_text(json.dumps(document))

        refused(fleet.device(), forged, "other bytes than were signed|is not signed by those")

    @pytest.mark.parametrize("name", ["timestamp", "2.snapshot", "2.targets", "2.root"])
    def test_endless_metadata_from_a_folder(self, fleet: Fleet, name: str) -> None:
        """A sparse file of a terabyte costs neither disk nor memory to offer."""
        fleet.offer("0.1.0")
        forged = fleet.copy("forged")
        with (forged / "metadata" / f"{name}.json").open("wb") as file:
            file.truncate(1 << 40)

        refused(fleet.device(), forged, "other bytes than were signed")

    def test_an_endless_bundle_from_a_folder(self, fleet: Fleet) -> None:
        fleet.offer("0.1.0")
        forged = fleet.copy("forged")
        (bundle,) = (forged / "targets" / "bundles").iterdir()
        os.truncate(bundle, 1 << 40)
        device = fleet.device()

        refused(device, forged, "has more than the")
        assert list((device.state / "downloads").iterdir()) == []

    @pytest.mark.parametrize("odd", ["pipe", "link", "folder"])
    def test_what_only_looks_like_a_file(self, fleet: Fleet, odd: str) -> None:
        fleet.offer("0.1.0")
        forged = fleet.copy("forged")
        file = forged / "metadata" / "timestamp.json"
        file.unlink()
        if odd == "pipe":
            os.mkfifo(file)
        elif odd == "link":
            file.symlink_to(fleet.repository.metadata / "timestamp.json")
        else:
            file.mkdir()

        refused(fleet.device(), forged, "is not a plain file|cannot read")


class TestClocks:
    def test_a_clock_that_goes_back_brings_nothing_expired_back(self, fleet: Fleet) -> None:
        fleet.offer("0.1.0")
        device = fleet.device()
        device.clock = lambda: utc_now() + timedelta(days=40)
        with pytest.raises(ExpiredError):
            device.versions()

        device.clock = utc_now
        with pytest.raises(ExpiredError, match=r"set the clock, or delete .*latest-time\.json"):
            device.versions()

    def test_when_it_is_published_anew_the_device_takes_it(self, fleet: Fleet) -> None:
        fleet.offer("0.1.0")
        device = fleet.device()
        later = utc_now() + timedelta(days=40)
        device.clock = lambda: later
        with pytest.raises(ExpiredError):
            device.versions()
        fleet.now = lambda: later
        fleet.publish()

        assert device.versions() == ["0.1.0"]

    @pytest.mark.parametrize(
        ("role", "days"), [("root", 60), ("targets", 60), ("snapshot", 60), ("timestamp", 60)]
    )
    def test_each_role_expires_by_itself(self, tmp_path: Path, role: str, days: int) -> None:
        lifetimes = dict.fromkeys(("root", "targets", "snapshot", "timestamp"), 400)
        fleet = Fleet.founded(tmp_path, days_ago(days), **{**lifetimes, role: days - 1})
        fleet.offer("0.1.0")

        with pytest.raises(ExpiredError, match=role):
            fleet.device().versions()

    def test_expired_blocks_updates_and_never_inference(self, fleet: Fleet, tmp_path: Path) -> None:
        """What is active stays active and opens; nothing of the daemon's own state is touched."""
        fleet.offer("0.1.0")
        device = fleet.device()
        store = BundleStore(tmp_path / "store")
        store.stage(unpack(device.fetched("0.1.0"), tmp_path / "unpacked"))
        store.begin("paper-0.1.0")
        store.commit()
        device.clock = lambda: utc_now() + timedelta(days=4000)
        with pytest.raises(ExpiredError, match="screening goes on"):
            device.versions()

        active = BundleStore(tmp_path / "store").active()
        assert active is not None
        assert load_bundle(active).label == "paper-0.1.0"


class TestPinning:
    def test_another_root_does_not_take_the_place_of_the_pinned_one(
        self, fleet: Fleet, tmp_path: Path
    ) -> None:
        device = fleet.device()
        foreign = Fleet.founded(tmp_path / "foreign")

        with pytest.raises(UpdateError, match="another root is pinned"):
            provision(device.state, foreign.first_root.read_bytes())
        provision(device.state, fleet.first_root.read_bytes())  # the same is no fault

    def test_what_is_no_root_is_not_pinned(self, fleet: Fleet, tmp_path: Path) -> None:
        altered = json.loads(fleet.first_root.read_bytes())
        altered["signed"]["version"] = 7
        timestamp = (fleet.repository.metadata / "timestamp.json").read_bytes()
        for content in (b"", b"[]", timestamp, json.dumps(altered).encode(), b"[" * 20_000):
            with pytest.raises(UpdateError, match="not the root of a repository"):
                provision(tmp_path / "state", content)
        assert not (tmp_path / "state").exists()

    def test_without_a_pinned_root_nothing_is_trusted(self, fleet: Fleet, tmp_path: Path) -> None:
        device = Device(tmp_path / "bare", str(fleet.repository.folder))

        with pytest.raises(UpdateError, match="no root is pinned"):
            device.versions()


class TestWhatAPowerCutLeaves:
    @pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"{"])
    def test_damaged_metadata_on_the_device_is_fetched_again(
        self, fleet: Fleet, content: bytes
    ) -> None:
        fleet.offer("0.1.0")
        device = fleet.device()
        rotate_root(fleet.repository, fleet.ring(), utc_now(), _first_root_key(fleet))
        assert device.versions() == ["0.1.0"]
        for file in (device.state / "metadata").rglob("*.json"):
            if not file.is_symlink():
                file.write_bytes(content)

        assert device.versions() == ["0.1.0"]

    def test_a_damaged_pinned_root_is_one_line(self, fleet: Fleet) -> None:
        device = fleet.device()
        (device.state / "pinned-root.json").write_bytes(b"")
        with pytest.raises(UpdateError, match=r"what is pinned in .* is not the root") as caught:
            device.versions()

        assert "\n" not in str(caught.value)

    def test_what_was_seen_is_on_the_disk_before_it_is_used(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Or a power cut would lead back to where a rollback is none."""
        fleet.offer("0.1.0")
        device = fleet.device()
        kept: list[str] = []
        to_disk = trust.to_disk
        monkeypatch.setattr(trust, "to_disk", lambda path: (kept.append(path.name), to_disk(path)))
        device.versions()

        assert {"timestamp.json", "snapshot.json", "targets.json", "metadata"} <= set(kept)


def _first_root_key(fleet: Fleet) -> str:
    return fleet.repository.root().signed.roles["root"].keyids[0]

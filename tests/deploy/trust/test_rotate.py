"""Keys are exchanged, and devices go on without being told."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.trust.errors import TrustError
from deploy.trust.keys import KeyRing
from deploy.trust.repository import Repository
from deploy.trust.rotate import renew, rotate_key, rotate_root
from edge_daemon.contract.envelope import utc_now
from edge_daemon.errors import ExpiredError, UpdateError
from tests.deploy.trust.fleet import Fleet, key_ring, passphrase

SIGNERS = ("targets", "snapshot", "timestamp")


def keyids(fleet: Fleet, role: str) -> list[str]:
    return list(fleet.repository.root().signed.roles[role].keyids)


def keys_that_signed(fleet: Fleet, role: str) -> set[str]:
    root = fleet.repository.root().signed
    seen = fleet.repository.published(root)
    return set(getattr(seen, role).signatures)


class TestAKeyOfARole:
    @pytest.mark.parametrize("role", SIGNERS)
    def test_is_exchanged_and_devices_go_on(self, fleet: Fleet, role: str) -> None:
        fleet.offer("0.1.0")
        seasoned = fleet.device("seasoned")
        assert seasoned.versions() == ["0.1.0"]
        (old,) = keyids(fleet, role)
        fresh = rotate_key(fleet.repository, fleet.ring(), fleet.now(), role).keyid

        assert keyids(fleet, role) == [fresh]
        assert fresh != old
        assert keys_that_signed(fleet, role) == {fresh}
        fleet.offer("0.2.0")
        assert seasoned.versions() == ["0.1.0", "0.2.0"]
        assert fleet.device("new").versions() == ["0.1.0", "0.2.0"]

    @pytest.mark.parametrize("role", SIGNERS)
    def test_the_old_one_may_be_lost(self, fleet: Fleet, role: str) -> None:
        fleet.offer("0.1.0")
        (key,) = fleet.key_files(role)
        key.unlink()
        rotate_key(fleet.repository, fleet.ring(), fleet.now(), role)
        fleet.offer("0.2.0")

        assert fleet.device().versions() == ["0.1.0", "0.2.0"]

    def test_a_thief_of_the_old_online_keys_is_refused_from_then_on(self, fleet: Fleet) -> None:
        """He has the keys and the repository of that day, and publishes as often as he likes."""
        fleet.offer("0.1.0")
        thief = Fleet(Path(shutil.copytree(fleet.folder, fleet.folder / "thief")))
        for key in (*thief.key_files("root"), *thief.key_files("targets")):
            key.unlink()
        device = fleet.device()
        for role in ("snapshot", "timestamp"):
            rotate_key(fleet.repository, fleet.ring(), fleet.now(), role)
        assert device.versions() == ["0.1.0"]
        for _ in range(9):
            thief.publish()

        with pytest.raises(UpdateError, match="not signed by those whom this device trusts"):
            device.versions(thief.repository.folder)

    def test_it_takes_the_root_threshold(self, fleet: Fleet) -> None:
        fleet.offer("0.1.0")
        for key in fleet.key_files("root")[1:]:
            key.unlink()
        before = sorted(fleet.folder.rglob("*"))
        with pytest.raises(TrustError, match="takes 2 root keys, and 1 are at hand: the root key"):
            rotate_key(fleet.repository, fleet.ring(), fleet.now(), "targets")

        assert sorted(fleet.folder.rglob("*")) == before

    def test_a_wrong_passphrase_leaves_no_key_that_nobody_knows(self, fleet: Fleet) -> None:
        fleet.offer("0.1.0")
        before = sorted(fleet.folder.rglob("*"))
        ring = KeyRing([fleet.keys], lambda _: "wrong", passphrase)
        for exchange in (
            lambda: rotate_key(fleet.repository, ring, fleet.now(), "targets"),
            lambda: rotate_root(fleet.repository, ring, fleet.now(), keyids(fleet, "root")[0]),
        ):
            with pytest.raises(TrustError, match="its passphrase is wrong"):
                exchange()

        assert sorted(fleet.folder.rglob("*")) == before


class TestOnTwoMachines:
    """Root and targets keys on one without a network, online keys on the other.

    The repository travels whole from the online machine, and back without what is there already:
    no file but the timestamp ever changes, and that one is the online machine's.
    """

    @pytest.fixture
    def offline(self, fleet: Fleet) -> Fleet:
        fleet.offer("0.1.0")
        offline = Fleet(fleet.folder / "offline")
        for role in ("root", "targets"):
            for key in fleet.key_files(role):
                offline.keys.mkdir(parents=True, exist_ok=True)
                shutil.move(key, offline.keys)
        return offline

    @staticmethod
    def bring(online: Fleet, offline: Fleet) -> None:
        shutil.copytree(online.repository.folder, offline.repository.folder, dirs_exist_ok=True)

    @staticmethod
    def bring_back(offline: Fleet, online: Fleet) -> None:
        """As ``cp -rn`` and ``rsync --ignore-existing`` do."""
        for file in offline.repository.folder.rglob("*"):
            place = online.repository.folder / file.relative_to(offline.repository.folder)
            if file.is_file() and not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, place)

    def test_a_bundle_is_added_while_the_other_goes_on_publishing(
        self, fleet: Fleet, offline: Fleet
    ) -> None:
        device = fleet.device()
        self.bring(fleet, offline)
        offline.add("0.2.0")
        for _ in range(3):
            fleet.publish()
        assert device.versions() == ["0.1.0"]
        self.bring_back(offline, fleet)
        assert device.versions() == ["0.1.0"]
        fleet.publish()

        assert device.versions() == ["0.1.0", "0.2.0"]

    @pytest.mark.parametrize("role", SIGNERS)
    def test_a_key_is_exchanged_in_two_visits(
        self, fleet: Fleet, offline: Fleet, role: str
    ) -> None:
        seasoned = fleet.device("seasoned")
        assert seasoned.versions() == ["0.1.0"]
        self.bring(fleet, offline)
        begun = rotate_key(offline.repository, offline.ring(), offline.now(), role)
        if role != "targets":
            for key in offline.key_files(role):
                shutil.move(key, fleet.keys)
        self.bring_back(offline, fleet)
        assert seasoned.versions() == fleet.device("between").versions() == ["0.1.0"]
        fleet.publish()
        assert seasoned.versions() == ["0.1.0"]
        self.bring(fleet, offline)
        ended = rotate_key(offline.repository, offline.ring(), offline.now(), role)
        self.bring_back(offline, fleet)

        assert (begun.done, ended.done) == (False, True)
        assert keyids(fleet, role) == [begun.keyid] == [ended.keyid]
        fleet.publish()
        assert seasoned.versions() == fleet.device("new").versions() == ["0.1.0"]

    def test_not_published_yet_it_waits_and_makes_no_further_key(
        self, fleet: Fleet, offline: Fleet
    ) -> None:
        self.bring(fleet, offline)
        ring = offline.ring()
        waiting = [rotate_key(offline.repository, ring, offline.now(), "targets") for _ in range(3)]

        assert len(set(waiting)) == 1
        assert not waiting[0].done
        assert len(keyids(offline, "targets")) == 2

    def test_what_was_added_with_the_old_key_meanwhile_is_not_lost(
        self, fleet: Fleet, offline: Fleet
    ) -> None:
        self.bring(fleet, offline)
        begun = rotate_key(offline.repository, offline.ring(), offline.now(), "targets")
        self.bring_back(offline, fleet)
        fleet.publish()
        self.bring(fleet, offline)
        fresh = offline.keys / f"targets-{begun.keyid[:12]}.pem"
        fresh.rename(offline.folder / "in-a-drawer")
        offline.add("0.2.0")
        (offline.folder / "in-a-drawer").rename(fresh)
        assert rotate_key(offline.repository, offline.ring(), offline.now(), "targets").done
        self.bring_back(offline, fleet)
        fleet.publish()

        assert fleet.device().versions() == ["0.1.0", "0.2.0"]

    def test_a_new_key_that_was_lost_on_the_way_is_replaced_by_another(
        self, fleet: Fleet, offline: Fleet
    ) -> None:
        self.bring(fleet, offline)
        lost = rotate_key(offline.repository, offline.ring(), offline.now(), "timestamp").keyid
        for key in offline.key_files("timestamp"):
            key.unlink()
        self.bring_back(offline, fleet)
        with pytest.raises(TrustError, match=r"an exchange is under way: .* with --another"):
            rotate_key(
                fleet.repository, fleet.ring(fleet.keys, offline.keys), fleet.now(), "timestamp"
            )
        exchange = rotate_key(
            fleet.repository,
            fleet.ring(fleet.keys, offline.keys),
            fleet.now(),
            "timestamp",
            another=True,
        )

        assert exchange.done
        assert keyids(fleet, "timestamp") == [exchange.keyid] != [lost]
        assert fleet.device().versions() == ["0.1.0"]


class TestARootKey:
    def test_is_exchanged_with_signatures_of_the_old_and_the_new_root(self, fleet: Fleet) -> None:
        fleet.offer("0.1.0")
        seasoned = fleet.device("seasoned")
        assert seasoned.versions() == ["0.1.0"]
        first, *rest = keyids(fleet, "root")
        old = fleet.repository.root().signed
        fresh = rotate_root(fleet.repository, fleet.ring(), fleet.now(), first[:12])
        document = fleet.repository.root()

        assert keyids(fleet, "root") == [*rest, fresh]
        proof = document.signed.get_root_verification_result(
            old, document.signed_bytes, document.signatures
        )
        assert (proof.first.verified, proof.second.verified) == (True, True)
        assert fresh in document.signatures
        assert seasoned.versions() == fleet.device("new").versions() == ["0.1.0"]

    def test_the_one_that_goes_may_be_lost(self, fleet: Fleet) -> None:
        fleet.offer("0.1.0")
        lost = keyids(fleet, "root")[1]
        next(fleet.keys.glob(f"root-{lost[:12]}.pem")).unlink()
        rotate_root(fleet.repository, fleet.ring(), fleet.now(), lost)

        assert fleet.device().versions() == ["0.1.0"]

    def test_all_of_them_one_after_another_and_a_device_that_slept_through_it(
        self, fleet: Fleet
    ) -> None:
        fleet.offer("0.1.0")
        slept = fleet.device("slept")
        assert slept.versions() == ["0.1.0"]
        for keyid in keyids(fleet, "root"):
            rotate_root(fleet.repository, fleet.ring(), fleet.now(), keyid)
        fleet.offer("0.2.0")

        assert fleet.repository.root().signed.version == 4
        assert slept.versions() == ["0.1.0", "0.2.0"]

    def test_with_two_of_three_lost_there_is_no_way_on(self, fleet: Fleet) -> None:
        for key in fleet.key_files("root")[:2]:
            key.unlink()
        with pytest.raises(TrustError, match="takes 2 root keys, and 1 are at hand"):
            rotate_root(fleet.repository, fleet.ring(), fleet.now(), keyids(fleet, "root")[0])

    @pytest.mark.parametrize("replace", ["", "0", "zzzzzz", "0123456789ab"])
    def test_which_one_must_be_said(self, fleet: Fleet, replace: str) -> None:
        with pytest.raises(TrustError, match="names no single root key; say which to replace"):
            rotate_root(fleet.repository, fleet.ring(), fleet.now(), replace)


class TestRenewing:
    def test_an_expired_root_comes_back_with_its_keys(self, tmp_path: Path) -> None:
        fleet = Fleet.founded(tmp_path, lambda: utc_now() - timedelta(days=20), root=10)
        fleet.offer("0.1.0")
        device = fleet.device()
        with pytest.raises(ExpiredError, match="root"):
            device.versions()
        fleet.now = utc_now
        renew(fleet.repository, fleet.ring(), fleet.now(), "root")

        assert device.versions() == ["0.1.0"]

    def test_only_what_the_root_keys_said_is_how_long_it_is_good_for(self, tmp_path: Path) -> None:
        """Who holds the online keys publishes every day, and cannot make it last a year."""
        fleet = Fleet.founded(tmp_path, timestamp=7)
        outcome = fleet.publish()

        assert outcome.expires - fleet.now() <= timedelta(days=7)


class TestALostMaster:
    def test_a_repository_from_a_backup_is_taken_once_its_online_keys_are_exchanged(
        self, fleet: Fleet
    ) -> None:
        """Devices take its lower numbers for a rollback, rightly; new keys start anew."""
        fleet.offer("0.1.0")
        backup = fleet.copy("backup")
        fleet.offer("0.2.0")
        fleet.publish()
        device = fleet.device()
        assert device.versions() == ["0.1.0", "0.2.0"]
        restored = Fleet(fleet.folder, place=backup.name)
        restored.publish()
        with pytest.raises(UpdateError, match="older than what this device has seen"):
            device.versions(backup)
        for role in ("snapshot", "timestamp"):
            rotate_key(Repository(backup), key_ring(fleet.keys), fleet.now(), role)

        assert device.versions(backup) == ["0.1.0"]

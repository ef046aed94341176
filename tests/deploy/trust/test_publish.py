"""Devices see the old repository or the new one, whatever happens while it is published."""

from __future__ import annotations

import itertools
import json
import os
import resource
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.trust.errors import TrustError
from deploy.trust.inspect import standing
from deploy.trust.rotate import renew, rotate_key, rotate_root
from edge_daemon.contract.envelope import utc_now
from tests.deploy.trust.fleet import Fleet
from tests.deploy.trust.killed import killed_before
from tests.soak import repeated

Work = Callable[[Fleet], object]


def exchange_root_key(fleet: Fleet) -> object:
    first = fleet.repository.root().signed.roles["root"].keyids[0]
    return rotate_root(fleet.repository, fleet.ring(), fleet.now(), first)


def exchange(role: str) -> Work:
    return lambda fleet: rotate_key(fleet.repository, fleet.ring(), fleet.now(), role)


def renewal(role: str) -> Work:
    return lambda fleet: renew(fleet.repository, fleet.ring(), fleet.now(), role)


WORK: dict[str, Work] = {
    "add": lambda fleet: fleet.add("0.2.0"),
    "publish": lambda fleet: fleet.publish(),
    "add and publish": lambda fleet: fleet.offer("0.2.0"),
    "rotate root": exchange_root_key,
    "rotate targets": exchange("targets"),
    "rotate snapshot": exchange("snapshot"),
    "rotate timestamp": exchange("timestamp"),
    "renew root": renewal("root"),
    "renew targets": renewal("targets"),
}


class TestWhatDevicesSee:
    def test_nothing_before_it_is_published(self, fleet: Fleet) -> None:
        fleet.add("0.1.0")
        assert fleet.device().versions() == []
        fleet.publish()
        assert fleet.device().versions() == ["0.1.0"]

    def test_several_that_were_added_come_together(self, fleet: Fleet) -> None:
        fleet.offer("0.1.0", "0.2.0", "0.3.0")

        assert fleet.device().versions() == ["0.1.0", "0.2.0", "0.3.0"]

    def test_published_without_news_it_is_good_for_longer(self, fleet: Fleet) -> None:
        fleet.offer("0.1.0")
        before = {role.role: role for role in standing(fleet.repository).roles}
        fleet.now = lambda: utc_now() + timedelta(days=10)
        fleet.publish()
        after = {role.role: role for role in standing(fleet.repository).roles}

        assert after["timestamp"].expires > before["timestamp"].expires
        assert after["snapshot"] == before["snapshot"]  # half its life is left

    def test_a_snapshot_is_made_anew_when_half_its_life_is_over(self, fleet: Fleet) -> None:
        fleet.offer("0.1.0")
        fleet.now = lambda: utc_now() + timedelta(days=46)
        fleet.publish()
        roles = {role.role: role for role in standing(fleet.repository).roles}

        assert roles["snapshot"].version == 3
        assert roles["snapshot"].expires > utc_now() + timedelta(days=130)

    def test_no_file_but_the_timestamp_ever_changes(self, fleet: Fleet) -> None:
        fleet.offer("0.1.0")
        before = {
            path: path.read_bytes()
            for path in fleet.repository.folder.rglob("*")
            if path.is_file() and path.name != "timestamp.json"
        }
        for work in WORK.values():
            work(fleet)

        assert {path: path.read_bytes() for path in before} == before

    def test_a_device_that_looks_all_the_while_never_finds_it_half_done(self, fleet: Fleet) -> None:
        versions = [f"0.1.{number}" for number in range(8)]
        for version in versions:
            fleet.source(version)
        device = fleet.device()
        seen: list[list[str]] = []
        with ThreadPoolExecutor(1) as pool:
            publishing = pool.submit(lambda: [fleet.offer(version) for version in versions])
            while not publishing.done():
                seen.append(device.versions())
            publishing.result()
        seen.append(device.versions())

        assert all(now == versions[: len(now)] for now in seen)
        assert [len(now) for now in seen] == sorted(len(now) for now in seen)
        assert seen[-1] == versions

    def test_what_expires_soon_is_said(self, fleet: Fleet) -> None:
        fleet.offer("0.1.0")
        assert fleet.publish().warnings == ()
        fleet.now = lambda: utc_now() + timedelta(days=330)

        assert "the targets expires on" in fleet.publish().warnings[0]


class TestWhatIsNotPublished:
    @pytest.mark.parametrize(("role", "days"), [("root", 731), ("targets", 366)])
    def test_under_an_expired_role(self, fleet: Fleet, role: str, days: int) -> None:
        fleet.offer("0.1.0")
        fleet.now = lambda: utc_now() + timedelta(days=days)
        if role == "root":
            renewal("targets")(fleet)
        with pytest.raises(TrustError, match=f"the {role} of .* expired on .*; renew it"):
            fleet.publish()
        renewal(role)(fleet)
        fleet.publish()

        device = fleet.device()
        device.clock = fleet.now
        assert device.versions() == ["0.1.0"]

    @pytest.mark.parametrize("damage", ["missing", "shorter", "altered"])
    def test_a_bundle_that_is_not_whole(self, fleet: Fleet, damage: str) -> None:
        fleet.offer("0.1.0")
        fleet.add("0.2.0")
        (bundle,) = (fleet.repository.targets / "bundles").glob("*paper-0.2.0.tar")
        content = bundle.read_bytes()
        if damage == "missing":
            bundle.unlink()
        else:
            bundle.write_bytes(content[:-1] if damage == "shorter" else content[:-1] + b"!")
        with pytest.raises(TrustError, match="use a whole copy"):
            fleet.publish()

        assert fleet.device().versions() == ["0.1.0"]

    @pytest.mark.parametrize("name", ["1.root", "2.targets", "2.snapshot", "timestamp"])
    @pytest.mark.parametrize("damage", ["missing", "empty", "half", "altered"])
    def test_a_repository_that_is_half_copied(self, fleet: Fleet, name: str, damage: str) -> None:
        """On the central side too: one line, and no signature under it."""
        fleet.offer("0.1.0")
        half = Fleet(fleet.folder, place=fleet.copy("half").name)
        file = half.repository.metadata / f"{name}.json"
        content = file.read_bytes()
        if damage == "altered":
            document = json.loads(content)
            document["signed"]["expires"] = "2099-01-01T00:00:00Z"
            content = json.dumps(document).encode()
        file.unlink()
        if damage != "missing":
            cut = {"empty": 0, "half": len(content) // 2, "altered": len(content)}[damage]
            file.write_bytes(content[:cut])
        with pytest.raises(TrustError) as caught:
            half.publish()

        assert "use a whole copy" in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_by_two_at_once(self, fleet: Fleet) -> None:
        with fleet.repository.alone(), pytest.raises(TrustError, match="another leuko-deploy"):  # noqa: SIM117
            with fleet.repository.alone():
                pass


class TestFullDisks:
    @pytest.mark.parametrize("work", ["add and publish", "rotate targets", "renew targets"])
    def test_a_write_that_fails_changes_nothing_for_devices(self, fleet: Fleet, work: str) -> None:
        """The kernel lets no file get longer than so many bytes, then than some more."""
        fleet.offer("0.1.0")
        fleet.source("0.2.0")
        device = fleet.device()
        refusals: list[str] = []
        for most in range(0, 20_000, 230):
            try:
                with longest_file(most):
                    in_turn(fleet, work)
                break
            except TrustError as error:
                refusals.append(str(error))
            assert device.versions() == ["0.1.0"]
        assert len(refusals) >= 2
        assert all("cannot" in refusal for refusal in refusals)
        assert device.versions()[0] == "0.1.0"

    @pytest.mark.hardware
    def test_a_disk_that_is_full(self, tmp_path: Path, repository: Path) -> None:
        """A file system of 1 MB in memory, which takes the right to mount one for oneself."""
        (tmp_path / "small").mkdir()
        own = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
        mounted = 'mount -t tmpfs -o size=1m none "$0" && exec "$@"'
        try:
            subprocess.run([*own, mounted, tmp_path / "small", "true"], check=True, timeout=30)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("no right to mount a file system of one's own")
        program = [os.sys.executable, "-m", "tests.deploy.trust.full_disk", tmp_path / "small"]
        done = subprocess.run(
            [*own, mounted, tmp_path / "small", *program],
            cwd=repository,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

        assert done.returncode == 0, done.stderr
        assert "No space left on device; for devices nothing has changed" in done.stdout
        assert "devices see ['0.1.0']" in done.stdout


class TestKilled:
    @pytest.mark.parametrize("name", [name for name in WORK if name != "add and publish"])
    def test_before_every_single_step(self, tmp_path: Path, name: str) -> None:
        """Old or new for every device, and the same work goes through afterwards."""
        fleet = Fleet.founded(tmp_path / "before")
        fleet.source("0.2.0")
        fleet.offer("0.1.0")
        if name == "publish":
            fleet.add("0.2.0")
        old, new = ["0.1.0"], ["0.1.0", "0.2.0"]
        ends_with = new if name == "publish" else old
        seasoned = fleet.device("seasoned")
        assert seasoned.versions() == old
        for step in itertools.count():
            scene = Fleet(Path(shutil.copytree(fleet.folder, tmp_path / f"at-{step}")))
            was_killed = killed_before(step, scene.folder, lambda: in_turn(scene, name))  # noqa: B023
            for device in (scene.device("new"), scene.device("seasoned")):
                device.source = str(scene.repository.folder)
                assert device.versions() in (old, new)
            if was_killed:
                in_turn(scene, name)
            assert device.versions() == ends_with
            shutil.rmtree(scene.folder)
            if not was_killed:
                break
        assert step >= 3

    @settings(
        max_examples=repeated(8),
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(
        st.lists(
            st.tuples(st.sampled_from(sorted(WORK)), st.none() | st.integers(0, 12)), max_size=6
        )
    )
    def test_again_and_again_in_any_order(
        self, tmp_path_factory: pytest.TempPathFactory, days: list[tuple[str, int | None]]
    ) -> None:
        """One device that always looks, one that looks for the first time."""
        fleet = Fleet.founded(tmp_path_factory.mktemp("fleet"))
        fleet.source("0.2.0")
        fleet.offer("0.1.0")
        always = fleet.device("always")
        seen = always.versions()
        for number, (name, step) in enumerate(days):
            if step is None:
                in_turn(fleet, name)
            else:
                killed_before(step, fleet.folder, lambda: in_turn(fleet, name))  # noqa: B023
            now = always.versions()
            assert set(seen) <= set(now)
            assert fleet.device(f"new-{number}").versions() == now
            seen = now
        fleet.offer("0.2.0")
        assert always.versions() == ["0.1.0", "0.2.0"]


def in_turn(fleet: Fleet, name: str) -> object:
    with fleet.repository.alone():
        return WORK[name](fleet)


class longest_file:  # noqa: N801 - reads as what it is
    """No file gets longer than so many bytes, for this process and as long as it holds."""

    def __init__(self, most: int) -> None:
        self._most = most

    def __enter__(self) -> None:
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._most, self._before[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)

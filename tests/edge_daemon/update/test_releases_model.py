"""Versions, slides, power cuts and updaters that are killed, in any order: never in between.

Links are real and on a disk. Environments are empty folders, and the daemon is a stand-in that
starts what `current` points to: what pip and a real process add is in test_releases.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge_daemon.contract.messages import Desired, DesiredBundle
from edge_daemon.contract.target import Machine, TargetAbout
from edge_daemon.errors import ServiceError
from edge_daemon.update import release_journal, releases
from edge_daemon.update.daemon import DaemonState
from edge_daemon.update.environment import CURRENT, PREVIOUS, UnfitError, Versions
from edge_daemon.update.offers import Offer
from edge_daemon.update.probing import Patience
from edge_daemon.update.releases import Releases
from tests.edge_daemon.contract.samples import MOMENT
from tests.soak import repeated

FIRST = "0.1.0"
GOOD = ("0.2.0", "0.5.0", "0.8.0")
UNFIT, SILENT, FALSE, DYING = "0.3.0", "0.4.0", "0.6.0", "0.7.0"
BAD = (UNFIT, SILENT, FALSE, DYING)
BUNDLE = "sha256:" + "0" * 64


class KilledError(BaseException):
    """``kill -9``: nothing of the updater runs on, and no handler of its own sees it."""


class Fuse:
    """Lets so many changes of the disk or of the daemon happen, and kills before the next."""

    def __init__(self) -> None:
        self.left: int | None = None

    def burn(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise KilledError


class FuseVersions(Versions):
    """Real links; an environment is a folder."""

    def __init__(self, root: Path, fuse: Fuse) -> None:
        super().__init__(root)
        self.fuse = fuse

    def point(self, link: str, version: str | None) -> None:
        self.fuse.burn()
        super().point(link, version)

    def build(self, version: str, digest: str, wheels: Path, config: Path) -> None:
        assert version != self.pointed(CURRENT)
        self.fuse.burn()
        self.place(version).mkdir(parents=True, exist_ok=True)
        if version == UNFIT:
            raise UnfitError("its packages: none")
        self.fuse.burn()
        (self.place(version) / ".whole").write_text(digest)

    def prune(self, keep: Collection[str | None] = ()) -> list[str]:
        self.fuse.burn()
        return super().prune(keep)


class StandInDaemon:
    """Runs what `current` pointed to when it was last started."""

    def __init__(self, versions: Versions, fuse: Fuse, state_folder: Path) -> None:
        self.versions, self.fuse, self.state_folder = versions, fuse, state_folder
        self.slide: str | None = None
        self.boots = 0
        self.alive = True
        self.start()

    def start(self) -> None:
        self.boots += 1
        self.version = self.versions.pointed(CURRENT)

    def restart(self) -> None:
        step = release_journal.ReleaseJournalFile(self.state_folder).read().step
        assert self.slide is None or step == "undoing", "restarted inside a slide"
        self.fuse.burn()
        self.start()
        self.fuse.burn()

    def state(self) -> DaemonState:
        if not self.alive or self.version == SILENT:
            raise ServiceError("nobody answers")
        if self.version == DYING:
            self.boots += 1
        said = "9.9.9" if self.version == FALSE else self.version
        return DaemonState(f"{self.boots:032x}", "tiny", "1", BUNDLE, None, self.slide, said)


class StandInRepository:
    """Has every version, whole."""

    source = "here"

    def refresh(self) -> tuple[Offer, ...]:
        return tuple(
            Offer(
                f"daemon/leukoedge-{version}-py3-any.tar",
                TargetAbout(kind="daemon", name="leukoedge", version=version),
                SimpleNamespace(hashes={"sha256": version.replace(".", "").ljust(64, "a")}),  # type: ignore[arg-type]
            )
            for version in (FIRST, *GOOD, *BAD)
        )

    def fetch(self, offer: Offer) -> Path:
        raise AssertionError("nothing is unpacked in the model")


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def sleep(self, duration_s: float) -> None:
        self.now_s += duration_s


class Life(RuleBasedStateMachine):
    """One device, from its first version on."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="leukoedge-versions-"))
        self.fuse, self.clock = Fuse(), Clock()
        self.versions = FuseVersions(self.folder / "installed", self.fuse)
        self.versions.place(FIRST).mkdir(parents=True)
        self.versions.point(CURRENT, FIRST)
        self.daemon = StandInDaemon(self.versions, self.fuse, self.folder / "state")
        self.orders, self.ordered = 0, ""
        self.is_over, self.has_gone_back = True, False

    @rule(version=st.sampled_from((FIRST, *GOOD, *BAD)))
    def order(self, version: str) -> None:
        self.orders += 1
        self.ordered, self.has_gone_back = version, False
        order = Desired(
            site="lab",
            device="scope-1",
            ts=MOMENT + timedelta(seconds=self.orders),
            id=f"{self.orders:032x}",
            daemon=DesiredBundle(name="leukoedge", version=version),
        )
        (self.folder / "order.json").write_bytes(order.to_json())

    @rule()
    def a_slide_begins(self) -> None:
        if self.daemon.alive and self.daemon.version in (FIRST, *GOOD):
            self.daemon.slide = "S-1"

    @rule()
    def the_slide_ends(self) -> None:
        self.daemon.slide = None

    @rule()
    def the_power_goes(self) -> None:
        self.daemon.start()

    @rule()
    def a_person_goes_back(self) -> None:
        """As docs/fleet/recover.md has it; never in the middle of a trial."""
        current, previous = (self.versions.pointed(link) for link in (CURRENT, PREVIOUS))
        if self.is_over and current is not None and previous is not None:
            self.versions.point(CURRENT, previous)
            self.versions.point(PREVIOUS, current)
            self.daemon.start()
            self.has_gone_back = True

    @rule(alive=st.booleans())
    def the_daemon_goes_or_comes(self, alive: bool) -> None:
        self.daemon.alive = alive

    @rule()
    def look(self) -> None:
        journal = self.releases().look()
        self.is_over = journal.step not in release_journal.ON_TRIAL

    @rule(changes=st.integers(0, 24))
    def look_and_be_killed(self, changes: int) -> None:
        self.fuse.left = changes
        try:
            self.look()
        except KilledError:
            self.is_over = self.releases().journal.step not in release_journal.ON_TRIAL
        finally:
            self.fuse.left = None

    @invariant()
    def there_is_always_a_version_that_is_whole(self) -> None:
        if hasattr(self, "versions"):
            current = self.versions.current()
            assert current == FIRST or (self.versions.place(current) / ".whole").exists()

    @invariant()
    def what_is_current_is_good_unless_it_is_on_trial(self) -> None:
        if hasattr(self, "versions") and self.is_over:
            assert self.versions.current() in (FIRST, *GOOD)

    def teardown(self) -> None:
        """Left alone, it comes to the end of the last order, whatever happened before."""
        if not hasattr(self, "versions"):
            return
        self.daemon.slide, self.daemon.alive = None, True
        for _ in range(3):
            before = self.versions.current()
            journal = self.releases().look()
        assert journal.waits_for is None, journal.line
        assert self.versions.current() in (FIRST, *GOOD)
        assert self.daemon.version == self.versions.current()
        if self.ordered in BAD and self.ordered > before:
            assert journal.step == "failed", journal.line
        if self.ordered in GOOD and journal.step == "committed" and not self.has_gone_back:
            assert self.versions.current() == self.ordered
        shutil.rmtree(self.folder)

    def releases(self) -> Releases:
        """A process of its own: it knows what is on the disk, and nothing else."""
        found = _Unpacked(
            self.folder / "state",
            (self.folder / "order.json",),
            StandInRepository(),
            self.versions,
            self.daemon,
            self.daemon.restart,
            site="lab",
            device="scope-1",
            config=self.folder / "device.toml",
            machine=lambda: Machine("1.0.0"),
            patience=Patience(
                5.0, 30.0, 2.0, clock=lambda: self.clock.now_s, sleep=self.clock.sleep
            ),
        )
        found._file = _Burning(found._file, self.fuse)  # type: ignore[assignment]
        return found


class _Unpacked(Releases):
    """Fetching and unpacking are TUF's and archive's, and are tested there."""

    def _bring(self, offer: Offer) -> None:
        place = self._unpacked / releases._digest(offer).partition(":")[2] / offer.label
        place.mkdir(parents=True, exist_ok=True)
        super()._bring(offer)


class _Burning:
    """A journal whose writer may be killed before and after each writing."""

    def __init__(self, file: Any, fuse: Fuse) -> None:
        self.file, self._real, self._fuse = file.file, file, fuse

    def put(self, journal: Any, **changes: Any) -> Any:
        self._fuse.burn()
        written = self._real.put(journal, **changes)
        self._fuse.burn()
        return written


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=repeated(60), stateful_step_count=15, deadline=None)

"""Orders, slides, daemons that die and updaters that are killed, in any order: never in between."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge_daemon.update import journaled
from edge_daemon.update.trust import provision
from edge_daemon.update.updater import MOST_DEATHS, Updater
from tests.edge_daemon.update.stand_in import (
    BAD,
    DEADLY,
    FIRST,
    GOOD,
    KilledError,
    StandInDaemon,
    fleet,
    updater_of,
    write_order,
)
from tests.soak import repeated


class Updates(RuleBasedStateMachine):
    """One device, from its first bundle on."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="leukoedge-update-"))
        self.state = self.folder / "update"
        provision(self.state, fleet().first_root.read_bytes())
        self.daemon = StandInDaemon()
        self.orders = 0
        self.ordered: str | None = None
        self.times_ordered: Counter[str] = Counter()

    @rule(version=st.sampled_from((*GOOD, *BAD, DEADLY)))
    def order(self, version: str) -> None:
        self.orders += 1
        self.ordered = version
        self.times_ordered[version] += 1
        write_order(self.folder, version, self.orders)

    @rule()
    def a_slide_begins(self) -> None:
        self.daemon.slide = "S-1"

    @rule()
    def the_slide_ends(self) -> None:
        self.daemon.slide = None

    @rule(alive=st.booleans())
    def the_daemon_goes_or_comes(self, alive: bool) -> None:
        self.daemon.boots += alive and not self.daemon.alive
        self.daemon.alive = alive

    @rule()
    def look(self) -> None:
        self.updater().look()

    @rule(writes=st.integers(0, 9), before=st.booleans())
    def look_and_be_killed_at_a_write(self, writes: int, before: bool) -> None:
        left, real = [writes], journaled.write_whole

        def write(path: Path, content: bytes) -> None:
            left[0] -= 1
            if left[0] < 0 and before:
                raise KilledError
            real(path, content)
            if left[0] < 0:
                raise KilledError

        journaled.write_whole = write
        try:
            self.updater().look()
        except KilledError:
            pass
        finally:
            journaled.write_whole = real

    @rule(questions=st.integers(0, 4))
    def look_and_be_killed_before_an_answer(self, questions: int) -> None:
        self.daemon.killed_after = questions
        try:
            self.updater().look()
        except KilledError:
            pass
        finally:
            self.daemon.killed_after = None

    @invariant()
    def what_runs_is_good(self) -> None:
        if hasattr(self, "daemon"):
            assert self.daemon.active in (FIRST, *GOOD)

    @invariant()
    def no_deadly_bundle_is_tried_for_ever(self) -> None:
        if hasattr(self, "daemon"):
            assert self.daemon.tried.count(DEADLY) <= MOST_DEATHS * max(self.orders, 1)

    @invariant()
    def nothing_is_tried_twice_for_one_order(self) -> None:
        if hasattr(self, "daemon"):
            for version in (*GOOD, *BAD):
                assert self.daemon.tried.count(version) <= self.times_ordered[version]

    def teardown(self) -> None:
        """Left alone, it comes to the end of the last order, whatever happened before."""
        if not hasattr(self, "daemon"):
            return
        self.daemon.slide = None
        self.the_daemon_goes_or_comes(alive=True)
        before = self.daemon.active
        for _ in range(MOST_DEATHS + 3):
            journal = self.updater().look()
        if self.ordered is not None:
            assert journal.waits_for is None, journal.line
            newer = self.ordered > before
            if self.ordered in GOOD and newer:
                assert self.daemon.active == self.ordered
            else:
                assert self.daemon.active == before
            self.nothing_is_tried_twice_for_one_order()
            self.no_deadly_bundle_is_tried_for_ever()
            if newer and self.ordered not in GOOD:
                assert journal.step == "failed", journal.line
                assert journal.refused is not None
        shutil.rmtree(self.folder)

    def updater(self) -> Updater:
        return updater_of(self.folder, self.daemon)


TestUpdates = Updates.TestCase
TestUpdates.settings = settings(max_examples=repeated(12), stateful_step_count=12, deadline=None)

"""Whatever is done to the outbox, in any order, it holds exactly what it owes: a model beside it.

A crash is taken as the operating system leaves it after ``kill -9``: a copy of the files while the
outbox is open, opened afresh.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Worth
from tests.edge_daemon.delivery.parcels import origin, put_plain, receipt

pytestmark = pytest.mark.soak


class OutboxMachine(RuleBasedStateMachine):
    """Puts, sends, acknowledges, refuses, receipts and crashes, against dictionaries."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="outbox-model-"))
        self.generation = 0
        self.sender = origin()
        self.outbox = Outbox(self._path())
        self.worth: dict[int, Worth] = {}  # seq -> worth, of everything owed
        self.state: dict[int, str] = {}
        self.receipt = 0
        self.next_seq = 1

    def teardown(self) -> None:
        self.outbox.close()
        shutil.rmtree(self.folder)

    def _path(self) -> Path:
        return self.folder / f"outbox-{self.generation}.db"

    def _waiting(self) -> list[int]:
        owed = [seq for seq, state in self.state.items() if state == "waiting"]
        return sorted(owed, key=lambda seq: (self.worth[seq] is Worth.PREVIEW, seq))

    def _forget(self, seqs: list[int]) -> None:
        for seq in seqs:
            del self.state[seq], self.worth[seq]

    def _ids_in_flight(self, count: int) -> dict[int, int]:
        return dict(list(self.in_flight.items())[:count])

    @property
    def in_flight(self) -> dict[int, int]:
        return {seq: self.ids[seq] for seq, state in self.state.items() if state == "in flight"}

    ids: dict[int, int] = {}  # noqa: RUF012 - replaced at each send

    @rule(worths=st.lists(st.sampled_from(Worth), min_size=1, max_size=5))
    def put(self, worths: list[Worth]) -> None:
        with self.outbox.transaction() as batch:
            for worth in worths:
                parcel = put_plain(batch, self.sender, worth)
                assert parcel.seq == self.next_seq
                self.next_seq += 1
                self.worth[parcel.seq] = worth
                self.state[parcel.seq] = "waiting"

    @rule(worth=st.sampled_from(Worth))
    def put_and_fail(self, worth: Worth) -> None:
        try:
            with self.outbox.transaction() as batch:
                put_plain(batch, self.sender, worth)
                raise KeyError
        except KeyError:
            pass

    @rule(count=st.integers(1, 6))
    def send(self, count: int) -> None:
        for entry in self.outbox.pending(count):
            self.outbox.mark_in_flight(entry.id)
            self.ids = {**self.ids, entry.parcel.seq: entry.id}
            self.state[entry.parcel.seq] = "in flight"

    @precondition(lambda self: self.in_flight)
    @rule(count=st.integers(1, 6), await_receipt=st.booleans())
    def acknowledge(self, count: int, await_receipt: bool) -> None:
        chosen = self._ids_in_flight(count)
        self.outbox.acknowledge(chosen.values(), await_receipt=await_receipt)
        self.state.update(dict.fromkeys(chosen, "sent"))
        if await_receipt:
            self._forget([s for s in self.state if self.state[s] == "sent" and s <= self.receipt])
        else:
            self._forget(list(chosen))

    @precondition(lambda self: self.in_flight)
    @rule()
    def refuse(self) -> None:
        for seq, entry_id in self._ids_in_flight(1).items():
            self.outbox.refuse([entry_id])
            self.state[seq] = "refused"

    @rule(behind=st.integers(0, 8))
    def accept_receipt(self, behind: int) -> None:
        up_to_seq = max(0, self.next_seq - behind)
        self.outbox.accept_receipt(receipt(self.sender.boot_id, up_to_seq))
        self.receipt = max(self.receipt, up_to_seq)
        self._forget([s for s in self.state if self.state[s] == "sent" and s <= up_to_seq])

    @rule(state=st.sampled_from(["in flight", "sent", "refused"]))
    def try_again(self, state: str) -> None:
        again = {
            "in flight": self.outbox.release_in_flight,
            "sent": self.outbox.retry_sent,
            "refused": self.outbox.retry_refused,
        }[state]
        again()
        self.state = {s: "waiting" if was == state else was for s, was in self.state.items()}

    @rule()
    def crash(self) -> None:
        left = self._path()
        self.generation += 1
        for suffix in ("", "-wal"):
            source = left.with_name(left.name + suffix)
            if source.exists():
                shutil.copy(source, self._path().with_name(self._path().name + suffix))
        self.outbox.close()
        self.outbox = Outbox(self._path())
        self.state = dict.fromkeys(self.state, "waiting")
        self.receipt = 0

    @invariant()
    def it_sends_exactly_what_it_owes_in_order(self) -> None:
        assert [entry.parcel.seq for entry in self.outbox.pending(10_000)] == self._waiting()

    @invariant()
    def it_counts_what_it_holds(self) -> None:
        depth = self.outbox.depth()
        assert depth.messages == len(self.state)
        assert (depth.size_bytes == 0) == (not self.state)
        assert depth.evicted == 0


TestOutboxAgainstItsModel = OutboxMachine.TestCase
TestOutboxAgainstItsModel.settings = settings(
    max_examples=15, stateful_step_count=30, deadline=None
)

"""What is expected of a control lies in one file, and is what somebody accepted or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.contract.findings import Clock
from edge_daemon.contract.messages import parse_message
from edge_daemon.control.accept import accept_run
from edge_daemon.control.expectation import (
    expectation_file,
    expectation_of,
    read_expectation,
    write_expectation,
)
from edge_daemon.control.history import ControlHistory
from edge_daemon.control.validity import Moment, present
from edge_daemon.control_settings import ControlSettings
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin
from edge_daemon.errors import ControlError
from tests.edge_daemon.control.controls import STORED, TOLERANCES, expected, figures, run

ORIGIN = Origin("lab", "m1", "ab" * 16, STORED.bundle)


@pytest.fixture
def file(tmp_path):
    return expectation_file(tmp_path / "control", "stored")


def now() -> Moment:
    return present(lambda: Clock(synchronised=True))


def test_what_was_written_is_what_is_read(file):
    written = expected()
    write_expectation(file, written)
    assert read_expectation(file) == written


def test_where_nothing_was_accepted_nothing_is_expected(file):
    assert read_expectation(file) is None


def test_altered_by_hand_it_is_refused(file):
    write_expectation(file, expected())
    text = file.read_text()
    assert '"blasts": 100' in text
    file.write_text(text.replace('"blasts": 100', '"blasts": 101'))
    with pytest.raises(ControlError, match="does not have the digest that it names: altered"):
        read_expectation(file)


@given(cut=st.integers(0, 10_000))
def test_cut_off_anywhere_it_is_refused_in_one_line(tmp_path_factory, cut):
    file = tmp_path_factory.getbasetemp() / "cut" / "stored.json"
    write_expectation(file, expected())
    whole = file.read_bytes().rstrip()
    file.write_bytes(whole[: cut % len(whole)])
    with pytest.raises(ControlError) as told:
        read_expectation(file)
    assert str(file) in str(told.value)
    assert "\n" not in str(told.value)


def test_it_cannot_be_made_of_nothing_or_of_few_cells():
    with pytest.raises(ControlError, match="was not run to its end"):
        expectation_of(run().model_copy(update={"found": None}), TOLERANCES)
    with pytest.raises(ControlError, match="counted 60 nucleated cells, 100 are needed"):
        expectation_of(run(found=figures(20, 60)), TOLERANCES)


class TestHistory:
    @pytest.fixture
    def outbox(self, tmp_path):
        with Outbox(tmp_path / "outbox.db") as opened:
            yield opened

    def add(self, history, kind="stored", **changes):
        return history.add(
            ORIGIN,
            now(),
            kind,
            lambda envelope, number: run(kind).model_copy(
                update={**envelope, "run": number, **changes}
            ),
        )

    def test_a_run_and_its_message_are_one_commit(self, outbox):
        history = ControlHistory(outbox)
        first, second = self.add(history), self.add(history, "slide")
        assert (first.run, second.run) == (1, 2)
        (one, two) = outbox.pending(9)
        assert [parse_message(entry.parcel.payload) for entry in (one, two)] == [first, second]
        assert one.parcel.topic == "leukoedge/v1/lab/m1/control/stored"
        assert one.parcel.retain
        assert two.parcel.retain
        assert history.newest("stored").run == first
        assert [kept.run.run for kept in history.runs(5)] == [2, 1]

    def test_what_cannot_be_written_leaves_no_run(self, outbox):
        history = ControlHistory(outbox)

        def broken(envelope, number):
            raise RuntimeError("in between")

        with pytest.raises(RuntimeError):
            history.add(ORIGIN, now(), "stored", broken)
        assert history.runs(5) == []
        assert outbox.depth().messages == 0

    def test_a_run_of_another_version_counts_for_nothing(self, outbox):
        history = ControlHistory(outbox)
        self.add(history)
        with outbox.transaction() as batch:
            batch.execute("UPDATE control_runs SET message = '{}'")
        assert history.newest("stored") is None
        assert history.run(1) is None

    def test_the_last_run_or_the_one_that_is_named_is_accepted(self, outbox, tmp_path):
        history = ControlHistory(outbox)
        settings = ControlSettings(source="x", expected=tmp_path / "control")
        with pytest.raises(ControlError, match="no control was kept on this device"):
            accept_run(history, settings)
        self.add(history)
        self.add(history, found=figures(10, 200))
        assert accept_run(history, settings).figures.blasts == 10
        assert accept_run(history, settings, 1).run == 1
        assert read_expectation(expectation_file(settings.expected, "stored")).run == 1
        with pytest.raises(ControlError, match="no control run 7"):
            accept_run(history, settings, 7)

"""Which message tells what of a device, and which is the newer one."""

from __future__ import annotations

from datetime import timedelta

from deploy.registry.heard import taken
from deploy.registry.record import Reported
from edge_daemon.contract.messages import Message
from tests.deploy.registry.fleet import NEW, NOW, OLD, A, B, control, health, status, summary

NEVER = Reported()
LATER = NOW + timedelta(minutes=1)


def after(*messages: Message, known: Reported = NEVER, **how: bool) -> Reported:
    how = {"retained": False, "historical": False} | how
    for message in messages:
        known = taken(known, message, LATER, **how)
    return known


def test_a_status_tells_state_version_and_bundle() -> None:
    known = after(status(state="degraded"))
    assert (known.state, known.version, known.bundle) == ("degraded", "1.0.0", OLD)
    assert (known.seen_at, known.said_at) == (LATER, NOW)


def test_what_the_broker_had_kept_is_no_sign_of_life() -> None:
    assert after(status(), retained=True).seen_at is None
    assert after(summary(), retained=True) == NEVER
    assert after(health(), retained=True) == NEVER


def test_a_will_is_no_sign_of_life_and_takes_nothing_back() -> None:
    known = after(status(), health(seq=5, bundle=NEW), status(state="offline", bundle=None))
    assert (known.state, known.bundle, known.said_at) == ("offline", NEW, NOW)
    assert after(status(state="offline")).seen_at is None


def test_the_will_of_an_earlier_start_that_comes_late_changes_nothing() -> None:
    known = after(status(boot_id=A), status(boot_id=B), status(boot_id=A, state="offline"))
    assert known.state == "online"
    assert known.doubled_at is None


def test_health_tells_of_clock_outbox_and_control() -> None:
    known = after(health(ts=LATER - timedelta(seconds=90), control="no control today", seq=3))
    assert (known.skew_s, known.clock_synchronised, known.waiting) == (-90.0, True, 3)
    assert (known.control_due, known.throttled, known.hottest_c) == (True, True, 51.5)


def test_of_one_start_the_higher_number_is_the_newer() -> None:
    known = after(health(seq=9, bundle=NEW), health(seq=8, bundle=OLD))
    assert known.bundle == NEW
    assert after(status(seq=2, bundle=OLD), known=known).bundle == NEW


def test_a_new_start_begins_to_count_again() -> None:
    known = after(health(seq=900, bundle=OLD), status(boot_id=B, seq=1, bundle=NEW))
    assert (known.bundle, known.boots) == (NEW, (B, A))


def test_a_start_that_is_over_and_speaks_again_is_a_second_daemon_of_that_name() -> None:
    known = after(health(boot_id=A), health(boot_id=B))
    assert known.doubled_at is None
    assert after(health(boot_id=A, seq=2), known=known).doubled_at == LATER


def test_what_the_broker_kept_of_an_earlier_start_is_no_second_daemon() -> None:
    known = after(health(boot_id=A), health(boot_id=B))
    assert after(status(boot_id=A), known=known, retained=True).doubled_at is None


def test_what_waited_for_a_connection_is_a_sign_of_life_and_tells_of_then() -> None:
    known = after(status(bundle=NEW))
    later = after(summary(bundle=OLD), known=known, historical=True)
    assert (later.seen_at, later.bundle, later.screened_at) == (LATER, NEW, None)


def test_of_two_control_runs_the_higher_one_counts_whenever_it_comes() -> None:
    known = after(control(run=4, verdict="failed"), control(run=3, verdict="passed"))
    assert (known.control, known.control_run) == ("failed", 4)
    assert after(control(run=4, verdict="failed"), retained=True).control == "failed"


def test_nothing_of_a_slide_and_no_sentence_is_kept() -> None:
    said = [
        status(state="degraded", reason="secret.png is broken"),
        health(control="secret", throttled=("secret",), drops={"secret": 1}),
        control(source="secret", slide="secret", reasons=("secret",)),
        summary(slide="secret", operator="secret", reasons=("secret",)),
    ]
    assert "secret" not in after(*said).model_dump_json()


def test_a_version_cannot_move_the_cursor_of_a_terminal() -> None:
    assert after(status(version="1.0\x1b[2J\n" + "9" * 99)).version == "1.0[2J" + "9" * 58

"""Each gate: from what a device was and is to ok, wait or stop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deploy.registry.record import Reported
from deploy.rollout import gates
from deploy.rollout.gates import GATES, After, judged
from deploy.rollout.record import Before, Looked, Seen
from deploy.rollout.settings import Gates
from deploy.rollout.targets import Target
from edge_daemon.contract.update import ReleaseStanding, UpdateStanding
from tests.edge_daemon.contract.samples import MOMENT

ID, OLD, NEW = "a" * 32, "sha256:" + "1" * 64, "sha256:" + "2" * 64
BEFORE = Before(state="online", bundle=OLD, fps=20.0, hottest_c=60.0, control_run=3)
TARGET = Target(name="paper", version="0.2.0", digest=NEW)
LIMITS = Gates(ready_within_s=60.0, min_frames=100, min_cells=50, hottest_c=90.0)


def standing(step: Any = "active", **changes: Any) -> UpdateStanding:
    values = {
        "order": ID,
        "step": step,
        "desired": "paper-0.2.0",
        "role": "active",
        "runs": "paper-0.2.0",
        "waits_for": None,
        "refused": None,
        "orders_refused": (),
        "looked_at": MOMENT,
    }
    return UpdateStanding(**(values | changes))


def after(reported: dict[str, Any] | None = None, **changes: Any) -> After:
    """A device that is well with the new bundle, but for what is named."""
    is_ = {"state": "online", "bundle": NEW, "hottest_c": 65.0, "control_run": 3}
    seen = {
        "update": standing(),
        "frames": 1000,
        "errors": 1,
        "best_fps": 19.0,
    }
    seen |= {key: changes.pop(key) for key in list(changes) if key in (*seen, "looked")}
    told = Seen(reported=Reported(**(is_ | (reported or {}))), **seen)
    return After(told, ID, TARGET, **({"role": "active", "since_order_s": 10.0} | changes))


def looked(cells: int, differ: int, *, fault: str | None = None, candidate: str = NEW) -> Any:
    return {"S-1": Looked(candidate, cells, differ, fault, MOMENT)}


def test_a_device_that_is_well_is_well() -> None:
    assert judged(BEFORE, after(), LIMITS)[1].says == "ok"


OLD_ONE = {"bundle": OLD}


@pytest.mark.parametrize(
    ("gate", "now", "says", "told"),
    [
        ("ready", after(), "ok", "online with paper-0.2.0"),
        ("ready", after(OLD_ONE), "wait", "has not taken paper-0.2.0 yet"),
        ("ready", after(OLD_ONE, since_order_s=99.0), "wait", "has not taken paper-0.2.0 in 99 s"),
        ("ready", after(OLD_ONE, had_it=True), "stop", "uses another bundle again"),
        ("ready", after({"state": "offline"}, away_s=10.0), "wait", "offline since"),
        ("ready", after({"state": "offline"}, away_s=61.0), "stop", "offline for 61 s"),
        ("ready", after({"state": "degraded"}, away_s=61.0), "stop", "degraded for 61 s"),
        ("ready", after(OLD_ONE, role="candidate"), "ok", "looks on"),
        (
            "ready",
            after(OLD_ONE, role="candidate", update=standing("staged")),
            "wait",
            "does not look on yet",
        ),
        (
            "ready",
            after(OLD_ONE, role="candidate", update=standing("candidate", order="b" * 32)),
            "wait",
            "does not look on yet",
        ),
        ("trial", after(update=None), "ok", "not tried yet"),
        ("trial", after(update=standing("failed", refused="bad golden")), "stop", "bad golden"),
        ("trial", after(update=standing("failed", order="b" * 32)), "ok", "not tried yet"),
        ("trial", after(update=standing("followed", refused="no fit")), "wait", "no fit"),
        ("trial", after(update=standing("failed", refused="a\x1b[2Jb")), "stop", "a[2Jb"),
        ("shadow", after(looked=looked(100, 50)), "ok", "does not look on"),
        ("shadow", after(role="candidate"), "wait", "0 of 50 cells"),
        ("shadow", after(role="candidate", looked=looked(49, 49)), "wait", "49 of 50 cells"),
        ("shadow", after(role="candidate", looked=looked(100, 5)), "ok", "5 of 100 cells"),
        ("shadow", after(role="candidate", looked=looked(100, 6)), "stop", "allowed are 5.0%"),
        ("shadow", after(role="candidate", looked=looked(9, 0, fault="x")), "stop", "put aside"),
        (
            "shadow",
            after(role="candidate", looked=looked(99, 99, candidate=OLD)),
            "wait",
            "0 of 50",
        ),
        ("errors", after(frames=99, errors=99), "wait", "99 of 100 frames"),
        ("errors", after(frames=100, errors=2), "ok", "2 of 100"),
        ("errors", after(frames=100, errors=3), "stop", "allowed are 2.0%"),
        ("errors", after(OLD_ONE, frames=100, errors=100), "ok", "does not use it yet"),
        ("throughput", after(best_fps=15.9), "stop", "15.9 frames/s, 20.0 before"),
        ("throughput", after(best_fps=16.0), "ok", "16.0 frames/s"),
        ("throughput", after(best_fps=1.0, frames=99), "wait", "99 of 100"),
        ("throughput", after(best_fps=None), "ok", "to compare"),
        ("temperature", after({"hottest_c": 91.0}), "stop", "91 degrees, allowed are 90"),
        ("temperature", after({"hottest_c": 90.0}), "ok", "90 degrees"),
        ("temperature", after({"hottest_c": None}), "ok", "no temperature"),
        ("temperature", after({"hottest_c": 99.0, **OLD_ONE}), "ok", "no temperature"),
        ("control", after({"control_run": 4, "control": "failed"}), "stop", "control failed"),
        ("control", after({"control_run": 4, "control": "passed"}), "ok", "control passed"),
        ("control", after({"control_run": 3, "control": "failed"}), "ok", "no control was run"),
    ],
)
def test_gates(gate: Any, now: After, says: str, told: str) -> None:
    verdict = GATES[gate](BEFORE, now, LIMITS)
    assert verdict.says == says, verdict
    assert told in verdict.why


DAEMON = Target(kind="daemon", name="leukoedge", version="0.8.0")


def release(step: Any = "committed", order: str = ID, **changes: Any) -> UpdateStanding:
    """How updates stand on a device that was ordered a daemon."""
    values = {"desired": None, "runs": "0.8.0", "waits_for": None, "refused": None}
    return standing(daemon=ReleaseStanding(order=order, step=step, **(values | changes)))


def with_daemon(version: str | None = "0.8.0", **changes: Any) -> After:
    """A device that is well with the new daemon, but for what is named."""
    reported = {"bundle": OLD, "version": version} | changes.pop("reported", {})
    found = after(reported, **({"update": release()} | changes))
    return replace(found, target=DAEMON)


@pytest.mark.parametrize(
    ("gate", "now", "says", "told"),
    [
        ("ready", with_daemon(), "ok", "online with daemon 0.8.0"),
        ("ready", with_daemon("0.8"), "ok", "online with"),
        ("ready", with_daemon("0.7.0"), "wait", "has not taken daemon 0.8.0 yet"),
        ("ready", with_daemon(None), "wait", "has not taken daemon 0.8.0 yet"),
        ("ready", with_daemon(update=release("restarted")), "wait", "which is on trial"),
        ("ready", with_daemon(update=standing()), "wait", "which is on trial"),
        ("ready", with_daemon(update=release(order="b" * 32)), "wait", "which is on trial"),
        ("ready", with_daemon("0.7.0", had_it=True), "stop", "uses another daemon again"),
        ("ready", with_daemon(reported={"state": "offline"}, away_s=61.0), "stop", "for 61 s"),
        ("trial", with_daemon(update=release("undone", refused="no answer")), "wait", "no answer"),
        ("trial", with_daemon(update=release("failed", refused="no answer")), "stop", "no answer"),
        ("trial", with_daemon(update=release("failed", order="b" * 32)), "ok", "not tried yet"),
        ("trial", with_daemon(update=standing("failed")), "ok", "not tried yet"),
        ("shadow", with_daemon(), "ok", "does not look on"),
        ("errors", with_daemon(errors=99), "stop", "99 of 1000"),
        ("errors", with_daemon("0.7.0", errors=99), "ok", "does not use it yet"),
        ("throughput", with_daemon(best_fps=1.0), "stop", "1.0 frames/s, 20.0 before"),
        ("temperature", with_daemon(reported={"hottest_c": 91.0}), "stop", "91 degrees"),
        (
            "control",
            with_daemon(reported={"control_run": 4, "control": "failed"}),
            "stop",
            "control failed",
        ),
    ],
)
def test_gates_of_a_daemon(gate: Any, now: After, says: str, told: str) -> None:
    verdict = GATES[gate](BEFORE, now, LIMITS)
    assert verdict.says == says, verdict
    assert told in verdict.why


@pytest.mark.parametrize(
    ("update", "is_over"),
    [
        (None, False),
        (standing("candidate", order="b" * 32), False),
        (standing("followed", looked_at=None), False),
        (standing("followed", waits_for="S-1 is under way"), False),
        (standing("followed"), True),
    ],
)
def test_a_candidate_looks_on_until_its_updater_has_looked_and_waits_for_nothing(
    update: UpdateStanding | None, is_over: bool
) -> None:
    """It says which order it follows before it has done anything for it."""
    assert after(OLD_ONE, update=update).looks_on_no_longer is is_over


def test_who_was_degraded_before_is_no_worse_for_the_bundle() -> None:
    before = BEFORE.model_copy(update={"state": "degraded"})
    assert gates.ready(before, after({"state": "degraded"}), LIMITS).says == "ok"


def test_who_was_hot_before_is_not_made_hot_by_the_bundle() -> None:
    before = BEFORE.model_copy(update={"hottest_c": 95.0})
    assert gates.temperature(before, after({"hottest_c": 96.0}), LIMITS).says == "ok"


def test_nothing_to_compare_with_is_no_stop() -> None:
    before = BEFORE.model_copy(update={"fps": None})
    assert gates.throughput(before, after(best_fps=0.1), LIMITS).says == "ok"


def test_a_control_may_be_required() -> None:
    limits = LIMITS.model_copy(update={"control": "required"})
    assert gates.control(BEFORE, after(), limits).says == "wait"


def test_the_worst_of_all_gates_counts_and_one_that_is_off_is_not_asked() -> None:
    now = after({"hottest_c": 99.0}, frames=0)
    assert judged(BEFORE, now, LIMITS)[0] == "temperature"
    off = LIMITS.model_copy(update={"off": ("temperature",)})
    gate, verdict = judged(BEFORE, now, off)
    assert (gate, verdict.says) == ("errors", "wait")

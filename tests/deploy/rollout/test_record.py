"""What a message changes in what is known of a device."""

from __future__ import annotations

from datetime import timedelta

from deploy.rollout.record import MOST_SLIDES, Before, Seen, heard
from edge_daemon.contract.findings import FrameCounts
from edge_daemon.contract.messages import ShadowReport
from tests.deploy.registry.fleet import NEW, NOW, OLD, A, B, health, status
from tests.edge_daemon.contract.samples import MOMENT, SHADOW


def frames(captured: int, failed: int = 0, dropped: int = 0) -> FrameCounts:
    analysed = captured - failed - dropped
    return FrameCounts(captured=captured, analysed=analysed, failed=failed, dropped=dropped)


def after(*messages: object, seen: Seen | None = None) -> Seen:
    seen = seen or Seen()
    for one in messages:
        seen = heard(seen, one, NOW, retained=False)  # type: ignore[arg-type]
    return seen


def test_frames_count_from_the_first_word_on_and_over_starts_of_the_daemon() -> None:
    seen = after(
        health(seq=1, frames=frames(500, failed=100)),
        health(seq=2, frames=frames(600, failed=101, dropped=2)),
        health(seq=1, boot_id=B, frames=frames(40, failed=1)),
    )
    assert (seen.frames, seen.errors) == (140, 4)


def test_another_bundle_begins_anew() -> None:
    seen = after(
        health(seq=1, fps=30.0, frames=frames(500)),
        health(seq=2, fps=25.0, frames=frames(900)),
    )
    assert (seen.frames, seen.best_fps) == (400, 30.0)
    before = Before.of(seen)
    seen = after(
        health(seq=3, fps=8.0, bundle=NEW, frames=frames(910)),
        health(seq=4, fps=9.0, bundle=NEW, frames=frames(950)),
        seen=seen,
    )
    assert (before.fps, before.bundle) == (30.0, OLD)
    assert (seen.frames, seen.best_fps, seen.reported.bundle) == (50, 9.0, NEW)


def test_a_status_tells_the_bundle_first() -> None:
    seen = after(
        health(seq=1, fps=30.0, frames=frames(500)),
        status(seq=2, bundle=NEW),
    )
    assert (seen.reported.bundle, seen.best_fps, seen.reported.fps) == (NEW, None, None)


def test_another_daemon_begins_anew() -> None:
    """It says so first of all, by its status."""
    seen = after(
        status(seq=1, version="1.0.0"),
        health(seq=2, fps=30.0, frames=frames(500)),
        health(seq=3, fps=25.0, frames=frames(900)),
    )
    before = Before.of(seen)
    seen = after(
        status(seq=1, boot_id=B, version="1.1.0"),
        health(seq=2, boot_id=B, fps=8.0, frames=frames(40)),
        seen=seen,
    )
    assert (before.fps, before.version) == (30.0, "1.0.0")
    assert (seen.frames, seen.best_fps, seen.reported.version) == (40, 8.0, "1.1.0")


def test_of_a_slide_the_newest_report_counts() -> None:
    late = ShadowReport(**SHADOW)
    early = late.model_copy(update={"ts": MOMENT - timedelta(seconds=9), "disagreements": 0})
    (one,) = after(late, early).looked.values()
    assert (one.cells, one.disagreements) == (40, 4)


def test_old_slides_are_forgotten() -> None:
    reports = [
        ShadowReport(**SHADOW | {"slide": f"S-{n}", "ts": MOMENT + timedelta(seconds=n)})
        for n in range(MOST_SLIDES + 5)
    ]
    looked = after(*reports).looked
    assert len(looked) == MOST_SLIDES
    assert "S-0" not in looked


def test_a_repeat_changes_nothing() -> None:
    one = health(seq=1, boot_id=A, frames=frames(500))
    seen = after(one)
    assert after(one, seen=seen) is seen

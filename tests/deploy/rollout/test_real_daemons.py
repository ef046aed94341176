"""From a rollout file to versions of the daemon in use: real environments, links and trials.

systemd alone is stood in for (`supervised.py`). Each device starts what its own `current` points
to, its daemon and its updater; a version is a wheel of this checkout under another number.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from deploy.rollout.settings import Rollout
from edge_daemon import __version__
from tests.deploy.rollout.fleet import wait_long
from tests.deploy.rollout.versioned import FAULTS, VersionedDevice, offer_daemon
from tests.deploy.rollout.ward import PATIENCE_S, Ward, opened
from tests.edge_daemon.update.own_wheel import link_packages
from tests.soak import repeated

NAMES = ("lab/scope-1", "lab/scope-2", "ward/scope-1")[: repeated(2, full=3)]
CANARY = NAMES[0]
WHY = {
    "does not come up": "99.2.0 was tried and does not work: it did not answer within 5 s",
    "fails its check": "its self-check: leuko-edge: [source] url: this version does not know it",
}
GOOD, BACK_1, BAD, BACK_2 = "99.1.0", "99.1.1", "99.2.0", "99.2.1"


def wanted(ward: Ward[VersionedDevice], version: str, back_to: str, **changes: Any) -> Rollout:
    values = {
        "name": f"daemon-{version}",
        "repository": str(ward.fleet.repository.folder),
        "daemon": {"version": version, "back_to": back_to},
        "devices": {"all": True, "offline": "order"},
        "waves": [{"devices": [CANARY], "soak_s": 0.5}, {"share": 1.0, "soak_s": 0.5}],
        "enough": 0.5,
        "gates": {"min_frames": 0},
    }
    return Rollout.model_validate(values | changes)


def comes_back(kinds: list[str]) -> bool:
    """Whether the device that is away does so now.

    Once its wave is ordered, and waits for it; or after the end, where the wave does without it:
    in a soak, with a third device.
    """
    return kinds.count("ordered") == 2 if len(NAMES) == 2 else "ended" in kinds


@pytest.fixture
def ward(mosquitto: Path, tmp_path: Path) -> Iterator[Ward[VersionedDevice]]:
    make = partial(VersionedDevice, packages=link_packages(tmp_path / "packages"))
    with opened(mosquitto, tmp_path, NAMES, make) as found:
        yield found


@pytest.mark.soak
@pytest.mark.parametrize("fault", list(FAULTS)[: repeated(1, full=len(FAULTS))])
def test_a_good_daemon_goes_through_all_waves_and_a_bad_one_is_undone_on_the_canary(
    ward: Ward[VersionedDevice], fault: str
) -> None:
    canary, second, away = ward.devices[0], ward.devices[1], ward.devices[-1]
    for version in (GOOD, BACK_1):
        offer_daemon(ward.fleet, version)
    assert wait_long(lambda: ward.reported() == [__version__] * len(NAMES), PATIENCE_S)
    away.kill()

    good = wanted(ward, GOOD, BACK_1)
    running = ward.begins(good)
    assert wait_long(lambda: comes_back(ward.kinds(good)), PATIENCE_S), canary.log
    away.start()
    done = running.end()

    assert done.word == "done", canary.log
    assert [len(wave.devices) for wave in done.plan.waves] == [1, len(NAMES) - 1]
    assert wait_long(lambda: away.release.step == "committed", PATIENCE_S), away.log
    assert wait_long(lambda: ward.reported() == [GOOD] * len(NAMES), PATIENCE_S)
    assert [device.runs for device in ward.devices] == [GOOD] * len(NAMES)
    assert [device.links for device in ward.devices] == [(GOOD, __version__)] * len(NAMES)

    offer_daemon(ward.fleet, BAD, FAULTS[fault])
    offer_daemon(ward.fleet, BACK_2)
    canary.has_patience(5.0)
    canary.restart_updater()
    boot = second.boot
    undone = ward.rolled_out(wanted(ward, BAD, BACK_2))

    assert undone.word == "undone", canary.log
    assert undone.stopped is not None
    assert (undone.stopped.device, undone.stopped.gate) == (CANARY, "trial")
    assert WHY[fault] in undone.stopped.why
    assert tuple(undone.given) == (CANARY,), "nobody else was ordered anything"
    # what it tried is over; that nothing is ordered now it may have heard already
    assert canary.release.step in ("failed", "followed")
    assert canary.links == (GOOD, __version__)
    assert wait_long(lambda: canary.runs == GOOD, PATIENCE_S), canary.log
    assert (second.runs, second.boot) == (GOOD, boot), "it was not even restarted"

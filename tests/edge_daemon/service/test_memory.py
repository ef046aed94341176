"""Memory over a long day: one slide that never ends, and slide after slide."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.edge_daemon.delivery.power_cut import simulated_disk
from tests.edge_daemon.service.memory_process import SAY_EVERY
from tests.edge_daemon.tiny_bundle import write_tiny_bundle
from tests.mosquitto import Mosquitto
from tests.soak import SOAKING, repeated

pytestmark = pytest.mark.soak

SETTLED = 5_000
"""Frames after which nothing grows any more."""
GROWTH = 0.02


@pytest.mark.parametrize("slides", ["one", "many"])
def test_memory_does_not_grow(
    mosquitto: Path, tmp_path: Path, repository: Path, slides: str
) -> None:
    frames = repeated(500, 50_000)
    bundle = write_tiny_bundle(tmp_path)
    with (
        Mosquitto(mosquitto, tmp_path / "broker", persistent=False) as broker,
        simulated_disk() as disk,
    ):
        program = [sys.executable, "-m", "tests.edge_daemon.service.memory_process"]
        with subprocess.Popen(
            [*program, disk, bundle, broker.url, str(frames), slides],
            cwd=repository,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            held = [int(line) for line in process.stdout]
    assert process.returncode == 0
    assert len(held) == frames // SAY_EVERY
    if SOAKING:
        settled = held[SETTLED // SAY_EVERY - 1]
        last = float(np.median(held[-8:]))
        print(
            f"{slides}: {settled / 2**20:.1f} MiB after {SETTLED} frames, {last / 2**20:.1f} after "
            f"{frames} ({last / settled - 1:+.2%}), {max(held) / 2**20:.1f} at most"
        )
        assert last < (1 + GROWTH) * settled
    else:
        assert held[-1] < 1.3 * held[0]

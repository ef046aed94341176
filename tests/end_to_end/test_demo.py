"""``leuko-edge demo``, as a newcomer's first command, on a short slide."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from edge_daemon.delivery.broker import find_mosquitto
from edge_daemon.sources.simulated import open_simulated

SLIDE = "sim://?seed=5&fields=30&white=2.5&blasts=0.3"


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge_daemon.cli", "demo", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def found_and_true(said: str, what: str) -> tuple[int, int]:
    row = re.search(rf"{what}\s+(\d+)\s+(\d+)", said)
    assert row is not None, said
    return int(row[1]), int(row[2])


def test_the_demo_ends_by_itself_with_counts_beside_the_truth():
    result = demo("--slide", SLIDE)
    assert result.returncode == 0, result.stderr
    truth = open_simulated(SLIDE).truth().unique
    found, true = found_and_true(result.stderr, "unique white cells")
    assert true == truth.white
    assert found == pytest.approx(true, rel=0.10, abs=2)
    frames, all_frames = found_and_true(result.stderr, "frames analysed")
    assert frames == all_frames == 30
    assert "Mosquitto" in result.stderr or find_mosquitto() is None


def test_a_wrong_slide_is_refused_before_anything_is_started():
    result = demo("--slide", "sim://?feilds=3")
    assert result.returncode == 5
    assert "unknown parameter 'feilds'" in result.stderr
    assert "broker" not in result.stderr

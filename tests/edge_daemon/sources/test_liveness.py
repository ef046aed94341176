"""Is the camera still looking? The watch by itself, without a camera and without waiting."""

from __future__ import annotations

import numpy as np

from edge_daemon.sources.liveness import LivenessWatch

A, B, FLAT = np.array([1, 2, 3]), np.array([1, 2, 4]), np.array([-1, -1, -1])


def test_equal_pictures_for_too_long_are_frozen() -> None:
    watch = LivenessWatch(1.5)
    for place in range(15):
        watch.look(A, 100.0 * place + 1, place / 10)
        assert watch.frozen_for_s(place / 10) is None
    watch.look(A, 1501.0, 1.5)
    assert watch.frozen_for_s(1.5) == 1.5


def test_what_is_predicted_is_no_evidence_however_long_it_stays_the_same() -> None:
    watch = LivenessWatch(0.9)
    for second, whole in enumerate((A, B, A, B)):
        watch.look(whole, 1000.0 * second + 1, second)
        for place in range(1, 10):
            now_s = second + place / 10
            watch.look(whole, 1000.0 * now_s + 1, now_s, predicted=True)
            assert watch.frozen_for_s(now_s) is None


def test_two_whole_pictures_that_are_equal_are_enough() -> None:
    """Although the encoder goes on refining what it has sent."""
    watch = LivenessWatch(0.9)
    watch.look(A, 1.0, 0.0)
    watch.look(B, 501.0, 0.5, predicted=True)
    assert watch.frozen_for_s(0.5) is None
    watch.look(A, 1001.0, 1.0)
    assert watch.frozen_for_s(1.0) == 1.0


def test_a_predicted_picture_of_the_same_moment_is_evidence() -> None:
    watch = LivenessWatch(0.9)
    watch.look(A, 1.0, 0.0)
    for place in range(1, 11):
        watch.look(A, 1.0, place / 10, predicted=True)
    assert watch.frozen_for_s(1.0) == 1.0


def test_a_picture_without_noise_is_none() -> None:
    watch = LivenessWatch(0.9)
    for second in range(5):
        watch.look(FLAT, 1000.0 * second + 1, second)
        assert watch.frozen_for_s(second) is None


def test_one_that_was_frozen_must_show_two_whole_pictures_that_differ() -> None:
    watch = LivenessWatch(0.9, was_frozen=True)
    watch.look(A, 1.0, 0.0)
    assert not watch.changes
    watch.look(B, 101.0, 0.1, predicted=True)
    assert not watch.changes
    watch.look(A, 1001.0, 1.0)
    assert not watch.changes
    watch.look(B, 2001.0, 2.0)
    assert watch.changes


def test_one_that_was_silent_needs_no_whole_picture_to_be_back() -> None:
    watch = LivenessWatch(0.9)
    watch.look(A, 1.0, 0.0)
    watch.look(A, 101.0, 0.1, predicted=True)
    assert watch.changes

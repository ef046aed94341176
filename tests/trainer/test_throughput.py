"""What ``leuko-train speed`` times is what a training does."""

from __future__ import annotations

from pathlib import Path

from tests.trainer.small_sets import small_classifier
from trainer.throughput import Throughput, measure_throughput


def test_both_rates_are_measured_on_training_crops(tmp_path: Path) -> None:
    measured = measure_throughput(small_classifier(tmp_path))
    assert measured.made > 0
    assert measured.read > 0


def test_it_says_by_how_much_the_making_is_ahead() -> None:
    assert str(Throughput(made=200.0, read=80.0)).endswith("reads 80: 2.5 times as many")

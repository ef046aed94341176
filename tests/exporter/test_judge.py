"""From frame to verdict, the shipped bundle is worth what its classifier is on perfect crops."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_daemon.contract.bundle import newest_bundle
from edge_daemon.errors import LeukoError
from exporter.judge import judge_whole_path


def test_the_whole_path_loses_next_to_nothing(leuko_data: Path, repository: Path) -> None:
    bundle = newest_bundle(repository / "deploy" / "bundles")
    told: list[tuple[int, int]] = []
    judged = judge_whole_path(
        bundle,
        leuko_data,
        "txl-pbc",
        fields=60,
        seed=7,
        tick=lambda done, fields: told.append((done, fields)),
    )
    assert judged.cells >= 60
    assert judged.found >= 0.97 * judged.cells
    assert judged.auroc > 0.6
    assert judged.auroc >= judged.auroc_perfect - 0.03
    assert told[-1] == (60, 60)
    assert "AUROC from frame to verdict" in str(judged)


def test_backgrounds_that_are_not_there_are_named(repository: Path, tmp_path: Path) -> None:
    bundle = newest_bundle(repository / "deploy" / "bundles")
    with pytest.raises(LeukoError, match="no such folder"):
        judge_whole_path(bundle, tmp_path, "bccd", fields=2)

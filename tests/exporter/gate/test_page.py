"""The page of the gate shows what was lost, in figures and as pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_daemon.contract.roles import Precision
from exporter.errors import ExportError
from exporter.gate.examples import examples_for
from exporter.gate.page import MOST_SHOWN, JudgedRole, render_gate_page, write_gate_page
from exporter.gate.verdict import Measured, Verdict
from tests.exporter.gate.test_examples import CELLS, FIELDS
from tests.trainer.small_sets import write_sets


class Pictured:
    """Examples of which only pictures are asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def picture(self, positive: str) -> NDArray[np.uint8]:
        self.asked.append(positive)
        return np.full((40, 60, 3), 200, np.uint8)


def judged(lost: int, after: float = 0.80, precision: Precision = "int8") -> JudgedRole:
    names = frozenset(f"all/cell{i:03}.webp on_black" for i in range(lost))
    verdict = Verdict(
        "classifier",
        precision,
        "minmax, <all> in INT8",
        Measured({"on_black.auroc": 0.9, "on_black.specificity": 0.7}, names),
        Measured({"on_black.auroc": after, "on_black.specificity": 0.69}, frozenset({"x"})),
    )
    return JudgedRole(verdict, Pictured())  # type: ignore[arg-type]


def test_a_refusal_is_said_with_its_figure_and_its_cells() -> None:
    page = render_gate_page("leuko-1.0.0", [judged(lost=2)])
    assert "classifier int8:\nrefused" in page
    assert "on_black.auroc falls from 0.9000 to 0.8000, 0.005 may be lost" in page
    assert page.count("data:image/png") == 2
    assert "all/cell001.webp on_black" in page
    assert "minmax, &lt;all&gt; in INT8" in page
    assert "2 cells that float32 finds are lost, 1 are found" in page


def test_what_passes_is_said_to_pass() -> None:
    page = render_gate_page("leuko-1.0.0", [judged(lost=0, after=0.9)])
    assert "passes" in page
    assert 'class="refused"' not in page


def test_many_lost_cells_are_counted_and_the_first_are_shown() -> None:
    one = judged(lost=MOST_SHOWN + 5)
    page = render_gate_page("leuko-1.0.0", [one])
    assert page.count("data:image/png") == MOST_SHOWN
    assert f"{MOST_SHOWN + 5} cells that float32 finds are lost" in page
    assert f"The first {MOST_SHOWN} of the lost ones" in " ".join(page.split())


def test_it_fetches_nothing() -> None:
    page = render_gate_page("leuko-1.0.0", [judged(lost=1)])
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match=r"the page cannot be written to .*page\.html"):
        write_gate_page("x", [judged(lost=0)], tmp_path / "file" / "page.html")


def test_positives_of_real_layouts_have_their_pictures(tmp_path: Path) -> None:
    write_sets(tmp_path)
    cells, fields = examples_for(CELLS, tmp_path), examples_for(FIELDS, tmp_path)

    def all_blasts(crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        return {"logits": np.tile(np.float32([0, 9]), (len(crops), 1))}

    for name in cells.measure(all_blasts).positives:
        assert cells.picture(name).shape == (CELLS.size, CELLS.size, 3)

    (record, *_) = fields._held_out[0].records  # type: ignore[attr-defined]
    name = f"{fields._held_out[0].name}/{record.image.name} white cell 0"  # type: ignore[attr-defined]
    picture = fields.picture(name)
    assert picture.ndim == 3
    assert 0 < picture.size < record.read().size

"""One comparison from files to the page: the same figures everywhere, and nothing fetched."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_daemon.errors import DataError
from tests.trainer.drawn_predictions import draw_cells, draw_model
from trainer.compare import METRICS, REPORT, compare, same_cells
from trainer.predictions import save_predictions
from trainer.report.figures import text_of, value_at
from trainer.report.pictures import cell_picture

CELLS = draw_cells(scale=0.06)
FIRST = draw_model(CELLS, "lite0", 3.0, seed=1, parameters=3.4e6, gflops=0.13)
SECOND = draw_model(CELLS, "a/b <i>", 1.0, seed=2, parameters=28e6, stain="H&E")
LEAKING = draw_model(CELLS, "lite0", 3.0, seed=3, split="images")

COMMAND = [sys.executable, "-c", "from trainer.cli import main; main()", "compare"]


class Page(HTMLParser):
    """What a test asks of the page: its figures, its references, its headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.figures: list[tuple[str, str]] = []
        self.fetched: list[str] = []
        self.headings: list[int] = []
        self.tags: list[str] = []
        self.unnamed: list[str] = []
        self.ids: list[str] = []
        self._open: tuple[str, str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if given.get("data-figure"):
            self._open = (tag, "")
            self.figures.append((str(given["data-figure"]), ""))
        if tag in {"img", "link", "script", "use", "iframe", "image"}:
            self.fetched += [str(given[key]) for key in ("src", "href") if given.get(key)]
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if (tag == "img" and not given.get("alt")) or (
            tag == "svg" and not given.get("aria-label")
        ):
            self.unnamed.append(tag)
        if tag == "th" and given.get("scope") not in {"col", "row", "rowgroup"}:
            self.unnamed.append(tag)

    def handle_data(self, data: str) -> None:
        if self._open:
            pointer, text = self.figures[-1]
            self.figures[-1] = (pointer, text + data)

    def handle_endtag(self, tag: str) -> None:
        if self._open and tag == self._open[0]:
            self._open = None


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    picture = np.zeros((64, 64, 3), np.uint8)
    cv2.circle(picture, (32, 32), 20, (140, 50, 100), -1)
    for file in CELLS.file.tolist():
        path = folder / "cnmc2019" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), picture)
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("predictions")
    shuffled = SECOND.take(np.random.default_rng(0).permutation(len(CELLS)))
    for name, one in (("1", FIRST), ("2", shuffled), ("3", LEAKING)):
        save_predictions(one, folder / f"{name}.npz")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def one_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model under one condition."""
    path = tmp_path_factory.mktemp("one") / "lite0.npz"
    save_predictions(replace(FIRST, logits={"on_black": FIRST.logits["on_black"]}), path)
    return path


@pytest.fixture(scope="module")
def out(files: list[Path], data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "comparison"
    pictures = [np.full((8, 8, 3), 90, np.uint8)] * 2
    compare(files, folder, data=data, rounds=150, attributions={"lite0": pictures})
    return folder


@pytest.fixture(scope="module")
def metrics(out: Path) -> dict[str, Any]:
    return json.loads((out / METRICS).read_text())


@pytest.fixture(scope="module")
def page(out: Path) -> Page:
    return Page((out / REPORT).read_text())


def test_every_number_of_the_tables_stands_in_the_metrics(
    page: Page, metrics: dict[str, Any]
) -> None:
    assert len(page.figures) > 100
    for pointer, text in page.figures:
        assert text.strip() == text_of(value_at(metrics, pointer), pointer.rsplit("/", 1)[-1])


def test_every_measure_of_every_model_is_in_the_tables(page: Page, metrics: dict[str, Any]) -> None:
    shown = {pointer for pointer, _ in page.figures}

    assert set(metrics["models"]) == {"lite0", "a/b <i>", "cell area alone"}
    assert "/models/a~1b <i>/conditions/composited/cells/auroc" in shown
    for measure in metrics["models"]["lite0"]["conditions"]["on_black"]["cells"]:
        assert f"/models/lite0/conditions/on_black/cells/{measure}" in shown


def test_nothing_is_fetched_and_nothing_runs(page: Page, out: Path) -> None:
    assert all(link.startswith(("data:", "#")) for link in page.fetched)
    assert "script" not in page.tags
    text = (out / REPORT).read_text()
    assert set(re.findall(r"https?://[^\s\"<]+", text)) == {
        "https://doi.org/10.7937/tcia.2019.dc64i46r"
    }
    assert not re.search(r"@import|url\((?!#)", text)


def test_the_page_can_be_heard_as_well_as_seen(page: Page) -> None:
    assert page.unnamed == []
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:], strict=False))
    assert len(page.ids) == len(set(page.ids))


def test_every_section_is_there(page: Page, out: Path) -> None:
    wanted = "summary ranking pairs deciding patients errors looks leak cost protocol data limits"
    assert set(wanted.split()) <= set(page.ids)
    assert page.tags.count("svg") == 6
    text = (out / REPORT).read_text()
    assert "Research use only" in text
    assert "a/b &lt;i&gt;" in text
    assert "<i>" not in text


def test_without_pictures_and_leaks_their_sections_are_left_out(
    one_file: Path, tmp_path: Path
) -> None:
    compare([one_file], tmp_path, rounds=60)
    ids = Page((tmp_path / REPORT).read_text()).ids
    assert "patients" in ids
    assert not {"errors", "looks", "leak"} & set(ids)


def test_a_browser_shows_the_figures_and_has_nothing_to_complain_of(
    chromium: Path, out: Path, tmp_path: Path
) -> None:
    shot = tmp_path / "page.png"
    done = subprocess.run(
        [
            *(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
            *(f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1280,4000"),
            *("--blink-settings=preferredColorScheme=1", f"--screenshot={shot}"),
            (out / REPORT).as_uri(),
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "CONSOLE" not in done.stderr
    pixels = cv2.imread(str(shot))
    assert pixels is not None
    drawn = pixels[800:]
    for colour in ((178, 114, 0), (0, 94, 213)):  # the first two models, BGR
        assert (np.abs(drawn.astype(int) - colour).max(axis=2) < 8).sum() > 300


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"group": np.where(CELLS.group == "B02", "B99", CELLS.group)},
            "group of the cell .* is B02",
        ),
        ({"area_um2": CELLS.area_um2 + 1}, "area_um2 of the cell cells/00000.png"),
        ({"fold": (CELLS.fold + 1) % 5}, "fold of the cell cells/00000.png is 0 in 'lite0' and 1"),
    ],
)
def test_the_first_cell_that_is_not_the_same_is_named(
    change: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        same_cells([FIRST, replace(SECOND, **change)])  # type: ignore[arg-type]


def test_a_cell_that_only_one_model_judged_is_named() -> None:
    fewer = SECOND.take(np.arange(len(CELLS) - 1))
    last = CELLS.file[-1]
    with pytest.raises(DataError, match=f"the cell {last} of 'lite0' is not in 'a/b <i>'"):
        same_cells([FIRST, fewer])
    with pytest.raises(DataError, match=f"the cell {last} of 'lite0' is not in 'a/b <i>'"):
        same_cells([fewer, FIRST])


def test_a_folder_without_the_cells_is_refused_before_anything_is_computed(
    one_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="point --data at the one that holds cnmc2019"):
        compare([one_file], tmp_path / "out", data=tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.png: missing or not a readable picture"):
        cell_picture(tmp_path / "x.png")
    (tmp_path / "x.png").write_bytes(b"half of it")
    with pytest.raises(DataError, match=r"x\.png: missing or not a readable picture"):
        cell_picture(tmp_path / "x.png")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    # The folder of real data, where one is named, holds other cells.
    environment = {key: value for key, value in os.environ.items() if key != "LEUKO_DATA"}
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )


def test_the_command_prints_the_table_and_the_findings(one_file: Path, tmp_path: Path) -> None:
    done = run(one_file, "--out", tmp_path, "--rounds=60")

    assert done.returncode == 0, done.stderr
    assert "cell area alone" in done.stdout
    assert "lite0 ranks the cells: AUROC 0." in done.stdout
    assert (tmp_path / REPORT).exists()


def test_a_users_mistake_is_one_line(tmp_path: Path) -> None:
    done = run(tmp_path / "none.npz", "--out", tmp_path / "out")

    assert done.returncode == 8
    assert done.stderr.startswith("leuko-train: no predictions at ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_area_stands_beside_every_condition_that_any_model_saw(tmp_path: Path) -> None:
    shown = {"on_black": ("lite0", FIRST), "composited": ("other", SECOND)}
    for condition, (name, model) in shown.items():
        alone = replace(model, model=name, logits={condition: model.logits[condition]})
        save_predictions(alone, tmp_path / f"{name}.npz")

    found = compare([tmp_path / "lite0.npz", tmp_path / "other.npz"], tmp_path, rounds=120)
    assert set(found["models"]["cell area alone"]["conditions"]) == set(shown)
    assert {pair["condition"] for pair in found["paired"]} == set(shown)

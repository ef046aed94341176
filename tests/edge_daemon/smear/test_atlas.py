"""What every atlas must keep to, whether it draws its cells or cuts them out of photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_daemon.contract.terms import CLASSES, KINDS, CellClass, CellKind
from edge_daemon.errors import DataError
from edge_daemon.smear.atlas import Atlas, RenderedAtlas
from edge_daemon.smear.real_pixels import list_cells, open_real_pixels
from tests.edge_daemon.smear.own_folders import write_backgrounds, write_cells


def breeds_of(atlas: Atlas) -> list[str]:
    asked: list[tuple[CellKind, CellClass | None]] = [
        ("rbc", None),
        ("platelet", None),
        *(("wbc", label) for label in CLASSES),
    ]
    return [breed for kind, label in asked for breed in atlas.breeds(kind, label)]


class AtlasContract:
    def test_the_same_arguments_give_the_same_pixels(self, atlas: Atlas) -> None:
        for breed in breeds_of(atlas):
            first, second = atlas.sprite(breed, 0, 5), atlas.sprite(breed, 0, 5)
            assert np.array_equal(first.gain, second.gain)
        window = atlas.background(-40, 900, 300, 200)
        assert np.array_equal(atlas.background(-40, 900, 300, 200), window)

    def test_windows_of_the_background_fit_together(self, atlas: Atlas) -> None:
        whole = atlas.background(500, 300, 900, 700)
        assert np.array_equal(atlas.background(700, 400, 300, 250), whole[100:350, 200:500])

    def test_a_window_may_be_painted_on(self, atlas: Atlas) -> None:
        window = atlas.background(10, 10, 100, 80)
        untouched = window.copy()
        window[:] = 0
        assert np.array_equal(atlas.background(10, 10, 100, 80), untouched)

    def test_it_has_white_cells_of_both_classes_in_shares(self, atlas: Atlas) -> None:
        for label in CLASSES:
            shares = atlas.breeds("wbc", label)
            assert sum(shares.values()) == pytest.approx(1)
            assert all(atlas.variants(breed) > 0 for breed in shares)

    def test_it_is_exact_for_white_cells_and_for_every_kind_it_places(self, atlas: Atlas) -> None:
        assert "wbc" in atlas.exact_kinds
        placed = {kind for kind in KINDS if kind != "wbc" and atlas.breeds(kind, None)}
        assert placed <= set(atlas.exact_kinds)

    def test_no_cell_is_empty_or_reaches_further_than_a_slide_looks(self, atlas: Atlas) -> None:
        for breed in breeds_of(atlas):
            for variant in range(min(4, atlas.variants(breed))):
                sprite = atlas.sprite(breed, variant, variant)
                assert sprite.area_px > 0
                assert max(sprite.mask.shape) * atlas.um_per_px / 2 < 14

    def test_crowding_is_a_share(self, atlas: Atlas) -> None:
        shares = [atlas.crowding(x, 200, 60) for x in range(0, 2000, 90)]
        assert min(shares) >= 0
        assert max(shares) <= 1


@pytest.fixture(scope="module")
def drawn() -> Atlas:
    return RenderedAtlas(3)


class TestRenderedAtlas(AtlasContract):
    @pytest.fixture
    def atlas(self, drawn: Atlas) -> Atlas:
        return drawn


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("published")
    return write_cells(folder / "cells"), write_backgrounds(folder / "backgrounds")


@pytest.fixture(scope="module")
def photographed(folders: tuple[Path, Path]) -> Atlas:
    cells, backgrounds = folders
    return open_real_pixels(str(cells), str(backgrounds), None, seed=3, um_per_px=0.075)


class TestRealPixelAtlas(AtlasContract):
    @pytest.fixture
    def atlas(self, photographed: Atlas) -> Atlas:
        return photographed

    def test_cells_come_at_the_scale_of_the_slide(self, folders: tuple[Path, Path]) -> None:
        areas_um2 = []
        for um_per_px in (0.06, 0.12):
            atlas = open_real_pixels(*map(str, folders), None, seed=3, um_per_px=um_per_px)
            areas_um2.append(atlas.sprite("blast", 0, 0).area_px * um_per_px**2)
        assert areas_um2[0] == pytest.approx(areas_um2[1], rel=0.05)

    def test_no_white_cell_of_the_backgrounds_is_left(self, atlas: Atlas) -> None:
        """Drawn nuclei are the only thing that absorbs more than half of the red light."""
        window = atlas.background(0, 0, 2500, 2000)
        assert (window[..., 0] < 115).mean() < 0.0005


def test_a_manifest_decides_label_and_split(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(
        "file,label,split\na.webp,ALL,train\nb.webp,HEM,train\nc.webp,ALL,val\nd.webp,odd,val\n"
    )
    assert list_cells(tmp_path, "val") == {"normal": [], "blast": [tmp_path / "c.webp"]}
    everything = list_cells(tmp_path)
    assert everything["blast"] == [tmp_path / "a.webp", tmp_path / "c.webp"]
    assert everything["normal"] == [tmp_path / "b.webp"]


@pytest.mark.parametrize(
    ("manifest", "says"),
    [("file,split\na,val\n", "no column label"), ("file,label,split\na,ALL,train\n", "split val")],
)
def test_a_manifest_that_does_not_say_it_is_refused(
    tmp_path: Path, manifest: str, says: str
) -> None:
    (tmp_path / "manifest.csv").write_text(manifest)
    with pytest.raises(DataError, match=says):
        list_cells(tmp_path, "val")


def test_a_cell_that_cannot_be_read_is_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    cells = write_cells(tmp_path / "cells", 1)
    (cells / "all" / "0.png").write_bytes(b"no picture")
    atlas = open_real_pixels(str(cells), str(folders[1]), None, seed=3, um_per_px=0.075)
    with pytest.raises(DataError, match=r"all/0\.png"):
        atlas.sprite("blast", 0, 0)

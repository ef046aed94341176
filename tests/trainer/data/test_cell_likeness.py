"""One cell on two pictures is found however it was photographed; two cells never are one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_daemon.errors import DataError
from tests.trainer.data.drawn_cells import SIDE, drawn_cell, photographed_again
from trainer.data.cell_likeness import ALIKE, Fingerprint, find_repeats, fingerprint
from trainer.data.cnmc import CellRecord, read_manifest, read_picture


def prints(*pictures: np.ndarray) -> list[Fingerprint]:
    return [fingerprint(np.ascontiguousarray(one[..., ::-1])) for one in pictures]


def turned(picture: np.ndarray, number: int) -> np.ndarray:
    return np.rot90(picture[:, ::-1] if number > 3 else picture, number % 4)


@pytest.mark.parametrize("number", range(8))
def test_a_cell_is_found_in_each_of_the_eight_turns(number: int) -> None:
    cell = drawn_cell(1)
    (repeat,) = find_repeats(prints(cell, drawn_cell(2), turned(cell, number)), ["a", "b", "c"])
    assert (repeat.first, repeat.second) == (0, 2)
    assert repeat.likeness > 0.98


def test_a_cell_in_another_light_focus_and_place_is_found() -> None:
    cell = drawn_cell(3)
    (repeat,) = find_repeats(prints(cell, photographed_again(cell)), ["a", "b"])
    assert ALIKE <= repeat.likeness < 1


def test_different_cells_are_different() -> None:
    cells = prints(*(drawn_cell(seed) for seed in range(30)))
    assert find_repeats(cells, [str(index) for index in range(30)]) == ()


def test_copies_have_the_likeness_one_even_without_any_texture() -> None:
    even = np.zeros((SIDE, SIDE, 3), np.uint8)
    cv2.circle(even, (225, 225), 90, (140, 50, 100), -1)
    (repeat,) = find_repeats(prints(even, drawn_cell(1), even), ["a", "b", "c"])
    assert (repeat.first, repeat.second, repeat.likeness) == (0, 2, 1.0)


def test_what_one_patient_has_twice_joins_nobody() -> None:
    cell = drawn_cell(4)
    assert find_repeats(prints(cell, cell), ["a", "a"]) == ()
    assert find_repeats(prints(cell), ["a"]) == ()
    assert find_repeats([], []) == ()


def test_a_fingerprint_tells_where_the_cell_is() -> None:
    picture = np.zeros((450, 450, 3), np.uint8)
    picture[100:300, 50:250] = 120
    looks = fingerprint(picture)
    assert looks.box == (50, 100, 250, 300)
    assert looks.foreground_fraction == pytest.approx(200 * 200 / 450**2)


def test_a_black_picture_holds_no_cell() -> None:
    with pytest.raises(DataError, match="everything is black"):
        fingerprint(np.zeros((9, 9, 3), np.uint8))


def out_of_focus(picture: np.ndarray) -> np.ndarray:
    """Blurred before it was cut out: the black around it does not run into the cell."""
    inside = (picture.max(axis=2) > 10).astype(np.float32)
    share = np.maximum(cv2.GaussianBlur(inside, (0, 0), 2.0), 1e-3)[..., None]
    blurred = cv2.GaussianBlur(picture * inside[..., None], (0, 0), 2.0) / share
    return np.ascontiguousarray(blurred * inside[..., None]).astype(np.uint8)


@pytest.fixture(scope="module")
def real_cells(leuko_data: Path) -> list[tuple[CellRecord, np.ndarray]]:
    root = leuko_data / "cnmc2019"
    return [(one, read_picture(root, one)) for one in read_manifest(root)[::40]]


def test_real_cells_photographed_again_are_found_and_nothing_else(
    real_cells: list[tuple[CellRecord, np.ndarray]],
) -> None:
    once = [fingerprint(picture) for _, picture in real_cells]
    again = [fingerprint(out_of_focus(np.rot90(picture))) for _, picture in real_cells]
    owners = [record.group for record, _ in real_cells] + ["again"] * len(again)
    repeats = find_repeats(once + again, owners)
    of_one_cell = [one for one in repeats if one.second - one.first == len(once)]
    assert len(of_one_cell) >= 0.95 * len(once)
    others = {(one.first, one.second % len(once)) for one in repeats} - {
        (one.first, one.first) for one in of_one_cell
    }
    # Cells that one patient shows twice are in the sample as well.
    assert all(real_cells[a][0].subject == real_cells[b][0].subject for a, b in others)

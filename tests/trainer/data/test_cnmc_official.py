"""C-NMC is read as it is published, and what it says twice it must say alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_daemon.errors import DataError
from tests.trainer.data.drawn_cells import (
    NUMBERED,
    drawn_cell,
    write_bmp,
    write_official,
    write_preliminary,
    write_training,
)
from trainer.data.cnmc_official import PRELIMINARY, official_cells
from trainer.data.published_cells import PublishedCell
from trainer.data.reading import read_all, read_strictly

CELL = drawn_cell(1)


def read(root: Path) -> list[PublishedCell]:
    return read_strictly(official_cells(root))


def test_patient_frame_cell_and_label_come_from_the_name(tmp_path: Path) -> None:
    write_training(tmp_path, "fold_2", "hem", "UID_H10_7_3_hem", CELL)
    (cell,) = read(tmp_path)
    assert (cell.subject, cell.frame, cell.cell) == ("H10", "7", "3")
    assert (cell.label, cell.fold, cell.split) == ("normal", "fold_2", None)
    assert cell.group == "H10"


def test_training_and_preliminary_cells_are_found_wherever_the_archive_nests_them(
    tmp_path: Path,
) -> None:
    write_official(tmp_path / "deep" / "C-NMC_Leukemia")
    cells = read(tmp_path)
    assert len(cells) == 12
    assert {cell.fold for cell in cells} == {"fold_0", "fold_1", PRELIMINARY}
    preliminary = {cell.name: cell.label for cell in cells if cell.fold == PRELIMINARY}
    assert preliminary["UID_H30_4_1_hem"] == "normal"
    assert preliminary["UID_57_29_1_all"] == "blast"


def test_a_donor_written_with_a_small_h_is_a_donor(tmp_path: Path) -> None:
    write_training(tmp_path, "fold_0", "hem", "UID_h3_18_1_hem", CELL)
    assert read(tmp_path)[0].label == "normal"


@pytest.mark.parametrize(
    ("folder", "name", "says"),
    [
        ("hem", "UID_11_1_1_all", "the name says ALL, the folder HEM"),
        ("all", "UID_H1_1_1_all", "the patient H1 is one of HEM"),
        ("all", "UID_11_1_all", "is not UID_<patient>_<frame>_<cell>"),
        ("all", "cell7", "is not UID_<patient>_<frame>_<cell>"),
    ],
)
def test_a_name_that_denies_its_folder_or_cannot_be_read_is_one_error(
    tmp_path: Path, folder: str, name: str, says: str
) -> None:
    path = write_training(tmp_path, "fold_0", folder, name, CELL)
    with pytest.raises(DataError, match=says) as caught:
        read(tmp_path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (("UID_57_29_1_all.bmp", "1.bmp", "0"), "line 2: UID_57_29_1_all.bmp says ALL, labels HEM"),
        (("UID_57_29_1_all.bmp", "1.bmp", "2"), "labels '2' is neither 1"),
        (("UID_57_29_1_all.bmp", "1.bmp", ""), "labels '' is neither 1"),
        (("57.bmp", "1.bmp", "1"), "line 2: '57.bmp' is not UID_"),
    ],
)
def test_a_line_of_the_table_that_is_wrong_is_named(
    tmp_path: Path, row: tuple[str, str, str], says: str
) -> None:
    write_preliminary(tmp_path, (*row, CELL))
    with pytest.raises(DataError, match=says):
        read(tmp_path)


def test_a_picture_the_table_lists_and_one_it_does_not_are_both_told(tmp_path: Path) -> None:
    write_preliminary(
        tmp_path,
        ("UID_57_29_1_all.bmp", "1.bmp", "1", CELL),
        ("UID_57_29_2_all.bmp", "2.bmp", "1", CELL),
    )
    (tmp_path / NUMBERED / "2.bmp").rename(tmp_path / NUMBERED / "9.bmp")
    cells, faults = read_all(official_cells(tmp_path))
    assert len(cells) == 1
    assert "2.bmp is missing" in faults[0]
    assert "9.bmp: has no label in" in faults[1]


def test_the_final_test_set_with_the_same_numbers_is_left_alone(tmp_path: Path) -> None:
    write_preliminary(tmp_path, ("UID_57_29_1_all.bmp", "1.bmp", "1", CELL))
    write_bmp(tmp_path / "C-NMC_test_final_phase_data" / "1.bmp", drawn_cell(2))
    (cell,) = read(tmp_path)
    assert cell.path.parent.name == NUMBERED


def test_a_table_without_its_columns_is_refused(tmp_path: Path) -> None:
    write_preliminary(tmp_path, ("UID_57_29_1_all.bmp", "1.bmp", "1", CELL)).write_text(
        "a,b\n1,2\n"
    )
    with pytest.raises(DataError, match="'Patient_ids' is missing"):
        read(tmp_path)


def test_the_first_fault_is_told_with_how_many_more_there_are(tmp_path: Path) -> None:
    for number in range(3):
        write_training(tmp_path, "fold_0", "hem", f"UID_11_1_{number}_all", CELL)
    with pytest.raises(DataError, match=r"\(and 2 more: see leuko-train data check\)"):
        read(tmp_path)


def test_a_folder_without_either_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither fold_\*/all"):
        read(tmp_path)

"""An import writes each cell once, joins patients who share cells, and is whole or not at all."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import pytest

from edge_daemon.errors import DataError
from tests.trainer.data.drawn_cells import (
    drawn_cell,
    photographed_again,
    write_bmp,
    write_official,
    write_training,
)
from trainer.data.cell_import import DATA_JSON, REPEATS, ImportReport, import_cells
from trainer.data.cnmc import of_split, read_manifest, read_picture
from trainer.data.cnmc_official import official_cells
from trainer.data.data_manifest import DataManifest
from trainer.data.published_cells import compact_cells
from trainer.data.reading import read_strictly

_Item = TypeVar("_Item")


def imported(source: Path, out: Path, **options: object) -> ImportReport:
    cells = read_strictly(official_cells(source))
    return import_cells(cells, out, name="cnmc", **options)  # type: ignore[arg-type]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_official(tmp_path / "published")
    return tmp_path / "published"


def test_what_is_written_reads_as_the_compact_layout(source: Path, tmp_path: Path) -> None:
    report = imported(source, tmp_path / "out")
    records = read_manifest(tmp_path / "out")
    assert records == report.records
    assert len(records) == 12
    assert {record.fold for record in records} == {"fold_0", "fold_1", "prelim"}
    row = next(row for row in rows(tmp_path / "out" / "manifest.csv") if row["subject"] == "57")
    assert (row["file"], row["frame"], row["cell"]) == ("all/UID_57_29_1_all.webp", "29", "1")
    assert (row["width"], row["height"]) == ("450", "450")
    assert float(row["fg_frac"]) == pytest.approx(np.pi * 110**2 / 450**2, rel=0.2)


def test_pictures_lose_nothing_and_keep_the_digest_of_the_published_file(
    source: Path, tmp_path: Path
) -> None:
    imported(source, tmp_path / "out")
    published = source / "C-NMC_training_data" / "fold_0" / "all" / "UID_11_1_2_all.bmp"
    cell = next(r for r in read_manifest(tmp_path / "out") if "UID_11_1_2" in r.file)
    assert cell.original_sha256 == hashlib.sha256(published.read_bytes()).hexdigest()
    np.testing.assert_array_equal(
        read_picture(tmp_path / "out", cell)[..., ::-1], cv2.imread(str(published))
    )


def test_a_copy_under_another_patient_is_left_out_and_joins_them(
    source: Path, tmp_path: Path
) -> None:
    write_training(source, "fold_1", "all", "UID_57_9_9_all", drawn_cell(0))  # UID_11_1_1's
    report = imported(source, tmp_path / "out")
    assert report.copies == 1
    assert report.merged == ("11+57",)
    assert {r.group for r in report.records if r.subject in ("11", "57")} == {"11+57"}


def test_a_cell_photographed_again_stays_and_joins_its_patients(
    source: Path, tmp_path: Path
) -> None:
    again = photographed_again(drawn_cell(20))
    write_training(source, "fold_1", "hem", "UID_H40_2_1_hem", again)
    report = imported(source, tmp_path / "out")
    assert report.copies == 0
    assert report.merged == ("H1+H40",)
    (pair,) = rows(tmp_path / "out" / REPEATS)
    assert {pair["first"], pair["second"]} == {
        "hem/UID_H1_1_1_hem.webp",
        "hem/UID_H40_2_1_hem.webp",
    }


def test_copies_under_two_labels_are_refused(source: Path, tmp_path: Path) -> None:
    write_training(source, "fold_1", "hem", "UID_H9_1_1_hem", drawn_cell(0))
    with pytest.raises(DataError, match=r"is a copy of .* under another label"):
        imported(source, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_two_cells_of_one_name_are_refused(source: Path, tmp_path: Path) -> None:
    write_training(source, "fold_1", "all", "UID_11_1_1_all", drawn_cell(99))
    with pytest.raises(DataError, match=r"has the name of .* but shows another cell"):
        imported(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.write_bytes(b""), "is not a readable picture"),
        (lambda path: path.write_bytes(b"BM nothing"), "is not a readable picture"),
        (lambda path: write_bmp(path, np.zeros((9, 9, 3), np.uint8)), "everything is black"),
    ],
)
def test_a_picture_that_shows_no_cell_is_named_and_nothing_is_left(
    source: Path, tmp_path: Path, spoil: object, says: str
) -> None:
    path = source / "C-NMC_training_data" / "fold_0" / "all" / "UID_11_1_2_all.bmp"
    spoil(path)  # type: ignore[operator]
    with pytest.raises(DataError, match=says) as caught:
        imported(source, tmp_path / "out")
    assert str(path) in str(caught.value)
    assert [one.name for one in tmp_path.iterdir()] == ["published"]


def test_the_suggested_split_has_both_classes_on_both_sides(source: Path, tmp_path: Path) -> None:
    records = imported(source, tmp_path / "out").records
    for split in ("train", "val"):
        assert {record.label for record in of_split(records, split)} == {"blast", "normal"}


def test_the_same_source_and_seed_give_the_same_data(source: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        imported(source, tmp_path / name / "out", seed=3)
    one, two = (DataManifest.read(tmp_path / name / "out" / DATA_JSON) for name in ("one", "two"))
    assert one == two
    assert one.sets[0].counts["pictures"] == 12


def test_an_interrupted_import_leaves_nothing_and_can_be_run_again(
    source: Path, tmp_path: Path
) -> None:
    def pulled_plug(items: Iterable[_Item], what: str, total: int) -> Iterable[_Item]:
        for number, item in enumerate(items):
            if number == 5:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        imported(source, tmp_path / "out", progress=pulled_plug)
    assert [one.name for one in tmp_path.iterdir()] == ["published"]
    assert len(imported(source, tmp_path / "out").records) == 12


def test_what_a_killed_import_left_is_not_mistaken_for_data(source: Path, tmp_path: Path) -> None:
    left = tmp_path / ".out.part" / "all" / "UID_99_1_1_all.webp"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half a pic")
    imported(source, tmp_path / "out")
    assert not list(tmp_path.glob("**/UID_99*"))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["out", "published"]


def test_a_set_that_is_there_is_never_overwritten(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="is there already"):
        imported(source, tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


def test_a_compact_set_keeps_its_split_and_a_joined_group_goes_where_most_of_it_is(
    source: Path, tmp_path: Path
) -> None:
    first = imported(source, tmp_path / "one")
    # A patient of the validation side turns out to be one of the training side.
    table = tmp_path / "one" / "manifest.csv"
    other = next(r for r in first.records if r.label == "blast" and r.split == "train")
    picture = cv2.imread(str(tmp_path / "one" / other.file))
    cv2.imwrite(str(tmp_path / "one" / "all" / "UID_80_1_1_all.png"), photographed_again(picture))
    fraction = other.foreground_fraction
    with table.open("a") as lines:
        lines.write(f"all/UID_80_1_1_all.png,ALL,80,80,,,,,,,,,,{fraction},{'ab' * 32},val\n")
    report = import_cells(
        read_strictly(compact_cells(tmp_path / "one")), tmp_path / "two", name="c"
    )
    assert report.moved == ("80 (val)",)
    assert {r.split for r in report.records if r.subject in ("80", other.subject)} == {"train"}
    kept = {r.file: r.split for r in report.records if r.subject != "80"}
    assert kept == {r.file: r.split for r in first.records}


def test_real_cells_go_through_the_official_layout(leuko_data: Path, tmp_path: Path) -> None:
    root = leuko_data / "cnmc2019"
    taken: dict[str, int] = {}
    for record in read_manifest(root):
        taken[record.subject] = taken.get(record.subject, 0) + 1
        if taken[record.subject] <= 2:
            label = "all" if record.label == "blast" else "hem"
            picture = np.ascontiguousarray(read_picture(root, record)[..., ::-1])
            name = Path(record.file).stem
            write_training(tmp_path / "published", record.fold, label, name, picture)
    report = imported(tmp_path / "published", tmp_path / "out")
    assert len(report.records) + report.copies == sum(min(count, 2) for count in taken.values())
    published = {r.file: r for r in read_manifest(root)}
    for record in report.records:
        before = published[record.file]
        assert (record.label, record.subject, record.fold) == (
            before.label,
            before.subject,
            before.fold,
        )
        assert record.foreground_fraction == pytest.approx(before.foreground_fraction, abs=0.003)

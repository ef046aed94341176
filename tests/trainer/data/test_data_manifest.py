"""The manifest names the very data: the same everywhere, another for anything that changes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_daemon.errors import DataError
from tests.trainer.small_sets import write_sets
from trainer.data.cnmc import digest_of, read_manifest
from trainer.data.data_manifest import DataManifest, manifest_of_cells, manifest_of_fields
from trainer.data.fields import read_voc, read_yolo


def manifest_of(data: Path) -> DataManifest:
    cells = manifest_of_cells("cnmc2019", read_manifest(data / "cnmc2019"))
    voc = manifest_of_fields(read_voc(data / "bccd" / "train", "bccd/train"), "voc")
    yolo = manifest_of_fields(read_yolo(data / "txl-pbc" / "val", "txl-pbc/val"), "yolo")
    return DataManifest(sets=(cells, voc, yolo))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_sets(tmp_path / "data")
    return tmp_path / "data"


def test_counts_are_what_was_found(data: Path) -> None:
    cells, voc, _ = manifest_of(data).sets
    assert cells.counts == {
        "pictures": 16,
        "groups": 8,
        "train blast": 4,
        "train normal": 4,
        "val blast": 4,
        "val normal": 4,
    }
    assert voc.counts == {"pictures": 2, "wbc": 2, "rbc": 12, "platelet": 0, "unsound boxes": 0}


def test_it_comes_back_from_disk_and_does_not_depend_on_where_the_data_lie(
    data: Path, tmp_path: Path
) -> None:
    shutil.copytree(data, tmp_path / "elsewhere" / "deep")
    manifest_of(data).write(tmp_path / "data.json")
    read = DataManifest.read(tmp_path / "data.json")
    assert read == manifest_of(tmp_path / "elsewhere" / "deep")
    assert str(tmp_path) not in (tmp_path / "data.json").read_text()
    assert DataManifest(sets=read.sets[::-1]).digest == read.digest


def test_cells_have_the_digest_that_metrics_carry(data: Path) -> None:
    records = read_manifest(data / "cnmc2019")
    assert manifest_of_cells("c", records).digest == f"sha256:{digest_of(records)}"


def replace_text(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: replace_text(data / "cnmc2019/manifest.csv", f"{3:064d}", "a" * 64),
        lambda data: replace_text(data / "cnmc2019/manifest.csv", ",ALL,", ",HEM,"),
        lambda data: replace_text(
            data / "bccd/train/annotations_voc/btrain0.xml", ">260<", ">262<"
        ),
        lambda data: replace_text(data / "bccd/train/annotations_voc/btrain0.xml", "WBC", "RBC"),
        lambda data: (
            shutil.copy(
                data / "bccd/val/annotations_voc/bval0.xml", data / "bccd/val/images/bval0.jpg"
            )
            and shutil.copy(data / "cnmc2019/all/val0.png", data / "bccd/train/images/btrain0.jpg")
        ),
    ],
)
def test_whatever_changes_changes_the_digest(data: Path, change: Callable[[Path], None]) -> None:
    before = manifest_of(data).digest
    change(data)
    assert manifest_of(data).digest != before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "the file"),
        ('{"sets": [], "more": 1}', "more"),
        ('{"sets": [{"name": "a", "layout": "x", "counts": {}, "digest": ""}]}', "sets.0.layout"),
    ],
)
def test_a_broken_manifest_names_its_field(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "data.json").write_text(text)
    with pytest.raises(DataError, match=rf"data\.json: {says}"):
        DataManifest.read(tmp_path / "data.json")

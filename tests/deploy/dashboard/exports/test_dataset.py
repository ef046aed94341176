"""Reviewed cells go to the trainer, with the labels of people and the groups of patients."""

from __future__ import annotations

import csv
import json
from collections import Counter
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from deploy.dashboard.access import users
from deploy.dashboard.access.users import User
from deploy.dashboard.database.opening import Database
from deploy.dashboard.exports.cutting import on_black
from deploy.dashboard.exports.dataset import export_dataset
from deploy.dashboard.exports.errors import ExportError
from deploy.dashboard.exports.patients import read_patients
from deploy.dashboard.queries.cells import cells_of
from deploy.dashboard.review import decisions
from deploy.dashboard.review.anchor import verify_all
from edge_daemon.contract.envelope import utc_now
from tests.deploy.dashboard.filled import fill
from tests.deploy.dashboard.web.browser import PASSWORD
from tests.deploy.dashboard.web.conftest import SMALL_DAY
from trainer.cli import app as trainer
from trainer.data.cnmc import read_manifest

GIVEN = ("blast", "normal", "blast", "uncertain", "not_a_cell")


@pytest.fixture
def reviewed(database: Database) -> Database:
    """Three slides; on each, people looked at the worst cells."""
    fill(database, utc_now(), (SMALL_DAY[0], SMALL_DAY[2], SMALL_DAY[3]))
    with database.writing() as connection:
        rosa = users.add(connection, "rosa", "reviewer", PASSWORD)
        for slide in (1, 2, 3):
            decide(connection, rosa, slide)
    return database


def decide(connection: object, rosa: User, slide: int) -> None:
    page = cells_of(connection, slide, limit=24)  # type: ignore[arg-type]
    pictured = [one for one in page.rows if one.has_crop]
    for number, cell in enumerate(pictured):
        label = GIVEN[number % len(GIVEN)]
        decisions.decide(connection, rosa, slide, cell.unique_id, label, utc_now())  # type: ignore[arg-type]


def test_the_trainer_imports_what_people_said(reviewed: Database, tmp_path: Path) -> None:
    out, imported = tmp_path / "reviewed", tmp_path / "imported"

    written = export_dataset(reviewed, out, "rosa", utc_now())

    run = CliRunner().invoke(trainer, ["data", "import", str(out), "--out", str(imported)])
    assert run.exit_code == 0, run.output
    records = read_manifest(imported)
    assert len(records) == written.cells > 5
    assert sum(one.label == "blast" for one in records) == written.blasts
    assert {one.group for one in records} == {"S1", "S2", "S3"}
    about = {one["file"]: one for one in csv.DictReader((out / "provenance.csv").open())}
    assert {one.file: one.label for one in records} == {
        file: one["label"] for file, one in about.items()
    }
    check = CliRunner().invoke(trainer, ["data", "check", str(out)])
    assert check.exit_code == 0, check.output


def test_uncertain_and_no_cell_are_left_out_and_told(reviewed: Database, tmp_path: Path) -> None:
    written = export_dataset(reviewed, tmp_path / "out", "rosa", utc_now())

    with reviewed.reading() as connection:
        every = [one for n in (1, 2, 3) for one in cells_of(connection, n, limit=500).rows]
    said = Counter(one.reviewed_label for one in every if one.reviewed_label)
    assert written.left_out["called uncertain"] == said["uncertain"]
    assert written.left_out["called not a cell"] == said["not_a_cell"]
    assert written.cells + sum(written.left_out.values()) == sum(said.values())


def test_slides_of_one_patient_are_one_group_and_nobody_learns_who(
    reviewed: Database, tmp_path: Path
) -> None:
    file = tmp_path / "patients.csv"
    file.write_text(
        f"slide,patient\n{SMALL_DAY[0].name},Patient/4711\n{SMALL_DAY[3].name},Patient/4711\n"
    )

    written = export_dataset(
        reviewed, tmp_path / "one", "rosa", utc_now(), patients=read_patients(file)
    )
    export_dataset(reviewed, tmp_path / "two", "rosa", utc_now(), patients=read_patients(file))

    rows = list(csv.DictReader((tmp_path / "one" / "manifest.csv").open()))
    group_of = {row["file"].split("_")[2]: row["group"] for row in rows}
    assert group_of["1"] == group_of["3"] != group_of["2"]
    assert len({(row["group"], row["split"]) for row in rows}) == written.groups == 2
    for path in (tmp_path / "one").rglob("*"):
        assert "4711" not in path.name
        assert path.is_dir() or b"Patient/" not in path.read_bytes()
    one, two = ((tmp_path / name / "manifest.csv").read_bytes() for name in ("one", "two"))
    assert one == two, "the same decisions, the same set"


def test_who_took_it_is_in_the_audit_and_what_it_was_in_the_folder(
    reviewed: Database, tmp_path: Path
) -> None:
    written = export_dataset(reviewed, tmp_path / "out", "rosa", utc_now())

    said = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert said["made_by"] == "rosa"
    assert said["sha256"] == written.sha256
    assert said["bundles"] == list(written.bundles) != []
    with reviewed.reading() as connection:
        heads = verify_all(connection)
    assert said["reviews"] == {"rows": heads["reviews"].rows, "hash": heads["reviews"].hash}
    assert heads["audit"].rows == 1


def test_nothing_is_written_where_nobody_decided(reviewed: Database, tmp_path: Path) -> None:
    out = tmp_path / "out"

    with pytest.raises(ExportError, match="no cell to export"):
        export_dataset(reviewed, out, "rosa", utc_now(), since=utc_now() + timedelta(days=1))

    assert list(tmp_path.glob("out*")) == []
    out.mkdir()
    with pytest.raises(ExportError, match="there already"):
        export_dataset(reviewed, out, "rosa", utc_now())


def test_a_cell_is_cut_out_where_it_is(reviewed: Database) -> None:
    del reviewed
    picture = np.full((120, 130, 3), 235, np.uint8)
    cv2.circle(picture, (66, 61), 30, (170, 180, 225), -1)  # cytoplasm
    cv2.circle(picture, (66, 61), 24, (95, 60, 150), -1)  # nucleus
    cv2.circle(picture, (10, 10), 20, (220, 160, 160), -1)  # a red cell beside it

    cut = on_black(picture, 0.15)

    assert cut is not None
    inside = cut.max(axis=2) > 10
    area_um2 = inside.sum() * 0.044**2
    assert area_um2 == pytest.approx(np.pi * (30 * 0.15) ** 2, rel=0.08)
    ys, xs = np.nonzero(inside)
    assert (xs.mean(), ys.mean()) == pytest.approx((225, 225), abs=3)
    assert on_black(np.full((100, 100, 3), 230, np.uint8), 0.1) is None
    assert on_black(picture, 0.9) is None, "no cell is that large"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("slide;patient\n", "name slide and patient"),
        ("slide,patient\na,Smith\n", "line 2: give a slide and a reference"),
        ("slide,patient\na,Patient/1\na,Patient/2\n", "line 3: slide a is of another patient"),
        ("device,slide,patient\nd,a,Patient/1\n", "named by its site"),
    ],
)
def test_a_table_of_patients_that_cannot_be_meant(tmp_path: Path, text: str, line: str) -> None:
    file = tmp_path / "patients.csv"
    file.write_text(text)

    with pytest.raises(ExportError, match=line):
        read_patients(file)

"""``leuko-train data``: what it prints, what it writes, and one line for a user's mistake."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainer.data.drawn_cells import write_official
from tests.trainer.data.test_coco import box, write_coco
from tests.trainer.small_sets import write_sets
from trainer.data.cnmc import read_manifest
from trainer.data.data_manifest import DataManifest
from trainer.data.fold_file import read_folds

COMMAND = [sys.executable, "-c", "from trainer.cli import main; main()", "data"]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture
def published(tmp_path: Path) -> Path:
    write_official(tmp_path / "published")
    return tmp_path / "published"


def test_import_check_describe_and_split_follow_each_other(published: Path, tmp_path: Path) -> None:
    out = tmp_path / "cnmc"
    done = run("import", published, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "12 cells in 5 groups" in done.stdout

    done = run("check", out)
    assert (done.returncode, done.stdout) == (0, "cnmc (cnmc-compact): 0 errors, 0 warnings\n")

    (described,) = json.loads(run("describe", out, "--json").stdout)
    assert described["classes"] == {"blast": 8, "normal": 4}
    assert described["groups"]["H1"] == {"normal": 3}
    assert described["sizes"] == {"450x450": 12}
    assert described["manifest"]["digest"] == DataManifest.read(out / "data.json").sets[0].digest

    done = run("split", out, "--folds", "2", "--out", tmp_path / "folds.json")
    assert done.returncode == 0, done.stderr
    assert len(read_folds(tmp_path / "folds.json", read_manifest(out)).parts) == 2


def test_the_official_layout_is_described_by_fold_and_patient(published: Path) -> None:
    done = run("describe", published)
    assert "published (cnmc): 12 pictures, 5 groups" in done.stdout
    assert "split prelim: 2 blast, 1 normal" in done.stdout
    assert "group 57: 2 blast" in done.stdout


def test_whole_fields_stay_where_they_are_and_leave_a_manifest(tmp_path: Path) -> None:
    write_coco(tmp_path / "set", box(1, 9, 5, 5, 9, 9))
    done = run("import", tmp_path / "set", "--layout", "coco", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["data.json"]
    (found,) = DataManifest.read(tmp_path / "out" / "data.json").sets
    assert (found.layout, found.counts["rbc"]) == ("coco", 1)


def test_a_folder_of_sets_is_checked_set_by_set(tmp_path: Path) -> None:
    write_sets(tmp_path)
    (tmp_path / "cnmc2019" / "all" / "val0.png").write_bytes(b"")
    done = run("check", tmp_path)
    assert done.returncode == 8
    assert "val0.png: is not a readable picture" in done.stdout
    summary = done.stdout.splitlines()[-1]
    assert summary.startswith("bccd (voc), cnmc2019 (cnmc-compact), txl-pbc (yolo): ")


def test_a_group_in_two_splits_fails_the_check(published: Path, tmp_path: Path) -> None:
    run("import", published, "--out", tmp_path / "set")
    table = tmp_path / "set" / "manifest.csv"
    with table.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    rows[0]["split"] = {"train": "val", "val": "train"}[rows[0]["split"]]
    with table.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    done = run("check", tmp_path / "set")
    assert done.returncode == 8
    assert f"group '{rows[0]['group']}' is in two splits" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("describe", "{tmp}/nowhere"), "is no folder"),
        (("check", "{tmp}"), "holds neither"),
        (("import", "{published}", "--out", "{published}"), "is there already"),
        (("split", "{published}", "--out", "{tmp}/f.json"), "import single cells first"),
        (("import", "{published}", "--layout", "voc", "--out", "{tmp}/o"), "nothing of the layout"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_8(
    published: Path, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    if arguments[0] == "check":
        for path in published.rglob("*.bmp"):
            path.unlink()
        for path in published.rglob("*.csv"):
            path.unlink()
    done = run(*(one.format(tmp=tmp_path, published=published) for one in arguments))
    assert done.returncode == 8
    assert says in done.stderr + done.stdout
    assert done.stderr.count("\n") <= 1
    assert "Traceback" not in done.stderr


def test_help_loads_neither_torch_nor_opencv_nor_numpy() -> None:
    loaded = (
        "import sys; import trainer.cli; "
        "print(sorted({'torch', 'cv2', 'numpy', 'pydantic', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_nothing_of_it_needs_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; import trainer.data.soundness, "
        "trainer.data.cell_import, trainer.data.description, trainer.data.fold_file"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

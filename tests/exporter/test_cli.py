"""``leuko-export``: one line for a user's mistake, an exit code, and no torch for ``--help``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COMMAND = [sys.executable, "-c", "from exporter.cli import main; main()"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=120
    )


def test_verify_proves_every_model(small_bundle: Path) -> None:
    done = run("verify", str(small_bundle))
    assert done.returncode == 0, done.stderr
    assert "detector fp32" in done.stdout
    assert "classifier fp32" in done.stdout
    assert done.stdout.endswith("sound\n")


def test_a_folder_that_is_no_bundle_is_one_line(tmp_path: Path) -> None:
    done = run("verify", str(tmp_path))
    assert done.returncode == 3
    assert done.stderr.startswith("leuko-export: ")
    assert done.stderr.count("\n") == 1


def test_a_run_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = run(
        *("bundle", "--detector", str(tmp_path / "d"), "--classifier", str(tmp_path / "c")),
        *("--name", "x", "--version", "1.0.0", "--out", str(tmp_path)),
    )
    assert done.returncode == 26
    assert done.stderr.count("\n") == 1
    assert "is not a run folder" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_does_not_wait_for_torch() -> None:
    loaded = (
        "import sys; import exporter.cli; "
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"

"""Who imports whom, and what the device never loads."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

# Every module of the device, then the names of all that was loaded.
LOAD_THE_DEVICE = """
import importlib, pkgutil, sys
import edge_daemon
for module in pkgutil.walk_packages(edge_daemon.__path__, "edge_daemon."):
    importlib.import_module(module.name)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""

ASK_FOR_HELP = """
import sys
from edge_daemon.cli import main
sys.argv = ["leuko-edge", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done


def test_import_contracts_are_kept(repository: Path, tmp_path: Path) -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--cache-dir", tmp_path],
        cwd=repository,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout


def test_the_device_loads_nothing_of_the_workstation() -> None:
    loaded = set(run_python(LOAD_THE_DEVICE).stdout.split())

    assert not loaded & {"torch", "torchvision", "onnx", "sklearn", "trainer", "exporter", "deploy"}


def test_help_loads_no_engine_and_no_opencv() -> None:
    loaded = set(run_python(ASK_FOR_HELP).stderr.split())

    assert not loaded & {"openvino", "onnxruntime", "cv2"}


def test_help_answers_within_half_a_second() -> None:
    command = Path(sys.executable).with_name("leuko-edge")
    if not command.exists():
        pytest.skip("leuko-edge is not installed beside this Python: make venv")

    def processor_seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([command, "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # Time on the processor, best of three: what else the machine does is not the command's doing.
    assert min(processor_seconds() for _ in range(3)) < 0.5

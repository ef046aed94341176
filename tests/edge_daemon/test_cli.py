"""``leuko-edge`` as a user runs it: in a process of its own, with its exit codes and lines."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_daemon import __version__
from tests.edge_daemon.scenes import frame
from tests.mosquitto import Mosquitto


def leuko_edge(*arguments: object, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge_daemon.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    """The one line that says what is wrong."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("leuko-edge: ")]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    return lines[0]


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """Single-cell pictures in two folders, one of them broken."""
    folder = tmp_path / "cells"
    rng = np.random.default_rng(0)
    for name, colour in {"all/a.png": (60, 40, 200), "hem/b.png": (210, 60, 60)}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture = np.full((64, 64, 3), colour, np.uint8) + rng.integers(0, 9, (64, 64, 3), np.uint8)
        cv2.imwrite(str(folder / name), picture[..., ::-1])
    (folder / "all" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing more")
    return folder


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    folder = tmp_path / "frames"
    folder.mkdir()
    for index in range(3):
        big = cv2.resize(frame(white=2, red=6).pixels, (512, 512), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(folder / f"{index}.png"), big[..., ::-1])
    return folder


def test_help_answers_in_under_half_a_second():
    """In processor time, which a busy machine does not stretch."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert leuko_edge("--help").returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


def test_it_says_its_version():
    assert leuko_edge("--version").stdout == f"leuko-edge {__version__}\n"


@pytest.mark.parametrize(
    "command", ["run", "replay", "classify", "check", "control", "sources", "bench", "demo"]
)
def test_every_command_has_help(command):
    result = leuko_edge(command, "--help")
    assert result.returncode == 0
    assert "Options" in result.stdout


class TestClassify:
    def test_one_line_for_every_picture_broken_ones_too(self, tiny_bundle, cells, tmp_path):
        out = tmp_path / "out.jsonl"
        result = leuko_edge("classify", cells, "--bundle", tiny_bundle, "--out", out)
        assert result.returncode == 0, result.stderr
        lines = {line["source"]: line for line in map(json.loads, out.read_text().splitlines())}
        assert set(lines) == {"all/a.png", "hem/b.png", "all/broken.jpg"}
        assert lines["all/a.png"]["label"] == "blast"
        assert lines["hem/b.png"]["label"] == "normal"
        assert 0 <= lines["hem/b.png"]["p_blast"] < lines["all/a.png"]["p_blast"] <= 1
        assert lines["all/broken.jpg"]["p_blast"] is None
        assert "1 could not be read" in result.stderr

    def test_both_engines_say_the_same(self, tiny_bundle, cells):
        said = {}
        for engine in ("openvino", "onnxruntime"):
            result = leuko_edge(
                "classify", cells, "--bundle", tiny_bundle, "--out", "-", "--engine", engine,
                "--precision", "fp32",
            )  # fmt: skip
            said[engine] = {
                line["source"]: line["p_blast"]
                for line in map(json.loads, result.stdout.splitlines())
            }
        assert said["openvino"] == pytest.approx(said["onnxruntime"], abs=1e-4)

    def test_a_role_the_bundle_lacks(self, tiny_bundle, cells):
        result = leuko_edge(
            "classify", cells, "--bundle", tiny_bundle, "--out", "-", "--role", "second_opinion"
        )
        assert result.returncode == 3
        assert "has no role 'second_opinion'" in one_line(result)

    def test_an_empty_folder(self, tiny_bundle, tmp_path):
        (tmp_path / "empty").mkdir()
        result = leuko_edge("classify", tmp_path / "empty", "--bundle", tiny_bundle, "--out", "-")
        assert result.returncode == 5
        assert str(tmp_path / "empty") in one_line(result)


class TestReplay:
    def test_each_picture_has_its_line_with_its_name(self, tiny_bundle, frames, tmp_path):
        (frames / "3.jpg").write_bytes(b"no picture")
        out = tmp_path / "out.jsonl"
        result = leuko_edge("replay", frames, "--bundle", tiny_bundle, "--out", out)
        assert result.returncode == 0, result.stderr
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        assert [Path(line["source"]).name for line in lines] == ["0.png", "1.png", "2.png", "3.jpg"]
        assert lines[3]["outcome"] == "failed"
        assert "3.jpg" in result.stderr
        assert "4 captured" in result.stderr

    def test_pictures_show_every_frame_that_could_be_read(self, tiny_bundle, frames, tmp_path):
        (frames / "3.jpg").write_bytes(b"no picture")
        folder = tmp_path / "pictures"
        result = leuko_edge("replay", frames, "--bundle", tiny_bundle, "--pictures", folder)
        assert result.returncode == 0, result.stderr
        shapes = [cv2.imread(str(path)).shape for path in sorted(folder.iterdir())]
        assert shapes == [(512, 512, 3)] * 3

    def test_no_picture_at_all_was_analysed_is_said(self, tiny_bundle, tmp_path):
        result = leuko_edge("replay", tmp_path / "nowhere", "--bundle", tiny_bundle)
        assert result.returncode == 5
        assert "nowhere" in one_line(result)

    def test_results_wait_for_a_broker_that_is_not_there(self, tiny_bundle, frames, tmp_path):
        outbox = tmp_path / "outbox.db"
        result = leuko_edge(
            "replay", frames, "--bundle", tiny_bundle, "--broker", "mqtt://127.0.0.1:9",
            "--outbox", outbox, "--deliver-within", 0.5,
        )  # fmt: skip
        assert result.returncode == 6
        assert "messages still wait in" in one_line(result)
        assert outbox.exists()

    @pytest.mark.parametrize(
        ("arguments", "code", "told"),
        [
            (["--broker", "http://x"], 2, "write mqtt://host:port"),
            (["--out", "/nowhere/out.jsonl"], 2, "cannot write /nowhere/out.jsonl"),
            (["--pictures", "/dev/null/x"], 2, "cannot write /dev/null/x/frame-00000.jpg"),
            (["--precision", "int8"], 3, "has no int8 detector; it has fp32"),
            (["--slide", "a/b"], 9, "no valid name"),
        ],
    )
    def test_wrong_arguments(self, tiny_bundle, frames, arguments, code, told):
        result = leuko_edge("replay", frames, "--bundle", tiny_bundle, *arguments)
        assert told in one_line(result)
        assert result.returncode == code

    def test_a_wrong_bundle(self, frames, tmp_path):
        result = leuko_edge("replay", frames, "--bundle", tmp_path)
        assert result.returncode == 3
        assert "has no bundle.json" in one_line(result)


class TestCheck:
    def config(self, folder: Path, tiny_bundle: Path, broker: str, source: object) -> Path:
        path = folder / "device.toml"
        path.write_text(
            f'[source]\nurl = "{source}"\n[models]\nbundle = "{tiny_bundle}"\n'
            f'[broker]\nurl = "{broker}"\nconnect_timeout_s = 1.0\n'
        )
        return path

    def test_everything_works(self, tiny_bundle, frames, tmp_path, mosquitto):
        with Mosquitto(mosquitto, tmp_path / "broker") as broker:
            result = leuko_edge("check", self.config(tmp_path, tiny_bundle, broker.url, frames))
        assert result.returncode == 0, result.stderr
        said = [line.split()[:2] for line in result.stderr.splitlines()]
        names = ("config", "source", "optics", "bundle", "control", "broker", "disk")
        assert said == [["ok", name] for name in names]
        assert "not calibrated: no flat field" in result.stderr

    def test_what_does_not_work_is_said_and_the_rest_is_still_checked(self, tiny_bundle, tmp_path):
        path = self.config(tmp_path, tiny_bundle, "mqtt://127.0.0.1:9", tmp_path / "nowhere")
        result = leuko_edge("check", path)
        assert result.returncode == 1
        said = [line.split()[:2] for line in result.stderr.splitlines()]
        assert said == [
            ["ok", "config"],
            ["FAIL", "source"],
            ["ok", "optics"],
            ["ok", "bundle"],
            ["ok", "control"],
            ["FAIL", "broker"],
            ["ok", "disk"],
        ]

    def test_a_typo_in_the_configuration(self, tmp_path):
        path = tmp_path / "device.toml"
        path.write_text('[sorce]\nurl = "sim://"\n')
        result = leuko_edge("check", path)
        assert result.returncode == 1
        assert f"{path}:1: unknown key 'sorce'; did you mean 'source'?" in result.stderr


def test_the_daemon_does_not_know_torch(tiny_bundle, frames):
    code = (
        "import sys; from edge_daemon.cli import app; "
        f"arguments = ['replay', {str(frames)!r}, '--bundle', {str(tiny_bundle)!r}];"
        "app(arguments, standalone_mode=False);"
        "sys.exit('torch' in sys.modules or 'trainer' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert result.returncode == 0


def test_bench_times_every_precision_of_every_network_by_turns(tiny_bundle):
    said = leuko_edge(
        *("bench", "--networks", "--bundle", str(tiny_bundle), "--engine", "onnxruntime")
    )
    assert said.returncode == 0, said.stderr
    assert "detector" in said.stderr
    assert "classifier" in said.stderr
    assert "1.00" in said.stderr


def test_a_replay_of_what_has_no_end_is_stopped_by_a_signal(tiny_bundle, frames, tmp_path):
    """What lies in a watched folder is analysed, and what was found is printed."""
    out = tmp_path / "results.jsonl"
    command = [sys.executable, "-m", "edge_daemon.cli", "replay", f"watch://{frames}?settle_s=0"]
    command += ["--bundle", str(tiny_bundle), "--out", str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        until_s = time.monotonic() + 60
        while not (out.exists() and out.read_text().count("\n") >= len(list(frames.iterdir()))):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until_s
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "insufficient" in said

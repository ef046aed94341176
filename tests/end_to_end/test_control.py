"""A control with the shipped bundle: passed by the device as it is, and by nothing that is broken.

Rendered pictures are the stored control; what is broken is a bundle whose networks are sound and
whose reading of them is not, which its golden set cannot see, the pictures, and the scale.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_daemon.config import SHIPPED_BUNDLES, Config
from edge_daemon.contract.bundle import load_bundle, newest_bundle
from edge_daemon.contract.control import ControlRun
from edge_daemon.contract.messages import FrameResult, Health, Status
from edge_daemon.delivery.receiver import Receiver, wait_until
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.inference import Models
from edge_daemon.service.bundle_store import BundleStore
from edge_daemon.sources.base import Frame
from edge_daemon.sources.open import open_source
from tests.edge_daemon.scenes import LENIENT
from tests.edge_daemon.service.controlled import Life
from tests.edge_daemon.service.test_device_control import picture
from tests.edge_daemon.tiny_bundle import write_tiny_bundle
from tests.end_to_end.test_run import Heard, asked
from tests.mosquitto import Mosquitto

SLIDE = "sim://?seed=7&fields=5&overlap=0.1&white=8&blasts=0.4"
MIN_CELLS = 12


def broken_bundle(folder: Path, break_it: Callable[[dict[str, Any]], None]) -> Path:
    """The shipped bundle as version 0.6.1, sound to the last digest, with other settings."""
    path = folder / "leukoedge-0.6.1"
    shutil.copytree(newest_bundle(SHIPPED_BUNDLES), path)
    manifest = json.loads((path / "bundle.json").read_text())
    manifest["version"] = "0.6.1"
    break_it(manifest["roles"])
    (path / "bundle.json").write_text(json.dumps(manifest))
    return path


def lukewarm(roles: dict[str, Any]) -> None:
    """Every probability near a half."""
    for calibration in (roles["classifier"]["spec"], *roles["classifier"]["calibrations"].values()):
        calibration["temperature"] = 20.0


def short_sighted(roles: dict[str, Any]) -> None:
    """Only the surest of cells are found."""
    roles["detector"]["spec"]["score_thresholds"]["wbc"] = 0.97


@pytest.fixture(scope="module")
def shipped() -> Iterator[Models]:
    with Models.open(load_bundle(newest_bundle(SHIPPED_BUNDLES))) as models:
        yield models


def rendered(folder: Path) -> list[Frame]:
    """The slide as the camera sees it, also as files."""
    folder.mkdir()
    with open_source(SLIDE) as source:
        frames = [one for one in source if isinstance(one, Frame)]
    for one in frames:
        write_picture(folder / f"{one.index:03d}.png", one.pixels)
    return frames


def write_picture(file: Path, pixels: np.ndarray) -> None:
    cv2.imwrite(str(file), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))


def configured(folder: Path, um_per_px: float = 0.075, **control: Any) -> Config:
    return Config.model_validate(
        {
            "source": {"url": "camera://0", "um_per_px": um_per_px},
            "broker": {"url": "mqtt://127.0.0.1"},
            "control": {
                "required": True,
                "expected": folder / "control",
                "tolerances": {"min_cells": MIN_CELLS},
                **control,
            },
        }
    )


@pytest.fixture(scope="module")
def accepted(shipped: Models, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures, and what is expected of them."""
    folder = tmp_path_factory.mktemp("accepted")
    rendered(folder / "pictures")
    life = Life(shipped, folder, configured(folder, source=str(folder / "pictures")))
    life.service.turn()
    life.control.accept()
    life.die()
    return folder


@pytest.fixture
def folder(accepted: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "device"
    shutil.copytree(accepted, copy, ignore=shutil.ignore_patterns("outbox.db*"))
    return copy


def began(models: Models, folder: Path, **changes: Any) -> Life:
    """A device that has run its control by itself."""
    life = Life(models, folder, configured(folder, source=str(folder / "pictures"), **changes))
    life.service.turn()
    return life


def refusal(life: Life) -> str:
    """Why a slide may not begin: the command went through the desk, and comes back refused."""
    reply = life.ask("slide-start", slide="S-1")
    assert not reply.ok
    assert reply.reason is not None
    assert life.runs[0].verdict == "failed"
    assert life.runs[0].reasons[0].rstrip(".") in reply.reason
    return " ".join(life.runs[0].reasons)


def test_it_passes_decision_for_decision_and_a_slide_may_begin(shipped, folder):
    life = began(shipped, folder)
    (run,) = life.runs
    assert run.verdict == "passed", run.reasons
    assert run.reasons[0].startswith("Every decision is the same, on ")
    assert run.found is not None
    assert run.found.nucleated_cells >= MIN_CELLS
    assert life.ask("slide-start", slide="S-1").ok


@pytest.mark.parametrize(
    ("break_it", "told"),
    [(lukewarm, "% uncertain cells"), (short_sighted, "nucleated cells counted")],
)
def test_a_bundle_that_reads_its_networks_wrongly_is_found_out(folder, tmp_path, break_it, told):
    """Its golden set passes: the answers of its networks are right."""
    with Models.open(load_bundle(broken_bundle(tmp_path, break_it))) as models:
        said = refusal(began(models, folder))
    assert told in said
    assert "are expected" in said


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda pixels: (pixels * 0.7).astype(np.uint8), "The picture is too dark"),
        (lambda pixels: cv2.GaussianBlur(pixels, (0, 0), 2.5), "The picture is blunt"),
    ],
    ids=["darkened", "defocused"],
)
def test_pictures_that_are_not_what_they_were_are_found_out(shipped, folder, spoil, told):
    files = sorted((folder / "pictures").iterdir())
    whole = [file.read_bytes() for file in files]
    for file in files:
        pixels = cv2.imread(str(file))
        cv2.imwrite(str(file), spoil(pixels))
    life = began(shipped, folder)
    said = refusal(life)
    assert "These are not the pictures that were accepted" in said
    assert told in said
    for file, content in zip(files, whole, strict=True):
        file.write_bytes(content)
    assert life.ask("control-run").result == {"verdict": "passed"}
    assert life.ask("slide-start", slide="S-1").ok


def test_a_wrong_scale_is_found_out(shipped, folder):
    said = refusal(began(shipped, folder, um_per_px=0.15))
    assert "The scale is 0.15 um per pixel, 0.075 is expected" in said


def test_a_control_slide_through_a_camera_out_of_focus_is_found_out(shipped, tmp_path):
    frames = rendered(tmp_path / "pictures")
    life = Life(shipped, tmp_path, configured(tmp_path, slide="CONTROL"))

    def screened(spoil: Callable[[np.ndarray], np.ndarray] = lambda pixels: pixels) -> ControlRun:
        assert life.ask("slide-start", control=True).ok
        for one in frames:
            life.camera.take(
                Frame(0, one.source, one.captured_at, spoil(one.pixels), 0, 0.075, one.stage)
            )
            life.look()
        assert life.ask("slide-finish").ok
        return life.runs[0]

    assert screened().verdict == "failed"
    life.control.accept()
    run = screened(lambda pixels: cv2.GaussianBlur(pixels, (0, 0), 2.5))
    assert run.verdict == "failed"
    assert any(reason.startswith("The picture is blunt") for reason in run.reasons)
    assert "The picture is blunt" in refusal(life)
    assert screened().verdict == "passed"
    assert life.ask("slide-start", slide="S-1").ok


CONFIG = """
health_every_s = 0.2
[device]
site = "clinic-1"
name = "scope-2"
[source]
url = "sim://?seed=3&fields=400&fps=20"
um_per_px = 0.125
scan = false
[broker]
url = "{broker}"
reconnect_min_s = 0.1
[slide]
start = "on_command"
[models]
store = "store"
engine = "onnxruntime"
[commands]
allow = ["slide-start", "slide-finish", "bundle-stage", "bundle-activate", "control-accept"]
[quality]
{quality}
[control]
source = "known"
required = true
tolerances.min_cells = 6
"""


def indecisive_bundle(folder: Path) -> Path:
    """The tiny bundle as version 0.2.0, sound, and uncertain of everything."""
    path = write_tiny_bundle(folder, "0.2.0")
    manifest = json.loads((path / "bundle.json").read_text())
    manifest["roles"]["classifier"]["spec"]["abstain_band"] = [0.01, 0.99]
    (path / "bundle.json").write_text(json.dumps(manifest))
    return path


def test_a_device_from_accepting_its_control_to_a_bundle_that_does_not_pass_it(mosquitto, tmp_path):
    """The commands that a user types, a daemon, a broker, and whoever listens."""
    heard = Heard()
    config = tmp_path / "device.toml"
    ask = partial(asked, heard, tmp_path)
    (tmp_path / "known").mkdir()
    for index in range(4):
        write_picture(tmp_path / "known" / f"{index}.png", picture(white=2, red=4))
    store = BundleStore(tmp_path / "store")
    good = store.stage(write_tiny_bundle(tmp_path / "incoming"))
    store.begin(good.label)
    store.commit()

    def leuko_edge(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "edge_daemon.cli", "control", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def verdicts() -> list[str]:
        return [one.verdict for one in heard.of(ControlRun)]

    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(mosquitto, tmp_path / "broker"))
        quality = "\n".join(f"{name} = {value}" for name, value in LENIENT.model_dump().items())
        config.write_text(CONFIG.format(broker=broker.url, quality=quality))
        assert "Nothing is expected yet" in leuko_edge("run", config).stderr
        assert leuko_edge("accept", config).returncode == 0

        receiver = Receiver(BrokerSettings.from_url(broker.url), heard.take)
        receiver.start()
        stack.callback(receiver.stop)
        daemon = subprocess.Popen(
            [sys.executable, "-m", "edge_daemon.cli", "run", config], stderr=subprocess.DEVNULL
        )
        stack.callback(daemon.wait)
        stack.callback(daemon.kill)
        assert wait_until(lambda: verdicts() == ["failed", "passed"], 120)
        assert "the daemon is running: ask it" in leuko_edge("history", config).stderr
        assert wait_until(lambda: heard.of(Status)[-1].state == "online", 30)
        assert ask("control-accept", run=2).result["kind"] == "stored"
        assert wait_until(lambda: verdicts() == ["failed", "passed", "passed"], 60)

        other = indecisive_bundle(tmp_path / "incoming")
        assert ask("bundle-stage", path=str(other)).ok
        assert ask("bundle-activate", bundle="tiny-0.2.0").ok  # its golden set is passed
        reply = ask("slide-start", slide="S-1")
        assert not reply.ok
        assert "no slide may begin: the stored control failed: " in (reply.reason or "")
        assert "are expected" in (reply.reason or "")
        assert verdicts()[-1] == "failed"
        assert heard.of(ControlRun)[-1].bundle == load_bundle(other).digest
        assert wait_until(lambda: heard.of(Status)[-1].state == "degraded", 30)
        assert "the stored control failed" in (heard.of(Status)[-1].reason or "")
        assert wait_until(lambda: heard.of(Health)[-1].control is not None, 30)

        assert ask("bundle-activate", bundle=good.label).ok
        assert ask("slide-start", slide="S-1").ok
        assert verdicts()[-1] == "passed"
        assert wait_until(lambda: len(heard.of(FrameResult)) >= 2, 60)
        assert wait_until(lambda: heard.of(Status)[-1].state == "online", 30)
        assert wait_until(lambda: heard.of(Health)[-1].control is None, 30)
    shown = leuko_edge("history", config).stderr.splitlines()
    assert [line.split()[5] for line in shown] == [
        *("failed", "passed", "passed", "failed", "passed")
    ]

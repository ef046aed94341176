"""``leuko-edge control``: run, accept and look back, as a user does it while the daemon is down."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import pytest
from rich.console import Console

from edge_daemon.commands import control
from edge_daemon.commands.check import check
from edge_daemon.config import load_config
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.errors import ControlError
from tests.edge_daemon.control.controls import STORED, TOLERANCES, figures, run
from tests.edge_daemon.scenes import LENIENT
from tests.edge_daemon.service.test_device_control import picture

CONFIG = """
[source]
url = "sim://"
um_per_px = 0.125
scan = false
[broker]
url = "mqtt://127.0.0.1:9"
[models]
bundle = "{bundle}"
engine = "onnxruntime"
[quality]
{quality}
[control]
source = "known"
tolerances.min_cells = 6
"""


class Desk:
    """A console that remembers what was said."""

    def __init__(self) -> None:
        self._file = io.StringIO()
        self.console = Console(file=self._file, width=300)

    @property
    def said(self) -> str:
        return self._file.getvalue()


@pytest.fixture
def config(tmp_path: Path, tiny_bundle: Path) -> Path:
    (tmp_path / "known").mkdir()
    for index in range(4):
        cv2.imwrite(str(tmp_path / "known" / f"{index}.png"), picture(white=2, red=4)[..., ::-1])
    quality = "\n".join(f"{name} = {value}" for name, value in LENIENT.model_dump().items())
    path = tmp_path / "device.toml"
    path.write_text(CONFIG.format(bundle=tiny_bundle, quality=quality))
    return path


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_from_the_first_run_to_a_history(config, desk):
    assert not control.run(config, desk.console)
    assert "8 nucleated cells in 4 frames, 100.0 % blasts" in desk.said
    assert f"if this is right: leuko-edge control accept {config}" in desk.said
    control.accept(config, None, desk.console)
    assert (config.parent / "control" / "stored.json").is_file()
    assert control.run(config, desk.console)
    assert "Every decision is the same, on 8 nucleated cells." in desk.said
    again = Desk()
    control.history(config, 30, again.console)
    first, second = again.said.splitlines()
    assert first.split()[0] == "1"
    assert "Nothing is expected yet" in first
    assert "[·····:····o····:·····]" in second
    # What was said waits for the broker, as with the daemon.
    with Outbox(load_config(config).outbox.path) as outbox:
        assert outbox.depth().messages == 2


def test_while_the_daemon_runs_it_is_the_one_to_ask(config, desk):
    with (
        Outbox(load_config(config).outbox.path),
        pytest.raises(ControlError, match="the daemon is running: ask it"),
    ):
        control.history(config, 30, desk.console)


def test_without_a_control_there_is_nothing_to_run(config, desk):
    config.write_text(config.read_text().replace('source = "known"', ""))
    with pytest.raises(ControlError, match="no stored control is configured"):
        control.run(config, desk.console)
    control.history(config, 30, desk.console)
    assert "no control was run on this device yet" in desk.said


def test_check_says_what_is_expected(config, desk):
    check(config, desk.console)
    assert "nothing expected yet; not required" in desk.said
    control.run(config, desk.console)
    control.accept(config, 1, desk.console)
    config.write_text(config.read_text() + "tolerances.count = 0.5\n")
    again = Desk()
    check(config, again.console)
    assert "FAIL  control" in again.said
    assert "accepted under other tolerances" in again.said


@pytest.mark.parametrize(
    ("off", "chart"),
    [
        (0.0, "·····:····o····:·····"),
        (0.05, "·····:····|····o·····"),
        (-0.025, "·····:··o·|····:·····"),
        (0.2, "·····:····|····:····>"),
        (-0.2, "<····:····|····:·····"),
    ],
)
def test_how_far_a_run_was_off_is_seen(off, chart):
    assert control.chart_of(off, 0.05) == chart


def test_a_run_that_came_to_nothing_says_why():
    lost = run().model_copy(update={"found": None, "reasons": ("there is no such folder",)})
    assert control.history_line(lost, TOLERANCES).endswith("failed there is no such folder")
    drifted = STORED.model_copy(update={"found": figures(112, 400), "expected": figures()})
    assert "[·····:····|··o·:·····]" in control.history_line(drifted, TOLERANCES)

"""``leuko-deploy rollout`` as it is called."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.rollout.targets import Target
from tests.deploy.rollout.fleet import BACK, NEW, OLD, SimulatedFleet, wait_long
from tests.deploy.rollout.stage import Stage
from tests.mosquitto import Mosquitto

NAMES = ["lab/scope-1", "lab/scope-2"]
FILE = """
name = "paper-0.2.0"
repository = "{repository}"
[bundle]
name = "paper"
version = "0.2.0"
back_to = "0.2.1"
[devices]
sites = ["lab"]
[[waves]]
count = 1
soak_s = {soak_s}
[[waves]]
share = 1
soak_s = 0.2
"""


class Shell:
    """Somebody's, in the folder of the rollout."""

    def __init__(self, stage: Stage, soak_s: float = 0.2) -> None:
        self.stage = stage
        self.file = stage.folder / "rollout.toml"
        self.file.write_text(FILE.format(repository=stage.repository, soak_s=soak_s))
        self.folder = str(stage.rollout_folder)

    def command(self, *words: str, connected: bool = True) -> list[str]:
        code = "from deploy.cli import main; main()"
        where = ["--registry", str(self.stage.registry), "--broker", self.stage.url]
        return [sys.executable, "-c", code, "rollout", *words, *(where if connected else [])]

    def start(self, *words: str) -> list[str]:
        more = ["--hear", "0.5", "--folder", self.folder]
        return self.command("start", str(self.file), *more, *words)

    def does(self, command: list[str], *, says: str = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=120, input=says
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done


@pytest.fixture
def shell(stage: Callable[[list[str]], Stage]) -> Shell:
    return Shell(stage(NAMES))


def test_a_dry_run_changes_nothing(
    shell: Shell, broker: Mosquitto, bundles: dict[str, Target]
) -> None:
    with SimulatedFleet(broker.port, NAMES, bundles) as fleet:
        said = shell.does(shell.start("--dry-run"))
        assert said.returncode == 0
        assert said.stdout.startswith("rollout paper-0.2.0: paper-0.2.0 on 2 devices\n")
        assert "  lab/scope-1: paper-0.1.0 -> paper-0.2.0\n" in said.stdout
        plan = json.loads(shell.does(shell.start("--dry-run", "--json")).stdout)
        assert plan["schema"] == "leukoedge.rollout-plan/1"
        assert not fleet.orders
        assert fleet.versions() == [OLD] * 2
    assert shell.stage.entries() == []


def test_who_says_no_changes_nothing(
    shell: Shell, broker: Mosquitto, bundles: dict[str, Target]
) -> None:
    with SimulatedFleet(broker.port, NAMES, bundles) as fleet:
        assert "Begin?" in shell.does(shell.start(), says="n\n").stdout
        assert not fleet.orders


def test_from_start_to_undo(shell: Shell, broker: Mosquitto, bundles: dict[str, Target]) -> None:
    with SimulatedFleet(broker.port, NAMES, bundles) as fleet:
        done = shell.does(shell.start("--yes"))
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1].endswith(" done")
        status = shell.command("status", "--folder", shell.folder, connected=False)
        said = shell.does(status).stdout
        assert said.startswith("rollout paper-0.2.0: paper-0.2.0, done\n")
        assert "wave 2, up to 100% of all: 1 well\n" in said
        record = json.loads(shell.does([*status, "--json"]).stdout)
        assert (record["state"], record["late"]) == ("done", [])
        assert "each follows the one before" in shell.does([*status, "--verify"]).stdout

        undone = shell.does(shell.command("undo", "--folder", shell.folder, "--json"))

        assert undone.returncode == 1
        last = json.loads(undone.stdout.splitlines()[-1])
        assert (last["entry"]["kind"], last["entry"]["how"]) == ("ended", "undone")
        assert fleet.versions() == [BACK] * 2


def test_stopped_by_a_signal_it_is_gone_on_with(
    stage: Callable[[list[str]], Stage], broker: Mosquitto, bundles: dict[str, Target]
) -> None:
    shell = Shell(stage(NAMES), soak_s=2.0)
    with SimulatedFleet(broker.port, NAMES, bundles) as fleet:
        process = subprocess.Popen(shell.start("--yes"), stdout=subprocess.DEVNULL)
        assert wait_long(lambda: NEW in fleet.versions())
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 1
        pause = shell.command("pause", "--folder", shell.folder, connected=False)
        assert shell.does(pause).returncode == 0
        status = shell.command("status", "--folder", shell.folder, connected=False)
        assert "paused: " in shell.does(status).stdout
        began = time.monotonic()
        assert shell.does(shell.command("resume", "--folder", shell.folder)).returncode == 0
        assert time.monotonic() - began > 2.0, "the soak begins again"
        assert fleet.versions() == [NEW] * 2


def test_what_is_wrong_is_a_line(shell: Shell, tmp_path: Path) -> None:
    for command, told in (
        (shell.command("status", "--folder", str(tmp_path), connected=False), "no rollout in"),
        (shell.command("undo", "--folder", str(tmp_path)), "no rollout in"),
        (shell.command("start", str(tmp_path / "none.toml")), "cannot read"),
    ):
        said = shell.does(command)
        assert said.returncode == 19
        assert told in said.stderr
        assert len(said.stderr.splitlines()) == 1


def test_a_broker_that_is_not_there_is_a_line(shell: Shell, broker: Mosquitto) -> None:
    broker.stop()
    said = shell.does(shell.start("--yes"))
    assert said.returncode == 6
    assert "nothing listens there" in said.stderr
    assert shell.stage.entries() == []


def test_a_journal_that_was_altered_is_refused_by_status(
    shell: Shell, broker: Mosquitto, bundles: dict[str, Target]
) -> None:
    with SimulatedFleet(broker.port, NAMES, bundles):
        shell.does(shell.start("--yes"))
    journal = shell.stage.rollout_folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b"ordered", b"0rdered", 1))
    status = shell.command("status", "--folder", shell.folder, "--verify", connected=False)
    said = shell.does(status)
    assert said.returncode == 19
    assert "entry 1 is not what was written" in said.stderr

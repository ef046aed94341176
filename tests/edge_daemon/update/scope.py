"""A microscope as it stands in a laboratory: a real daemon, a real broker, a real repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from deploy.trust.add import add
from edge_daemon.config import load_config
from edge_daemon.contract.bundle import file_entry
from edge_daemon.contract.envelope import utc_now
from edge_daemon.contract.messages import Desired, DesiredBundle
from edge_daemon.contract.target import Compatibility
from edge_daemon.contract.topics import topic_of
from edge_daemon.delivery.link import open_link
from edge_daemon.delivery.parcel import Parcel
from edge_daemon.delivery.receiver import wait_until
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.errors import LeukoError
from edge_daemon.update.daemon import DaemonState, LocalDaemon
from edge_daemon.update.journal import Journal, JournalFile
from edge_daemon.update.trust import provision
from tests.deploy.trust.fleet import Fleet
from tests.edge_daemon.tiny_bundle import write_tiny_bundle

PATIENCE_S = 60.0
CONFIG = """
[device]
site = "lab"
name = "scope-1"
[source]
url = "sim://?seed=3&fields=1000&fps=5"
[slide]
start = "on_command"
[models]
engine = "onnxruntime"
[broker]
url = "{broker}"
reconnect_min_s = 0.1
reconnect_max_s = 0.5
[commands]
allow = ["slide-start", "slide-finish", "bundle-stage", "bundle-activate", "status"]
per_minute = 600
[update]
repository = "repository"
desired_file = "stick.json"
every_s = 1.0
"""


def order(version: str | None, *, device: str = "scope-1", at: datetime | None = None) -> Desired:
    bundle = None if version is None else DesiredBundle(name="tiny", version=version)
    ts = at or datetime.now(timezone.utc)
    return Desired(site="lab", device=device, ts=ts, id=uuid.uuid4().hex, bundle=bundle)


class Scope:
    """The microscope ``lab/scope-1``, which begins with ``tiny-0.1.0``."""

    def __init__(self, folder: Path, broker: str) -> None:
        self.folder = folder
        self.fleet = Fleet.founded(folder)
        self.file = folder / "device.toml"
        self.file.write_text(CONFIG.format(broker=broker))
        self.config = load_config(self.file)
        self.stick = folder / "stick.json"
        self._broker = BrokerSettings.from_url(broker)
        self._daemon: subprocess.Popen[bytes] | None = None
        provision(self.config.update.state, self.fleet.first_root.read_bytes())
        store = folder / "bundles"
        write_tiny_bundle(store, "0.1.0")
        (store / "active.json").write_text('{"active": "tiny-0.1.0"}')

    def start(self) -> None:
        command = [sys.executable, "-m", "edge_daemon.cli", "run", self.file]
        with (self.folder / "daemon.log").open("ab") as log:
            self._daemon = subprocess.Popen(command, stderr=log)
        assert wait_until(self._answers, PATIENCE_S), (self.folder / "daemon.log").read_text()

    def kill(self) -> None:
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon.wait(30)
            self._daemon = None

    def state(self) -> DaemonState:
        return LocalDaemon(self.config.local_socket).state()

    def _answers(self) -> bool:
        with suppress(LeukoError):
            self.state()
            return True
        return False

    def ask(self, name: str, **args: object) -> None:
        reply = LocalDaemon(self.config.local_socket)._ask(name, args)
        assert reply["ok"], reply

    def offer(
        self, version: str, *, bad: bool = False, compatibility: Compatibility = Compatibility()
    ) -> None:
        """Publish a bundle; a bad one does not answer as its golden set says."""
        bundle = write_tiny_bundle(self.folder / "made", version)
        if bad:
            with np.load(bundle / "golden.npz") as golden:
                answers = {name: golden[name] for name in golden.files}
            answers["classifier/logits"] = answers["classifier/logits"] + 7
            np.savez(bundle / "golden.npz", **answers)
            manifest = json.loads((bundle / "bundle.json").read_text())
            manifest["files"]["golden.npz"] = file_entry(bundle / "golden.npz").model_dump()
            (bundle / "bundle.json").write_text(json.dumps(manifest))
        add(self.fleet.repository, bundle, self.fleet.ring(), utc_now(), compatibility)
        self.fleet.publish()

    def say(self, desired: Desired) -> None:
        """Publish an order, retained, as the central side does."""
        link = open_link(self._broker, "central")
        link.publish(Parcel(topic_of(desired), desired.to_json(), "", 0, retain=True))
        while not link.take_acknowledgements():
            link.pump(0.1)
        link.close()

    def hears(self, desired: Desired) -> bool:
        """The daemon wrote the order down."""
        file = self.config.update.from_broker
        return wait_until(
            lambda: file.exists() and file.read_bytes() == desired.to_json(), PATIENCE_S
        )

    def put_stick(self, desired: Desired) -> None:
        """The order comes by hand."""
        self.stick.write_bytes(desired.to_json())

    @property
    def look_command(self) -> list[str]:
        return [sys.executable, "-m", "edge_daemon.cli", "update", "run", str(self.file), "--once"]

    def look(self) -> Journal:
        """One pass of the updater, in a process of its own."""
        done = subprocess.run(
            self.look_command, check=False, capture_output=True, text=True, timeout=120
        )
        assert done.returncode in (0, 1), done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return self.journal

    @property
    def journal(self) -> Journal:
        return JournalFile(self.config.update.state).read()

    def killed_at(self, step: str, when: str) -> None:
        """A pass that is killed just before or just after it writes down a step."""
        environment = {**os.environ, "KILLED_AT": step, "KILLED": when}
        done = subprocess.run(
            [sys.executable, "-c", _KILLED, *self.look_command[3:]],
            check=False,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == -9, (done.returncode, done.stderr)


_KILLED = """
import os, signal
from edge_daemon.update import journaled
real = journaled.write_whole
def write(path, content):
    step = f'"step": "{os.environ["KILLED_AT"]}"'.encode()
    reached = path.name == "journal.json" and step in content.replace(b'":"', b'": "')
    if reached and os.environ["KILLED"] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    real(path, content)
    if reached:
        os.kill(os.getpid(), signal.SIGKILL)
journaled.write_whole = write
from edge_daemon.cli import main
main()
"""

"""Microscopes as they stand in a laboratory: daemons, updaters, certificates, all of it real."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import numpy as np

from deploy.identity.authority import look_at
from deploy.identity.enrolment import CERTIFICATE, KEY, TRUSTED
from deploy.registry.enrolled import enrolments
from deploy.registry.store import Registry
from deploy.trust.add import add
from edge_daemon.config import load_config
from edge_daemon.contract.bundle import file_entry
from edge_daemon.contract.envelope import utc_now
from edge_daemon.errors import LeukoError
from edge_daemon.service.local_client import ask
from edge_daemon.update.daemon import DaemonState, LocalDaemon
from edge_daemon.update.journal import Journal, JournalFile
from edge_daemon.update.trust import provision
from tests.deploy.laboratory import Laboratory
from tests.deploy.rollout.device_process import leuko_edge
from tests.deploy.trust.fleet import Fleet
from tests.edge_daemon.shadow.altered import ALL_BLASTS
from tests.edge_daemon.tiny_bundle import write_tiny_bundle
from tests.nursery import Child

FIRST = "0.1.0"
CONFIG = """
[device]
site = "{site}"
name = "{name}"
[source]
url = "sim://?seed=3&fields=300&white=3&fps=5"
[slide]
start = "on_command"
[models]
engine = "onnxruntime"
[broker]
url = "{url}"
ca_file = "{ca}"
cert_file = "{cert}"
key_file = "{key}"
reconnect_min_s = 0.1
reconnect_max_s = 0.5
[commands]
allow = [
    "bundle-stage", "bundle-activate", "bundle-shadow", "status", "slide-start", "slide-finish",
]
per_minute = 600
[update]
repository = "{repository}"
every_s = 1.0
"""


class RealDevice:
    """A daemon and its updater, as systemd would run them."""

    def __init__(self, folder: Path, name: str, laboratory: Laboratory, fleet: Fleet) -> None:
        self.name, self.folder = name, folder
        folder.mkdir(parents=True)
        site, device = name.split("/")
        handed_out = laboratory.enrol(name)
        self.file = folder / "device.toml"
        self.file.write_text(
            CONFIG.format(
                site=site,
                name=device,
                url=laboratory.url,
                ca=handed_out / TRUSTED,
                cert=handed_out / CERTIFICATE,
                key=handed_out / KEY,
                repository=fleet.repository.folder,
            )
        )
        self.config = load_config(self.file)
        provision(self.config.update.state, fleet.first_root.read_bytes())
        store = folder / "bundles"
        write_tiny_bundle(store, FIRST)
        (store / "active.json").write_text(json.dumps({"active": f"tiny-{FIRST}"}))
        self._processes: list[Child] = []

    def start(self) -> None:
        for words in (["run"], ["update", "run"]):
            log = self.folder / f"{words[0]}.log"
            self._processes.append(Child(leuko_edge, [*words, str(self.file)], log))

    def begins(self, slide: str) -> None:
        """Have it screen a slide."""
        self._command("slide-start", slide=slide)

    def finishes(self) -> None:
        """Have it end its slide."""
        self._command("slide-finish")

    def _command(self, name: str, **arguments: str) -> None:
        said = {"command": name, "args": arguments, "operator": "lena"}
        reply = ask(self.config.local_socket, said)
        assert reply["ok"], reply

    def kill(self) -> None:
        for process in self._processes:
            process.kill()
        self._processes.clear()

    def state(self) -> DaemonState | None:
        """What its daemon uses; None where none answers."""
        with suppress(LeukoError):
            return LocalDaemon(self.config.local_socket).state()
        return None

    @property
    def label(self) -> str | None:
        state = self.state()
        return None if state is None else state.label

    @property
    def journal(self) -> Journal:
        return JournalFile(self.config.update.state).read()

    @property
    def log(self) -> str:
        return "".join(file.read_text() for file in self.folder.glob("*.log"))


def offer(
    fleet: Fleet,
    version: str,
    *,
    bad: bool = False,
    calls_all_blasts: bool = False,
    content_of: str | None = None,
) -> None:
    """Publish a bundle; a bad one does not answer as its golden set says."""
    made = fleet.folder / "made"
    if content_of is not None:
        source, as_version = made / f"tiny-{content_of}", version
        add(fleet.repository, source, fleet.ring(), utc_now(), as_version=as_version)
        fleet.publish()
        return
    bundle = write_tiny_bundle(made, version)
    if calls_all_blasts:
        manifest = json.loads((bundle / "bundle.json").read_text())
        manifest["roles"]["classifier"]["spec"].update(ALL_BLASTS)
        (bundle / "bundle.json").write_text(json.dumps(manifest))
    if bad:
        with np.load(bundle / "golden.npz") as golden:
            answers = {name: golden[name] for name in golden.files}
        answers["classifier/logits"] = answers["classifier/logits"] + 7
        np.savez(bundle / "golden.npz", **answers)  # type: ignore[arg-type]
        manifest = json.loads((bundle / "bundle.json").read_text())
        manifest["files"]["golden.npz"] = file_entry(bundle / "golden.npz").model_dump()
        (bundle / "bundle.json").write_text(json.dumps(manifest))
    add(fleet.repository, bundle, fleet.ring(), utc_now())
    fleet.publish()


def enrol_all(registry: Path, laboratory: Laboratory) -> None:
    """Enter in the registry who is enrolled."""
    with Registry(registry) as book:
        book.enrol(enrolments(look_at(laboratory.pki).journal, utc_now()))

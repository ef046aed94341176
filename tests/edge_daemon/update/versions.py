"""A microscope whose daemon is updated: real environments and links, wheels of a stand-in daemon.

The stand-in is installed from a real wheel and answers at a real socket; it screens nothing. How a
version misbehaves is written into it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import uuid
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from deploy.trust.add import add
from edge_daemon.config import load_config
from edge_daemon.contract.envelope import utc_now
from edge_daemon.contract.messages import Desired, DesiredBundle, ReleaseStanding, parse_message
from edge_daemon.contract.target import Compatibility
from edge_daemon.delivery.receiver import wait_until
from edge_daemon.errors import LeukoError
from edge_daemon.service.orders import AnswerFile
from edge_daemon.update.daemon import DaemonState, LocalDaemon
from edge_daemon.update.environment import CURRENT, PREVIOUS, Versions
from edge_daemon.update.release_journal import ReleaseJournal, ReleaseJournalFile
from edge_daemon.update.trust import provision
from tests.deploy.trust.fleet import Fleet
from tests.edge_daemon.update.own_wheel import write_archive

PATIENCE_S = 60.0
FIRST = "0.1.0"

CONFIG = """
[device]
site = "lab"
name = "scope-1"
[source]
url = "sim://?seed=3&fields=1000&fps=2"
[slide]
start = "on_command"
[broker]
url = "mqtt://127.0.0.1:1"
[local]
socket = "daemon.sock"
[update]
repository = "repository"
desired_file = "stick.json"
versions = "installed"
restart = {restart}
answers_within_s = {answers_within_s}
starts_within_s = 60.0
steady_s = 0.2
"""

STAND_IN = '''
"""A stand-in for the daemon: says its version and answers `status`; a fault of it is here."""
import json, os, socket, sys, tomllib, uuid
from pathlib import Path

VERSION, FAULT = {version!r}, {fault!r}

def main():
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        print("leuko-edge", VERSION if FAULT != "names itself otherwise" else "9.9.9")
    elif arguments[:2] == ["update", "self-check"]:
        if FAULT == "fails its self-check":
            sys.exit("leuko-edge: [source] url: this version does not know it")
        print("understands")
    elif arguments[:1] == ["run"]:
        run(Path(arguments[1]))

def run(config):
    if FAULT == "does not start":
        sys.exit("Traceback: it does not start")
    place = config.parent / tomllib.loads(config.read_text())["local"]["socket"]
    if FAULT == "never answers":
        place = place.with_name("elsewhere.sock")
    place.unlink(missing_ok=True)
    boot = uuid.uuid4().hex
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(place))
        door.listen()
        while True:
            caller, _ = door.accept()
            with caller:
                caller.makefile("rb").readline()
                caller.sendall(json.dumps(answer(boot, config)).encode() + b"\\n")
            if FAULT == "starts and dies":
                os._exit(1)

def answer(boot, config):
    slide = config.parent / "slide"
    state = {{"activity": "screening" if slide.exists() else "idle",
        "slide": {{"slide": "S-1"}} if slide.exists() else None,
        "daemon": "9.9.9" if FAULT == "says another version" else VERSION,
        "bundle": {{"name": "tiny", "version": "0.1.0", "fault": None}}}}
    digest = ("f" if FAULT == "uses another bundle" else "0") * 64
    return {{"ok": True, "reason": None, "boot_id": boot, "bundle": "sha256:" + digest,
        "result": state}}
'''


def write_stand_in(folder: Path, version: str, fault: str = "", requires: str = "") -> Path:
    """A wheel as pip installs it."""
    info = f"leukoedge-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    texts = {
        "edge_daemon/__init__.py": f"__version__ = {version!r}\n",
        "edge_daemon/cli.py": STAND_IN.format(version=version, fault=fault),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: leukoedge\nVersion: {version}\n"
        f"Provides-Extra: update\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nleuko-edge = edge_daemon.cli:main\n",
    }
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"leukoedge-{version}-py3-none-any.whl"
    write_archive(wheel, info, {name: text.encode() for name, text in texts.items()})
    return wheel


class Supervisor:
    """Stands in for systemd: starts what `current` points to, again when it ends or is asked."""

    def __init__(self, program: Path, config: Path, asked: Path) -> None:
        self._command = [str(program), "run", str(config)]
        self._asked, self._stop = asked, threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            if self._process is not None and self._asked.exists():
                self._asked.unlink()
                self._end()
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(
                    self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
        self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(60)


class Scope:
    """The microscope ``lab/scope-1``, which begins with version 0.1.0."""

    def __init__(self, folder: Path, *, answers_within_s: float = 20.0) -> None:
        self.folder = folder
        self.fleet = Fleet.founded(folder)
        self.file = folder / "device.toml"
        self.asked = folder / "restart"
        restart = json.dumps(["touch", str(self.asked)])
        self.file.write_text(CONFIG.format(restart=restart, answers_within_s=answers_within_s))
        self.config = load_config(self.file)
        self.versions = Versions(folder / "installed")
        provision(self.config.update.state, self.fleet.first_root.read_bytes())
        self._put_first()
        self._supervisor: Supervisor | None = None

    def _put_first(self) -> None:
        """As `docs/fleet/install.md` has it, without pip: it is never asked for here."""
        place = self.versions.place(FIRST)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
        (site,) = place.glob("lib/python*/site-packages")
        with zipfile.ZipFile(write_stand_in(self.folder / "dist", FIRST)) as wheel:
            wheel.extractall(site)
        program = self.versions.program(FIRST)
        program.write_text(
            f"#!{place}/bin/python\nfrom edge_daemon.cli import main\nmain()\n", encoding="utf-8"
        )
        program.chmod(0o755)
        self.versions.point(CURRENT, FIRST)

    def start(self) -> None:
        program = self.versions.root / CURRENT / "bin" / "leuko-edge"
        self._supervisor = Supervisor(program, self.file, self.asked)
        assert wait_until(lambda: self.runs is not None, PATIENCE_S)

    def stop(self) -> None:
        if self._supervisor is not None:
            self._supervisor.stop()
            self._supervisor = None

    def power_cut(self) -> None:
        """The daemon ends with everything else, and begins again with what `current` says."""
        self.stop()
        self.asked.unlink(missing_ok=True)
        self.start()

    def state(self) -> DaemonState:
        return LocalDaemon(self.config.local_socket, within_s=5.0).state()

    @property
    def runs(self) -> str | None:
        """Version of the daemon that answers."""
        with suppress(LeukoError):
            return self.state().daemon
        return None

    @property
    def links(self) -> tuple[str | None, str | None]:
        return self.versions.pointed(CURRENT), self.versions.pointed(PREVIOUS)

    def offer(
        self,
        version: str,
        fault: str = "",
        requires: str = "",
        fits: Compatibility = Compatibility(),
    ) -> None:
        """Publish a version, with an empty wheelhouse: it needs nothing."""
        wheelhouse = self.folder / "wheelhouse"
        wheelhouse.mkdir(exist_ok=True)
        wheel = write_stand_in(self.folder / "dist", version, fault, requires)
        ring = self.fleet.ring()
        add(self.fleet.repository, wheel, ring, utc_now(), fits, wheelhouse=wheelhouse)
        self.fleet.publish()

    def order(self, version: str | None) -> Desired:
        """By hand, as on a stick."""
        desired = Desired(
            site="lab",
            device="scope-1",
            ts=datetime.now(timezone.utc),
            id=uuid.uuid4().hex,
            daemon=None if version is None else DesiredBundle(name="leukoedge", version=version),
        )
        (self.folder / "stick.json").write_bytes(desired.to_json())
        return desired

    def update(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "edge_daemon.cli", "update", *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=180)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def look(self) -> ReleaseJournal:
        """One pass of the updater, in a process of its own."""
        self.update("run", str(self.file), "--once")
        return self.journal

    def carry_over(self) -> Desired:
        """Somebody orders a bundle, and repeats what was ordered of the daemon."""
        order = parse_message((self.folder / "stick.json").read_bytes())
        assert isinstance(order, Desired)
        news = {
            "id": uuid.uuid4().hex,
            "ts": datetime.now(timezone.utc),
            "bundle": DesiredBundle(name="tiny", version=FIRST),
            "daemon": order.first(order.daemon),
        }
        again = order.model_copy(update=news)
        (self.folder / "stick.json").write_bytes(again.to_json())
        return again

    @property
    def standing(self) -> ReleaseStanding | None:
        """What the daemon would publish of it."""
        told = AnswerFile(self.config.update.answer).read()
        return None if told is None else told.daemon

    @property
    def journal(self) -> ReleaseJournal:
        return ReleaseJournalFile(self.config.update.state).read()

    def killed_at(self, moment: str, when: str) -> None:
        """A pass that is killed just before or after it writes down a step, or moves a link."""
        environment = {**os.environ, "KILLED_AT": moment, "KILLED": when}
        command = [sys.executable, "-c", _KILLED, "update", "run", str(self.file), "--once"]
        done = subprocess.run(
            command, check=False, env=environment, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == -signal.SIGKILL, (done.returncode, done.stderr, done.stdout)

    def keep(self, version: str) -> Kept:
        """A copy of what an updater that was killed left on the disk of a version."""
        place = self.folder / "kept" / version
        shutil.copytree(self.config.update.state, place / "state")
        shutil.copytree(self.versions.place(version), place / "environment", symlinks=True)
        return Kept(version, place, (self.folder / "stick.json").read_bytes())

    def put_back(self, kept: Kept) -> None:
        """All of it as it was, with the first version in use."""
        self.stop()
        self.asked.unlink(missing_ok=True)
        (self.folder / "stick.json").write_bytes(kept.order)
        shutil.rmtree(self.config.update.state)
        shutil.copytree(kept.place / "state", self.config.update.state)
        self.versions.point(CURRENT, FIRST)
        self.versions.point(PREVIOUS, None)
        for version in (self.versions.root / "versions").iterdir():
            if version.name != FIRST:
                shutil.rmtree(version)
        environment = self.versions.place(kept.version)
        shutil.copytree(kept.place / "environment", environment, symlinks=True)
        self.start()


@dataclass(frozen=True)
class Kept:
    """A version that was built, and the order for it."""

    version: str
    place: Path
    order: bytes


_KILLED = """
import os, signal
from edge_daemon.update import environment, journaled
moment, when = os.environ["KILLED_AT"], os.environ["KILLED"]
def die(wanted):
    if when == wanted:
        os.kill(os.getpid(), signal.SIGKILL)
real = journaled.write_whole
def write(path, content):
    step = f'"step": "{moment}"'.encode()
    reached = path.name == "release.json" and step in content.replace(b'":"', b'": "')
    if reached:
        die("before")
    real(path, content)
    if reached:
        die("after")
journaled.write_whole = write
real_point = environment.Versions.point
def point(self, link, version):
    if link == moment:
        die("before")
    real_point(self, link, version)
    if link == moment:
        die("after")
environment.Versions.point = point
from edge_daemon.cli import main
main()
"""

"""Devices with an unprivileged sshd each, and a folder in the place of the root of its disk.

Two in CI, four in a soak.

A stand-in for systemd's command line writes down what it was told; systemd itself runs in
`tests/deploy/booted`.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from deploy.registry.store import Registry
from edge_daemon.delivery.receiver import wait_until
from tests.deploy.registry.fleet import enrolled
from tests.soak import repeated

_ALL = ("north/scope-1", "south/scope-1", "north/scope-2", "south/scope-2")
NAMES = tuple(sorted(_ALL[: repeated(2, full=4)]))

SYSTEMCTL = """#!/bin/sh
# A stand-in for systemctl: the daemon runs; whatever else it is told is written down.
if [ "$1" = is-active ]; then echo active; else echo "$*" >> {told}; fi
"""

SSHD = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
"""


class ReachedDevice:
    """One of them, which can be reached until it is stopped."""

    def __init__(self, name: str, folder: Path, sshd: Path, key: Path) -> None:
        self.name, self.folder, self._sshd = name, folder, sshd
        self.disk = folder / "disk"
        self.disk.mkdir(parents=True)
        self.told_file = folder / "told"
        systemctl = folder / "systemctl"
        systemctl.write_text(SYSTEMCTL.format(told=self.told_file))
        systemctl.chmod(0o755)
        make_key(folder / "host_key")
        shutil.copy(key.with_suffix(".pub"), folder / "authorized")
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (self.folder / "sshd_config").write_text(SSHD.format(port=self.port, folder=self.folder))
        command = [str(self._sshd), "-D", "-e", "-f", str(self.folder / "sshd_config")]
        with (self.folder / "sshd.log").open("wb") as log:
            self._process = subprocess.Popen(command, stderr=log, stdout=log)
        log_file = self.folder / "sshd.log"
        assert wait_until(lambda: b"Server listening" in log_file.read_bytes(), 30), (
            log_file.read_text()
        )

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    @property
    def known(self) -> str:
        """Its line of known hosts."""
        public = (self.folder / "host_key.pub").read_text().split()
        return f"[127.0.0.1]:{self.port} {public[0]} {public[1]}\n"

    def told(self) -> list[str]:
        """What systemd was told since the last time."""
        with suppress(FileNotFoundError):
            lines = self.told_file.read_text().splitlines()
            self.told_file.unlink()
            return lines
        return []

    def files(self) -> dict[str, tuple[int, bytes]]:
        """All of its disk: rights and content, links as where they lead."""
        found = {}
        for path in sorted(self.disk.rglob("*")):
            name = str(path.relative_to(self.disk))
            if ".ansible" in name:
                continue
            if path.is_symlink():
                found[name] = (0, os.fsencode(path.readlink()))
            elif path.is_file():
                found[name] = (path.stat().st_mode, path.read_bytes())
            else:
                found[name] = (path.stat().st_mode, b"")
        return found


class Ward:
    """The devices, and what a hospital's operations team has."""

    def __init__(self, folder: Path, sshd: Path) -> None:
        self.folder = folder
        self.key = folder / "operator"
        make_key(self.key)
        self.devices = {
            name: ReachedDevice(name, folder / name.replace("/", "-"), sshd, self.key)
            for name in NAMES
        }
        self.registry = folder / "registry.db"
        with Registry(self.registry) as book:
            book.enrol(dict.fromkeys(NAMES, enrolled()))
        self.hosts = folder / "hosts.toml"

    def start(self) -> None:
        for device in self.devices.values():
            device.start()
        self.refresh()

    def refresh(self) -> None:
        """Where the devices are now."""
        (self.folder / "known_hosts").write_text("".join(d.known for d in self.devices.values()))
        self.write_hosts()

    def stop(self) -> None:
        for device in self.devices.values():
            device.stop()

    def write_hosts(self) -> None:
        lines = [
            "[defaults]",
            f'user = "{getpass.getuser()}"',
            'key = "operator"',
            'known_hosts = "known_hosts"',
            "become = false",
            f'python = "{sys.executable}"',
            'broker = "mqtts://mqtt.lab.example"',
        ]
        for device in self.devices.values():
            lines += [
                f'["{device.name}"]',
                'address = "127.0.0.1"',
                f"port = {device.port}",
                f'prefix = "{device.disk}"',
                f'systemctl = "{device.folder}/systemctl"',
            ]
        self.hosts.write_text("\n".join(lines) + "\n")


def push(hosts: Path, registry: Path, *arguments: str, code: int = 0) -> list[str]:
    """A command of ``leuko-deploy push``; its lines, those on standard error last."""
    places = ("--hosts", str(hosts), "--registry", str(registry))
    done = subprocess.run(
        [sys.executable, "-c", "from deploy.cli import main; main()", "push", *arguments, *places],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert "Traceback" not in said, said
    return said.splitlines()


def make_key(place: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

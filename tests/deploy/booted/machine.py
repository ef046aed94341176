"""A machine with a real systemd, in namespaces of this one: where `docs/fleet/install.md` begins.

Its disk is this machine's own as it is, with all that is written kept in memory and forgotten at
the end. It shares this machine's network, so that it listens on 127.0.0.1 alone. Only root can make
one.
"""

from __future__ import annotations

import os
import shutil
import signal
import site
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_daemon.delivery.broker import free_port
from edge_daemon.delivery.receiver import wait_until
from tests.deploy.push.devices import make_key

PYTHON = f"/opt/python/bin/python{sys.version_info.major}.{sys.version_info.minor}"
"""What stands for JetPack's Python: it has all that the daemon needs, and not the daemon."""
_BOOTS_WITHIN_S = 60.0
_CONTROL_GROUPS = tuple(Path("/sys/fs/cgroup", name) for name in ("", "unified", "systemd"))
_IN_A_GROUP = f"""
for root in {" ".join(map(str, _CONTROL_GROUPS))}; do
  [ -w $root/cgroup.procs ] && mkdir -p $root/$1 && echo $$ >$root/$1/cgroup.procs
done
shift
exec "$@"
"""
"""A group of its own for the machine's processes, where this machine keeps groups."""


class Machine:
    """``boot`` it, then ``ask`` it as its operator; ``cut_power`` and boot again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key, self.port = folder / "operator", free_port()
        for name in ("written", "disk"):
            (folder / name).mkdir()
        make_key(self.key)
        make_key(folder / "host_key")
        public = (folder / "host_key.pub").read_text().split()
        known = f"[127.0.0.1]:{self.port} {public[0]} {public[1]}\n"
        (folder / "known_hosts").write_text(known)
        self._holder = self._with_a_disk()
        self._booted: subprocess.Popen[bytes] | None = None

    def _with_a_disk(self) -> subprocess.Popen[str]:
        """A process whose mounts are the machine's disk: they go when it ends."""
        at = "import site, sys; print(sys.base_prefix, site.getsitepackages()[0])"
        base = subprocess.run(
            [Path(sys.base_prefix) / "bin" / Path(PYTHON).name, "-c", at],
            check=True, capture_output=True, text=True,
        ).stdout.split()  # fmt: skip
        script = str(Path(__file__).with_name("disk.sh"))
        holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", script],
            env={
                **os.environ,
                "FOLDER": str(self.folder),
                "PORT": str(self.port),
                "PREFIX": base[0],
                "PACKAGES": site.getsitepackages()[0],
                "SEEN": str(Path(base[1]).relative_to(base[0])),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert holder.stdout is not None
        assert holder.stderr is not None
        if holder.stdout.readline() != "ready\n":
            raise RuntimeError(f"no disk: {holder.stderr.read()}")
        return holder

    @property
    def disk(self) -> Path:
        """Its files, seen from here."""
        return Path(f"/proc/{self._holder.pid}/root{self.folder}/disk")

    def boot(self) -> None:
        """Switch it on, until it can be reached."""
        command = [
            *("sh", "-c", _IN_A_GROUP, "sh", f"leuko-{self.port}"),
            *("nsenter", f"--target={self._holder.pid}", "--mount"),
            *("systemd-nspawn", f"--directory={self.folder}/disk", "--boot", "--register=no"),
            *("--keep-unit", f"--machine=leuko-{self.port}", "--console=pipe"),
            *("--resolv-conf=off", "--timezone=off", "--link-journal=no", "--quiet"),
        ]
        with (self.folder / "console.log").open("ab") as log:
            self._booted = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        up = wait_until(self._answers, _BOOTS_WITHIN_S)
        assert up, (self.folder / "console.log").read_text(errors="replace")[-3000:]

    def _answers(self) -> bool:
        try:
            return self.run("true").returncode == 0
        finally:
            time.sleep(0.1)

    def run(self, *command: str, within_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """A command line as its operator gives it over ssh; words are joined."""
        options = ("BatchMode=yes", f"UserKnownHostsFile={self.folder}/known_hosts")
        ssh = ["ssh", "-q", "-i", str(self.key), "-p", str(self.port)]
        ssh += [word for option in options for word in ("-o", option)]
        return subprocess.run(
            [*ssh, "operator@127.0.0.1", " ".join(command)],
            check=False, capture_output=True, text=True, timeout=within_s,
        )  # fmt: skip

    def ask(self, *command: str) -> str:
        """What a command line says; it must come to its end."""
        done = self.run(*command)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def shows(self, unit: str, *properties: str) -> list[str]:
        """What systemd knows of a unit."""
        said = self.ask("sudo", "systemctl", "show", unit, *(f"-p{one}" for one in properties))
        found = dict(line.split("=", 1) for line in said.splitlines())
        return [found[one] for one in properties]

    def journal(self, unit: str) -> str:
        """What a unit said."""
        return self.ask("sudo", "journalctl", "--no-pager", "-o", "cat", "-u", unit)

    @contextmanager
    def brisk(self, unit: str, *settings: str) -> Iterator[None]:
        """A unit with other times than it ships with."""
        folder = self.disk / f"etc/systemd/system/{unit}.d"
        folder.mkdir()
        (folder / "brisk.conf").write_text("\n".join(["[Service]", *settings, ""]))
        self.ask("sudo", "systemctl", "daemon-reload")
        try:
            yield
        finally:
            (folder / "brisk.conf").unlink()
            folder.rmdir()
            self.ask("sudo", "systemctl", "daemon-reload")

    def cut_power(self) -> None:
        """Every process ends in the middle of what it does; what is on the disk stays."""
        if self._booted is None:
            return
        first = _children(self._booted.pid)
        self._booted.kill()
        for process in first:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._booted.wait(30)
        self._booted = None

    def end(self) -> None:
        """Switched off, and nothing of it is left."""
        self.cut_power()
        self._holder.kill()
        self._holder.communicate(timeout=30)
        for root in _CONTROL_GROUPS:
            for folder, _, _ in os.walk(root / f"leuko-{self.port}", topdown=False):
                with suppress(OSError):  # of a process that has not quite gone
                    Path(folder).rmdir()


def why_not() -> str | None:
    """Why no machine can be made here; None where one can."""
    if os.geteuid() != 0:
        return "only root can boot a device in namespaces of its own"
    missing = [
        name
        for name in ("systemd-nspawn", "nsenter", "unshare", "sshd", "sudo", "ssh")
        if shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None
    ]
    if missing:
        return (
            f"{', '.join(missing)} not installed; on Debian: apt-get install systemd-container "
            "openssh-server sudo"
        )
    try_it = ("unshare", "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "x", "/mnt")
    tried = subprocess.run(try_it, check=False, capture_output=True, text=True)
    if tried.returncode != 0:
        return f"root may not make namespaces and mounts here: {tried.stderr.strip()}"
    return None


@contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """One that is switched on."""
    one = Machine(folder)
    try:
        one.boot()
        yield one
    finally:
        one.end()


def _children(parent: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]

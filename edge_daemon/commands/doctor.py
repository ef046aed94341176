"""``leuko-edge doctor``: one archive for whoever is to help, with nothing in it that names anyone.

No picture, no name of a slide, an operator, a site or a device, no address and no secret leaves the
device in it unless it is asked for. What is in it is printed, and is plain text to be read before
it is sent.
"""

from __future__ import annotations

import io
import json
import os
import platform
import re
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console

from edge_daemon import __version__
from edge_daemon.commands.check import check
from edge_daemon.commands.models import find_bundle
from edge_daemon.config import Config, load_config
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.engines.folder import engine_folder
from edge_daemon.engines.select import usable_engines
from edge_daemon.errors import ConfigError, LeukoError
from edge_daemon.ledger.audit import CommandAudit
from edge_daemon.ledger.slides import SlideLedger
from edge_daemon.service.host.readings import Host
from edge_daemon.whole_files import written_whole

_PACKAGES = (
    *("numpy", "opencv-python", "opencv-python-headless", "onnxruntime", "openvino", "tensorrt"),
    *("pycuda", "paho-mqtt", "pydantic", "starlette", "uvicorn", "typer"),
)
_HIDDEN = "(left out)"
_FROM_KERNEL = ("/proc/cpuinfo", "/proc/meminfo", "/etc/nv_tegra_release", "/etc/os-release")


def doctor(path: Path, out: Path, console: Console, *, names: bool = False) -> Path:
    """Write the archive ``out`` (``.tar.gz``) about the device that ``path`` configures.

    Args:
        path: the configuration file; one that cannot be read is itself a finding.
        out: where to write it.
        console: told what is in it.
        names: leave names and addresses in.

    Raises:
        ConfigError: the archive cannot be written.
    """
    config: Config | None = None
    try:
        config = load_config(path)
    except LeukoError as error:
        fault = str(error)
    else:
        fault = ""
    hide = _nothing if names or config is None else _hider(config)
    parts: dict[str, Callable[[], str]] = {
        "versions.txt": _versions,
        "machine.txt": _machine,
        "check.txt": lambda: _check(path),
        "configuration.json": lambda: fault or _configuration(config),
        "bundle.txt": lambda: _bundle(config),
        "engines.txt": lambda: _engines(config),
        "outbox.txt": lambda: _outbox(config),
    }
    texts = {name: hide(_told(part)) for name, part in parts.items()}
    try:
        _write(out, texts)
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror}; choose another --out") from None
    for name, text in texts.items():
        console.print(f"{name:20} {len(text.splitlines())} lines", highlight=False)
    said = "names and addresses are in it" if names else "no name, no address, no picture"
    console.print(f"{out}: {said}; read it before you send it", highlight=False, soft_wrap=True)
    return out


def _told(part: Callable[[], str]) -> str:
    """A part, or why there is none: what fails is what a helper wants to know."""
    try:
        return part()
    except Exception as error:  # noqa: BLE001 - the patient is ill; each finding by itself
        return f"could not be found out: {type(error).__name__}: {error}"


def _versions() -> str:
    return "\n".join(
        [
            f"leukoedge {__version__}",
            f"python {platform.python_version()}",
            *map(_version_of, _PACKAGES),
            f"engines that auto may choose: {', '.join(usable_engines())}",
        ]
    )


def _version_of(package: str) -> str:
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"{package} is not installed"


def _machine() -> str:
    host = Host(Path.cwd()).read()
    lines = [
        f"{platform.system()} {platform.release()} {platform.machine()}",
        f"processors: {os.cpu_count()}, this process may use {len(os.sched_getaffinity(0))}",
        f"load: {' '.join(f'{load:.2f}' for load in os.getloadavg())}",
        f"temperatures: {host.temperatures_c or 'none are told'}",
        f"power: {host.power_w or 'none is measured'}",
        f"throttled: {', '.join(host.throttled) or 'nothing is known to hold it back'}",
        f"clock quality: {host.clock.model_dump()}",
        f"clock: {time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime())}",
    ]
    for file in map(Path, _FROM_KERNEL):
        if file.is_file():
            content = file.read_text(errors="replace").splitlines()
            lines += ["", f"{file}:", *content[:40]]
    return "\n".join(lines)


def _check(path: Path) -> str:
    written = io.StringIO()
    with redirect_stderr(written):
        passed = check(path, Console(file=written, width=200))
    return f"{written.getvalue()}{'all of it works' if passed else 'not all of it works'}"


def _configuration(config: Config | None) -> str:
    return json.dumps({} if config is None else config.model_dump(mode="json"), indent=1)


def _bundle(config: Config | None) -> str:
    bundle = find_bundle(None if config is None else config.models.bundle)
    models = [
        f"{role} {precision}: {bundle.manifest.files[name].sha256[:16]}"
        for role in bundle.roles
        for precision, name in sorted(bundle.role(role).models.items())
    ]
    return "\n".join([f"{bundle.label} {bundle.digest}", *models])


def _engines(config: Config | None) -> str:
    folder = engine_folder(None if config is None else config.models.engine_cache)
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    sizes = (f"{file.relative_to(folder)} {file.stat().st_size} bytes" for file in files)
    return "\n".join(sizes) or "nothing is kept"


def _outbox(config: Config | None) -> str:
    if config is None:
        return "the configuration does not say where it is"
    with Outbox(config.outbox.path, budget_bytes=config.outbox.budget_mb << 20) as outbox:
        depth = outbox.depth()
        slides = SlideLedger(outbox).standings(limit=1000)
        commands = CommandAudit(outbox).entries(limit=1000)
    ends = Counter(str(slide.completion or "under way") for slide in slides)
    frames: Counter[str] = Counter()
    for slide in slides:
        frames.update(slide.frames.model_dump())
    refusals = Counter(entry.answer.reason for entry in commands if entry.answer.reason)
    return "\n".join(
        [
            f"waiting: {depth.model_dump()}",
            f"slides: {dict(ends)}",
            f"their frames: {dict(frames)}",
            f"commands: {len(commands)}, refused {sum(refusals.values())}",
            *(f"  {count} times: {reason}" for reason, count in refusals.most_common(20)),
        ]
    )


def _hider(config: Config) -> Callable[[str], str]:
    """Takes out of a text what names anyone or leads anywhere."""
    secret: set[str] = {config.device.site, config.device.name}
    secret |= set(_texts([config.slide.name, config.slide.operator, config.broker.username]))
    secret |= {config.broker.host, platform.node(), os.environ.get("USER", "")}
    secret |= {str(Path.home()), *_names_of_slides(config)}
    secret.add(urlsplit(config.update.repository or "").hostname or "")
    known = sorted((one for one in secret if len(one) > 2), key=len, reverse=True)

    def hide(text: str) -> str:
        for one in known:
            text = text.replace(one, _HIDDEN)
        text = re.sub(r"\b\d{1,3}(\.\d{1,3}){3}\b", _HIDDEN, text)
        text = re.sub(r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b", _HIDDEN, text, flags=re.IGNORECASE)
        return re.sub(r"(?im)^(serial|machine-id|hostname)\s*[:=].*$", rf"\1: {_HIDDEN}", text)

    return hide


def _names_of_slides(config: Config) -> set[str]:
    """Names of slides and operators: the reasons of refused commands repeat them."""
    try:
        with Outbox(config.outbox.path) as outbox:
            return set(SlideLedger(outbox).names())
    except LeukoError:  # in use by the daemon: then nothing of it is in the archive either
        return set()


def _texts(values: Iterable[Any]) -> Iterable[str]:
    return (value for value in values if isinstance(value, str))


def _nothing(text: str) -> str:
    return text


def _write(out: Path, texts: dict[str, str]) -> None:
    with written_whole(out) as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, text in texts.items():
            content = (text.rstrip() + "\n").encode()
            entry = tarfile.TarInfo(f"leuko-edge-doctor/{name}")
            entry.size = len(content)
            entry.mtime = int(time.time())
            archive.addfile(entry, io.BytesIO(content))

"""The demo: a broker, three daemons on simulated slides, the ingest, and the pages; all real parts.

What is told here was asked of the dashboard's own API, as any program would ask. Everything lies in
a folder that goes with the demo; it listens on 127.0.0.1 alone.
"""

from __future__ import annotations

import json
import secrets
import signal
import socket
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from deploy.dashboard.access import tokens, users
from deploy.dashboard.database.migrating import migrate
from deploy.dashboard.database.opening import Database
from deploy.dashboard.demo.programs import DEPLOY, EDGE, Programs
from edge_daemon.contract.envelope import utc_now
from edge_daemon.delivery.broker import demo_broker
from edge_daemon.errors import LeukoError

_STARTED_WITHIN_S = 90.0
_SHOWN_WITHIN_S = 300.0
_ASK_EVERY_S = 1.0
_TOLD_EVERY_S = 10.0
"""What only goes on as before; the pages show more."""
_BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
"""What devices run that are told nothing else."""
_SITE, _USER = "demo-lab", "demo"


@dataclass(frozen=True)
class Microscope:
    """One of the three."""

    name: str
    slide: str
    wanted: str
    """Parameters of the simulated slide."""


MICROSCOPES = (
    Microscope("microscope-1", "leukaemic", "seed=11&blasts=0.3&white=2.5&defects=0.03"),
    Microscope("microscope-2", "normal", "seed=12&blasts=0&white=2.5&defects=0.02"),
    Microscope("microscope-3", "borderline", "seed=13&blasts=0.08&white=2.5&defects=0.1"),
)


def run(
    console: Console,
    *,
    seconds: float | None = None,
    check: bool = False,
    port: int = 0,
    fields: int = 150,
    bundle: Path | None = None,
) -> None:
    """Run it until Ctrl-C, for so many ``seconds``, or until all three slides are shown.

    Raises:
        LeukoError: a part did not start, ended with an error, or the slides did not come in time.
    """
    began = time.monotonic()
    with (
        _ended_by_signal(),
        demo_broker() as broker,
        tempfile.TemporaryDirectory(prefix="leukoedge-dashboard-") as name,
        Programs(Path(name)) as programs,
    ):
        folder = Path(name)
        password, token = _begin(folder / "dashboard.db")
        database = ("--database", str(folder / "dashboard.db"))
        serve = (*DEPLOY, "dashboard", "serve", *database, "--bundles", str(bundle or _BUNDLES))
        pages = programs.start("pages", *serve, "--port", str(_free(port)))
        ingest = (*DEPLOY, "dashboard", "ingest", *database, "--broker", broker.url)
        programs.start("ingest", *ingest)
        for one in MICROSCOPES:
            config = folder / f"{one.name}.toml"
            config.write_text(_configuration(one, broker.url, fields, bundle), encoding="utf-8")
            programs.start(one.name, *EDGE, "run", str(config))
        url = pages.line(_STARTED_WITHIN_S).removeprefix("dashboard at ").rstrip("/")
        console.print(
            f"broker      {broker.name} at {broker.url}\n"
            f"devices     {', '.join(f'{_SITE}/{one.name}' for one in MICROSCOPES)}\n"
            f"dashboard   {url}/\n"
            f"sign in     {_USER}, password {password}\n"
            "Rendered cells: this shows that the path works, not how good the models are.\n"
            "Research use only. Ctrl-C ends all of it, and nothing is kept.",
            highlight=False,
            soft_wrap=True,
        )
        _watch(console, programs, url, token, began, seconds=seconds, check=check)


def _watch(
    console: Console,
    programs: Programs,
    url: str,
    token: str,
    began: float,
    *,
    seconds: float | None,
    check: bool,
) -> None:
    """Tell how the slides come in; returns when it is over."""
    told, told_s = "", 0.0
    states: list[str] = []
    all_told = False
    try:
        while True:
            passed = time.monotonic() - began
            programs.require_all()
            slides = _slides(f"{url}/api/v1", token)
            line = "; ".join(_in_words(one) for one in slides) or "no result yet"
            before, states = states, [one["state"] for one in slides]
            if line != told and (states != before or passed - told_s >= _TOLD_EVERY_S):
                console.print(f"{passed:5.1f} s  {line}", highlight=False, soft_wrap=True)
                told, told_s = line, passed
            if not all_told and _all_complete(slides):
                all_told = True
                console.print(
                    f"All three slides are complete; look at {url}/ (Ctrl-C ends the demo).",
                    highlight=False,
                    soft_wrap=True,
                )
            shown = {one["device"] for one in slides if one["nucleated"]}
            if check and len(shown) == len(MICROSCOPES):
                console.print(f"three devices' slides are shown, {passed:.1f} s after the start")
                return
            if check and passed > _SHOWN_WITHIN_S:
                raise LeukoError(f"the slides of three devices did not come: {line}")
            if seconds is not None and passed >= seconds:
                return
            time.sleep(_ASK_EVERY_S)
    except KeyboardInterrupt:
        console.print("ending")


def _begin(file: Path) -> tuple[str, str]:
    """The database, with one user; the password and a token, of this demo alone."""
    password = secrets.token_urlsafe(12)
    with Database(file) as database:
        migrate(database)
        with database.writing() as connection:
            users.add(connection, _USER, "admin", password, "Whoever tries this")
            token = tokens.make(connection, _USER, _USER, "viewer", 1, utc_now())
    return password, token


def _configuration(one: Microscope, broker: str, fields: int, bundle: Path | None) -> str:
    models = "" if bundle is None else f"\n[models]\nbundle = {json.dumps(str(bundle.resolve()))}\n"
    return f"""\
# A configuration of the demo; a device's own looks the same.
[device]
site = "{_SITE}"
name = "{one.name}"

[source]
url = "sim://?{one.wanted}&fields={fields}&overlap=0.3"
{models}
[broker]
url = "{broker}"

[outbox]
path = "{one.name}.db"

[slide]
name = "{one.slide}"
"""


def _slides(api: str, token: str) -> list[dict[str, Any]]:
    request = urllib.request.Request(  # noqa: S310 - our own address
        f"{api}/slides", headers={"Authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - as above
            found: list[dict[str, Any]] = json.load(answer)["items"]
    except (OSError, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError) and error.code == 503:
            return []  # the database is busy: asked again
        raise LeukoError(f"the dashboard does not answer: {error}") from None
    return sorted(found, key=lambda one: str(one["device"]))


def _all_complete(slides: list[dict[str, Any]]) -> bool:
    complete = {one["device"] for one in slides if one["state"] == "complete"}
    return len(complete) == len(MICROSCOPES)


def _in_words(slide: dict[str, Any]) -> str:
    share = "" if slide["fraction"] is None else f", {100 * slide['fraction']:.0f} % blasts"
    cells = "1 white cell" if slide["nucleated"] == 1 else f"{slide['nucleated']} white cells"
    return f"{slide['name']} {cells}{share} ({slide['state']})"


def _free(port: int) -> int:
    """The port, or any where somebody has it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Have SIGTERM end the demo as Ctrl-C does, and SIGINT also in the background.

    A shell has its background jobs ignore it, and Python keeps to that.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {one: signal.signal(one, end) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)

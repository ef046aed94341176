"""``leuko-deploy dashboard demo``, as a newcomer's first command, on short slides."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode

import pytest

_WITHIN_S = 240.0
COMMAND = (
    sys.executable, "-c", "from deploy.cli import main; main()", "dashboard", "demo", "--port", "0",
    "--fields", "12",
)  # fmt: skip


class Demo:
    """The command while it runs, and a browser that signed in as it says."""

    def __init__(self, folder: Path) -> None:
        self._said = (folder / "said").open("w+")
        self.process = subprocess.Popen(
            COMMAND, stdout=self._said, stderr=subprocess.STDOUT, start_new_session=True
        )
        self.began: set[int] = set()
        """Programs that ran: a device ends by itself once its slide is complete and delivered."""
        self._browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    @property
    def said(self) -> str:
        self._said.seek(0)
        return self._said.read()

    def waited_for(self, pattern: str) -> str:
        deadline_s = time.monotonic() + _WITHIN_S
        while time.monotonic() < deadline_s and self.process.poll() is None:
            self.began |= set(_children(self.process.pid))
            if found := re.search(pattern, self.said):
                return found[1]
            time.sleep(0.1)
        raise AssertionError(f"{pattern} was not said: {self.said}")

    def page(self, path: str, **form: str) -> str:
        data = urlencode(form).encode() if form else None
        with self._browser.open(f"{self.url}{path}", data, timeout=30) as answer:
            return str(answer.read().decode())

    def sign_in(self) -> None:
        self.url = self.waited_for(r"dashboard +(http://127\.0\.0\.1:\d+)/")
        password = self.waited_for(r"password (\S+)")
        token = re.search(r'name="csrf" value="([^"]+)"', self.page("/login"))
        assert token is not None
        self.page("/login", name="demo", password=password, csrf=token[1])

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            self._said.close()


@pytest.fixture
def demo(tmp_path: Path) -> Generator[Demo, None, None]:
    one = Demo(tmp_path)
    yield one
    one.end()


def test_three_devices_slides_come_into_the_worklist_and_ctrl_c_ends_all_of_it(demo: Demo) -> None:
    demo.sign_in()
    deadline_s = time.monotonic() + _WITHIN_S
    names = ("leukaemic", "normal", "borderline")
    page = ""
    while time.monotonic() < deadline_s and not all(f">{name}<" in page for name in names):
        assert demo.process.poll() is None, demo.said
        page = demo.page("/worklist")
        time.sleep(0.2)
    for name in names:
        assert f">{name}<" in page
    for number in (1, 2, 3):
        assert f"microscope-{number}" in page
    assert 'data-attribution="yes"' in demo.page("/slides/1"), "with the bundle that they run"
    assert demo.url in demo.waited_for(r"All three slides are complete; (look at \S+) \(Ctrl-C")

    assert len(demo.began) >= 5
    assert demo.end() == 0
    assert [one for one in demo.began if Path(f"/proc/{one}").exists() and not _is_over(one)] == []


def test_it_checks_itself_and_ends(tmp_path: Path) -> None:
    run = subprocess.run(
        (*COMMAND, "--check"), check=False, capture_output=True, text=True, timeout=_WITHIN_S
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert "three devices' slides are shown" in run.stdout
    assert "Traceback" not in run.stderr


def _children(parent: int) -> list[int]:
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(one) for one in found]


def _is_over(process: int) -> bool:
    return ") Z " in Path(f"/proc/{process}/stat").read_text()

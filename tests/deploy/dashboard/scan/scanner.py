"""Wapiti, a scanner of web applications, run as a program in an environment of its own.

It is under the GPL, so nothing of it is imported here and nothing of ours is installed beside it:
``make scan`` puts it into ``.venv-scan``, by the lock ``requirements/tools/scan.txt``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.house.checkout import REPOSITORY

LEVELS = ("info", "low", "medium", "high", "critical")
"""Wapiti's. It calls cross-site scripting that is reflected medium, and an open redirect low."""
PASSIVE = ("cookieflags", "csp", "http_headers", "https_redirect")
"""They look at what comes back; since 3.3 while it crawls, before that like all others."""
PASSIVE_SINCE_3_3 = (
    "inconsistent_redirection", "information_disclosure", "stacktrace_disclosure",
    "unsecure_password",
)  # fmt: skip
SURFACE = (*PASSIVE, "brute_login_form", "csrf", "htaccess", "methods")
"""What a browser meets: headers, cookies, forms, methods, easy passwords."""
ATTACKS = (
    "crlf", "exec", "file", "permanentxss", "redirect", "shellshock", "spring4shell", "sql",
    "ssrf", "timesql", "upload", "xss", "xxe",
)  # fmt: skip
"""What is put into every parameter, field and body. Not here: modules for other people's products
(cms, wapp, wp_enum, network_device), those that ask hosts elsewhere (log4shell, takeover, ssl,
nikto, htp), ``buster`` and ``backup``, which guess at paths that the routes tell, and ``ldap``:
nothing here speaks it, and it takes a page that shows the time (of the audit) for a hole."""
_LAUNCHED = re.compile(r"\[\*\] Launching module (\w+)")


@dataclass(frozen=True)
class Finding:
    """What the scanner says is wrong."""

    level: str
    kind: str
    module: str
    where: str
    parameter: str
    line: str

    @property
    def is_grave(self) -> bool:
        """Whether it may not be: a hole that something was put through, or medium and above."""
        return self.module in (*ATTACKS, "csrf") or self.level not in ("info", "low")

    def __str__(self) -> str:
        said = " ".join(self.line.split())
        return f"{self.level:8} {self.module}: {self.kind}: {self.where} {self.parameter}: {said}"


@dataclass(frozen=True)
class Report:
    """What came of a scan."""

    pages: int
    """Addresses that were crawled or given, and attacked."""
    requests: dict[str, int]
    """By module; ``crawl`` is what came before the first."""
    skipped: int
    """Requests that the network failed."""
    cut: tuple[str, ...]
    """Modules that had no time to finish."""
    findings: tuple[Finding, ...]
    took_s: float
    output: str = field(repr=False)

    @property
    def grave(self) -> list[Finding]:
        return [one for one in self.findings if one.is_grave]

    def figures(self) -> str:
        """For people: how much was done, and every finding; of information one and a count."""
        by_level = {level: sum(one.level == level for one in self.findings) for level in LEVELS}
        found = ", ".join(f"{count} {level}" for level, count in by_level.items())
        by_module = ", ".join(f"{name} {count}" for name, count in self.requests.items())
        done = (
            f"{self.pages} pages, {sum(self.requests.values())} requests in {self.took_s:.0f} s "
            f"({by_module}); {self.skipped} skipped; "
            f"not finished: {', '.join(self.cut) or 'none'}; findings: {found}"
        )
        told = sorted((one for one in self.findings if one.level != "info"), key=str)
        return "\n".join((done, *(f"  {one}" for one in told), *self._informations()))

    def _informations(self) -> Iterator[str]:
        by_kind: dict[tuple[str, str], list[Finding]] = {}
        for one in self.findings:
            if one.level == "info":
                by_kind.setdefault((one.module, one.kind), []).append(one)
        for found in by_kind.values():
            yield f"  {found[0]} ({len(found)} times)"


def find_scanner() -> Path | None:
    """The program, where ``make scan`` put it or ``LEUKO_SCANNER`` says; None: it is not here."""
    program = Path(os.environ.get("LEUKO_SCANNER", REPOSITORY / ".venv-scan" / "bin" / "wapiti"))
    return program if program.is_file() else None


def scan(
    program: Path,
    url: str,
    modules: Sequence[str],
    arguments: Sequence[str],
    folder: Path,
    count: Callable[[], int],
    *,
    attack_s: float | None = None,
) -> Report:
    """Crawl and attack what is below ``url``.

    Args:
        program: Wapiti.
        url: of the server, with a path.
        modules: of :data:`SURFACE` and :data:`ATTACKS`.
        arguments: who it is, where it starts, what it leaves alone.
        folder: an empty one, for its files.
        count: how many requests the server has had so far.
        attack_s: seconds for each module; None: until it is done.
    """
    newer = _version(program) >= (3, 3)
    asked = [*modules, *(PASSIVE_SINCE_3_3 if newer and set(PASSIVE) <= set(modules) else ())]
    command = [
        str(program), "-u", url, "--scope", "domain", "-m", ",".join(asked), *arguments,
        "-f", "json", "-o", str(folder / "report.json"), "--flush-session", "--no-bugreport",
        "-v", "1",
        "--store-session", str(folder / "session"), "--store-config", str(folder / "config"),
        *([] if attack_s is None else ["--max-attack-time", str(attack_s)]),
    ]  # fmt: skip
    began, before, module = time.monotonic(), count(), "crawl"
    requests: dict[str, int] = {}
    lines: list[str] = []
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        env=environment,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        for line in running.stdout:
            lines.append(line)
            if (launched := _LAUNCHED.search(line)) is not None:
                now = count()
                requests[module] = requests.get(module, 0) + now - before
                module, before = launched[1], now
    requests[module] = requests.get(module, 0) + count() - before
    output = "".join(lines)
    (folder / "output.txt").write_text(output)
    assert running.returncode == 0, output[-6000:]
    assert "Traceback" not in output, output[-6000:]
    missed = set(modules) - set(requests) - (set(PASSIVE) if newer else set())
    assert not missed, f"these modules did not run: {', '.join(sorted(missed))}\n{output[-6000:]}"
    pages, findings = _read(folder / "report.json")
    skipped = sum(int(one) for one in re.findall(r"(\d+) requests were skipped", output))
    cut = tuple(re.findall(r"Max attack time was reached for module (\w+)", output))
    return Report(pages, requests, skipped, cut, findings, time.monotonic() - began, output)


def _version(program: Path) -> tuple[int, ...]:
    """From what is installed beside it: to start it takes seconds."""
    (found,) = program.parents[1].glob("lib/python*/site-packages/wapiti3-*.dist-info")
    return tuple(int(part) for part in found.stem.split("-")[1].split("."))


def _read(report: Path) -> tuple[int, tuple[Finding, ...]]:
    said = json.loads(report.read_text("utf-8"))
    findings = tuple(
        Finding(
            LEVELS[one["level"]],
            kind,
            one["module"],
            f"{one['method']} {one['path']}",
            one["parameter"] or "",
            one["info"],
        )
        for part in ("vulnerabilities", "anomalies", "additionals")
        for kind, found in said[part].items()
        for one in found
    )
    return int(said["infos"]["crawled_pages_nbr"]), findings

"""Has a pin a known vulnerability? ``python -m tests.house.audit``, ``make audit``.

Asks PyPI's advisories about every pin of every lock with ``pip-audit --strict``, so that a pin that
nobody knows of fails too. Where the advisories cannot be had nothing is audited, and it says so:
a laboratory without a network must still be able to run the tests.

What lies in ``requirements/tools`` is not audited: it is installed with nothing of ours, and what
it pins is its own makers' choice.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.house.checkout import REPOSITORY

LOCKS = sorted((REPOSITORY / "requirements").glob("*.txt"))
KNOWN_BAD = "jinja2==2.4.1"
"""A release with advisories. A mirror of packages alone does not have these."""
_PIP_AUDIT = (sys.executable, "-m", "pip_audit", "--disable-pip", "--progress-spinner", "off")


def unreachable(osv: str | None = None, timeout_s: float = 10.0) -> str | None:
    """Why nobody tells of a vulnerability that is known, or None where somebody does."""
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder) / "known-bad.txt"
        lock.write_text(KNOWN_BAD + "\n")
        command = [*_PIP_AUDIT, "--no-deps", "--format", "json", "--timeout", str(int(timeout_s))]
        command += ["--requirement", str(lock), *_service(osv)]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        (found,) = json.loads(asked.stdout)["dependencies"]
    except (ValueError, KeyError):
        return asked.stderr.strip().rpartition("\n")[2] or "no answer"
    return None if found.get("vulns") else f"nobody knows anything of {KNOWN_BAD}"


def audit(locks: Sequence[Path], osv: str | None = None) -> int:
    """Print what is known of the locks' pins; the exit status of pip-audit.

    ``osv``: the address of an OSV service to ask instead of PyPI.
    """
    command = [*_PIP_AUDIT, "--strict", "--require-hashes", *_service(osv)]
    for lock in locks:
        command += ["--requirement", str(lock)]
    return subprocess.run(command, check=False).returncode


def _service(osv: str | None) -> list[str]:
    return [] if osv is None else ["--vulnerability-service", "osv", "--osv-url", osv]


def main() -> int:
    """Audit every lock, where that can be done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--osv-url", help="ask this OSV service instead of PyPI")
    parser.add_argument("locks", nargs="*", type=Path, default=LOCKS)
    chosen = parser.parse_args()
    if (why := unreachable(chosen.osv_url)) is not None:
        print(f"audit: NOT DONE, advisories cannot be had here: {why}", file=sys.stderr)
        return 0
    return audit(chosen.locks, chosen.osv_url)


if __name__ == "__main__":
    sys.exit(main())

"""Updates are an extra: a daemon that takes none carries none of it."""

from __future__ import annotations

import subprocess
import sys

SCREENING_ALONE = """
import sys
import edge_daemon.cli, edge_daemon.commands.run, edge_daemon.commands.device
assert not {"tuf", "securesystemslib", "edge_daemon.update"} & set(sys.modules)
"""

WITHOUT_THE_LIBRARY = """
import sys
from edge_daemon.errors import UpdateError
sys.modules["tuf"] = None
try:
    import edge_daemon.update.trust
except UpdateError as error:
    print(error)
"""


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_screens_slides_loads_nothing_of_it() -> None:
    run_python(SCREENING_ALONE)


def test_without_the_library_it_says_what_to_install() -> None:
    said = run_python(WITHOUT_THE_LIBRARY)

    assert said == "updates need python-tuf: pip install 'leukoedge[update]'\n"

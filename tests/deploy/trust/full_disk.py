"""Run on a file system that gets full: what is said, and what devices see then."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from deploy.trust.add import add
from deploy.trust.errors import TrustError
from tests.deploy.trust.fleet import Fleet, write_paper_bundle

if __name__ == "__main__":
    small = Path(sys.argv[1])
    fleet = Fleet.founded(small)
    fleet.offer("0.1.0")
    (small / "somebody-elses").write_bytes(bytes(500_000))
    with tempfile.TemporaryDirectory() as elsewhere:
        large = write_paper_bundle(Path(elsewhere), "0.2.0", bytes(200_000))
        try:
            add(fleet.repository, large, fleet.ring(), fleet.now())
        except TrustError as error:
            print(error)
        fleet.publish()
        print(f"devices see {fleet.device(str(Path(elsewhere) / 'device')).versions()}")

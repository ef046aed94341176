"""How large a change of a control slide is found, and how often an unchanged one fails.

``python -m tests.edge_daemon.control.detectable_table`` prints the table of decision 23. 400 cells
were counted when the expected result was accepted; both counts are binomial, tolerances are the
defaults.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import binom

from edge_daemon.control.exact import fisher_exact
from edge_daemon.control_settings import ControlTolerances

ACCEPTED = 400
FOUND_IN = 0.9


def fails(hits: int, cells: int, accepted_hits: int, limits: ControlTolerances) -> bool:
    """Whether a share is off, as :func:`edge_daemon.control.compare.compare` says it."""
    off = abs(hits / cells - accepted_hits / ACCEPTED) > limits.blast_fraction
    chance = fisher_exact(hits, cells, accepted_hits, ACCEPTED)
    return off and chance < limits.significance


def row(share: float, cells: int) -> tuple[float, float]:
    """How often an unchanged slide fails, and to which share it must rise to be found."""
    limits = ControlTolerances()
    middle, spread = ACCEPTED * share, 5 * (ACCEPTED * share * (1 - share)) ** 0.5
    accepted = np.arange(max(0, int(middle - spread)), int(middle + spread) + 1)
    weights = binom.pmf(accepted, ACCEPTED, share)
    table = np.array(
        [
            [fails(hits, cells, one, limits) for hits in range(cells + 1)]
            for one in accepted.tolist()
        ]
    )

    def failing(true: float) -> float:
        return float(weights @ table @ binom.pmf(np.arange(cells + 1), cells, true))

    risen = next(p for p in np.arange(share, 1.0, 0.01) if failing(p) >= FOUND_IN)
    return failing(share), float(risen)


if __name__ == "__main__":
    print("expected  cells  fails unchanged  found from (9 of 10 times)")
    for share in (0.02, 0.25):
        for cells in (100, 200, 400):
            unchanged, risen = row(share, cells)
            print(f"{share:8.0%}  {cells:5}  {unchanged:15.4%}  {risen:.0%}")

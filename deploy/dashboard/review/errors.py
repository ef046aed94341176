"""What can go wrong with a review, as one line for whoever decides."""

from __future__ import annotations

from edge_daemon.errors import LeukoError


class ReviewError(LeukoError):
    """This cannot be decided: no such cell or slide, or not by this person, or not now."""

    exit_code = 22


class ChainError(LeukoError):
    """The chain of decisions is broken, or is not the one that an anchor was made of."""

    exit_code = 23

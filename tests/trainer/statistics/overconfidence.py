"""A classifier that is surer than it may be, by a known factor."""

from __future__ import annotations

import numpy as np


def overconfident(count: int = 4000, factor: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are ``factor`` times what the truth was drawn from."""
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 1.5, count)
    truth = rng.random(count) < 1 / (1 + np.exp(-logit))
    return np.stack([np.zeros(count), factor * logit], axis=1), truth

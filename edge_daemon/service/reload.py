"""The configuration read again while the daemon runs, as far as that is safe.

What decides a result is fixed while a slide is open: thresholds, the quality gate and the names of
slides are taken at the next slide. Where the broker is may change at any time. What was opened at
the start (source, models, outbox, the device's own name) needs a new start, and a file that changes
any of it is refused as a whole: half of a file is nobody's intention.
"""

from __future__ import annotations

from edge_daemon.config import Config
from edge_daemon.errors import ConfigError

RELOADED = ("broker", "commands", "health_every_s", "ledger", "quality", "record", "slide")
"""Top level keys that may change without a new start."""


def changed(before: Config, after: Config) -> list[str]:
    """Top level keys that are not the same, in the order of the file."""
    return [name for name in Config.model_fields if getattr(before, name) != getattr(after, name)]


def reloaded(before: Config, after: Config) -> list[str]:
    """What is taken over of ``after``.

    Raises:
        ConfigError: something in it needs a new start.
    """
    names = changed(before, after)
    fixed = [name for name in names if name not in RELOADED]
    if fixed:
        raise ConfigError(
            f"{', '.join(fixed)} cannot change while the daemon runs: restart it, or put back what "
            "was there; nothing was taken over"
        )
    return names

"""A thread that steps back: what works beside the frame loop lets the loop go first."""

from __future__ import annotations

import logging
import os
import threading

_NICENESS = 10

log = logging.getLogger(__name__)


def step_back() -> None:
    """Let this thread's work on the processor wait for the frame loop's (Linux: per thread)."""
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
    except (AttributeError, OSError):  # not on this system: it competes, and that is all
        log.debug("no niceness for %s here", threading.current_thread().name)

"""What whoever opens a source asks for: the same for every kind, a third party's included."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from edge_daemon.sources.base import OnEvent, Source
from edge_daemon.sources.reading import ReadingRules


@dataclass(frozen=True)
class SourceRequest:
    """An address, and how its frames are wanted.

    ``address`` is the whole as the operator wrote it, ``rest`` what stands behind ``://``.
    """

    address: str
    rest: str
    scan: bool = False
    """The pictures of a folder overlap and show one field."""
    recursive: bool = True
    """A folder's own folders are searched too."""
    um_per_px: float | None = None
    """Scale of the pictures, if known."""
    rules: ReadingRules | None = None
    """Limits and conversions for files."""
    stop: threading.Event = field(default_factory=threading.Event)
    """A source without an end ends its iteration when this is set."""
    on_event: OnEvent | None = None
    """Told what the operator must know of a live source."""
    may_come_later: bool = False
    """A device or folder that is absent when it is entered is waited for: its source is then in
    ``trouble`` until it is there. Otherwise it raises AbsentSourceError."""


OpenSource: TypeAlias = Callable[[SourceRequest], Source]
"""Gives the source that is meant, not yet opened; raises SourceError with one line."""

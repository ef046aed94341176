"""The candidate of this device: put into shadow by command, kept there over starts, put aside.

It is opened, exchanged and closed between slides only, so that a slide has one candidate or none.
Whatever is wrong with it is one line for whoever asked for it; the active bundle goes on untouched.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from pydantic import Field

from edge_daemon.contract.base import StrictModel
from edge_daemon.contract.bundle import load_bundle
from edge_daemon.contract.messages import Command
from edge_daemon.contract.shadow import ShadowReport
from edge_daemon.engines.options import EngineOptions
from edge_daemon.errors import BundleError, LeukoError
from edge_daemon.service.bundle_store import BundleStore
from edge_daemon.service.commands import arguments
from edge_daemon.service.progress import Progress
from edge_daemon.shadow.candidate import Shadow

PROVEN_FRAMES = 500
"""A candidate that came through so many frames is not what ends the daemon."""

log = logging.getLogger(__name__)


class _ShadowArgs(StrictModel):
    bundle: str | None = Field(default=None, min_length=1, max_length=160)
    """Name and version, as it is staged; null takes the candidate out of shadow."""


class Shadowing:
    """Which candidate looks on. For the thread of the frame loop; closed with the daemon."""

    def __init__(
        self,
        store: BundleStore,
        options: EngineOptions,
        progress: Progress,
        within_s: float,
        note: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        """No candidate looks on yet.

        Args:
            store: where bundles are staged, and where it is written down which one looks on.
            options: how networks are run here.
            progress: told that opening one may take ``within_s``.
            within_s: engines of a GPU may have to be built.
            note: given one line for people who look at this device; None takes it back.
        """
        self._store = store
        self._options = options
        self._progress = progress
        self._within_s = within_s
        self._note = note
        self._shadow: Shadow | None = None

    def start(self) -> None:
        """The daemon starts: go on with the candidate there was. Raises nothing."""
        label = self._store.state.shadow
        try:
            folder = self._store.start_shadow()
            if folder is not None and label is not None:
                self._shadow = self._opened(label)
        except LeukoError as error:
            log.error("no bundle is in shadow any more: %s", error)
            self._put_aside(str(error))
        else:
            self._tell()

    def command(self, command: Command) -> dict[str, Any]:
        """``bundle-shadow``: put a staged bundle into shadow, or end the shadow.

        Raises:
            BundleError: it is not staged, or not sound.
            EngineError: it cannot be opened here, or does not pass its golden set.
        """
        label = arguments(_ShadowArgs, command).bundle
        opened = None
        if label is not None:
            try:
                with self._progress.busy(f"opening candidate {label}", self._within_s):
                    opened = self._opened(label)
            except LeukoError as error:  # so that whoever asks again knows that it was tried
                self._store.refuse_shadow(label, str(error))
                raise
        try:
            self._store.put_into_shadow(label)
        except BundleError:
            _close(opened)
            raise
        _close(self._shadow)
        self._shadow = opened
        self._tell()
        log.warning("in shadow: %s", label or "no bundle")
        return self.status

    def begin(self, first_frame: int) -> Shadow | None:
        """A slide begins, or is taken up again at ``first_frame``; who looks on at it."""
        if self._shadow is not None and self._shadow.fault is not None:
            self._let_go()
        if self._shadow is not None:
            self._shadow.begin(first_frame)
        return self._shadow

    def reported(self, report: ShadowReport) -> None:
        """A report on it was stored: has it proven itself, or failed?"""
        if report.fault is not None:
            if self._store.state.shadow is not None:
                self._put_aside(report.fault)
        elif report.completion is not None or report.frames.compared >= PROVEN_FRAMES:
            self._prove()

    def activated(self) -> None:
        """Another bundle is active; if it was the candidate, there is none any more."""
        if self._shadow is not None and self._store.state.shadow is None:
            _close(self._shadow)
            self._shadow = None
            self._tell()

    def close(self) -> None:
        """The daemon ends in good order: the candidate is here again at the next start."""
        shadow = self._shadow
        if shadow is None:
            return
        _close(shadow)
        if shadow.fault is None:
            self._prove()
        else:  # as when a lost GPU ends the daemon: it must not come back with the next start
            self._let_go()

    @property
    def status(self) -> dict[str, Any]:
        """What the answer to ``status`` says of it."""
        shadow = self._shadow
        looks_on = None
        if shadow is not None and shadow.fault is None:
            looks_on = {**shadow.candidate.model_dump(), "engines": shadow.engines}
        fault = shadow.fault if shadow is not None else None
        return {"shadow": looks_on, "shadow_fault": fault or self._store.state.shadow_fault}

    def _opened(self, label: str) -> Shadow:
        bundle = load_bundle(self._store.path(label))
        return Shadow.of(bundle, self._options).__enter__()

    def _let_go(self) -> None:
        """It failed: close what is left of it, and have no candidate."""
        shadow, self._shadow = self._shadow, None
        _close(shadow)
        if shadow is not None and shadow.fault and self._store.state.shadow is not None:
            self._put_aside(shadow.fault)

    def _put_aside(self, fault: str) -> None:
        try:
            self._store.put_shadow_aside(fault)
        except BundleError as error:  # the disk is full: results come first, and it is told there
            log.error("%s", error)
        self._tell()

    def _prove(self) -> None:
        try:
            self._store.prove_shadow()
        except BundleError as error:
            log.warning("%s", error)

    def _tell(self) -> None:
        status = self.status
        if status["shadow"] is not None:
            label = status["shadow"]["bundle"]
            self._note(f"{label} is in shadow: it sees the same frames and changes no result")
        elif status["shadow_fault"] is not None:
            self._note(f"no bundle is in shadow any more: {status['shadow_fault']}")
        else:
            self._note(None)


def _close(shadow: Shadow | None) -> None:
    if shadow is not None:
        shadow.__exit__(None, None, None)

"""From an order to a bundle in use: one pass that can be cut off anywhere and made again.

Every step is done, then written down; each can be done twice without harm. The daemon alone decides
what it uses (decision 21): until it says that the new bundle is proven, the old one is the one.
"""

from __future__ import annotations

import math
import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from edge_daemon.contract.bundle import load_bundle
from edge_daemon.contract.envelope import as_reason, utc_now
from edge_daemon.contract.messages import DesiredBundle
from edge_daemon.contract.target import Machine
from edge_daemon.errors import BundleError, LeukoError, UpdateError
from edge_daemon.update.archive import unpack
from edge_daemon.update.daemon import DaemonState
from edge_daemon.update.desired import follow
from edge_daemon.update.journal import ENDS, Journal, JournalFile
from edge_daemon.update.offers import Offer, newer_than
from edge_daemon.update.standing import StandingFile
from edge_daemon.update.trust import TrustedRepository

MOST_DEATHS = 3
"""So often may the daemon end while a bundle is being tried, before the order is given up."""
ASK_EVERY_S = 3600.0
"""The daemon is asked what it uses, where nothing is to be done: each question is in its audit."""
_UNPACKED = "unpacked"


class Daemon(Protocol):
    """What the updater asks of the daemon: see :class:`edge_daemon.update.daemon.LocalDaemon`."""

    def state(self) -> DaemonState:
        """What it uses and does now."""

    def stage(self, folder: Path) -> None:
        """Copy a bundle into its store."""

    def activate(self, label: str, command: str) -> str | None:
        """Try a staged bundle; why it is not in use, None when it is."""

    def look_on(self, label: str | None, command: str) -> str | None:
        """Have a staged bundle look on, or none; why it does not, None when it does."""


class RefusedError(UpdateError):
    """Nothing is waited for: what was ordered is not for this device."""


class SlideOpenError(UpdateError):
    """A slide is under way; its end is waited for."""


class Updater:
    """The updater of one device. Only one at a time may use its folder."""

    def __init__(
        self,
        state: Path,
        orders: tuple[Path, ...],
        repository: TrustedRepository,
        daemon: Daemon,
        *,
        site: str,
        device: str,
        machine: Callable[[], Machine],
        answer: StandingFile | None = None,
    ) -> None:
        """Nothing is read but the journal.

        Args:
            state: folder of the journal and of what is unpacked.
            orders: files in which an order may lie.
            repository: where bundles come from.
            daemon: who uses them.
            site: whose orders are followed.
            device: the same.
            machine: what an update must fit.
            answer: where others are told of it.

        Raises:
            UpdateError: the journal cannot be read.
        """
        self._file = JournalFile(state, answer)
        self._unpacked = state / _UNPACKED
        self._orders, self._repository, self._daemon = orders, repository, daemon
        self._site, self._device, self._machine = site, device, machine
        self.journal = self._file.read()
        self.waits_for_slide = False
        self._asked_s = -math.inf

    def look(self) -> Journal:
        """One pass, as far as it goes now; how things stand then.

        Raises:
            UpdateError: the journal cannot be written.
        """
        self.waits_for_slide = False
        refused = waits_for = None
        try:
            self._follow()
            self._carry_out()
        except RefusedError as error:
            refused = str(error)
        except LeukoError as error:
            self.waits_for_slide = isinstance(error, SlideOpenError)
            waits_for = str(error)
        except OSError as error:
            waits_for = f"{error.filename or self._file.file.parent}: {error.strerror}; make room"
        if self.journal.step not in ENDS:
            self._put(refused=refused)
        self._put(waits_for=waits_for, looked_at=utc_now())
        return self.journal

    def _follow(self) -> None:
        journal = self.journal
        now = follow(journal, "bundle", self._orders, self._site, self._device)
        if now.is_carried_over:
            self._put(order=now.order, superseded=now.superseded)
        elif now.is_new:
            self.journal = Journal(runs=journal.runs, candidate=journal.candidate)
            self._put(order=now.order, superseded=now.superseded, step="followed")
        self._put(orders_refused=now.refused)

    def _carry_out(self) -> None:
        order, over = self.journal.order, self.journal.step in ENDS
        if over and self.journal.step != "candidate":
            self._tidy()  # what looks on may be ordered next: it is not fetched twice
        if not over and order is not None:
            self._end_candidate(order.bundle)
        if over or order is None or order.bundle is None:
            if not over:
                self._tidy()
            if time.monotonic() - self._asked_s > ASK_EVERY_S:
                self._ask()
            return
        device = self._ask()
        if device.digest == self.journal.digest:
            self._done()
            return
        if self.journal.step == "trying":
            self._count_deaths(device)
        offer = self._choose(order.bundle, device)
        if offer.about.digest == device.digest:
            self._done()
            return
        folder = self._there(offer)
        if folder is None:
            folder = self._bring(offer)
            device = self._ask()  # that may have taken long
        if device.slide is not None:
            raise _slide_open(device.slide)
        if self.journal.step != "trying":
            self._daemon.stage(folder)
            self._put(step="staged")
        self._try(offer.label, device)

    def _end_candidate(self, wanted: DesiredBundle | None) -> None:
        """Whoever looks on for an older order has seen enough, unless it is what is ordered now."""
        label = self.journal.candidate
        if label is None or (wanted is not None and f"{wanted.name}-{wanted.version}" == label):
            return
        device = self._ask()
        if device.shadow == label:
            if device.slide is not None:
                raise _slide_open(device.slide)
            why_not = self._daemon.look_on(None, uuid.uuid4().hex)
            if why_not is not None:
                raise UpdateError(f"{label} still looks on: {why_not}")
        self._put(candidate=None)

    def _ask(self) -> DaemonState:
        device = self._daemon.state()
        self._asked_s = time.monotonic()
        self._put(runs=device.label)
        return device

    def _choose(self, wanted: DesiredBundle, device: DaemonState) -> Offer:
        """What the repository has for the order.

        Raises:
            RefusedError: it is not for this device.
            UpdateError: it is not there, or the repository is not to be trusted now.
        """
        offers = self._repository.refresh()
        same = [
            offer
            for offer in offers
            if (offer.about.kind, offer.about.name, offer.about.version)
            == ("bundle", wanted.name, wanted.version)
        ]
        label = f"{wanted.name}-{wanted.version}"
        if not same:
            raise UpdateError(f"{self._repository.source} has no {label} yet; publish it")
        offer = same[0]
        if offer.about.digest != device.digest:
            machine = self._machine()
            installed = device.version if device.name == wanted.name else "0"
            fitting = newer_than(
                installed, offers, kind="bundle", name=wanted.name, machine=machine
            )
            if offer not in fitting:
                why = offer.about.compatibility.objection(machine) or (
                    f"{device.label} runs here, and a device never goes down a version: publish "
                    "the old content under a higher one"
                )
                raise RefusedError(f"{label} is not taken: {why}")
        if self.journal.digest != offer.about.digest:
            self._put(step="chosen", label=label, digest=offer.about.digest)
        return offer

    def _there(self, offer: Offer) -> Path | None:
        """The bundle's folder on this device, whole and as it was signed."""
        folders = self._unpacked.glob("[!.]*")
        return next((folder for folder in folders if _is_bundle(folder, offer)), None)

    def _bring(self, offer: Offer) -> Path:
        archive = self._repository.fetch(offer)
        self._put(step="fetched")
        shutil.rmtree(self._unpacked, ignore_errors=True)
        folder = unpack(archive, self._unpacked)
        if not _is_bundle(folder, offer):
            raise RefusedError(f"{offer.label} is not taken: its archive holds another bundle")
        archive.unlink(missing_ok=True)
        self._put(step="unpacked")
        return folder

    def _try(self, label: str, device: DaemonState) -> None:
        command = self.journal.command
        if self.journal.step != "trying" or command is None:
            command = uuid.uuid4().hex
            candidate = label if self.journal.role == "candidate" else self.journal.candidate
            self._put(step="trying", command=command, boot=device.boot_id, candidate=candidate)
        looks_on = self.journal.role == "candidate"
        do = self._daemon.look_on if looks_on else self._daemon.activate
        why_not = do(label, command)
        if why_not is None and looks_on:
            self._put(step="candidate", command=None)
            return
        if why_not is None:
            self._done()
            return
        after = self._daemon.state()
        fault = after.shadow_fault if looks_on else after.fault
        if fault == as_reason(f"{label}: {why_not}"):
            self._give_up(f"{label} was tried and is not good: {why_not}")
        self._put(step="staged", command=None)  # it was not even tried
        kind = UpdateError if after.slide is None else SlideOpenError
        raise kind(why_not)

    def _count_deaths(self, device: DaemonState) -> None:
        if device.boot_id == self.journal.boot:
            return
        self._put(boot=device.boot_id, deaths=self.journal.deaths + 1)
        if self.journal.deaths >= MOST_DEATHS:
            self._give_up(
                f"the daemon ended {MOST_DEATHS} times while {self.journal.label} was being tried"
            )

    def _give_up(self, why: str) -> None:
        """The order ends here; only a new one begins again.

        Raises:
            RefusedError: always.
        """
        self._put(step="failed", refused=why, waits_for=None)
        self._tidy()
        raise RefusedError(why)

    def _done(self) -> None:
        runs = self.journal.label
        self._put(step="active", runs=runs, waits_for=None, refused=None, command=None)
        self._tidy()

    def _tidy(self) -> None:
        shutil.rmtree(self._unpacked, ignore_errors=True)

    def _put(self, **changes: object) -> None:
        self.journal = self._file.put(self.journal, **changes)


def _slide_open(slide: str) -> SlideOpenError:
    return SlideOpenError(f"{slide} is under way, and nothing changes inside a slide")


def _is_bundle(folder: Path, offer: Offer) -> bool:
    try:
        return load_bundle(folder).digest == offer.about.digest
    except BundleError:
        return False

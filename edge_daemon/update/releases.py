"""From an order to another version of the daemon itself: one pass, which can be cut off anywhere.

Everything but the exchange of a link and a restart is done beside the running daemon. From then on
the new version is on trial: until it has answered as it should, every way out leads back to the
old one, whoever is killed and whenever the power goes (decision 32).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from edge_daemon.contract.envelope import as_reason, utc_now
from edge_daemon.contract.messages import DesiredBundle
from edge_daemon.contract.target import ARCHIVE_SUFFIX, DAEMON_NAME, Machine, release_order
from edge_daemon.errors import LeukoError, ServiceError, UpdateError
from edge_daemon.update.archive import unpack
from edge_daemon.update.daemon import DaemonState
from edge_daemon.update.desired import follow
from edge_daemon.update.environment import CURRENT, PREVIOUS, UnfitError, Versions
from edge_daemon.update.offers import Offer
from edge_daemon.update.probing import Daemon, Patience, probe
from edge_daemon.update.release_journal import ENDS, ON_TRIAL, ReleaseJournal, ReleaseJournalFile
from edge_daemon.update.standing import StandingFile
from edge_daemon.update.updater import RefusedError, SlideOpenError

MOST_PROBES = 3
"""So often may the updater itself end while it waits for a new version, before that is undone."""
_UNPACKED = "wheels"
_RESTART_WITHIN_S = 120.0


class Repository(Protocol):
    """Where versions come from: see :class:`edge_daemon.update.trust.TrustedRepository`."""

    source: str

    def refresh(self) -> tuple[Offer, ...]:
        """What there is now."""

    def fetch(self, offer: Offer) -> Path:
        """The file of it, as it was signed."""


def restart_by(command: Sequence[str]) -> Callable[[], None]:
    """Restarts the daemon by a command; raises :class:`UpdateError` where that fails."""

    def restart() -> None:
        try:
            subprocess.run(
                list(command),
                check=True,
                capture_output=True,
                timeout=_RESTART_WITHIN_S,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or b""
            why = said.decode("utf-8", "replace").strip() or str(error)
            raise UpdateError(
                as_reason(f"the daemon cannot be restarted by {' '.join(command)!r}: {why}")
            ) from None

    return restart


class Releases:
    """The daemon's versions on one device. Only one at a time may use its folders."""

    def __init__(
        self,
        state: Path,
        orders: tuple[Path, ...],
        repository: Repository,
        versions: Versions,
        daemon: Daemon,
        restart: Callable[[], None],
        *,
        site: str,
        device: str,
        config: Path,
        machine: Callable[[], Machine],
        patience: Patience = Patience(),
        answer: StandingFile | None = None,
    ) -> None:
        """Nothing is read but the journal.

        Args:
            state: folder of the journal and of what is unpacked.
            orders: files in which an order may lie.
            repository: where versions come from.
            versions: what is installed here.
            daemon: the one that runs.
            restart: ends it, and has what ``current`` points to started.
            site: whose orders are followed.
            device: the same.
            config: the device's configuration, which a new version must understand.
            machine: what a version must fit.
            patience: how long a new version is waited for.
            answer: where others are told of it.

        Raises:
            UpdateError: the journal cannot be read.
        """
        self._file = ReleaseJournalFile(state, answer)
        self._unpacked = state / _UNPACKED
        self._orders, self._repository = orders, repository
        self._versions, self._daemon, self._restart = versions, daemon, restart
        self._site, self._device = site, device
        self._config, self._machine, self._patience = config, machine, patience
        self.journal = self._file.read()
        self.waits_for_slide = False

    def look(self, busy: str | None = None) -> ReleaseJournal:
        """One pass, as far as it goes now; how things stand then.

        Args:
            busy: why the daemon is not to be restarted now; a trial that began goes on.

        Raises:
            UpdateError: the journal cannot be written.
        """
        self.waits_for_slide = False
        refused = waits_for = None
        try:
            if self.journal.step in ON_TRIAL:
                self._go_on()
            self._follow()
            self._carry_out(busy)
        except RefusedError as error:
            refused = str(error)
        except LeukoError as error:
            self.waits_for_slide = isinstance(error, SlideOpenError)
            waits_for = str(error)
        except OSError as error:
            waits_for = f"{error.filename or self._file.file.parent}: {error.strerror}; make room"
        if self.journal.step not in (*ENDS, *ON_TRIAL):
            self._put(refused=refused)
        self._put(runs=self._versions.pointed(CURRENT), waits_for=waits_for, looked_at=utc_now())
        return self.journal

    def _follow(self) -> None:
        now = follow(self.journal, "daemon", self._orders, self._site, self._device)
        if now.is_carried_over:
            self._put(order=now.order, superseded=now.superseded)
        elif now.is_new:
            self.journal = ReleaseJournal()
            self._put(order=now.order, superseded=now.superseded, step="followed")
        self._put(orders_refused=now.refused)

    def _carry_out(self, busy: str | None) -> None:
        order, over = self.journal.order, self.journal.step in ENDS
        if over or order is None or order.daemon is None:
            return
        offer = self._choose(order.daemon)
        if offer is None:
            self._end("committed", None)
            return
        version, digest = offer.about.version, _digest(offer)
        if not self._versions.is_whole(version, digest):
            self._bring(offer)
        if self.journal.step != "built":
            self._put(step="built")
        if busy is not None:
            raise UpdateError(busy)
        device = self._between_slides(self._daemon.state())
        self._put(
            step="switching",
            old=self._versions.current(),
            before_old=self._versions.pointed(PREVIOUS),
            bundle=device.digest,
            fault=device.fault,
            boot=device.boot_id,
            probes=0,
        )
        self._go_on()

    def _choose(self, wanted: DesiredBundle) -> Offer | None:
        """What the repository has for the order; None where it runs already.

        Raises:
            RefusedError: it is not for this device.
            UpdateError: it is not there, or the repository is not to be trusted now.
        """
        label, here = f"{wanted.name}-{wanted.version}", self._versions.current()
        if wanted.name != DAEMON_NAME:
            raise RefusedError(f"{label} is not taken: the daemon is named {DAEMON_NAME}")
        if release_order(wanted.version) == release_order(here):
            return None
        offers = [
            offer
            for offer in self._repository.refresh()
            if (offer.about.kind, offer.about.name, offer.about.version)
            == ("daemon", wanted.name, wanted.version)
        ]
        if not offers:
            raise UpdateError(f"{self._repository.source} has no {label} yet; publish it")
        if release_order(wanted.version) < release_order(here):
            raise RefusedError(
                f"{label} is not taken: {here} is current here, and a device never goes down a "
                "version: publish the old source under a higher one"
            )
        whole = [offer for offer in offers if offer.path.endswith(ARCHIVE_SUFFIX)]
        if not whole:
            raise RefusedError(
                f"{label} is not taken: it is there without what it needs; add it with --wheelhouse"
            )
        machine = self._machine()
        fitting = [o for o in whole if o.about.compatibility.objection(machine) is None]
        if not fitting:
            why = whole[0].about.compatibility.objection(machine)
            raise RefusedError(f"{label} is not taken: {why}")
        if self.journal.digest != _digest(fitting[0]):
            self._put(step="chosen", version=wanted.version, digest=_digest(fitting[0]))
        return fitting[0]

    def _bring(self, offer: Offer) -> None:
        """Fetch, unpack and build a version beside the running one."""
        digest = _digest(offer)
        place = self._unpacked / digest.partition(":")[2]
        folder = next(iter(place.glob("[!.]*")), None)
        if folder is None:
            archive = self._repository.fetch(offer)
            self._put(step="fetched")
            shutil.rmtree(self._unpacked, ignore_errors=True)
            folder = unpack(archive, place)
            archive.unlink(missing_ok=True)
            self._put(step="unpacked")
        try:
            self._versions.build(offer.about.version, digest, folder, self._config)
        except UnfitError as error:
            self._end("failed", f"{offer.label} does not work here: {error}")
        self._put(step="built")

    def _go_on(self) -> None:
        """A trial that began comes to its end, whoever began it."""
        journal = self.journal
        if journal.version is None or journal.old is None:
            raise UpdateError(f"{self._file.file} does not say what is tried; {_BY_HAND}")
        if self.journal.step == "switching":
            if (device := self._heard()) is not None:
                self._between_slides(device)
            self._versions.point(PREVIOUS, journal.old)
            self._versions.point(CURRENT, journal.version)
            self._put(step="switched")
        if self.journal.step == "switched":
            self._start_new(journal.version)
        if self.journal.step == "restarted":
            self._put(probes=self.journal.probes + 1)
            why = f"the updater ended {MOST_PROBES} times while it waited for it"
            if self.journal.probes <= MOST_PROBES:
                why = probe(self._daemon, self._patience, self._is_before, self._fault) or ""
            if not why:
                self._end("committed", None)
                return
            reason = f"{DAEMON_NAME}-{journal.version} was tried and does not work: {why}"
            self._put(step="undoing", refused=reason)
        self._undo(journal.version, journal.old)

    def _start_new(self, version: str) -> None:
        device = self._heard()
        if device is None or device.daemon != version:  # else it was started meanwhile
            if device is not None:
                self._between_slides(device)
                self._put(boot=device.boot_id)
            try:
                self._restart()
            except UpdateError as error:
                self._put(step="undoing", refused=str(error))
                return
        self._put(step="restarted")

    def _fault(self, state: DaemonState) -> str | None:
        journal = self.journal
        if state.daemon != journal.version:
            return f"it says that it is {state.daemon or 'one that does not know its version'}"
        if state.digest != journal.bundle:
            return f"it uses another bundle than before, {state.label}"
        if state.fault != journal.fault:
            return f"it says of its bundle: {state.fault}"
        return None

    def _is_before(self, state: DaemonState) -> bool:
        return state.boot_id == self.journal.boot

    def _undo(self, version: str, old: str) -> None:
        """Back to the version before; a slide that the failed one began is gone on with there."""
        why = self.journal.refused or "it was undone"
        if self.journal.step == "undoing":
            self._versions.point(CURRENT, old)
            before = self.journal.before_old
            self._versions.point(PREVIOUS, None if before == version else before)
            device = self._heard()
            if device is None or not self._is_before(device):  # else it was never ended
                try:
                    self._restart()
                except UpdateError as error:
                    why = f"{why}; {error}"
            self._put(step="undone", refused=why)
        not_back = probe(
            self._daemon, self._patience, lambda state: state.daemon == version, lambda _: None
        )
        if not_back is not None:
            why = f"{why}; {old} is current again: {not_back}; {_BY_HAND}"
        self._end("failed", why)

    def _heard(self) -> DaemonState | None:
        """What the daemon says; None where it says nothing of use."""
        try:
            return self._daemon.state()
        except (ServiceError, UpdateError):
            return None

    def _between_slides(self, device: DaemonState) -> DaemonState:
        if device.slide is not None:
            raise SlideOpenError(f"{device.slide} is under way, and nothing changes inside a slide")
        return device

    def _end(self, step: str, refused: str | None) -> None:
        """The order is over; only a new one begins again.

        Raises:
            RefusedError: it came to nothing.
        """
        self._put(step=step, refused=refused, waits_for=None, runs=self._versions.pointed(CURRENT))
        self._tidy()
        if refused is not None:
            raise RefusedError(refused)

    def _tidy(self) -> None:
        shutil.rmtree(self._unpacked, ignore_errors=True)
        self._versions.prune()

    def _put(self, **changes: object) -> None:
        self.journal = self._file.put(self.journal, **changes)


_BY_HAND = "see docs/fleet/recover.md"


def _digest(offer: Offer) -> str:
    return f"sha256:{offer.target.hashes['sha256']}"

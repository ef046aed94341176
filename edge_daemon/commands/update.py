"""``leuko-edge update``: pin a root, say how updates stand, follow orders."""

from __future__ import annotations

import json
import logging
import sys
from functools import partial
from pathlib import Path

from rich.console import Console

from edge_daemon.config import Config
from edge_daemon.errors import ConfigError, LeukoError, UpdateError
from edge_daemon.locks import FileLock
from edge_daemon.niceness import step_back
from edge_daemon.update.daemon import LocalDaemon
from edge_daemon.update.environment import CURRENT, Versions
from edge_daemon.update.journal import JournalFile
from edge_daemon.update.machine import this_machine
from edge_daemon.update.probing import Patience
from edge_daemon.update.release_journal import ON_TRIAL, ReleaseJournalFile
from edge_daemon.update.releases import Releases, restart_by
from edge_daemon.update.standing import StandingFile
from edge_daemon.update.trust import TrustedRepository, provision
from edge_daemon.update.updater import Updater
from edge_daemon.update.waking import Waking

_PROBE_S = 10.0
"""A daemon that works says how it is within this time."""

log = logging.getLogger(__name__)


def pin(config: Config, root: Path, console: Console) -> None:
    """Trust a repository from now on.

    Raises:
        UpdateError: the root is none, or another one is pinned.
    """
    try:
        content = root.read_bytes()
    except OSError as error:
        raise UpdateError(f"cannot read {root}: {error.strerror}; name a root.json") from None
    provision(config.update.state, content)
    console.print(f"{root} is pinned in {config.update.state}")


def check(config: Config, *, as_json: bool) -> None:
    """Print what is desired, what runs, what is waited for, what was refused last.

    Raises:
        UpdateError: the journal cannot be read.
    """
    journal = JournalFile(config.update.state).read()
    release = ReleaseJournalFile(config.update.state).read()
    if as_json:
        daemon = release.model_dump(mode="json", by_alias=True)
        print(json.dumps({**journal.model_dump(mode="json", by_alias=True), "daemon": daemon}))
        return
    print(journal.line)
    if config.update.versions is not None:
        print(release.line)


def run(config: Config, console: Console, *, file: Path, once: bool) -> bool:
    """Follow orders until killed, or look ``once``; whether nothing is waited for or was refused.

    Ends with False, too, when a new version of the daemon was put in place and this is the old one:
    whoever runs it starts the new one (``Restart=on-failure``).

    Raises:
        ConfigError: no repository is configured.
        UpdateError: another updater is at work, or the journal cannot be read or written.
    """
    settings = config.update
    if settings.repository is None:
        raise ConfigError("[update] repository is not set: say where updates come from")
    lock = _alone(settings.state)
    try:
        both = _Both(config, settings.repository, file)
        if once:
            both.look()
            for line in both.lines:
                console.print(line, soft_wrap=True, highlight=False)
            return both.is_well
        step_back()
        _follow(config, both)
    finally:
        lock.release()
    return False


class _Both:
    """The bundle's pass and then the daemon's, by one process."""

    def __init__(self, config: Config, source: str, file: Path) -> None:
        settings = config.update
        repository = TrustedRepository(settings.state, source)
        machine = partial(this_machine, settings.jetpack)
        device, answer = config.device, StandingFile(settings.state)
        self._bundles = Updater(
            settings.state,
            settings.orders,
            repository,
            LocalDaemon(config.local_socket),
            site=device.site,
            device=device.name,
            machine=machine,
            answer=answer,
        )
        self._releases: Releases | None = None
        self.is_replaced = False
        """A version other than this process's own is the one in use."""
        if settings.versions is not None:
            self._versions = Versions(
                settings.versions, system_site_packages=settings.system_site_packages
            )
            self._releases = Releases(
                settings.state,
                settings.orders,
                repository,
                self._versions,
                LocalDaemon(config.local_socket, within_s=_PROBE_S),
                restart_by(settings.restart),
                site=device.site,
                device=device.name,
                config=file.absolute(),
                machine=machine,
                patience=Patience(
                    settings.answers_within_s, settings.starts_within_s, settings.steady_s
                ),
                answer=answer,
            )

    def look(self) -> None:
        """One pass of each. Raises :class:`UpdateError`: a journal cannot be written."""
        journal = self._bundles.look()
        if self._releases is not None:
            on_trial = journal.step == "trying"
            self._releases.look(f"{journal.label} is being tried" if on_trial else None)
            self.is_replaced = self._is_replaced()

    @property
    def news(self) -> tuple[object, ...]:
        """All but when it was looked at."""
        found = [self._bundles.journal.model_copy(update={"looked_at": None})]
        if self._releases is None:
            return tuple(found)
        return (*found, self._releases.journal.model_copy(update={"looked_at": None}))

    @property
    def lines(self) -> list[str]:
        """How things stand."""
        more = [] if self._releases is None else [self._releases.journal.line]
        return [self._bundles.journal.line, *more]

    @property
    def is_well(self) -> bool:
        """Nothing is waited for, nothing was refused."""
        journal = self._bundles.journal
        well = not (journal.waits_for or journal.refused or journal.orders_refused)
        if self._releases is None:
            return well
        return well and not (self._releases.journal.waits_for or self._releases.journal.refused)

    @property
    def waits_for_slide(self) -> bool:
        """The end of a slide is all that is waited for."""
        daemon = self._releases is not None and self._releases.waits_for_slide
        return self._bundles.waits_for_slide or daemon

    def _is_replaced(self) -> bool:
        if self._releases is None or self._releases.journal.step in ON_TRIAL:
            return False
        ours, version = Path(sys.prefix).resolve(), self._versions.pointed(CURRENT)
        if version is None or not ours.is_relative_to(self._versions.root.resolve()):
            return False
        return self._versions.place(version).resolve() != ours


def _follow(config: Config, both: _Both) -> None:
    """Until the updater itself is replaced."""
    settings = config.update
    waking = Waking(
        settings.orders,
        partial(_is_idle, config),
        every_s=settings.every_s,
        jitter=settings.jitter,
    )
    told: tuple[object, ...] | None = None
    while True:
        waking.mark()
        try:
            both.look()
        except UpdateError as error:  # a full disk: the next look may find room
            log.warning("%s", error)
        else:
            if both.news != told:
                for line in both.lines:
                    log.warning("%s", line)
                told = both.news
            if both.is_replaced:
                log.warning("another version is in use now: this updater ends, and that one begins")
                return
        waking.wait(for_slide=both.waits_for_slide)


def _is_idle(config: Config) -> bool:
    try:
        return LocalDaemon(config.local_socket).state().slide is None
    except LeukoError:
        return False


def _alone(state: Path) -> FileLock:
    try:
        state.mkdir(parents=True, exist_ok=True)
        return FileLock(state / ".updater.lock")
    except BlockingIOError:
        raise UpdateError(f"another updater is at work in {state}; let it be") from None
    except OSError as error:
        raise UpdateError(f"cannot use {state}: {error.strerror}") from None

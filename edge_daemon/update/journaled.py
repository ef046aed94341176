"""A journal on disk: one small file, replaced as a whole at every step."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from edge_daemon.contract.base import StrictModel, UtcTime, UuidHex
from edge_daemon.contract.messages import Desired
from edge_daemon.contract.update import ReleaseStanding, UpdateStanding
from edge_daemon.errors import UpdateError
from edge_daemon.update.standing import StandingFile
from edge_daemon.whole_files import write_whole


class Journaled(StrictModel):
    """The content of a journal; without values it is the one before the first order."""

    order: Desired | None = None
    """The order that is followed."""
    runs: str | None = None
    """What was in use when this was looked at last."""
    waits_for: str | None = None
    """Why the order is not carried out yet; null when nothing stands in the way."""
    refused: str | None = None
    """Why the order came to nothing; null again with a new order, or when it is carried out."""
    orders_refused: tuple[str, ...] = ()
    """Orders that lie here and are not followed, and why."""
    superseded: tuple[UuidHex, ...] = ()
    """Ids of the last orders before this one: that they still lie somewhere is no news."""
    looked_at: UtcTime | None = None

    @property
    @abstractmethod
    def standing(self) -> UpdateStanding | ReleaseStanding:
        """What others are told of it."""


J = TypeVar("J", bound=Journaled)


class JournaledFile(Generic[J]):
    """The journal of one kind."""

    def __init__(self, file: Path, kind: type[J], mend: str, told: StandingFile) -> None:
        """Of the updater's folder; the file need not be there yet.

        Args:
            file: where it is.
            kind: what it holds.
            mend: what somebody does when it cannot be read.
            told: where others are told of it.
        """
        self.file = file
        self._kind, self._mend, self._told = kind, mend, told

    def read(self) -> J:
        """What is written down.

        Raises:
            UpdateError: it cannot be read.
        """
        try:
            journal = self._kind.model_validate_json(self.file.read_bytes())
        except FileNotFoundError:
            journal = self._kind()
        except (OSError, ValidationError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no journal of this kind"
            raise UpdateError(f"{self.file} cannot be read ({why}); {self._mend}") from None
        self._told.keep(journal.standing)
        return journal

    def put(self, journal: J, **changes: Any) -> J:
        """Write it down with ``changes``, on the disk when this returns.

        Raises:
            UpdateError: it cannot be written; nothing is done that is not written down.
        """
        new = journal.model_copy(update=changes)
        if new == journal:
            return journal
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.file, new.model_dump_json(by_alias=True, indent=1).encode() + b"\n")
            self._told.put(new.standing)
        except OSError as error:
            raise UpdateError(
                f"cannot write {self.file}: {error.strerror}; nothing has changed"
            ) from None
        return new

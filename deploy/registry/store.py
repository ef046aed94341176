"""The registry in its database: whole after any interruption, and read while somebody writes.

A row has one column for each of those who write it: the authority's journal, whoever says what is
desired, and the listener; so two programs never overwrite each other's word.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import ValidationError
from sqlalchemy import (
    Connection,
    Executable,
    Row,
    Select,
    Table,
    bindparam,
    delete,
    insert,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from typing_extensions import Self

from deploy.registry import database as tables
from deploy.registry.database import RegistryDatabase
from deploy.registry.errors import RegistryError
from deploy.registry.record import Aside, Desired, Device, Enrolment, Listened, Reported

MOST_ASIDE = 1000
"""Kinds of message that are kept aside; the oldest go first."""

_MOST_NAMED = 500
_DEVICE = tables.device.c
_ASIDE = tables.aside.c
_KEY = (_ASIDE.name, _ASIDE.leaf, _ASIDE.why)


class Registry:
    """``with Registry(place) as registry:``; used by the thread that opened it.

    Every method raises :class:`RegistryError`, or :class:`RegistryAwayError` where a server does
    not answer now.
    """

    def __init__(self, place: Path | str, *, create: bool = True) -> None:
        """Open it: a file, or ``postgresql://user@host/name``.

        Raises:
            RegistryError: it cannot be opened, or is not a registry of this version.
        """
        self._database = RegistryDatabase(place)
        self._batch: Connection | None = None
        try:
            self._database.require(create=create)
        except BaseException:
            self._database.close()
            raise

    @property
    def name(self) -> str:
        """The place, for people: without a password."""
        return self._database.name

    def close(self) -> None:
        """Close it; idempotent."""
        self._database.close()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """One commit for all that is written inside, or nothing of it.

        Raises:
            RegistryError: it cannot be written.
        """
        with self._database.writing() as connection:
            self._database.take_turn(connection)
            self._batch = connection
            try:
                yield
            finally:
                self._batch = None

    def devices(self, site: str | None = None) -> list[Device]:
        """Every device, or those of a site, by name."""
        with self._reading() as connection:
            found = [_device(row) for row in connection.execute(_devices())]
        return [one for one in found if site is None or one.site == site]

    def named(self, names: Collection[str]) -> list[Device]:
        """Those of these names that there are, by name."""
        asked = _devices()
        if len(names) <= _MOST_NAMED:
            asked = asked.where(_DEVICE.name.in_(names))
        with self._reading() as connection:
            return [_device(row) for row in connection.execute(asked) if row.name in names]

    def device(self, name: str) -> Device:
        """One device. Raises :class:`RegistryError`: there is none of this name."""
        for one in self.named([name]):
            return one
        raise RegistryError(
            f"{name[:160]} is not in the registry: `leuko-deploy devices list` names all"
        )

    def enrol(self, enrolments: Mapping[str, Enrolment]) -> None:
        """Enter how devices stand with the authority.

        One whose certificates are all revoked or over is kept where it is known, and not begun.
        """
        texts = {name: one.model_dump_json() for name, one in enrolments.items()}
        if not self._news(texts):  # a look at the registry asks for no right to write it
            return
        with self.batch():
            news, known = self._news(texts), self._known()
            self._set("enrolment", {name: texts[name] for name in news if name in known})
            begun = [
                {"name": name, "enrolment": texts[name]}
                for name in news
                if name not in known and enrolments[name].standing == "enrolled"
            ]
            self._each(insert(tables.device), begun)
            strange = (_ASIDE.name == bindparam("of")) & (_ASIDE.why == "unknown device")
            self._each(delete(tables.aside).where(strange), [{"of": one["name"]} for one in begun])

    def _news(self, texts: Mapping[str, str]) -> list[str]:
        with self._reading() as connection:
            found = connection.execute(select(_DEVICE.name, _DEVICE.enrolment))
            known = {row.name: row.enrolment for row in found}
        return [name for name, text in texts.items() if known.get(name) != text]

    def _known(self) -> set[str]:
        return set(self._connection.scalars(select(_DEVICE.name)))

    def desire(self, wishes: Mapping[str, Desired | None]) -> None:
        """Enter what devices shall run, all of it or nothing.

        Raises:
            RegistryError: one of them is not in the registry.
        """
        with self.batch():
            known = self._known()
            for name in wishes:
                if name not in known:
                    raise RegistryError(f"{name[:160]} is not in the registry: nothing was entered")
            texts = {
                name: None if wish is None else wish.model_dump_json()
                for name, wish in wishes.items()
            }
            self._set("desired", texts)

    def report(self, reports: Mapping[str, Reported]) -> set[str]:
        """Enter what devices said, inside a :meth:`batch`; returns those not here any more."""
        gone = set(reports) - self._known() if reports else set()
        self._set(
            "reported",
            {name: one.model_dump_json() for name, one in reports.items() if name not in gone},
        )
        return gone

    def put_aside(self, found: Iterable[Aside]) -> None:
        """Count what could not be entered, inside a :meth:`batch`."""
        rows = [one.model_dump(mode="json") for one in found]
        if not rows:
            return
        entered = self._insert(tables.aside)
        new = entered.excluded
        entered = entered.on_conflict_do_update(
            index_elements=_KEY,
            set_={"line": new.line, "last_at": new.last_at, "count": _ASIDE.count + new.count},
        )
        self._connection.execute(entered, rows)
        newest = select(*_KEY).order_by(_ASIDE.last_at.desc()).limit(MOST_ASIDE)
        self._connection.execute(delete(tables.aside).where(tuple_(*_KEY).not_in(newest)))

    def aside(self) -> list[Aside]:
        """What could not be entered, newest last."""
        with self._reading() as connection:
            rows = connection.execute(select(tables.aside).order_by(_ASIDE.last_at, *_KEY))
            return [Aside.model_validate(dict(row._mapping)) for row in rows]

    def listened_to(self, span: Listened) -> None:
        """Say when somebody listened, inside a :meth:`batch`."""
        said = self._insert(tables.listened).values(one=1, document=span.model_dump_json())
        document = {"document": said.excluded.document}
        self._connection.execute(said.on_conflict_do_update(index_elements=["one"], set_=document))

    @property
    def listened(self) -> Listened | None:
        """When somebody last listened; None: never."""
        with self._reading() as connection:
            document = connection.scalar(select(tables.listened.c.document))
            return None if document is None else Listened.model_validate_json(document)

    def forget(self, name: str) -> None:
        """Delete a device and what was kept of it.

        Raises:
            RegistryError: there is none, or its certificate still counts.
        """
        with self.batch():
            if self.device(name).enrolment.standing == "enrolled":
                raise RegistryError(
                    f"{name} is enrolled: `leuko-deploy pki revoke {name}` first, or it comes back"
                )
            self._connection.execute(delete(tables.device).where(_DEVICE.name == name))
            self._connection.execute(delete(tables.aside).where(_ASIDE.name == name))

    @property
    def _connection(self) -> Connection:
        """Of the batch that is being written."""
        if self._batch is None:
            raise RuntimeError("the registry is written inside `with registry.batch()`")
        return self._batch

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """What stands there; inside a batch, with what it wrote."""
        try:
            if self._batch is not None:
                yield self._batch
                return
            with self._database.reading() as connection:
                yield connection
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]["msg"]
            raise RegistryError(
                f"registry {self.name} holds a row that cannot be read ({fault}): restore a copy"
            ) from None

    def _set(self, column: str, texts: Mapping[str, str | None]) -> None:
        """Write one column of several devices that there are."""
        change = update(tables.device).where(_DEVICE.name == bindparam("of"))
        rows = [{"of": name, "text": text} for name, text in texts.items()]
        self._each(change.values({column: bindparam("text")}), rows)

    def _each(self, statement: Executable, rows: list[dict[str, Any]]) -> None:
        if rows:
            self._connection.execute(statement, rows)

    def _insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        return sqlite.insert(table) if self._database.is_sqlite else postgresql.insert(table)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _devices() -> Select[Any]:
    return select(_DEVICE.name, _DEVICE.enrolment, _DEVICE.desired, _DEVICE.reported).order_by(
        _DEVICE.name
    )


def _device(row: Row[Any]) -> Device:
    desired, reported = row.desired, row.reported
    return Device(
        name=row.name,
        enrolment=Enrolment.model_validate_json(row.enrolment),
        desired=None if desired is None else Desired.model_validate_json(desired),
        reported=Reported() if reported is None else Reported.model_validate_json(reported),
    )

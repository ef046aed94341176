"""What a request stands on: the application's parts, who asks, and whether they may.

Every route but those of :data:`OPEN` asks for a :class:`Visitor`; every request that changes
something brings the session's CSRF token, in a field or a header, and comes from our own pages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, HTTPException, Path, Query, Request

from deploy.dashboard.access import sessions
from deploy.dashboard.access.limits import FailedLogins
from deploy.dashboard.access.roles import Role
from deploy.dashboard.attribution.desk import Desk
from deploy.dashboard.database.opening import Database
from deploy.dashboard.errors import DatabaseError
from deploy.dashboard.queries.paging import key_of
from deploy.dashboard.web.events import Hub
from deploy.dashboard.web.pages import Pages
from deploy.dashboard.web.previews import Previews
from deploy.dashboard.web.settings import WebSettings
from deploy.dashboard.web.visitor import Visitor
from edge_daemon.contract.envelope import utc_now

_LARGEST = 2**53
Number = Annotated[int, Path(ge=0, le=_LARGEST)]
"""Of a slide or a cell, in an address; what no database could hold is no address."""
AskedNumber = Annotated[int | None, Query(ge=0, le=_LARGEST)]
AskedText = Annotated[str, Query(max_length=400, pattern=r"^[^\x00-\x1f]*$")]

CSRF_HEADER = "X-CSRF-Token"
BACKGROUND_HEADER = "X-Background"
_SAFE = {"GET", "HEAD", "OPTIONS"}


@dataclass(frozen=True)
class Parts:
    """What the routes use."""

    settings: WebSettings
    database: Database
    pages: Pages
    hub: Hub
    failed_logins: FailedLogins
    previews: Previews
    attributions: Desk | None

    @property
    def cookie(self) -> str:
        """Its name; a browser takes ``__Host-`` only over TLS, for this host and no other."""
        return "__Host-leuko" if self.settings.secure else "leuko"


class SignInError(Exception):
    """Nobody is in: the page of the login is shown, or a script is told 401."""


def page_after(after: str | None, length: int) -> str | None:
    """The mark of a page, as queries take it. Raises HTTPException 404: it is none of ours."""
    if not after:
        return None
    try:
        if all(abs(value) <= _LARGEST for value in key_of(after, length)):
            return after
    except DatabaseError:
        pass
    raise HTTPException(404, "there is no such page: begin with the first one")


def parts_of(request: Request) -> Parts:
    """The parts of the application that serves this request."""
    parts: Parts = request.app.state.parts
    return parts


def address_of(request: Request) -> str | None:
    """Where the request comes from; a trusted proxy's word is followed before."""
    return None if request.client is None else request.client.host


def session_of(parts: Parts, request: Request, *, touch: bool) -> sessions.Session | None:
    """The session of a browser; ``touch``: this is its user at work."""
    token = request.cookies.get(parts.cookie)
    if not token:
        return None
    now = utc_now()
    with parts.database.reading() as connection:
        found = sessions.find(connection, token, now, parts.settings.lifetimes)
    if found is not None and touch and sessions.to_be_touched(found, now):
        with parts.database.writing() as connection:
            sessions.touch(connection, found, now)
    return found


PartsOf = Annotated[Parts, Depends(parts_of)]


def _visitor(request: Request, parts: PartsOf) -> Visitor:
    # what a page asks for by itself, since something changed, keeps no idle session open
    found = session_of(parts, request, touch=BACKGROUND_HEADER not in request.headers)
    if found is None:
        raise SignInError
    return Visitor(found, address_of(request))


def refuse_foreign(request: Request) -> None:
    """Refuse a request that another site's page has a browser send. Raises HTTPException 403."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "requests of another site's pages are refused")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise HTTPException(403, "requests of another site's pages are refused")


async def _guarded(request: Request, visitor: Annotated[Visitor, Depends(_visitor)]) -> Visitor:
    if request.method not in _SAFE:
        refuse_foreign(request)
        token = request.headers.get(CSRF_HEADER)
        if token is None:
            field = (await request.form()).get("csrf")
            token = field if isinstance(field, str) else None
        if not visitor.session.vouches_for(token):
            raise HTTPException(403, "this page is out of date: load it again")
    return visitor


def _at_least(role: Role) -> Callable[..., Visitor]:
    def allowed(visitor: Annotated[Visitor, Depends(_guarded)]) -> Visitor:
        if not visitor.user.may(role):
            raise HTTPException(403, f"this is for the role {role} and above")
        return visitor

    return allowed


Anyone = Annotated[Visitor, Depends(_at_least("viewer"))]
"""Everybody who is in."""
Reviewer = Annotated[Visitor, Depends(_at_least("reviewer"))]
Lead = Annotated[Visitor, Depends(_at_least("lead"))]
Admin = Annotated[Visitor, Depends(_at_least("admin"))]

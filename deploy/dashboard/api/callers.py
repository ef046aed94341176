"""Who calls: a program with a token, or the page of somebody who is in.

A token goes into ``Authorization: Bearer``. A browser's session counts as well; where it changes
something it brings the session's CSRF token, as on the pages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import APIKeyCookie, HTTPBearer

from deploy.dashboard.access import tokens
from deploy.dashboard.access.roles import Role
from deploy.dashboard.access.users import User
from deploy.dashboard.web.context import (
    BACKGROUND_HEADER,
    CSRF_HEADER,
    Parts,
    PartsOf,
    address_of,
    refuse_foreign,
    session_of,
)
from edge_daemon.contract.envelope import utc_now

_SAFE = ("GET", "HEAD", "OPTIONS")
_BEARER = HTTPBearer(
    scheme_name="token",
    auto_error=False,
    description="Made with `leuko-deploy dashboard token add`.",
)
_COOKIE = APIKeyCookie(
    name="leuko",
    scheme_name="session",
    auto_error=False,
    description=f"A browser's session; what changes something also needs {CSRF_HEADER}. "
    "Over TLS the cookie is called __Host-leuko.",
)


@dataclass(frozen=True)
class Caller:
    """Somebody who may call."""

    user: User
    address: str | None


def caller_of(parts: Parts, request: Request) -> Caller | None:
    """Who calls; None: nobody we know. Raises HTTPException 403: a foreign page sends it."""
    kind, _, said = request.headers.get("authorization", "").partition(" ")
    if said and kind.lower() == "bearer":
        return _with_token(parts, request, said.strip())
    session = session_of(parts, request, touch=BACKGROUND_HEADER not in request.headers)
    if session is None:
        return None
    if request.method not in _SAFE:
        refuse_foreign(request)
        if not session.vouches_for(request.headers.get(CSRF_HEADER)):
            raise HTTPException(403, f"a session that changes something brings {CSRF_HEADER}")
    return Caller(session.user, address_of(request))


def _with_token(parts: Parts, request: Request, said: str) -> Caller | None:
    now = utc_now()
    with parts.database.reading() as connection:
        found = tokens.find(connection, said, now)
    if found is None:
        return None
    user, name, unseen = found
    if unseen:
        with parts.database.writing() as connection:
            tokens.touch(connection, name, now)
    return Caller(user, address_of(request))


def _caller(request: Request, parts: PartsOf) -> Caller:
    found = caller_of(parts, request)
    if found is None:
        raise HTTPException(401, "give a token that counts", {"WWW-Authenticate": "Bearer"})
    return found


def _at_least(role: Role) -> Callable[..., Caller]:
    def allowed(caller: Annotated[Caller, Depends(_caller)]) -> Caller:
        if not caller.user.may(role):
            raise HTTPException(403, f"this is for the role {role} and above")
        return caller

    return allowed


SCHEMES = [Depends(_BEARER), Depends(_COOKIE)]
"""For the document: either is enough."""
Anyone = Annotated[Caller, Depends(_at_least("viewer"))]
Reviewer = Annotated[Caller, Depends(_at_least("reviewer"))]
Lead = Annotated[Caller, Depends(_at_least("lead"))]

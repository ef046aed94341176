"""Coming in, going out, and another password.

A login that fails says the same whoever it was for, after the same time. The form carries a token
that its own page was given as a cookie, so that no other site can have a browser come in as
somebody else.
"""

from __future__ import annotations

import hmac
import logging
import math
import secrets
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from deploy.dashboard.access import sessions, users
from deploy.dashboard.access.errors import AccessError
from deploy.dashboard.access.passwords import LONGEST, SHORTEST
from deploy.dashboard.access.users import User
from deploy.dashboard.review.records import record
from deploy.dashboard.web.context import (
    Anyone,
    Parts,
    PartsOf,
    address_of,
    refuse_foreign,
    session_of,
)
from edge_daemon.contract.envelope import utc_now

router = APIRouter()
HOME = "/worklist"
_WRONG = "User or password is wrong."
_log = logging.getLogger(__name__)

Name = Annotated[str, Form(max_length=200)]
Password = Annotated[str, Form(max_length=10 * LONGEST)]


@router.get("/")
def home(_visitor: Anyone) -> Response:
    """The first page."""
    return RedirectResponse(HOME, 303)


@router.get("/login")
def form(request: Request, parts: PartsOf, next: str = HOME) -> Response:  # noqa: A002
    """The form."""
    if session_of(parts, request, touch=False) is not None:
        return RedirectResponse(_own(next), 303)
    return _form(request, parts, _own(next))


@router.post("/login")
def sign_in(
    request: Request,
    parts: PartsOf,
    name: Name = "",
    password: Password = "",
    csrf: Annotated[str, Form(max_length=200)] = "",
    next: Annotated[str, Form(max_length=2000)] = HOME,  # noqa: A002
) -> Response:
    """Open a session; always a new one, whatever the browser held before."""
    refuse_foreign(request)
    given = request.cookies.get(_cookie(parts), "")
    if not given or not hmac.compare_digest(given.encode(), csrf.encode(errors="replace")):
        return _form(request, parts, _own(next), "The page was out of date: try again.", 403)
    name, address = name.strip().lower()[:64], address_of(request) or ""
    wait_s = parts.failed_logins.attempt(name, address)
    if wait_s > 0:
        _log.warning("logins from %s wait %.0f s", address, wait_s)
        line = f"Too many tries. Wait {math.ceil(wait_s / 60)} min, then try again."
        answer = _form(request, parts, _own(next), line, 429)
        answer.headers["Retry-After"] = str(math.ceil(wait_s))
        return answer
    with parts.database.reading() as connection:
        user = users.with_password(connection, name, password)
    if user is None:
        _log.warning("a login from %s was refused", address)
        return _form(request, parts, _own(next), _WRONG, 401)
    parts.failed_logins.succeeded(name, address)
    return _enter(request, parts, user, password, _own(next))


@router.post("/logout")
def sign_out(request: Request, parts: PartsOf, visitor: Anyone) -> Response:
    """Close the session."""
    with parts.database.writing() as connection:
        sessions.end(connection, request.cookies[parts.cookie])
        record(connection, visitor.user.name, "sign out", visitor.user.name, visitor.address)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(parts.cookie, secure=parts.settings.secure, httponly=True, samesite="lax")
    return answer


@router.get("/account")
def account(request: Request, parts: PartsOf, visitor: Anyone, changed: bool = False) -> Response:
    """Who one is here, and the form for another password."""
    line = "The password is changed. Other sessions of yours were ended." if changed else None
    return parts.pages.page(
        request, "account.html", visitor, shortest=SHORTEST, line=line, error=None
    )


@router.post("/account")
def change_password(
    request: Request,
    parts: PartsOf,
    visitor: Anyone,
    old: Password = "",
    new: Password = "",
    again: Password = "",
) -> Response:
    """Another password; all sessions end, and this browser is given a new one."""
    user, address = visitor.user, visitor.address or ""

    def refused(line: str, status: int = 400) -> Response:
        return parts.pages.page(
            request,
            "account.html",
            visitor,
            status=status,
            shortest=SHORTEST,
            line=None,
            error=line,
        )

    if parts.failed_logins.attempt(user.name, address) > 0:
        return refused("Too many tries. Wait some minutes.", 429)
    with parts.database.reading() as connection:
        if users.with_password(connection, user.name, old) is None:
            return refused("The present password is wrong.", 403)
    parts.failed_logins.succeeded(user.name, address)
    if new != again:
        return refused("The two new passwords differ.")
    try:
        with parts.database.writing() as connection:
            users.set_password(connection, user.name, new)
            record(connection, user.name, "password", user.name, visitor.address)
    except AccessError as error:
        return refused(f"{error}.")
    return _enter(request, parts, user, new, "/account?changed=true")


def _enter(request: Request, parts: Parts, user: User, password: str, where: str) -> Response:
    now, address = utc_now(), address_of(request)
    held = request.cookies.get(parts.cookie)
    with parts.database.writing() as connection:
        if held:
            sessions.end(connection, held)
        users.renew_hash(connection, user, password)
        token = sessions.begin(connection, user, address, now, parts.settings.lifetimes)
        record(connection, user.name, "sign in", user.name, address)
    answer = RedirectResponse(where, 303)
    answer.set_cookie(
        parts.cookie,
        token,
        secure=parts.settings.secure,
        httponly=True,
        samesite="lax",  # a link in a mail shall open the slide
        path="/",
    )
    answer.delete_cookie(_cookie(parts), path="/login")
    return answer


def _form(
    request: Request, parts: Parts, where: str, error: str | None = None, status: int = 200
) -> Response:
    token = request.cookies.get(_cookie(parts)) or secrets.token_urlsafe(24)
    answer = parts.pages.page(
        request, "login.html", status=status, token=token, next=where, error=error
    )
    answer.set_cookie(
        _cookie(parts),
        token,
        secure=parts.settings.secure,
        httponly=True,
        samesite="strict",
        path="/login",
    )
    return answer


def _cookie(parts: Parts) -> str:
    return "__Secure-leuko-login" if parts.settings.secure else "leuko-login"


def _own(where: str) -> str:
    """Only pages of ours are gone on to."""
    if not where.startswith("/") or where.startswith(("//", "/\\")) or "\n" in where:
        return HOME
    return where

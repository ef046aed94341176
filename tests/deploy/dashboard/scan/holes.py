"""Pages that no application should have, for the control: what a scanner has to find.

They are added to the application in the process of a test, and exist nowhere else.
"""

from __future__ import annotations

import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Form, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from sqlalchemy.exc import SQLAlchemyError

BELOW = "/holes"
_BARE = {"Content-Security-Policy": "default-src * 'unsafe-inline'"}
"""The product's policy would soften what is let in."""
_LINKS = ("echo?word=a", "file?name=a", "go?to=a", "fetch?url=a", "row?id=1", "wall")


def make_holes(app: FastAPI) -> None:
    """Add them, with a page that leads to them."""
    app.add_api_route(f"{BELOW}/", _links)
    app.add_api_route(f"{BELOW}/echo", _echo)
    app.add_api_route(f"{BELOW}/file", _file)
    app.add_api_route(f"{BELOW}/go", _go)
    app.add_api_route(f"{BELOW}/fetch", _fetch)
    app.add_api_route(f"{BELOW}/row", _row)
    notes: list[str] = []

    @app.post(f"{BELOW}/wall")
    def _pin(note: Annotated[str, Form()]) -> HTMLResponse:
        notes.append(note)
        return _page("Thank you")

    @app.get(f"{BELOW}/wall")
    def _wall() -> HTMLResponse:
        form = f'<form method="post" action="{BELOW}/wall"><input name="note"><button>Pin</button>'
        return _page(f"{form}</form>{'<br>'.join(notes)}")


def _page(body: str) -> HTMLResponse:
    return HTMLResponse(f"<html><body>{body}</body></html>", headers=_BARE)


def _links() -> HTMLResponse:
    return _page(" ".join(f'<a href="{BELOW}/{one}">{one}</a>' for one in _LINKS))


def _echo(word: str) -> HTMLResponse:
    return _page(f"You said {word}")


def _file(name: str) -> PlainTextResponse:
    try:
        return PlainTextResponse(Path("/", name).read_bytes()[:4096])
    except (OSError, ValueError):
        return PlainTextResponse("none")


def _go(to: str) -> RedirectResponse:
    return RedirectResponse(to)


def _fetch(url: str) -> PlainTextResponse:
    if not url.startswith("http://127.0.0.1:"):  # a test leaves other machines alone
        return PlainTextResponse("none")
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310
            return PlainTextResponse(answer.read(4096))
    except (OSError, ValueError, HTTPException):
        return PlainTextResponse("none")


def _row(request: Request, id: str) -> HTMLResponse:  # noqa: A002
    statement = f"SELECT name FROM users WHERE id = {id}"  # noqa: S608 - this is the hole
    with request.app.state.parts.database.reading() as connection:
        try:
            return _page(str(connection.exec_driver_sql(statement).all()))
        except SQLAlchemyError as error:
            return _page(str(error))

"""What a program is told when something cannot be done: ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

import http
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException

from deploy.dashboard.access.errors import AccessError
from deploy.dashboard.errors import DatabaseError
from deploy.dashboard.review.errors import ReviewError
from edge_daemon.errors import LeukoError

MEDIA_TYPE = "application/problem+json"
_STATUS: dict[type, int] = {ReviewError: 409, AccessError: 400, DatabaseError: 503}


class Problem(BaseModel):
    """Why a request was not carried out."""

    title: str
    """The status in words."""
    status: int
    detail: str
    """One line for whoever reads the log."""


class ProblemResponse(JSONResponse):
    """A problem as an answer."""

    media_type = MEDIA_TYPE


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Say that something cannot be done."""
    title = http.HTTPStatus(status).phrase
    content = Problem(title=title, status=status, detail=detail).model_dump()
    return ProblemResponse(content, status, None if headers is None else dict(headers))


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What an operation may answer instead, for the document; some always belong."""
    every = sorted({400, 401, 403, 422, 503, *statuses})
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        one: {"description": http.HTTPStatus(one).phrase, "content": {MEDIA_TYPE: schema}}
        for one in every
    }


def say_problems(api: FastAPI) -> None:
    """Have every error of the API told like that."""

    @api.exception_handler(StarletteHTTPException)
    def _refused(_request: Request, error: Exception) -> Response:
        assert isinstance(error, StarletteHTTPException)  # noqa: S101 - registered for it alone
        return problem(error.status_code, str(error.detail), error.headers)

    @api.exception_handler(RequestValidationError)
    def _not_understood(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it alone
        first = error.errors()[0]
        where = ".".join(str(one) for one in first["loc"])
        return problem(422, f"{where}: {first['msg']}")

    @api.exception_handler(LeukoError)
    def _in_a_line(_request: Request, error: Exception) -> Response:
        return problem(_STATUS.get(type(error), 400), str(error))

    @api.exception_handler(Exception)
    def _failed(_request: Request, _error: Exception) -> Response:
        return problem(500, "this failed here, and was written into the server's log")

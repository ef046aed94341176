"""``POST /commands/<name>``: a JSON object of arguments in, the command's reply out.

The same commands as over MQTT, carried out by the same function; what is refused there is refused
here. A body is read to 64 kB and no further, within a few seconds, and whatever is wrong with it is
told in one line.
"""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import get_args

from pydantic import JsonValue, TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from edge_daemon.contract.envelope import utc_now
from edge_daemon.contract.messages import Command, CommandName
from edge_daemon.errors import LeukoError
from edge_daemon.service.view import Execute

MAX_BODY_BYTES = 64 * 1024
BODY_WITHIN_S = 10.0
EXPIRES_AFTER_S = 60.0
"""A command that waited for so long behind others is no longer what the operator wants."""

_ARGUMENTS: TypeAdapter[dict[str, JsonValue]] = TypeAdapter(dict[str, JsonValue])
_ID = re.compile(r"[0-9a-f]{32}")

log = logging.getLogger(__name__)


class _RefusedError(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Commands:
    """Takes commands for one device."""

    site: str
    device: str
    execute: Execute | None
    """None where this daemon takes no commands."""

    async def post(self, request: Request) -> Response:
        """Read a command, have it carried out, and answer with its reply."""
        try:
            command = await self._read(request)
            if self.execute is None:
                raise _RefusedError(503, "this daemon takes no commands")
            reply = await run_in_threadpool(self.execute, command)
        except _RefusedError as refused:
            return JSONResponse({"error": str(refused)}, refused.status)
        except LeukoError as error:
            return JSONResponse({"error": str(error)}, 409)
        except Exception as error:  # the sender must hear of it, and the daemon goes on
            log.exception("a command failed")
            return JSONResponse({"error": f"the command failed: {type(error).__name__}"}, 500)
        status = 200 if reply.ok else 409
        return Response(reply.to_json(), status, media_type="application/json")

    async def _read(self, request: Request) -> Command:
        name = request.path_params["name"]
        known = get_args(CommandName)
        if name not in known:
            raise _RefusedError(404, f"unknown command; known are {', '.join(known)}")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":  # which a form of a foreign page cannot send
            raise _RefusedError(415, "send the arguments as Content-Type: application/json")
        identity = request.headers.get("idempotency-key") or uuid.uuid4().hex
        if _ID.fullmatch(identity) is None:
            raise _RefusedError(400, "Idempotency-Key must be 32 hexadecimal digits")
        body = await _body(request)
        try:
            arguments = _ARGUMENTS.validate_json(body or b"{}")
            return Command(
                site=self.site,
                device=self.device,
                id=identity,
                name=name,
                expires_at=utc_now() + timedelta(seconds=EXPIRES_AFTER_S),
                args=arguments,
            )
        except ValidationError as error:
            what = error.errors(include_url=False, include_input=False)[0]["msg"][:200]
            raise _RefusedError(400, f"the body is no JSON object of arguments: {what}") from None


async def _body(request: Request) -> bytes:
    too_large = _RefusedError(413, f"the body is over {MAX_BODY_BYTES} bytes")
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > MAX_BODY_BYTES:
        raise too_large

    async def read() -> bytes:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY_BYTES:
                raise too_large
        return bytes(body)

    try:
        return await asyncio.wait_for(read(), BODY_WITHIN_S)
    except asyncio.TimeoutError:
        raise _RefusedError(408, f"the body did not come within {BODY_WITHIN_S:.0f} s") from None
    except ClientDisconnect:
        raise _RefusedError(400, "the sender went away") from None

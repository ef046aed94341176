"""The API as an application of its own, put below ``/api/v1`` of the pages."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI

from deploy.dashboard.api import devices, reviews, slides
from deploy.dashboard.api.callers import SCHEMES, Anyone
from deploy.dashboard.api.models import Me
from deploy.dashboard.api.problems import Problem, responses, say_problems
from deploy.dashboard.web.context import Parts
from edge_daemon import __version__

PATH = "/api/v1"
_ABOUT = """\
Results of every microscope, and the decisions of people about them. Research use only.

A result is preliminary until a person has signed (`status` of a slide, as in HL7 FHIR). Lists come
by pages: give `next` as `after`. What cannot be done is told as `application/problem+json`.
"""

me = APIRouter(tags=["callers"])


@me.get("/me", responses=responses(), response_model=Me)
def who(caller: Anyone) -> Any:
    """Who calls, and with which role."""
    return caller.user


def create_api(parts: Parts) -> FastAPI:
    """The API on the parts of the application."""
    api = FastAPI(
        title="LeukoEdge dashboard",
        version=__version__,
        description=_ABOUT,
        docs_url=None,  # its page asks another host for its scripts
        redoc_url=None,
        openapi_url="/openapi.json",
        servers=[{"url": PATH}],
        root_path_in_servers=False,
        dependencies=SCHEMES,
    )
    api.state.parts = parts
    for router in (me, slides.router, reviews.router, devices.router):
        api.include_router(router)
    say_problems(api)
    _describe_problems(api)
    return api


def _describe_problems(api: FastAPI) -> None:
    """Put :class:`Problem` into the document, in the place of FastAPI's own."""
    made = api.openapi

    def document() -> dict[str, Any]:
        if api.openapi_schema is None:
            schemas = made()["components"]["schemas"]
            schemas["Problem"] = Problem.model_json_schema()
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
        return api.openapi_schema or {}

    api.openapi = document  # type: ignore[method-assign]

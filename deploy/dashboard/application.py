"""All that is served: the pages, the API below them, and the figures for Prometheus."""

from __future__ import annotations

import re

from fastapi import FastAPI
from starlette.routing import Mount

from deploy.dashboard.api.app import PATH, create_api
from deploy.dashboard.metrics.page import add_metrics
from deploy.dashboard.web.app import create_app
from deploy.dashboard.web.context import Parts
from deploy.dashboard.web.settings import WebSettings


def create_application(settings: WebSettings) -> FastAPI:
    """The whole application; raises as :func:`deploy.dashboard.web.app.create_app` does."""
    app = create_app(settings)
    parts: Parts = app.state.parts
    api = Mount(PATH, create_api(parts))
    # An address with a line break belongs to the API too, which refuses it in its own words.
    api.path_regex = re.compile(api.path_regex.pattern, re.DOTALL)
    app.router.routes.append(api)
    add_metrics(app, parts)
    return app

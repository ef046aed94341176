"""Pages as text: one set of templates, and what they call things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from deploy.dashboard.access.roles import Role
from deploy.dashboard.web import formats
from deploy.dashboard.web.assets import Assets
from deploy.dashboard.web.visitor import Visitor
from edge_daemon import __version__
from edge_daemon.contract.envelope import utc_now

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Entry:
    """A place in the navigation."""

    name: str
    path: str
    key: str
    """Pressed after ``g``."""
    role: Role = "viewer"


NAVIGATION: tuple[Entry, ...] = (
    Entry("Worklist", "/worklist", "w"),
    Entry("Devices", "/devices", "d"),
    Entry("Fleet", "/fleet", "f"),
    Entry("Alerts", "/alerts", "l"),
    Entry("Models", "/models", "m"),
    Entry("Audit", "/audit", "a", "lead"),
)
"""Pages that everybody reaches from everywhere, in this order."""


class Pages:
    """Templates; escapes everything that is put into them."""

    def __init__(self, assets: Assets) -> None:
        self.assets = assets
        self._templates = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(formats.FILTERS)
        self._templates.globals.update(
            asset=assets.url,
            plotly_url=lambda: assets.plotly_url,
            navigation=NAVIGATION,
            version=__version__,
            words=formats.WORDS,
        )

    def page(
        self,
        request: Request,
        template: str,
        visitor: Visitor | None = None,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **values: Any,
    ) -> HTMLResponse:
        """A whole page, or a part of one."""
        text = self._templates.get_template(template).render(
            visitor=visitor, path=request.url.path, now=utc_now(), **values
        )
        return HTMLResponse(text, status, dict(headers or {}))

    def part(self, template: str, **values: Any) -> str:
        """A part of a page, as text."""
        return self._templates.get_template(template).render(now=utc_now(), **values)

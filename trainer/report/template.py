"""How every page of the house is made: one file that fetches nothing, in one look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_STYLE = Path(__file__).with_name("page.css")


def render_template(folder: Path, **values: Any) -> str:
    """``page.html.jinja`` of ``folder``, filled with ``values`` and the house's ``style``.

    Texts are escaped, and a name that the template knows and ``values`` does not is an error.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from trainer.report.words import condition_in_words

    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["words"] = condition_in_words
    template = environment.get_template("page.html.jinja")
    return template.render(style=_STYLE.read_text(encoding="utf-8"), **values)

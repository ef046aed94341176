"""The roofline as one HTML file that fetches nothing."""

from __future__ import annotations

from pathlib import Path

from edge_daemon import __version__
from exporter.errors import ExportError
from exporter.roofline import tables
from exporter.roofline.charts import CELLS_SHOWN, roofline_chart
from exporter.roofline.devices import ORIN_NANO, SOURCES
from exporter.roofline.frames import CELLS, BundleCosts
from exporter.roofline.public_points import fractions, kernel_costs
from trainer.report.template import render_template

_HERE = Path(__file__).parent


def write_page(costs: BundleCosts, file: Path) -> None:
    """Write the page to ``file``.

    Raises:
        ExportError: it cannot be written there.
    """
    page = render_page(costs)
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ExportError(f"the page cannot be written to {file}: {error.strerror}") from error


def render_page(costs: BundleCosts) -> str:
    """The whole page."""
    shipped = costs.shipped_choice()
    reached = fractions()
    return render_template(
        _HERE,
        version=__version__,
        costs=costs,
        disclaimer=tables.DISCLAIMER,
        chart=roofline_chart(shipped),
        cells=CELLS,
        cells_shown=CELLS_SHOWN,
        lowest=min(reached),
        highest=max(reached),
        kernel_costs=kernel_costs(),
        frames=tables.frames_table(costs),
        bounds=tables.bounds_table(costs),
        networks=tables.networks_table(costs),
        slowest=[
            tables.slowest_table(shipped.detector, 1, ORIN_NANO),
            tables.slowest_table(shipped.classifier, CELLS_SHOWN, ORIN_NANO),
        ],
        points=tables.points_table(),
        peaks=tables.peaks_table(),
        devices=tables.devices_table(),
        sources=SOURCES,
    )

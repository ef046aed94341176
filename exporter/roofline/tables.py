"""The figures of the roofline as tables: the terminal and the page show the same."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.roofline.bound import bound_s, layer_bounds, whole_bound_s
from exporter.roofline.devices import DEVICES, Device
from exporter.roofline.frames import CELLS, BundleCosts, Variant
from exporter.roofline.network import Network
from exporter.roofline.public_points import (
    COUNTED_POINTS,
    MEASURED_PEAKS,
    POINTS,
    kernel_costs,
    lowest_fraction,
)

DISCLAIMER = "Calculated from its graphs; nothing here was run on a Jetson by us."

SLOWEST = 8
"""Layers shown of a network."""


@dataclass(frozen=True)
class Table:
    """Rows under headings, every cell as it is printed.

    The first ``heads`` and the last ``tails`` columns are words, the others numbers.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    heads: int = 1
    tails: int = 0
    note: str = ""
    links: tuple[str, ...] = ()
    """For each row, where its last column can be looked up."""

    def is_words(self, column: int) -> bool:
        """Whether a column is to be read, not compared."""
        return column < self.heads or column >= len(self.headings) - self.tails

    def __str__(self) -> str:
        widths = [
            max(len(row[column]) for row in (self.headings, *self.rows))
            for column in range(len(self.headings))
        ]
        lines = [self.title]
        for row in (self.headings, *self.rows):
            cells = [
                cell.ljust(width) if self.is_words(column) else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
        return "\n".join([*lines, *([self.note] if self.note else [])])


def networks_table(costs: BundleCosts) -> Table:
    """Operations and bytes of every network."""
    rows = [
        (
            _name(variant),
            str(batch),
            f"{network.macs / 1e9:.3f}",
            f"{100 * sum(layer.cuda_macs for layer in network.layers) / network.macs:.0f} %",
            f"{network.weight_bytes / 1e6:.2f}",
            f"{(network.moved_bytes - network.weight_bytes) / 1e6:.1f}",
            f"{2 * network.macs / network.moved_bytes:.0f}",
            str(len(network.layers)),
        )
        for variant, batch, network in _each(costs)
    ]
    return Table(
        "Operations and bytes, a frame or a batch of crops",
        ("network", "batch", "GMAC", "depthwise", "weights MB", "tensors MB", "op/B", "kernels"),
        tuple(rows),
        note="(*) not in the bundle: its float32 tensors counted as float16",
    )


def bounds_table(costs: BundleCosts) -> Table:
    """The time of every network on every device."""
    rows = [
        (
            _name(variant),
            str(batch),
            *(
                f"{1e3 * bound_s(network, device):.2f} ({1e3 * whole_bound_s(network, device):.2f})"
                for device in DEVICES
            ),
        )
        for variant, batch, network in _each(costs)
    ]
    return Table(
        "Least time, ms: layer by layer (one roofline for the whole network)",
        ("network", "batch", *(_short(device) for device in DEVICES)),
        tuple(rows),
    )


def frames_table(costs: BundleCosts) -> Table:
    """Frames a second on every device."""
    low = lowest_fraction()
    rows = []
    for device in DEVICES:
        for choice in costs.choices:
            rates = [choice.frames_per_s(device, cells) for cells in CELLS]
            rows.append(
                (
                    str(device),
                    choice.label,
                    f"{1e3 * choice.detector_s(device):.2f}",
                    *(f"{1e3 * choice.classifier_s(device, cells):.2f}" for cells in CELLS),
                    *(f"{rate:.0f}" for rate in rates),
                    *(f"{low * rate:.0f}" for rate in rates),
                )
            )
    return Table(
        f"Frames a second with {', '.join(map(str, CELLS))} white cells: the bound (f/s), and "
        f"{100 * low:.0f} % of it, the least that a point below reached",
        (
            "device",
            "networks",
            "detector ms",
            *(f"+ {cells} ms" for cells in CELLS),
            *(f"f/s, {cells}" for cells in CELLS),
            *(f"{100 * low:.0f} %, {cells}" for cells in CELLS),
        ),
        tuple(rows),
        heads=2,
    )


def points_table() -> Table:
    """Published latencies beside the bound of the same network."""
    exact = [
        (p.name, str(p.device), "int8", str(p.batch), p.measured_ms, p.bound_ms(), p.source)
        for p in POINTS
    ]
    loose = [
        (f"{p.name} (+)", str(p.device), p.arithmetic, "1", p.measured_ms, p.bound_ms(), p.source)
        for p in COUNTED_POINTS
    ]
    return Table(
        "Checked against what others measured",
        ("network", "device", "numbers", "batch", "measured ms", "bound ms", "reached", "source"),
        tuple(
            (
                *words,
                f"{measured:.3f}",
                f"{bound:.3f}",
                f"{100 * bound / measured:.0f} %",
                source.title,
            )
            for *words, measured, bound, source in exact + loose
        ),
        heads=3,
        tails=1,
        note="(+) one roofline for the whole network, from published operations and parameters",
        links=tuple(source.url for *_, source in exact + loose),
    )


def peaks_table() -> Table:
    """What kernels made for it got out of a device."""
    return Table(
        "Peaks that others measured",
        ("what", "device", "unit", "measured", "derived peak", "reached", "source"),
        tuple(
            (
                peak.what,
                str(peak.device),
                peak.unit,
                f"{peak.measured:.4g}",
                f"{peak.derived:.4g}",
                f"{100 * peak.measured / peak.derived:.0f} %",
                peak.source.title,
            )
            for peak in MEASURED_PEAKS
        ),
        heads=3,
        tails=1,
        links=tuple(peak.source.url for peak in MEASURED_PEAKS),
    )


def devices_table() -> Table:
    """The devices and their peaks."""
    rows = []
    for device in DEVICES:
        module, accelerators = device.published_sparse_tops
        rows.append(
            (
                str(device),
                str(device.multiprocessors),
                f"{device.gpu_mhz:.0f}",
                f"{device.tensor_peak('int8') / 1e12:.1f}",
                f"{device.tensor_peak('fp16') / 1e12:.1f}",
                f"{device.tensor_peak('tf32') / 1e12:.1f}",
                f"{device.cuda_peak('fp16') / 1e12:.2f}",
                f"{device.cuda_peak('fp32') / 1e12:.2f}",
                f"{device.bandwidth_gb_s:g}",
                f"({module:g} - {accelerators:g}) / 2 = {(module - accelerators) / 2:.1f}",
                device.note,
            )
        )
    return Table(
        "Dense peaks of the GPU alone, tera-operations a second",
        (
            *("device", "SMs", "MHz", "INT8 tensor", "FP16 tensor", "TF32 tensor"),
            *("FP16 CUDA", "FP32 CUDA", "GB/s", "INT8 by the data sheet", "power mode"),
        ),
        tuple(rows),
        tails=1,
    )


def slowest_table(variant: Variant, batch: int, device: Device) -> Table:
    """The layers of a network that take longest at least."""
    bounds = layer_bounds(variant.networks[batch], device)
    total = sum(one.seconds for one in bounds)
    slowest = sorted(bounds, key=lambda one: one.seconds, reverse=True)[:SLOWEST]
    share = sum(one.seconds for one in slowest) / total
    waiting = sum(one.seconds for one in bounds if one.limit == "memory") / total
    return Table(
        f"{_name(variant)}, batch {batch}, on {device}: {SLOWEST} of {len(bounds)} kernels hold "
        f"{100 * share:.0f} % of {1e3 * total:.2f} ms; {100 * waiting:.0f} % waits for memory",
        ("layer", "operators", "numbers", "waits for", "MMAC", "MB", "us", "share"),
        tuple(
            (
                one.layer.name,
                " + ".join(one.layer.operators),
                one.layer.arithmetic,
                one.limit,
                f"{one.layer.macs / 1e6:.1f}",
                f"{one.layer.moved_bytes / 1e6:.2f}",
                f"{1e6 * one.seconds:.0f}",
                f"{100 * one.seconds / total:.0f} %",
            )
            for one in slowest
        ),
        heads=4,
    )


def terminal_text(costs: BundleCosts) -> str:
    """What the command prints."""
    tables = (
        networks_table(costs),
        bounds_table(costs),
        frames_table(costs),
        _without_last(points_table()),
    )
    split = "; ".join(
        f"{cost.device.name}: {100 * cost.fraction:.0f} % of the bound for further pictures, "
        f"{cost.kernel_us:.1f} us left over for each kernel"
        for cost in kernel_costs()
    )
    first = f"{costs.label} ({costs.digest[:23]}...). {DISCLAIMER}"
    last = f"ResNet-50 at batches of 1 and 8 together. {split}."
    return "\n\n".join([first, *map(str, tables), last])


def _without_last(table: Table) -> Table:
    """A terminal has no room for the names of sources; the page and docs/roofline.md have."""
    return Table(
        table.title,
        table.headings[:-1],
        tuple(row[:-1] for row in table.rows),
        table.heads,
        note=table.note,
    )


def _each(costs: BundleCosts) -> list[tuple[Variant, int, Network]]:
    return [
        (variant, batch, network)
        for variant in costs.variants
        for batch, network in variant.networks.items()
    ]


def _name(variant: Variant) -> str:
    return f"{variant.role} {variant.label}{'' if variant.shipped else ' (*)'}"


def _short(device: Device) -> str:
    super_mode = " Super" if "SUPER" in device.mode else ""
    return " ".join(device.name.split()[:2]) + super_mode

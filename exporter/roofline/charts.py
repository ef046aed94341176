"""The roofline of every device, with the layers of the networks that a bundle ships."""

from __future__ import annotations

from typing import Any

import numpy as np

from exporter.roofline.bound import layer_bounds
from exporter.roofline.devices import DEVICES, Device
from exporter.roofline.frames import Choice
from exporter.roofline.network import Arithmetic, Network
from trainer.report.svg import GREY, INK, OKABE_ITO, drawing, inline_svg

CELLS_SHOWN = 10
"""The classifier's batch in the chart."""

_WIDTH_IN, _HEIGHT_IN = 10.4, 6.6
_INTENSITY = (0.3, 3000.0)
"""Operations a byte, left and right edge."""
_ROOFS: tuple[tuple[str, Arithmetic, bool, str, str], ...] = (
    ("INT8, tensor cores", "int8", True, OKABE_ITO[2], "-"),
    ("FP16, tensor cores", "fp16", True, OKABE_ITO[3], "--"),
    ("TF32, tensor cores", "tf32", True, OKABE_ITO[4], "-."),
    ("FP16, CUDA cores", "fp16", False, GREY, "--"),
    ("FP32, CUDA cores", "fp32", False, GREY, "-"),
)
_MOST_AREA = 260.0
"""Points squared of a layer that takes all the time of its network."""


def roofline_chart(choice: Choice) -> str:
    """One panel a device, as SVG: roofs by kind of number, and each layer on the roof it is under.

    A layer stands at the operations for each byte that it moves; its area is its share of its
    network's time.
    """
    networks = (
        (f"detector {choice.detector.label}", choice.detector.networks[1], OKABE_ITO[0], "o"),
        (
            f"classifier {choice.classifier.label}, {CELLS_SHOWN} crops",
            choice.classifier.networks[CELLS_SHOWN],
            OKABE_ITO[1],
            "s",
        ),
    )
    with drawing(_WIDTH_IN, _HEIGHT_IN, "roofline") as figure:
        panels = list(figure.subplots(2, 3, sharex=True, sharey=True).flat)
        for axes, device in zip(panels, DEVICES, strict=False):
            _roofs(axes, device)
            for label, network, colour, mark in networks:
                _layers(axes, network, device, label, colour, mark)
            axes.set_title(str(device))
            for scale in (axes.set_xscale, axes.set_yscale):
                scale("log")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter("{x:g}")
            axes.set_xlim(*_INTENSITY)
            axes.minorticks_off()
        legend = panels[len(DEVICES)]
        legend.set_axis_off()
        handles, labels = panels[0].get_legend_handles_labels()
        drawn = legend.legend(handles, labels, loc="center left", fontsize=8.5)
        for handle in drawn.legend_handles[-len(networks) :]:
            handle.set_sizes([40])
        panels[2].tick_params(labelbottom=True)  # under it is the legend, not another panel
        figure.supxlabel("operations for each byte moved", fontsize=8.5)
        figure.supylabel("tera-operations a second at most", fontsize=8.5)
        alt = f"Rooflines of {len(DEVICES)} devices with the layers of the networks"
        return inline_svg(figure, "roofline", alt)


def _roofs(axes: Any, device: Device) -> None:
    intensity = np.geomspace(*_INTENSITY, 200)
    by_memory = intensity * device.bandwidth
    for label, arithmetic, on_tensor_cores, colour, line in _ROOFS:
        peak = device.tensor_peak(arithmetic) if on_tensor_cores else device.cuda_peak(arithmetic)
        under = by_memory > peak
        axes.plot(
            intensity[under],
            np.full(under.sum(), peak / 1e12),
            color=colour,
            linestyle=line,
            linewidth=1.1,
            label=label,
        )
    highest = device.tensor_peak("int8")
    shared = by_memory <= highest
    axes.plot(
        intensity[shared],
        by_memory[shared] / 1e12,
        color=INK,
        linewidth=1.1,
        label="memory",
    )


def _layers(
    axes: Any, network: Network, device: Device, label: str, colour: str, mark: str
) -> None:
    bounds = [one for one in layer_bounds(network, device) if one.layer.macs]
    total = sum(one.seconds for one in layer_bounds(network, device))
    axes.scatter(
        [2 * one.layer.macs / one.layer.moved_bytes for one in bounds],
        [2 * one.layer.macs / one.seconds / 1e12 for one in bounds],
        s=[max(4.0, _MOST_AREA * one.seconds / total) for one in bounds],
        color=colour,
        marker=mark,
        alpha=0.55,
        linewidths=0,
        label=label,
        zorder=3,
    )

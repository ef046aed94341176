"""The time below which no device can run a network: the roofline, layer by layer.

A kernel takes at least the time of its arithmetic at the peak of the unit that does it, and at
least the time its bytes need to cross the memory bus (Williams et al. 2009, the roofline model).
Layers wait for each other, so the larger of the two is summed over layers; that is tighter than one
roofline for the whole network, which supposes that the bytes of one layer travel beneath the
arithmetic of another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from exporter.roofline.devices import Device
from exporter.roofline.network import Layer, Network

Limit = Literal["memory", "tensor cores", "CUDA cores"]


@dataclass(frozen=True)
class LayerBound:
    """What a layer takes at least, and what it waits for."""

    layer: Layer
    seconds: float
    limit: Limit


def layer_bound(layer: Layer, device: Device) -> LayerBound:
    """The roofline of one kernel. Its units work side by side, so the slowest decides."""
    arithmetic = layer.arithmetic
    on_tensor_cores = device.tensor_peak(arithmetic) > 0
    tensor = 2 * layer.tensor_macs / device.matrix_peak(arithmetic)
    cuda = (2 * layer.cuda_macs + layer.pass_operations) / device.cuda_peak(arithmetic)
    if not on_tensor_cores:
        tensor, cuda = 0.0, tensor + cuda
    times: dict[Limit, float] = {
        "memory": layer.moved_bytes / device.bandwidth,
        "tensor cores": tensor,
        "CUDA cores": cuda,
    }
    limit = max(times, key=times.__getitem__)
    return LayerBound(layer, times[limit], limit)


def layer_bounds(network: Network, device: Device) -> tuple[LayerBound, ...]:
    """The bound of every layer, in order."""
    return tuple(layer_bound(layer, device) for layer in network.layers)


def bound_s(network: Network, device: Device) -> float:
    """Seconds that a batch takes at least."""
    return sum(one.seconds for one in layer_bounds(network, device))


def whole_bound_s(network: Network, device: Device) -> float:
    """Seconds by one roofline for the whole network: a looser bound that no cache can undercut.

    All arithmetic at its peaks, or only weights, inputs and outputs over the bus, whichever takes
    longer.
    """
    arithmetic = sum(
        2 * layer.tensor_macs / device.matrix_peak(layer.arithmetic)
        + 2 * layer.cuda_macs / device.cuda_peak(layer.arithmetic)
        for layer in network.layers
    )
    return max(arithmetic, network.boundary_bytes / device.bandwidth)

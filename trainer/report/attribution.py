"""Where a network looks: HiResCAM (Draelos & Carin 2020, arXiv:2011.08891).

Each place of a layer is weighed by how much the class would gain from it, channel by channel, and
the channels are summed. Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391) weighs a channel by its
mean over all places instead, and lights up places that are never read: here the background, which
the networks leave out. The map is as coarse as the layer, says what would raise the score and not
why it is what it is, and is a help to find a network that looks at the background, never a proof
that it looks at the disease.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_daemon.errors import DataError

_OPACITY = 0.45


def hires_cam(
    network: nn.Module, layer: str, inputs: Tensor, class_index: int
) -> NDArray[np.float32]:
    """Where in ``inputs`` the evidence for ``class_index`` lies, float32 ``[N, h, w]``, 0 to 1.

    ``layer`` is the name of a module of ``network`` (:meth:`torch.nn.Module.named_modules`) that
    gives features ``[N, C, h, w]``; the map has its resolution. Each map is scaled to its own
    maximum; one without any evidence for the class is 0 throughout. The network is read in
    inference mode and left as it was found, without hooks.

    Raises :class:`DataError` when there is no such layer or it gives no feature map.
    """
    modules = dict(network.named_modules())
    if layer not in modules or not layer:
        raise DataError(f"the network has no layer {layer!r}; its last is {list(modules)[-1]!r}")
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, features: Any) -> Tensor:
        if not isinstance(features, Tensor) or features.ndim != 4:
            raise DataError(f"the layer {layer!r} gives no features [N, C, h, w]")
        # Detached, the gradient is asked for from here on only, and frozen weights do not matter.
        # Cloned, because the next layer may work in place.
        kept.append(features.detach().requires_grad_())
        return kept[-1].clone()

    modes = {module: module.training for module in modules.values()}
    handle = modules[layer].register_forward_hook(keep)
    try:
        network.eval()
        with torch.enable_grad():
            logits = network(inputs)
            gradients = torch.autograd.grad(logits[:, class_index].sum(), kept[-1])[0]
    finally:
        handle.remove()
        for module, training in modes.items():
            module.training = training
    heat = (gradients * kept[-1].detach()).sum(dim=1).clamp(min=0)
    strongest = heat.amax(dim=(1, 2), keepdim=True)
    return (heat / strongest.clamp(min=1e-12)).float().cpu().numpy()


def overlay(picture: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """``heat`` ``[h, w]`` laid over an RGB ``picture`` ``[H, W, 3]`` in the colours of viridis.

    Viridis rises evenly in lightness, so that it is read alike with any colour vision.
    """
    height, width = picture.shape[:2]
    smooth = cv2.resize(heat, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    coloured = cv2.applyColorMap((255 * smooth).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    blended = cv2.addWeighted(
        picture, 1 - _OPACITY, cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB), _OPACITY, 0
    )
    return np.asarray(blended, np.uint8)

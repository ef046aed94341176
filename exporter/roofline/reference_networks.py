"""Two networks that others have measured on Orin, as graphs without weights, to be counted alike.

Only sizes matter to a count, so the tensors here have sizes and no content; the graphs cannot run.
"""

from __future__ import annotations

from typing import Any

import onnx
from onnx import TensorProto, helper


def resnet50() -> onnx.ModelProto:
    """ResNet-50 v1.5, input ``[N, 3, 224, 224]``: 4.09 G multiply-accumulates, 25.6 M parameters.

    He et al. 2015 (arXiv:1512.03385), with the stride in the 3x3 convolution of a block, as in
    MLPerf and torchvision.
    """
    net = _Drawing(3, 224)
    x = net.conv("x", 64, 7, 2)
    x = net.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for stage, (width, blocks) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)]):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = net.conv(x, width, 1)
            y = net.conv(y, width, 3, stride)
            y = net.conv(y, 4 * width, 1, relu=False)
            skip = x if block else net.conv(x, 4 * width, 1, stride, relu=False)
            x = net.node("Relu", [net.node("Add", [y, skip], channels=4 * width)])
    x = net.node("Flatten", [net.node("GlobalAveragePool", [x])])
    weights = [net.weights(1000, 2048), net.weights(1000)]
    return net.model([net.node("Gemm", [x, *weights], transB=1)])


def ssd_mobilenet_v1() -> onnx.ModelProto:
    """SSD-MobileNet-v1, input ``[N, 3, 300, 300]``: 1.2 G multiply-accumulates, 6.8 M parameters.

    Howard et al. 2017 (arXiv:1704.04861, table 13) in the form that MLPerf Inference took over:
    91 classes, six feature maps, box predictors of 1x1. Suppression of boxes is not part of it.
    """
    net = _Drawing(3, 300)
    x = net.conv("x", 32, 3, 2)
    maps = []
    widths = [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
    for index, width in enumerate(widths):
        x = net.conv(x, net.channels[x], 3, 2 if index in (1, 3, 5, 11) else 1, depthwise=True)
        x = net.conv(x, width, 1)
        if index in (10, 12):
            maps.append(x)
    for narrow, wide in [(256, 512), (128, 256), (128, 256), (64, 128)]:
        x = net.conv(net.conv(x, narrow, 1), wide, 3, 2)
        maps.append(x)
    outputs = []
    for index, features in enumerate(maps):
        anchors = 6 if index else 3
        outputs.append(net.conv(features, anchors * 4, 1, relu=False))
        outputs.append(net.conv(features, anchors * 91, 1, relu=False))
    return net.model(outputs)


class _Drawing:
    """A graph as it is drawn, node by node; ``channels`` of every tensor so far."""

    def __init__(self, channels: int, side: int) -> None:
        self.channels = {"x": channels}
        self._input = helper.make_tensor_value_info(
            "x", TensorProto.FLOAT, ["N", channels, side, side]
        )
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def conv(
        self,
        x: str,
        width: int,
        side: int,
        stride: int = 1,
        *,
        relu: bool = True,
        depthwise: bool = False,
    ) -> str:
        """A convolution with bias that keeps the size but for its stride, and its activation."""
        channels = self.channels[x]
        groups = channels if depthwise else 1
        weights = [self.weights(width, channels // groups, side, side), self.weights(width)]
        y = self.node(
            "Conv",
            [x, *weights],
            channels=width,
            group=groups,
            strides=[stride] * 2,
            auto_pad="SAME_UPPER",
        )
        return self.node("Relu", [y]) if relu else y

    def node(
        self, operator: str, inputs: list[str], *, channels: int | None = None, **attributes: Any
    ) -> str:
        name = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        self.channels[name] = channels or self.channels[inputs[0]]
        return name

    def weights(self, *sizes: int) -> str:
        name = f"weights_{len(self._weights)}"
        self._weights.append(TensorProto(name=name, data_type=TensorProto.FLOAT, dims=sizes))
        return name

    def model(self, outputs: list[str]) -> onnx.ModelProto:
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self._nodes, "reference", [self._input], ends, self._weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])

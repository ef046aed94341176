"""The roofline: counts made by hand, peaks that data sheets give, and nothing measured by us."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from edge_daemon.contract.bundle import (
    BundleManifest,
    file_entry,
    load_bundle,
    newest_bundle,
    write_manifest,
)
from edge_daemon.errors import BundleError
from exporter.cli import app
from exporter.errors import ExportError
from exporter.roofline.bound import bound_s, layer_bound, whole_bound_s
from exporter.roofline.devices import (
    AGX_ORIN,
    CUDA_OPERATIONS,
    DEVICES,
    ORIN_NANO,
    ORIN_NANO_SUPER,
    Device,
)
from exporter.roofline.frames import AS_SHIPPED, CELLS, count_bundle
from exporter.roofline.layers import count_layers
from exporter.roofline.network import Layer, Network
from exporter.roofline.page import render_page
from exporter.roofline.public_points import COUNTED_POINTS, POINTS, fractions, kernel_costs
from exporter.roofline.reference_networks import resnet50, ssd_mobilenet_v1
from exporter.roofline.tables import DISCLAIMER, terminal_text
from tests.house.checkout import REPOSITORY

SHIPPED = newest_bundle(REPOSITORY / "deploy" / "bundles")


def graph(
    nodes: list[onnx.NodeProto],
    x: list[int | str],
    weights: dict[str, np.ndarray],
    outputs: tuple[str, ...] = ("y",),
    x_type: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model of ``nodes`` from ``x`` to ``outputs``, whose shapes are left to be inferred."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    return helper.make_model(
        helper.make_graph(
            nodes,
            "small",
            [helper.make_tensor_value_info("x", x_type, x)],
            ends,
            [numpy_helper.from_array(array, name) for name, array in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
    )


def floats(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def conv(x: str, w: str, y: str, side: int = 3, **attributes: object) -> onnx.NodeProto:
    return helper.make_node("Conv", [x, w], [y], name=y, pads=[side // 2] * 4, **attributes)


def only(network: Network) -> Layer:
    (layer,) = network.layers
    return layer


class TestCounts:
    """Against numbers worked out by hand."""

    def test_a_convolution(self) -> None:
        """8 filters of 3 x 3 x 3 on 16 x 16, stride 2: 8 * 8 * 8 outputs of 27 products each."""
        model = graph(
            [conv("x", "w", "y", strides=[2, 2])], [1, 3, 16, 16], {"w": floats(8, 3, 3, 3)}
        )
        layer = only(count_layers(model, "small"))
        assert layer.tensor_macs == 8 * 8 * 8 * 27 == 13_824
        assert layer.cuda_macs == 0
        assert layer.weight_bytes == 216 * 4
        assert layer.read_bytes == 3 * 16 * 16 * 4
        assert layer.written_bytes == 8 * 8 * 8 * 4

    def test_a_depthwise_convolution_is_not_for_tensor_cores(self) -> None:
        model = graph([conv("x", "w", "y", group=8)], [1, 8, 10, 10], {"w": floats(8, 1, 3, 3)})
        layer = only(count_layers(model, "small"))
        assert (layer.tensor_macs, layer.cuda_macs) == (0, 8 * 100 * 9)
        assert layer.weight_bytes == 72 * 4

    def test_a_product_with_weights(self) -> None:
        node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)
        model = graph([node], ["N", 20], {"w": floats(5, 20), "b": floats(5)})
        layer = only(count_layers(model, "small", batch=3))
        assert layer.macs == 3 * 5 * 20
        assert layer.weight_bytes == (100 + 5) * 4
        assert (layer.read_bytes, layer.written_bytes) == (3 * 20 * 4, 3 * 5 * 4)

    def test_a_product_of_two_tensors(self) -> None:
        turn = helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1])
        model = graph([turn, helper.make_node("MatMul", ["x", "t"], ["y"])], [2, 6, 4], {})
        turned, product = count_layers(model, "small", batch=2).layers
        assert turned.macs == 0
        assert turned.moved_bytes == 2 * (2 * 24 * 4)
        assert product.macs == 2 * 6 * 6 * 4
        assert product.read_bytes == 2 * (2 * 24 * 4)

    def test_what_follows_a_convolution_alone_is_the_same_kernel(self) -> None:
        """Convolution, clip and the sum of a residual branch: read twice, written once."""
        nodes = [
            helper.make_node("Relu", ["x"], ["a"], name="before"),
            conv("a", "w", "b"),
            helper.make_node("Clip", ["b", "low", "high"], ["c"]),
            helper.make_node("Add", ["c", "a"], ["y"]),
        ]
        weights = {"w": floats(4, 4, 3, 3), "low": floats(), "high": floats()}
        before, fused = count_layers(graph(nodes, [1, 4, 5, 5], weights), "small").layers
        assert before.moved_bytes == 2 * 100 * 4
        assert fused.operators == ("Conv", "Clip", "Add")
        assert fused.read_bytes == 100 * 4  # the branch is the convolution's own input
        assert fused.written_bytes == 100 * 4
        assert fused.pass_operations == 2 * 100

    def test_what_two_layers_need_is_written(self) -> None:
        nodes = [conv("x", "w", "a"), helper.make_node("Relu", ["a"], ["b"]), conv("b", "w", "y")]
        shared = [*nodes, conv("a", "w", "z")]
        weights = {"w": floats(4, 4, 3, 3)}
        assert len(count_layers(graph(nodes, [1, 4, 5, 5], weights), "small").layers) == 2
        network = count_layers(graph(shared, [1, 4, 5, 5], weights, ("y", "z")), "small")
        assert [layer.operators for layer in network.layers] == [
            ("Conv",),
            ("Relu",),
            ("Conv",),
            ("Conv",),
        ]

    def test_a_chain_ends_with_its_reduction(self) -> None:
        nodes = [
            helper.make_node("Mul", ["x", "x"], ["a"]),
            helper.make_node("ReduceSum", ["a", "axes"], ["b"], keepdims=0),
            helper.make_node("Sqrt", ["b"], ["y"]),
        ]
        model = graph(nodes, [2, 50], {"axes": np.array([1])})
        layer = only(count_layers(model, "small", batch=2))
        assert layer.operators == ("Mul", "ReduceSum", "Sqrt")
        assert (layer.read_bytes, layer.written_bytes) == (2 * 50 * 4, 2 * 4)

    def test_views_cost_nothing_and_cuts_read_what_they_hand_on(self) -> None:
        nodes = [
            helper.make_node("Slice", ["x", "from", "to", "axis"], ["a"]),
            helper.make_node("Reshape", ["a", "shape"], ["b"]),
            helper.make_node("Relu", ["b"], ["y"]),
        ]
        weights = {
            "from": np.array([0]),
            "to": np.array([2]),
            "axis": np.array([1]),
            "shape": np.array([8]),
        }
        cut = only(count_layers(graph(nodes, [1, 10, 4], weights), "small"))
        assert cut.operators == ("Slice", "Relu")
        assert cut.read_bytes == cut.written_bytes == 8 * 4

    def test_float16_has_two_bytes(self) -> None:
        model = graph([conv("x", "w", "y")], [1, 4, 5, 5], {"w": floats(4, 4, 3, 3)})
        as_half = only(count_layers(model, "small", float32="fp16"))
        typed = onnx.ModelProto()
        typed.CopyFrom(model)
        for value in (*typed.graph.input, *typed.graph.output):
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
        typed.graph.initializer[0].CopyFrom(
            numpy_helper.from_array(np.zeros((4, 4, 3, 3), np.float16), "w")
        )
        assert only(count_layers(typed, "small")) == as_half
        assert as_half.arithmetic == "fp16"
        assert as_half.moved_bytes == (144 + 100 + 100) * 2

    def test_between_quantise_and_dequantise_a_number_is_a_byte(self) -> None:
        """One quantised convolution, and one in float that reads what the first one wrote."""
        scales = {"s": np.float32(0.1), "z": np.int8(0)}
        weights = {
            "q_w": np.zeros((4, 4, 3, 3), np.int8),
            "w_s": np.full(4, 0.1, np.float32),
            "w_z": np.zeros(4, np.int8),
            "v": floats(2, 4, 3, 3),
            **{name: np.asarray(value) for name, value in scales.items()},
        }
        nodes = [
            helper.make_node("Relu", ["x"], ["a"], name="float before"),
            helper.make_node("QuantizeLinear", ["a", "s", "z"], ["q_a"]),
            helper.make_node("DequantizeLinear", ["q_a", "s", "z"], ["d_a"]),
            helper.make_node("DequantizeLinear", ["q_w", "w_s", "w_z"], ["w"], axis=0),
            conv("d_a", "w", "b"),
            helper.make_node("Relu", ["b"], ["c"]),
            conv("c", "v", "y"),
        ]
        model = graph(nodes, [1, 4, 5, 5], weights)
        before, quantised, in_float = count_layers(model, "small", float32="tf32").layers
        assert before.read_bytes == 100 * 4
        assert before.written_bytes == 100
        assert quantised.arithmetic == "int8"
        assert quantised.weight_bytes == 144
        assert quantised.read_bytes == 100
        assert quantised.written_bytes == 100 * 4
        assert in_float.arithmetic == "tf32"
        assert in_float.weight_bytes == 72 * 4
        rest_in_half = count_layers(model, "small", float32="fp16").layers[1]
        assert (rest_in_half.arithmetic, rest_in_half.written_bytes) == ("int8", 100 * 2)

    def test_known_networks(self) -> None:
        """4.09 G for ResNet-50 and 1.2 G for SSD-MobileNet, as their papers and MLPerf have it."""
        large = count_layers(resnet50(), "ResNet-50", float32="int8")
        assert large.macs == 4_089_184_256
        assert large.weight_bytes == pytest.approx(25.5e6, rel=0.01)
        small = count_layers(ssd_mobilenet_v1(), "SSD-MobileNet-v1", float32="int8")
        assert small.macs == pytest.approx(1.2e9, rel=0.05)
        assert small.weight_bytes == pytest.approx(6.8e6, rel=0.01)


class TestWhatCannotBeCounted:
    def test_an_unknown_operator_is_named_with_its_layer(self) -> None:
        node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], name="memory", hidden_size=4)
        model = graph([node], [3, 1, 4], {"w": floats(1, 16, 4), "r": floats(1, 16, 4)})
        with pytest.raises(ExportError, match=r"a\.onnx: what operator LSTM costs .*layer memory"):
            count_layers(model, "a.onnx", batch=3)

    def test_a_fixed_batch_is_respected(self) -> None:
        model = graph([conv("x", "w", "y")], [1, 4, 5, 5], {"w": floats(4, 4, 3, 3)})
        with pytest.raises(ExportError, match="takes batches of 1, not of 2"):
            count_layers(model, "small", batch=2)

    def test_a_size_that_nobody_knows_is_named(self) -> None:
        model = graph([helper.make_node("Relu", ["x"], ["y"])], [1, "height"], {})
        with pytest.raises(ExportError, match="the size of x cannot be inferred"):
            count_layers(model, "small")


class TestDevices:
    @pytest.mark.parametrize("device", DEVICES, ids=str)
    def test_the_derived_peak_is_what_the_data_sheet_leaves_the_gpu(self, device: Device) -> None:
        """Sparse TOPS of the module, less those of its DLAs, halved; printed to whole TOPS."""
        module, accelerators = device.published_sparse_tops
        derived = 2 * device.tensor_peak("int8") / 1e12
        assert derived == pytest.approx(module - accelerators, abs=1.0)

    @pytest.mark.parametrize("device", DEVICES, ids=str)
    def test_each_kind_of_number_has_its_rate(self, device: Device) -> None:
        int8, fp16, tf32, fp32 = map(device.tensor_peak, ("int8", "fp16", "tf32", "fp32"))
        assert (int8, fp16, fp32) == (2 * fp16, 2 * tf32, 0)
        assert device.matrix_peak("fp32") == device.cuda_peak("fp32")
        assert device.cuda_peak("fp16") == 2 * device.cuda_peak("fp32")

    def test_the_cuda_rates_of_the_data_sheet(self) -> None:
        """Orin Nano: FP32 1.28 and 2.08 TFLOPS, FP16 2.56 and 4.16; AGX Orin: FP32 5.3."""
        for device, fp32 in ((ORIN_NANO, 1.28), (ORIN_NANO_SUPER, 2.08), (AGX_ORIN, 5.3)):
            assert device.cuda_peak("fp32") / 1e12 == pytest.approx(fp32, rel=0.01)


def layer(**changes: object) -> Layer:
    usual = Layer("one", ("Conv",), "fp16", 0, 0, 0, 0, 0, 0)
    return replace(usual, **changes)  # type: ignore[arg-type]


class TestBound:
    @pytest.mark.parametrize(
        ("one", "seconds", "limit"),
        [
            (layer(tensor_macs=5 * 10**9), 1e10 / 10.24e12, "tensor cores"),
            (layer(cuda_macs=10**9), 2e9 / 2.56e12, "CUDA cores"),
            (layer(arithmetic="fp32", tensor_macs=10**9), 2e9 / 1.28e12, "CUDA cores"),
            (layer(tensor_macs=1000, read_bytes=68 * 10**6), 1e-3, "memory"),
        ],
    )
    def test_the_slowest_part_decides(self, one: Layer, seconds: float, limit: str) -> None:
        bound = layer_bound(one, ORIN_NANO)
        assert bound.seconds == pytest.approx(seconds, rel=1e-3)
        assert bound.limit == limit

    def test_layers_wait_for_each_other(self) -> None:
        """One waits for arithmetic, one for memory: a single roofline would hide one behind it."""
        layers = (layer(tensor_macs=5 * 10**9), layer(read_bytes=68 * 10**6))
        network = Network(1, layers, boundary_bytes=0)
        assert bound_s(network, ORIN_NANO) == pytest.approx(1.977e-3, rel=1e-3)
        assert whole_bound_s(network, ORIN_NANO) == pytest.approx(0.977e-3, rel=1e-3)

    @settings(max_examples=12, deadline=None)
    @given(batch=st.integers(1, 63), more=st.integers(1, 64), device=st.sampled_from(DEVICES))
    def test_a_larger_batch_takes_longer_and_less_for_each_crop(
        self, batch: int, more: int, device: Device
    ) -> None:
        nodes = [
            conv("x", "w", "a"),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("GlobalAveragePool", ["b"], ["c"]),
            helper.make_node("Flatten", ["c"], ["d"]),
            helper.make_node("Gemm", ["d", "v"], ["y"]),
        ]
        weights = {"w": floats(64, 3, 3, 3), "v": floats(64, 2)}
        model = graph(nodes, ["N", 3, 32, 32], weights)
        few, many = (count_layers(model, "small", batch=n) for n in (batch, batch + more))
        assert many.macs * batch == few.macs * (batch + more)
        assert many.weight_bytes == few.weight_bytes
        assert many.moved_bytes > few.moved_bytes
        assert bound_s(many, device) > bound_s(few, device)
        assert bound_s(many, device) / many.batch < bound_s(few, device) / few.batch
        assert whole_bound_s(many, device) <= bound_s(many, device)


class TestPublicPoints:
    def test_nobody_was_faster_than_the_bound(self) -> None:
        assert len(POINTS) >= 3
        assert all(0.1 < share < 1 for share in fractions())
        assert all(0 < point.bound_ms() < point.measured_ms for point in COUNTED_POINTS)

    def test_each_can_be_looked_up(self) -> None:
        for point in (*POINTS, *COUNTED_POINTS):
            assert point.source.url.startswith("https://")

    def test_further_pictures_come_nearer_to_the_bound_than_the_first(self) -> None:
        for cost in kernel_costs():
            assert 0.5 < cost.fraction < 1
            assert 1 < cost.kernel_us < 20


@pytest.fixture(scope="module")
def text() -> str:
    """What the command prints of the shipped bundle."""
    done = CliRunner().invoke(app, ["roofline", str(SHIPPED)])
    assert done.exit_code == 0, done.output
    return done.stdout


class TestBundle:
    def test_the_shipped_bundle_on_every_device(self, text: str) -> None:
        assert DISCLAIMER in text
        for device in DEVICES:
            assert str(device) in text
        assert "as shipped" in text

    def test_the_document_shows_what_the_command_prints(self, text: str) -> None:
        document = (REPOSITORY / "docs" / "roofline.md").read_text("utf-8")
        assert text.strip() in document, "print it again: leuko-export roofline BUNDLE"

    def test_fewer_bits_and_fewer_cells_are_faster(self) -> None:
        costs = count_bundle(SHIPPED)
        plain, shipped, half = costs.choices
        assert (plain.label, shipped.label) == ("float32", AS_SHIPPED)
        for device in DEVICES:
            for cells in CELLS:
                rates = [choice.frames_per_s(device, cells) for choice in (plain, shipped, half)]
                assert rates == sorted(rates)
            rates = [shipped.frames_per_s(device, cells) for cells in CELLS]
            assert rates == sorted(rates, reverse=True)

    def test_little_rests_on_the_rate_of_depthwise_int8(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Which nobody has published: the layers wait for memory, and at half of it most still."""
        network = count_bundle(SHIPPED).shipped_choice().detector.networks[1]
        depthwise = [one for one in network.layers if one.arithmetic == "int8" and one.cuda_macs]
        assert len(depthwise) > 10
        for device in DEVICES:
            assert {layer_bound(one, device).limit for one in depthwise} == {"memory"}
        at_full_rate = [bound_s(network, device) for device in DEVICES]
        monkeypatch.setitem(CUDA_OPERATIONS, "int8", CUDA_OPERATIONS["int8"] // 2)
        for device, seconds in zip(DEVICES, at_full_rate, strict=True):
            assert bound_s(network, device) < 1.03 * seconds

    def test_the_page_holds_every_device_and_fetches_nothing(self, tmp_path: Path) -> None:
        file = tmp_path / "roofline.html"
        done = CliRunner().invoke(app, ["roofline", str(SHIPPED), "--out", str(file)])
        assert done.exit_code == 0, done.output
        page = file.read_text("utf-8")
        assert DISCLAIMER in page
        for device in DEVICES:
            assert page.count(str(device)) >= 3  # frames, chart, devices
        assert page.count("<svg") == 1
        assert re.findall(r'(?:src|srcset|@import|url\()\s*=?\s*"?https?:', page) == []
        for point in POINTS:
            assert point.source.url in page

    def test_a_bundle_without_int8_has_its_page_too(self, tmp_path: Path) -> None:
        copy = shutil.copytree(SHIPPED, tmp_path / SHIPPED.name)
        manifest = load_bundle(SHIPPED).manifest.model_copy(deep=True)
        (copy / manifest.roles.detector.models.pop("int8")).unlink()
        del manifest.files["detector.int8.onnx"]
        write_manifest(copy, manifest)
        costs = count_bundle(copy)
        assert [choice.label for choice in costs.choices] == [
            "float32",
            AS_SHIPPED,
            "floats in fp16",
        ]
        assert costs.label in render_page(costs)
        assert costs.label in terminal_text(costs)


class TestBadInput:
    def test_no_bundle(self, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match="none"):
            count_bundle(tmp_path / "none")

    def test_a_graph_with_an_operator_whose_cost_is_unknown(self, tmp_path: Path) -> None:
        def add_odd(model: onnx.ModelProto) -> None:
            odd = helper.make_node("Trilu", [model.graph.node[-1].output[0]], ["o"], name="odd")
            model.graph.node.append(odd)

        with pytest.raises(ExportError, match=r"classifier\.fp32\.onnx: .*Trilu .*layer odd"):
            count_bundle(changed(SHIPPED, tmp_path, add_odd))

    def test_a_file_that_is_no_graph(self, tmp_path: Path) -> None:
        copy = shutil.copytree(SHIPPED, tmp_path / SHIPPED.name)
        file = copy / "classifier.fp32.onnx"
        file.write_bytes(b"no graph")
        write_manifest(copy, vouching_for(file))
        with pytest.raises(ExportError, match=r"classifier\.fp32\.onnx is no ONNX graph"):
            count_bundle(copy)

    def test_a_page_that_cannot_be_written_is_one_line(self, tmp_path: Path) -> None:
        file = tmp_path / "nowhere" / "page.html"
        done = CliRunner().invoke(app, ["roofline", str(SHIPPED), "--out", str(file)])
        assert isinstance(done.exception, ExportError)
        assert "cannot be written" in str(done.exception)


def changed(bundle: Path, folder: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    """A copy of ``bundle`` with another classifier, and a manifest that vouches for it."""
    copy = shutil.copytree(bundle, folder / bundle.name)
    file = copy / "classifier.fp32.onnx"
    model = onnx.load(file)
    change(model)
    onnx.save(model, file)
    write_manifest(copy, vouching_for(file))
    return copy


def vouching_for(file: Path) -> BundleManifest:
    """The manifest of the shipped bundle with another ``file``."""
    manifest = load_bundle(SHIPPED).manifest
    return manifest.model_copy(update={"files": {**manifest.files, file.name: file_entry(file)}})

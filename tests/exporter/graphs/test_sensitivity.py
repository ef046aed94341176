"""Which layer suffers from INT8 is measured, each by itself, and said in order."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporter.errors import ExportError
from exporter.graphs.int8 import Quantised, calibrate
from exporter.graphs.sensitivity import PICTURES, Sensitivity, sensitivities


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> Quantised:
    """Three convolutions in a row; the middle one reads numbers of very different sizes."""
    wide = np.zeros((2, 3, 1, 1), np.float32)
    wide[0], wide[1] = 1.0, 1e-3  # one channel a thousand times as large as the other
    level = np.diag([1e-3, 1.0]).astype(np.float32).reshape(2, 2, 1, 1)  # and level again
    constants = {
        "first": wide,
        "second": level,
        "third": np.ones((1, 2, 1, 1), np.float32),
        "answer": np.ones((1, 1, 1, 1), np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["x"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["x"], ["planes"], name="turn", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "first"], ["a"], name="conv_1"),
        helper.make_node("Conv", ["a", "second"], ["b"], name="conv_2"),
        helper.make_node("Conv", ["b", "third"], ["c"], name="conv_3"),
        helper.make_node("Conv", ["c", "answer"], ["y"], name="conv_4"),
    ]
    graph = helper.make_graph(
        nodes,
        "row",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 8, 8, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 8, 8])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    file = tmp_path_factory.mktemp("row") / "row.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), file
    )
    return calibrate(file, pictures(60), "minmax", digest="ab" * 32)


def pictures(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (1, 8, 8, 3), dtype=np.uint8) for _ in range(count)]


def test_the_layer_that_suffers_most_comes_first(quantised: Quantised) -> None:
    found = sensitivities(quantised, pictures(30))
    assert {one.node for one in found} == {"conv_1", "conv_2", "conv_3"}
    assert found[0].node == "conv_2"
    assert found[0].share > 5 * found[1].share
    assert [one.share for one in found] == sorted((one.share for one in found), reverse=True)


def test_it_can_be_followed(quantised: Quantised) -> None:
    seen: list[tuple[int, int]] = []
    sensitivities(quantised, pictures(3), lambda done, count: seen.append((done, count)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_no_more_pictures_are_taken_than_are_shown(quantised: Quantised) -> None:
    taken = []

    def watched():
        for picture in pictures(PICTURES + 10):
            taken.append(picture)
            yield picture

    sensitivities(quantised, watched())
    assert len(taken) == PICTURES + 1  # one more, to see that it is enough


def test_without_pictures_there_is_nothing_to_say(quantised: Quantised) -> None:
    with pytest.raises(ExportError, match="no pictures"):
        sensitivities(quantised, [])


def test_a_row_has_a_bar_as_long_as_its_share() -> None:
    one = Sensitivity("conv_2", "Conv", 0.25)
    assert one.line(worst=0.5).count("#") == 20
    assert one.line(worst=0.0).endswith(" ")

"""ONNX files: what is read equals what their own run-time gives; bad ones are refused."""

import sys

import numpy as np
import pytest
from float_models import RNG_SEED, codes, variances, weights
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx_graphs import Graph

from nmahw.errors import EnvironmentProblem, ModelError, UsageError
from nmahw.frontends import read_float_model


def lenet_like():
    return (Graph(1, 12, 12)
            .add("Conv", weights(4, 1, 3, 3), weights(4), pads=[1, 1, 1, 1])
            .add("BatchNormalization", weights(4), weights(4), weights(4), variances(4),
                 epsilon=1e-3)
            .add("Relu").add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
            .add("Conv", weights(6, 4, 3, 3), strides=[1, 1])
            .add("Relu").add("AveragePool", kernel_shape=[2, 2], strides=[2, 2])
            .add("Dropout").add("Flatten")
            .add("Gemm", weights(8, 24), weights(8), transB=1).add("Relu")
            .add("MatMul", weights(8, 5)).add("Add", weights(5)))


GRAPHS = {
    "lenet_like": lenet_like,
    "gemm_alpha_beta": lambda: Graph(7).add("Gemm", weights(7, 4), weights(1, 4), alpha=0.5,
                                            beta=2.0).add("Relu"),
    "gemm_scalar_bias": lambda: Graph(7).add("Gemm", weights(7, 4), np.float32(0.25)),
    "image_perceptron": lambda: Graph(1, 4, 4).add("Flatten", axis=-3)
    .add("MatMul", weights(16, 3)),
    "plain_image_perceptron": lambda: Graph(4, 5).add("Flatten")
    .add("MatMul", weights(20, 3)),
    "rows_to_image": lambda: Graph(36).add("Reshape", np.array([-1, 1, 6, 6]))
    .add("Conv", weights(2, 1, 3, 3)).add("Reshape", np.array([0, -1]))
    .add("MatMul", weights(32, 2)),
    "scaled_inside": lambda: Graph(1, 6, 6).add("Div", np.float32(2.5))
    .add("Sub", np.float32(0.1307)).add("Mul", np.array([[[3.0]]], np.float32))
    .add("Conv", weights(2, 1, 3, 3), weights(2)),
    "norm_after_relu": lambda: Graph(2, 6, 6).add("Conv", weights(3, 2, 3, 3)).add("Relu")
    .add("BatchNormalization", weights(3), weights(3), weights(3), variances(3))
    .add("AveragePool", kernel_shape=[2, 2], strides=[2, 2])
    .add("Flatten").add("Gemm", weights(12, 4)),
    "sub_from_constant": lambda: Graph(5).add("MatMul", weights(5, 4))
    .add("Sub", before=[weights(4)]).add("Add", before=[weights(1, 4)]),
    "global_pool": lambda: Graph(1, 6, 6).add("Conv", weights(3, 1, 3, 3)).add("Relu")
    .add("GlobalAveragePool").add("Flatten"),
    "reduce_mean": lambda: Graph(1, 6, 6).add("Conv", weights(3, 1, 3, 3))
    .add("ReduceMean", axes=[-1, -2], keepdims=0),
    "auto_pad": lambda: Graph(1, 6, 6).add("Conv", weights(3, 1, 3, 3), auto_pad="SAME_UPPER")
    .add("MaxPool", kernel_shape=[3, 3], strides=[3, 3], ceil_mode=1),
    "stride": lambda: Graph(3, 9, 7).add("Conv", weights(2, 3, 3, 3), strides=[2, 2],
                                         pads=[1, 1, 1, 1]).add("Identity"),
    "cast": lambda: Graph(6).add("Cast", to=TensorProto.FLOAT).add("MatMul", weights(6, 2)),
    "fixed_batch": lambda: Graph(2, 4, 4, batch=3).add("Conv", weights(2, 2, 3, 3))
    .add("Reshape", np.array([3, -1])).add("MatMul", weights(8, 2)),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_onnx_equals_reference_evaluator(name, tmp_path):
    graph = GRAPHS[name]()
    network = read_float_model(graph.save(tmp_path / "m.onnx"), input_scale=1 / 255)
    shape = tuple(d.dim_value for d in graph.value.type.tensor_type.shape.dim)[1:]
    x = codes(shape)
    wanted, = ReferenceEvaluator(graph.model()).run(None, {"x": (x / 255).astype(np.float32)})
    got = network.predict(x.reshape(len(x), *network.input_format.shape))
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)
    assert not any(hasattr(layer, "scale") for layer in network.layers)


def test_onnx_equals_onnxruntime(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    graph = lenet_like()
    path = graph.save(tmp_path / "m.onnx")
    x = codes((1, 12, 12), batch=5)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    wanted, = session.run(None, {"x": (x / 255).astype(np.float32)})
    np.testing.assert_allclose(read_float_model(path).predict(x), wanted, rtol=1e-4, atol=1e-4)


def test_onnx_view_through_shape_nodes(tmp_path):
    """``x.view(x.size(0), -1)`` as the exporter writes it: Shape, Gather, Unsqueeze, Concat."""
    graph = Graph(2, 4, 4).add("Conv", weights(2, 2, 3, 3))
    graph.nodes += [
        helper.make_node("Shape", [graph.last], ["shape"]),
        helper.make_node("Constant", [], ["zero"], value=numpy_helper.from_array(np.array(0))),
        helper.make_node("Gather", ["shape", "zero"], ["batch"], axis=0),
        helper.make_node("Unsqueeze", ["batch", graph.constant(np.array([0]))], ["batch1"]),
        helper.make_node("Concat", ["batch1", graph.constant(np.array([-1]))], ["to"], axis=0)]
    graph.add("Reshape", "to").add("MatMul", weights(8, 2))
    path = graph.save(tmp_path / "m.onnx")
    x = codes((2, 4, 4))
    wanted, = ReferenceEvaluator(graph.model()).run(None, {"x": (x / 255).astype(np.float32)})
    np.testing.assert_allclose(read_float_model(path).predict(x), wanted, rtol=1e-4, atol=1e-5)


def test_onnx_transposed_constant_weights(tmp_path):
    graph = Graph(6)
    graph.nodes.append(helper.make_node("Transpose", [graph.constant(weights(3, 6))], ["wt"],
                                        perm=[1, 0]))
    path = graph.add("MatMul", "wt").save(tmp_path / "m.onnx")
    x = codes((6,))
    np.testing.assert_allclose(read_float_model(path).predict(x), x / 255 @ weights(3, 6).T,
                               rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
def test_onnx_final_softmax_is_left_out(kind, tmp_path):
    path = Graph(6).add("MatMul", weights(6, 3)).add(kind, axis=1).save(tmp_path / "m.onnx")
    assert [layer.name for layer in read_float_model(path).layers] == ["dense"]
    path = Graph(6).add("MatMul", weights(6, 3)).add(kind).add("Relu").save(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="must be the graph's last node"):
        read_float_model(path)


def residual():
    graph = Graph(2, 4, 4).add("Conv", weights(2, 2, 3, 3), pads=[1, 1, 1, 1])
    return graph.add("Add", "x")


def dead_end():
    graph = Graph(4).add("MatMul", weights(4, 4))
    kept = graph.last
    graph.add("Relu")
    graph.last = kept
    return graph


BAD_GRAPHS = {
    "operator": (lambda: Graph(4).add("Sigmoid"),
                 r"operator of node 'node_Sigmoid_0' must be one of Add, .*Relu.*, not 'Sigmoid'"),
    "foreign domain": (lambda: Graph(4).add("Relu", domain="com.example"),
                       r"must be one of .*, not 'com.example.Relu'"),
    "group": (lambda: Graph(4, 5, 5).add("Conv", weights(4, 1, 3, 3), group=4),
              r"node 'node_Conv_0' \(Conv\): group must be 1, not 4"),
    "dilation": (lambda: Graph(1, 9, 9).add("Conv", weights(2, 1, 3, 3), dilations=[2, 2]),
                 r"dilations must be \[1, 1\], not \[2, 2\]"),
    "asymmetric pads": (lambda: Graph(1, 9, 9).add("Conv", weights(2, 1, 3, 3),
                                                   pads=[0, 0, 1, 1]),
                        r"pads must be equal in all directions, not \[0, 0, 1, 1\]"),
    "strides": (lambda: Graph(1, 9, 9).add("Conv", weights(2, 1, 3, 3), strides=[1, 2]),
                r"strides must be equal"),
    "1-D convolution": (lambda: Graph(1, 9, 9).add("Conv", weights(2, 1, 3)), r"4 axes"),
    "window": (lambda: Graph(1, 9, 9).add("MaxPool", kernel_shape=[2, 3]),
               r"kernel_shape must be equal"),
    "ceil mode": (lambda: Graph(1, 9, 9).add("MaxPool", kernel_shape=[2, 2], strides=[2, 2],
                                             ceil_mode=1), r"ceil_mode must be 0, not 1"),
    "pool pads": (lambda: Graph(1, 9, 9).add("MaxPool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
                  r"pads must be \[0, 0, 0, 0\]"),
    "mean of nine": (lambda: Graph(1, 9, 9).add("AveragePool", kernel_shape=[3, 3]),
                     r"average_pool size must be a power of two"),
    "reduced axes": (lambda: Graph(1, 8, 8).add("ReduceMean", axes=[1]), r"axes must be height"),
    "branch": (residual, r"node_Add_1.*takes t0, x: branches are not supported"),
    "transA": (lambda: Graph(4).add("Gemm", weights(4, 4), transA=1), r"transA must be 0"),
    "reshape": (lambda: Graph(2, 4, 4).add("MaxPool", kernel_shape=[1, 1])
                .add("Reshape", np.array([0, 4, 2, 4])), r"target shape must be \(batch, feat"),
    "chain": (lambda: Graph(4).add("MatMul", weights(5, 3)),
              r"node_MatMul_0.*must get \(5,\), not \(4,\)"),
    "training": (lambda: Graph(1, 4, 4).add("Conv", weights(2, 1, 1, 1)).add(
        "BatchNormalization", *[np.ones(2, np.float32)] * 4, training_mode=1),
        r"training_mode must be 0"),
    "channels": (lambda: Graph(1, 4, 4).add("Conv", weights(2, 1, 1, 1)).add(
        "BatchNormalization", *[np.ones(3, np.float32)] * 4), r"must have 2 channels.*not 3"),
    "variance": (lambda: Graph(1, 4, 4).add("Conv", weights(2, 1, 1, 1)).add(
        "BatchNormalization", *[-np.ones(2, np.float32)] * 4), r"variance.*must be positive"),
    "wide constant": (lambda: Graph(1, 4, 4).add("Conv", weights(2, 1, 1, 1))
                      .add("Add", weights(4)), r"one value, or one per channel"),
    "divide by zero": (lambda: Graph(4).add("Div", np.float32(0)).add("MatMul", weights(4, 2)),
                       r"divide by a constant that is not zero"),
    "shift before padding": (lambda: Graph(1, 4, 4).add("Add", np.float32(1)).add(
        "Conv", weights(2, 1, 3, 3), pads=[1, 1, 1, 1]), r"must not shift the input of a padded"),
    "shift before relu": (lambda: Graph(4).add("Add", np.float32(1)).add("Relu").add(
        "MatMul", weights(4, 2)), r"must stand beside a layer with weights.* relu follows"),
    "scale at the end": (lambda: Graph(4).add("MatMul", weights(4, 2)).add("Relu").add(
        "Mul", np.float32(2)), r"must stand beside a layer with weights"),
    "no weights": (lambda: Graph(4).add("Relu"), r"must have a layer with weights"),
    "no node": (lambda: Graph(4).add("MatMul", "nowhere"), r"comes from no node"),
    "dead end": (dead_end, r"output 't0' must be the last node's result"),
    "nan": (lambda: Graph(4).add("MatMul", np.full((4, 2), np.nan, np.float32)),
            r"node_MatMul_0 weights must hold finite float32 numbers, not nan \(at index \[0, 0\]"),
    "constant arithmetic": (lambda: Graph(4).add("MatMul", "bad"), None),
}


@pytest.mark.parametrize("name", BAD_GRAPHS)
def test_onnx_refusals_name_the_node(name, tmp_path):
    make, message = BAD_GRAPHS[name]
    graph = make()
    if name == "constant arithmetic":
        graph.nodes.insert(0, helper.make_node(
            "MatMul", [graph.constant(weights(4, 3)), graph.constant(weights(4, 3))], ["bad"]))
        message = r"node 'bad' \(MatMul\) works on constants, but cannot be computed"
    path = graph.save(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=message) as caught:
        read_float_model(path)
    assert str(path) in str(caught.value)


def test_onnx_truncated_at_any_place_is_one_model_error(tmp_path):
    whole = lenet_like().save(tmp_path / "m.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    refused = 0
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelError):
            read_float_model(path)
        refused += 1
    assert refused > 20


def test_onnx_damaged_bytes_never_raise_anything_else(tmp_path):
    whole = bytearray(lenet_like().save(tmp_path / "m.onnx").read_bytes())
    rng = np.random.default_rng(RNG_SEED)
    path = tmp_path / "bad.onnx"
    refused = 0
    for _ in range(150):
        damaged = whole.copy()
        for place in rng.integers(0, len(whole), 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            read_float_model(path)
        except ModelError:
            refused += 1
    assert refused > 10


def test_onnx_missing_package_names_the_pip_command(tmp_path, monkeypatch):
    path = lenet_like().save(tmp_path / "m.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(EnvironmentProblem, match=r'pip install "nmahw\[onnx\]"'):
        read_float_model(path)


def test_onnx_takes_no_architecture(tmp_path):
    path = lenet_like().save(tmp_path / "m.onnx")
    with pytest.raises(UsageError, match="architecture must not be given"):
        read_float_model(path, architecture="flatten")


def test_onnx_free_input_shape_must_be_given(tmp_path):
    path = Graph("h").add("MatMul", weights(6, 2)).save(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="input shape must be given"):
        read_float_model(path)
    assert read_float_model(path, input_shape=(6,)).shapes == ((6,), (2,))

"""Front ends: what they read equals what the file's own run-time gives; bad files are refused."""

import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from nmahw.errors import EnvironmentProblem, ModelError, UsageError
from nmahw.floatnet import FloatConv2d, FloatDense, FloatNetwork, FloatReLU
from nmahw.frontends import FRONTENDS, read_float_model
from nmahw.tensor import TensorFormat

RNG_SEED = 7


def weights(*shape):
    """Small random weights, the same for the same shape."""
    return np.random.default_rng([RNG_SEED, *shape]).normal(0, 0.5, shape).astype(np.float32)


def variances(channels):
    return np.abs(weights(channels)) + np.float32(0.1)


def codes(shape, batch=3, high=255):
    return np.random.default_rng(RNG_SEED).integers(0, high + 1, (batch, *shape))


class Graph:
    """A chain of ONNX nodes, built one call per node."""

    def __init__(self, *shape, batch="n"):
        self.value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *shape])
        self.last, self.nodes, self.tensors = "x", [], []

    def constant(self, array):
        name = f"c{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def add(self, kind, *arrays, outputs=1, before=(), **attributes):
        names = [self.constant(a) if not isinstance(a, str) else a for a in arrays]
        ahead = [self.constant(a) for a in before]
        result = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(
            kind, [*ahead, self.last, *names], [result] + [f"{result}_{i}" for i in
                                                           range(1, outputs)],
            name=f"node_{kind}_{len(self.nodes)}", **attributes))
        self.last = result
        return self

    def model(self, opset=17):
        output = helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "graph", [self.value], [output], self.tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)],
                                 ir_version=10)

    def save(self, path, opset=17):
        onnx.save(self.model(opset), path)
        return path


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


# .npz

ARCHITECTURE = ("conv2d:conv1 padding=1, batch_norm:bn1 eps=0.001, relu, max_pool:2,\n"
                "conv2d:conv2 stride=2, relu, flatten, dense:fc")


def state_dict():
    """Tensors as a PyTorch state dict names them."""
    return {"conv1.weight": weights(4, 1, 3, 3), "conv1.bias": weights(4),
            "bn1.weight": weights(4), "bn1.bias": weights(4), "bn1.running_mean": weights(4),
            "bn1.running_var": variances(4), "bn1.num_batches_tracked": np.array(9),
            "conv2.weight": weights(6, 4, 3, 3), "fc.weight": weights(5, 24), "fc.bias": weights(5)}


def test_npz_equals_onnx(tmp_path):
    tensors = state_dict()
    np.savez(tmp_path / "m.npz", architecture=ARCHITECTURE, input_shape=(1, 12, 12),
             input_scale=1 / 255, **tensors)
    graph = (Graph(1, 12, 12)
             .add("Conv", tensors["conv1.weight"], tensors["conv1.bias"], pads=[1, 1, 1, 1])
             .add("BatchNormalization", weights(4), weights(4), weights(4), variances(4),
                  epsilon=1e-3).add("Relu").add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
             .add("Conv", tensors["conv2.weight"], strides=[2, 2]).add("Relu").add("Flatten")
             .add("Gemm", tensors["fc.weight"], tensors["fc.bias"], transB=1))
    x = codes((1, 12, 12))
    wanted, = ReferenceEvaluator(graph.model()).run(None, {"x": (x / 255).astype(np.float32)})
    network = read_float_model(tmp_path / "m.npz")
    np.testing.assert_allclose(network.predict(x), wanted, rtol=1e-4, atol=1e-4)
    assert network.title == "m" and network.input_format == TensorFormat((1, 12, 12), 0, 255)


def test_npz_options_stand_above_the_file(tmp_path):
    np.savez(tmp_path / "m.npz", architecture="dense:a", input_scale=0.5, w=1,
             **{"a.weight": weights(2, 3), "b_w": weights(2, 3)})
    network = read_float_model(tmp_path / "m.npz", "dense:b, relu", (3,), 1 / 16)
    assert network.input_format == TensorFormat((3,), 0, 16)
    assert [layer.name for layer in network.layers] == ["dense", "relu"]
    network = read_float_model(tmp_path / "m.npz", input_range=(-8, 7))
    assert network.input_format == TensorFormat((3,), -8, 7) and network.input_scale == 0.5


def test_input_offset_is_folded_into_the_first_layer(tmp_path):
    np.savez(tmp_path / "m.npz", architecture="conv2d:a, max_pool:2, flatten, dense:b",
             input_shape=(1, 6, 6), input_offset=-0.4242, input_scale=0.01,
             **{"a.weight": weights(2, 1, 3, 3), "b.weight": weights(3, 8)})
    x = codes((1, 6, 6), high=100)
    layers = read_float_model(tmp_path / "m.npz", input_offset=0.0).layers
    batch = (x * 0.01 - 0.4242).astype(np.float32)
    for layer in layers:
        batch = layer.compute(batch)
    np.testing.assert_allclose(read_float_model(tmp_path / "m.npz").predict(x), batch,
                               rtol=1e-4, atol=1e-4)


def test_npz_by_convention_finds_the_one_padding_that_chains(tmp_path):
    tensors = {"c1_w": weights(2, 1, 5, 5), "c1_b": weights(2), "c2_w": weights(3, 2, 5, 5),
               "c2_b": weights(3), "f1_w": weights(7, 75), "f1_b": weights(7),
               "f2_w": weights(4, 7), "f2_b": weights(4), "acc": np.float64(0.9)}
    np.savez(tmp_path / "m.npz", **tensors)
    network = read_float_model(tmp_path / "m.npz", input_shape=(1, 28, 28))
    assert [layer.name for layer in network.layers] == [
        "conv2d", "relu", "max_pool"] * 2 + ["flatten", "dense", "relu", "dense"]
    assert [layer.padding for layer in network.layers if layer.name == "conv2d"] == [2, 0]
    with pytest.raises(ModelError, match="architecture must be given, because no choices"):
        read_float_model(tmp_path / "m.npz", input_shape=(1, 40, 40))
    with pytest.raises(ModelError, match="input shape must be given"):
        read_float_model(tmp_path / "m.npz")


def test_npz_by_convention_perceptron(tmp_path):
    np.savez(tmp_path / "m.npz", w1=weights(4, 9), b1=weights(4), w2=weights(3, 4), b2=weights(3))
    network = read_float_model(tmp_path / "m.npz")
    x = codes((9,))
    hidden = np.maximum(x / 255 @ weights(4, 9).T + weights(4), 0)
    np.testing.assert_allclose(network.predict(x), hidden @ weights(3, 4).T + weights(3),
                               rtol=1e-4, atol=1e-4)


BAD_ARCHITECTURES = {
    "": "at least one step, not none",
    "conv2d:conv1, rulu": "kind must be one of conv2d, dense, .*, not 'rulu'",
    "conv2d:conv1 padding": r"step must be KIND\[:SUBJECT\] .*, not 'conv2d:conv1 padding'",
    "conv2d:conv1 pad=1": "options must be among stride, padding, operation, not 'pad'",
    "conv2d:conv1 padding=x": "'x' must be an integer",
    "conv2d:conv1 padding=7": "conv2d padding must be an integer of 0..2, not 7",
    "conv2d": "must have a layer name after a colon",
    "relu:1": "must have nothing after its kind",
    "conv2d:conv9": "'conv9' must have an array conv9.weight .*did you mean 'conv",
    "conv2d:fc": "conv2d fc weights must have 4 axes",
    "conv2d:conv1, max_pool:0": "max_pool size must be an integer of 1..16, not 0",
    "conv2d:conv1, dense:fc": r"layer 1 \(dense fc\): .*must get \(24,\).*put flatten before",
    "conv2d:conv1, batch_norm:bn1 eps=-9": "variance plus eps must be positive",
    "relu": "must have a layer with weights",
}


@pytest.mark.parametrize("text", BAD_ARCHITECTURES)
def test_npz_architecture_refusals(text, tmp_path):
    np.savez(tmp_path / "m.npz", **state_dict())
    with pytest.raises(ModelError, match=BAD_ARCHITECTURES[text]):
        read_float_model(tmp_path / "m.npz", text, (1, 12, 12))


@pytest.mark.parametrize("entries, message", [
    ({"architecture": 5}, "'architecture' must be one text"),
    ({"input_shape": 1.5}, "'input_shape' must be a list of integers"),
    ({"input_scale": [1, 2]}, "'input_scale' must be a number"),
    ({"input_scale": np.nan}, "input scale must be a number of"),
    ({"input_range": [0]}, "'input_range' must be two integers"),
    ({"input_range": [5, 5]}, "low < high"),
    ({"input_shape": [0]}, "every size at least 1"),
    ({"w1": np.array([[1.0, np.inf]])}, "dense 1 weights must hold finite float32 .* not inf"),
    ({"w1": np.array([[1.0, 1e300]])}, "finite float32"),
    ({"b1": np.array([1.0, 2.0])}, "bias must have 1 values"),
    ({"odd": np.ones((2, 2))}, "'odd' is not a conventional name"),
    ({"w1": np.array([["a", "b"]])}, "no weight arrays"),
])
def test_npz_entry_refusals(entries, message, tmp_path):
    base = {} if "odd" in entries else {"w1": np.ones((1, 2)), "b1": np.ones(1)}
    np.savez(tmp_path / "m.npz", **{**base, **entries})
    with pytest.raises(ModelError, match=message):
        read_float_model(tmp_path / "m.npz")


def test_npz_truncated_or_foreign_is_one_model_error(tmp_path):
    np.savez(tmp_path / "whole.npz", w1=weights(4, 9), b1=weights(4))
    whole = (tmp_path / "whole.npz").read_bytes()
    path = tmp_path / "m.npz"
    np.save(tmp_path / "single.npy", weights(2, 2))
    pickled = np.empty(1, dtype=object)
    np.savez(tmp_path / "pickled.npz", w1=pickled)
    for data in [b"", b"no archive", (tmp_path / "single.npy").read_bytes(),
                 (tmp_path / "pickled.npz").read_bytes(),
                 *(whole[:size] for size in range(1, len(whole), 41))]:
        path.write_bytes(data)
        with pytest.raises(ModelError, match="m.npz"):
            read_float_model(path)


@pytest.mark.parametrize("options, message", [
    ({"input_shape": (1, "a")}, "a tensor's shape must be"),
    ({"input_shape": ()}, "a tensor's shape must be"),
    ({"input_scale": "x"}, "input scale must be a number .*, not 'x'"),
    ({"input_scale": 0}, "input scale must be a number .*, not 0"),
    ({"input_scale": 1e-9}, "input range must be .*: give the input range"),
    ({"input_range": ("a", 9)}, "input range must be two integers"),
    ({"input_range": (0, float("nan"))}, "input range must be two integers"),
    ({"input_range": (0, 2.5)}, "input range must be two integers"),
    ({"input_offset": "q"}, "input offset must be a number .*, not 'q'"),
    ({"input_offset": float("inf")}, "input offset must be a number .*, not inf"),
])
def test_option_refusals(options, message, tmp_path):
    np.savez(tmp_path / "m.npz", w1=weights(4, 9), b1=weights(4))
    with pytest.raises(ModelError, match=message):
        read_float_model(tmp_path / "m.npz", **options)


def test_a_quantised_network_is_not_imported_again(tmp_path):
    np.savez(tmp_path / "m.npz", network=np.array("{}"))
    with pytest.raises(UsageError, match="quantised already"):
        read_float_model(tmp_path / "m.npz")


def test_paths(tmp_path):
    with pytest.raises(UsageError, match=r"suffix must be one of \.npz, \.onnx, not '\.pt'"):
        read_float_model(tmp_path / "m.pt")
    with pytest.raises(ModelError, match="does not exist"):
        read_float_model(tmp_path / "m.onnx")
    (tmp_path / "d.npz").mkdir()
    with pytest.raises(ModelError, match="is a folder"):
        read_float_model(tmp_path / "d.npz")


def test_front_ends_are_listed_from_the_folder():
    assert {"npz", "onnx"} <= set(FRONTENDS.names())
    suffixes = [suffix for front_end in FRONTENDS for suffix in front_end.suffixes]
    assert len(suffixes) == len(set(suffixes))
    assert all(suffix.startswith(".") and suffix.islower() for suffix in suffixes)


# FloatNetwork

def test_float_network_checks():
    dense = FloatDense(weights(3, 4), weights(3), "head")
    with pytest.raises(ModelError, match=r"layer 1 \(dense head\): .*must get \(4,\), not \(3,\)"):
        FloatNetwork(TensorFormat((4,), 0, 255), 1 / 255, (dense, dense))
    with pytest.raises(ModelError, match="input scale must be a positive number"):
        FloatNetwork(TensorFormat((4,), 0, 255), 0, (dense,))
    with pytest.raises(ModelError, match="dense head bias must hold finite"):
        FloatDense(weights(3, 4), np.array([0, np.nan, 0]), "head")
    network = FloatNetwork(TensorFormat((4,), 0, 255), 1 / 255, (dense,))
    with pytest.raises(ModelError, match=r"shape \(batch, 4\)"):
        network.predict(np.zeros((2, 5), np.uint8))
    assert network.predict(np.zeros((0, 4), np.uint8)).shape == (0, 3)


def test_float_convolution_equals_a_plain_loop():
    layer = FloatConv2d(weights(2, 3, 3, 2), weights(2), "c", stride=2, padding=1)
    x = np.random.default_rng(RNG_SEED).normal(size=(2, 3, 6, 5)).astype(np.float32)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    got = layer.compute(x)
    for (n, c, i, j), value in np.ndenumerate(got):
        window = padded[n, :, 2 * i:2 * i + 3, 2 * j:2 * j + 2]
        assert value == pytest.approx((window * layer.weights[c]).sum() + layer.bias[c], abs=1e-4)
    assert got.shape[1:] == layer.output_shape((3, 6, 5))


def test_relu_on_floats():
    assert FloatReLU().compute(np.array([[-1.5, 2.5]], np.float32)).tolist() == [[0.0, 2.5]]

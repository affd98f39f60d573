"""Float models in .npz files: by architecture or by convention; bad ones are refused."""

import numpy as np
import pytest
from float_models import codes, variances, weights
from onnx.reference import ReferenceEvaluator
from onnx_graphs import Graph

from nmahw.errors import ModelError
from nmahw.frontends import read_float_model
from nmahw.tensor import TensorFormat

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

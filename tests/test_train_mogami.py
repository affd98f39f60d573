"""Trainings by Mogami's rule: gradients, going on, learning, networks handed over."""

from dataclasses import replace

import numpy as np
import pytest

from nmahw.design import Design
from nmahw.errors import ModelError, TrainingError, UsageError
from nmahw.train.datasets import load_dataset
from nmahw.train.int_add_rule import IntAddRule, RoundedRule
from nmahw.train.layers import build
from nmahw.train.losses import softmax_cross_entropy, squared_error, squared_hinge
from nmahw.train.methods.mogami import Mogami
from nmahw.train.rule import Rule
from nmahw.train.settings import with_settings
from nmahw.train.topology import Topology
from rtl import run_accelerator

SMALL = "conv 4 3, batch_norm, relu, max_pool 2, flatten, dense 10"


def quiet(images: int, loss: float) -> None:
    """No progress wanted."""


def digits(planes: bool = False):
    data = load_dataset("digits")
    if not planes:
        return data
    return replace(data, **{name: getattr(data, name).reshape(-1, 1, 8, 8)
                            for name in ("x_train", "x_validation", "x_test")})


# Gradients.

def model_of(text: str, rule: Rule, seed: int = 3):
    model = build(Topology.of(text), (1, 8, 8), rule, np.random.default_rng(seed))
    for part in model.parts():
        for name in ("scale", "offset", "bias"):
            if name in part.parameters:
                rng = np.random.default_rng(4)
                part.parameters[name] += 0.3 * rng.normal(size=part.parameters[name].shape).astype(
                    np.float32)
    return model


def gradients(text: str, rule: Rule, loss, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    model = model_of(text, rule)
    scores = model.forward(x, True)
    values, gradient = loss(scores, y, rule)
    model.backward(gradient)
    return [values, *(part.gradients[name] for part in model.parts() for name in part.gradients)]


def torch_gradients(text: str, loss, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    model = model_of(text, Rule())
    tensors = [{name: torch.tensor(value.astype(np.float64), requires_grad=True)
                for name, value in part.parameters.items()} for part in model.parts()]
    own = {id(part): values for part, values in zip(model.parts(), tensors, strict=True)}

    def run(layer, v):
        values = own.get(id(layer))
        match type(layer).__name__:
            case "Matrix" if layer.size is None:
                return v @ values["weights"] + values.get("bias", 0)
            case "Matrix":
                shape = layer.size, layer.size, -1, values["weights"].shape[1]
                kernel = values["weights"].reshape(shape).permute(3, 2, 0, 1)
                return functional.conv2d(v, kernel, values.get("bias"), layer.stride,
                                         layer.padding)
            case "BatchNorm":
                return functional.batch_norm(v, None, None, values["scale"], values["offset"],
                                             True, eps=float(layer.EPSILON))
            case "ReLU":
                return v.relu()
            case "MaxPool":
                return functional.max_pool2d(v, layer.size)
            case "GlobalAveragePool":
                return v.mean(dim=(2, 3))
            case "Flatten":
                return v.flatten(1)
            case "Residual":
                a = b = v
                for inner in layer.body:
                    a = run(inner, a)
                for inner in layer.past:
                    b = run(inner, b)
                return (a + b).relu()

    v = torch.tensor(x.astype(np.float64))
    for layer in model.layers:
        v = run(layer, v)
    one_hot = functional.one_hot(torch.tensor(y), v.shape[1]).double()
    if loss is softmax_cross_entropy:
        values = functional.cross_entropy(v, torch.tensor(y), reduction="none")
    elif loss is squared_hinge:
        values = (1 - (2 * one_hot - 1) * v).relu().square().sum(1) / 2
    else:
        values = (v - one_hot).square().sum(1) / 2
    values.sum().backward()
    order = [(part, name) for part in model.parts() for name in _gradient_order(part)]
    return [values.detach().numpy(), *(own[id(part)][name].grad.numpy() for part, name in order)]


def _gradient_order(part) -> list[str]:
    return {"Matrix": [n for n in ("weights", "bias") if n in part.parameters],
            "BatchNorm": ["offset", "scale"]}.get(type(part).__name__, [])


TEXTS = ("64-7-5", "conv 3 3 padding=1, relu, max_pool 2, conv 4 2 stride=2, relu, flatten, "
         "dense 6, relu, dense 5",
         "conv 4 3 padding=1, batch_norm, relu, residual 4, residual 6 stride=2, "
         "global_average_pool, dense 5")


def batch(seed: int = 21) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random((12, 1, 8, 8)).astype(np.float32), rng.integers(0, 5, 12)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("loss", [softmax_cross_entropy, squared_hinge, squared_error])
def test_gradients_of_the_exact_twin_are_torchs(text, loss):
    x, y = batch()
    expected = torch_gradients(text, loss, x, y)
    found = gradients(text, Rule(), loss, x, y)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4 * max(1.0, float(np.abs(b).max())))


def test_gradients_of_rounded_and_added_products_are_near():
    x, y = batch()
    exact = gradients(TEXTS[1], Rule(), squared_hinge, x, y)
    for rule, least in ((RoundedRule(), 0.9999), (IntAddRule(), 0.98), (IntAddRule(True), 0.98)):
        for a, b in zip(gradients(TEXTS[1], rule, squared_hinge, x, y), exact, strict=True):
            cosine = (a * b).sum() / np.sqrt(np.square(a).sum() * np.square(b).sum())
            assert cosine > least


def test_sums_are_within_the_bound_of_products():
    rng = np.random.default_rng(22)
    x, w, g = (rng.normal(size=shape).astype(np.float32) for shape in ((40, 9), (9, 6), (40, 6)))
    rule, exact = IntAddRule(), Rule()
    for name, bound in (("sums", np.abs(x) @ np.abs(w)),
                        ("weight_gradient", np.abs(x).T @ np.abs(g)),
                        ("input_gradient", np.abs(g) @ np.abs(w).T)):
        operands = (x, w) if name == "sums" else (x, w, g)
        error = np.abs(getattr(rule, name)(*operands) - getattr(exact, name)(*operands))
        assert (error <= bound / 9 + 1e-5).all() and error.max() > 0.01


# Trainings.

SETTINGS = {"fp32": {}, "bf16": {"float_format": "bf16"}, "twin": {"product": "exact"},
            "bf16 twin": {"product": "exact", "float_format": "bf16"},
            "constant": {"mean_error_constant": 0.0566}, "softmax": {"loss": "softmax"},
            "decay": {"decay": 1e-4}}


@pytest.mark.parametrize("name", SETTINGS)
def test_goes_on_bit_for_bit(name):
    data = digits(True)
    method = Mogami(**SETTINGS[name], batch=32, shift=1)
    whole, first, second = (method.trainer(Topology.of(SMALL), data, 3, 7) for _ in range(3))
    results = [whole.epoch(index, data.x_train, data.y_train, quiet) for index in range(3)]
    first.epoch(0, data.x_train, data.y_train, quiet)
    second.restore(first.state())
    again = [second.epoch(index, data.x_train, data.y_train, quiet) for index in (1, 2)]
    assert again == results[1:]
    expected, found = whole.state(), second.state()
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        assert value.tobytes() == found[key].tobytes(), key
    other = method.trainer(Topology.of(SMALL), data, 3, 8)
    assert not np.array_equal(other.scores(data.x_test), whole.scores(data.x_test))


@pytest.mark.parametrize("name, least", [("fp32", 0.95), ("bf16", 0.95), ("twin", 0.95),
                                         ("constant", 0.95), ("softmax", 0.93)])
def test_learns_digits(name, least):
    data = digits()
    trainer = Mogami(**SETTINGS[name], batch=16).trainer(Topology.of("digits"), data, 12, 1)
    for index in range(12):
        result = trainer.epoch(index, data.x_train, data.y_train, quiet)
    assert np.mean(trainer.scores(data.x_test).argmax(axis=1) == data.y_test) > least
    assert result.accuracy > least and result.loss < 0.5


def test_residual_networks_learn_and_have_no_network():
    data = digits(True)
    text = ("conv 4 3 padding=1, batch_norm, relu, residual 8 stride=2, global_average_pool, "
            "dense 10")
    trainer = Mogami(batch=32, float_format="bf16").trainer(Topology.of(text), data, 6, 0)
    for index in range(6):
        trainer.epoch(index, data.x_train, data.y_train, quiet)
    assert np.mean(trainer.scores(data.x_test).argmax(axis=1) == data.y_test) > 0.75
    with pytest.raises(ModelError, match="residual connections"):
        trainer.network(data.x_train, "residual", {})


def test_network_handed_over_computes_and_compiles():
    data = digits(True)
    trainer = Mogami(batch=16).trainer(Topology.of(SMALL), data, 5, 0)
    for index in range(5):
        trainer.epoch(index, data.x_train, data.y_train, quiet)
    network = trainer.network(data.x_train, "digits by int_add", {"method": "mogami"})
    mine = np.mean(trainer.scores(data.x_test).argmax(axis=1) == data.y_test)
    assert mine > 0.9
    assert np.mean(network.classify(data.x_test) == data.y_test) > mine - 0.02
    design = Design.of(network, "quarter_square", 4, 4)
    images = data.x_test[:1]
    assert run_accelerator(design, images).outputs == network.predict(images).tolist()


def test_rates_are_powers_of_two_that_fall_behind_the_middle():
    method = Mogami(rate_log2=-5, halvings=3)
    assert [np.log2(method.rate(epoch, 8)) for epoch in range(8)] == [-5] * 4 + [-6, -6, -7, -8]
    assert [Mogami(halvings=0).rate(epoch, 3) for epoch in range(3)] == [2.0**-5] * 3
    assert Mogami().rate(0, 1) == 2.0**-5


def test_a_loss_that_is_not_finite_names_the_layer():
    data = digits()
    trainer = Mogami().trainer(Topology.of("64-8-10"), data, 1, 0)
    state = trainer.state()
    state["model.2.weights"][:] = 3e38
    trainer.restore(state)
    with pytest.raises(TrainingError, match=r"layer 2 \(Dense\) gives results that are not"):
        trainer.epoch(0, data.x_train, data.y_train, quiet)


def test_restoring_something_else():
    data = digits()
    trainer = Mogami().trainer(Topology.of("64-8-10"), data, 1, 0)
    with pytest.raises(ModelError, match="arrays of a model and an optimiser, not 'masters'"):
        trainer.restore({"masters": np.zeros(3)})
    other = Mogami().trainer(Topology.of("64-9-10"), data, 1, 0)
    with pytest.raises(ModelError, match="of another topology"):
        trainer.restore(other.state())


@pytest.mark.parametrize("setting, message", [
    ("product=true", "product must be one of int_add, exact, not 'true'"),
    ("float_format=fp16", "one of fp32, bf16"), ("loss=l1", "loss must be one of softmax"),
    ("batch=0", "batch must be an integer of 1..65536, not 0"), ("rate_log2=9", "of -24..4"),
    ("momentum=1", "momentum must be a number from 0 to below 1, not 1.0"),
    ("mean_error_constant=0.5", "to below 0.5"), ("decay=-1", "decay"), ("shift=65", "shift"),
    ("momentum=nan", "momentum must")])
def test_settings_out_of_range(setting, message):
    with pytest.raises(UsageError, match=message):
        with_settings(Mogami(), [setting])


def test_bits_are_a_format():
    assert Mogami.with_bits("bf16", batch=8) == Mogami(float_format="bf16", batch=8)
    with pytest.raises(UsageError, match="must be fp32 or bf16, not '8x8'"):
        Mogami.with_bits("8x8")

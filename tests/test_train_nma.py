"""Gates multiply in training: exact ones to the bit, smooth ones within their bound."""

from dataclasses import replace

import numpy as np
import pytest

from nmahw.approximate import approximated
from nmahw.arith.gate import gate_float
from nmahw.design import Design
from nmahw.errors import ModelError, UsageError
from nmahw.train.datasets import load_dataset
from nmahw.train.gate_rule import GateRule, with_sigmoids
from nmahw.train.layers import build
from nmahw.train.losses import squared_error, squared_hinge
from nmahw.train.methods.exact_integers import ExactIntegers
from nmahw.train.methods.nma import Nma
from nmahw.train.rule import Rule
from nmahw.train.settings import with_settings
from nmahw.train.topology import Topology
from rtl import run_accelerator

SMALL = "conv 6 3, relu, max_pool 2, flatten, dense 10"
TABLES = ("quarter_square", "rom_softplus", "rom_sigmoid")
GATES = ("softplus", "sigmoid")


def quiet(images: int, loss: float) -> None:
    """No progress wanted."""


def digits(planes: bool = False):
    data = load_dataset("digits")
    if not planes:
        return data
    return replace(data, **{name: getattr(data, name).reshape(-1, 1, 8, 8)
                            for name in ("x_train", "x_validation", "x_test")})


def normal(seed: int, *shape: int, scale: float = 1.0) -> np.ndarray:
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


# Smooth gates.

@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("double, lambda_log2", [(False, -3), (False, -4), (False, -7), (True, -6),
                                                 (True, -11), (True, -15)])
@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_products_are_within_the_bound(gate, double, lambda_log2, scale):
    rule = GateRule(gate, lambda_log2, double)
    x, w = normal(1, 4000, scale=3.0), normal(2, 4000, scale=scale)
    x[0], w[0] = np.abs(x).max(), np.abs(w).max()
    error = np.abs(rule.product(x, w) - x.astype(np.float64) * w)
    # Results are rounded to float32, whatever the neurons are.
    bound = rule.error_bound(x, w) + np.abs(x * w).max() * 2.0**-24
    assert error.max() <= bound < 60 * error.max()


def test_the_bound_is_of_second_order_in_lambda():
    x, w = normal(3, 100), normal(4, 100)
    bounds = [GateRule("softplus", -k, True).error_bound(x, w) for k in (3, 4, 5, 6)]
    for wide, narrow in zip(bounds, bounds[1:], strict=False):
        assert 3.9 < wide / narrow < 4.1


@pytest.mark.parametrize("gate", GATES)
def test_products_are_the_gate_of_shifted_operands(gate):
    rule = GateRule(gate, -6, True)
    x, w = normal(5, 300, scale=20.0), normal(6, 300, scale=0.01)
    shifts = [2.0 ** np.ceil(np.log2(np.abs(a).max())) for a in (x, w)]
    expected = gate_float(x / shifts[0], w / shifts[1], -6, gate) * shifts[0] * shifts[1]
    np.testing.assert_allclose(rule.product(x, w), expected, rtol=1e-5, atol=1e-12)


def test_products_of_zero_and_powers_of_two_are_exact():
    rule = GateRule()
    x = normal(7, 50)
    x[::3] = 0
    assert not rule.product(x, normal(8, 50))[::3].any()
    for power in (0.25, 1.0, 2.0**-14):
        assert np.array_equal(rule.product(x, np.float32(power)), x * np.float32(power))
    assert not np.array_equal(rule.product(x, np.float32(0.3)), x * np.float32(0.3))


@pytest.mark.parametrize("gate", GATES)
def test_sums_of_gates_are_within_the_sum_of_bounds(gate):
    rule, exact = GateRule(gate), Rule()
    x, w, g = normal(9, 40, 9), normal(10, 9, 6), normal(11, 40, 6, scale=1e-3)
    x[x < 0] = 0
    for name, a, b, count in (("sums", x, w, 9), ("weight_gradient", x, g, 40),
                              ("input_gradient", g, w, 6)):
        operands = (x, w) if name == "sums" else (x, w, g)
        found, expected = (getattr(r, name)(*operands) for r in (rule, exact))
        error = np.abs(found - expected).max()
        assert 0 < error <= count * rule.error_bound(a, b) + 1e-6 * np.abs(expected).max()


def gradients(text: str, rule: Rule, loss, sigmoids: bool = False):
    model = build(Topology.of(text), (1, 8, 8), rule, np.random.default_rng(3))
    model = with_sigmoids(model) if sigmoids else model
    x = np.random.default_rng(12).random((9, 1, 8, 8)).astype(np.float32)
    y = np.arange(9) % 5
    scores = model.forward(x, True)
    model.backward(loss(scores, y, rule)[1])
    return x, y, model, [scores, *(value for part in model.parts()
                                   for value in part.gradients.values())]


@pytest.mark.parametrize("text", ["64-7-5", "conv 3 3, relu, max_pool 2, flatten, dense 5"])
@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("sigmoids", [False, True])
def test_gradients_through_gates_are_those_of_products(text, gate, sigmoids):
    exact = gradients(text, Rule(), squared_error, sigmoids)[3]
    found = gradients(text, GateRule(gate), squared_error, sigmoids)[3]
    for a, b in zip(found, exact, strict=True):
        assert 0 < np.abs(a - b).max() < 2e-3 * np.abs(b).max()


def test_gradients_through_sigmoids_are_torchs():
    torch = pytest.importorskip("torch")
    x, y, model, found = gradients("64-7-5", Rule(), squared_error, True)
    first, second = (part for part in model.parts() if part.parameters)
    tensors = [torch.tensor(layer.parameters[name].astype(np.float64), requires_grad=True)
               for layer in (first, second) for name in ("weights", "bias")]
    hidden = torch.sigmoid(torch.tensor(x.reshape(9, 64).astype(np.float64)) @ tensors[0]
                           + tensors[1])
    scores = hidden @ tensors[2] + tensors[3]
    target = torch.nn.functional.one_hot(torch.tensor(y), 5)
    ((scores - target).square().sum() / 2).backward()
    for mine, tensor in zip(found[1:], tensors, strict=True):
        np.testing.assert_allclose(mine, tensor.grad.numpy(), rtol=1e-3, atol=1e-5)


# Gates from tables.

@pytest.mark.parametrize("settings", [{}, {"batch": 1, "rate": 6}])
@pytest.mark.parametrize("text, planes", [("64-12-10", False), (SMALL, True)])
def test_quarter_squares_train_as_integer_products_do(settings, text, planes):
    data = digits(planes)
    mine = Nma(**settings).trainer(Topology.of(text), data, 3, 5)
    settings = {"batch": 16, "rate": 3, "halvings": 3} | settings
    other = ExactIntegers(product="exact", **settings).trainer(Topology.of(text), data, 3, 5)
    for index in range(3):
        assert mine.epoch(index, data.x_train, data.y_train, quiet) == other.epoch(
            index, data.x_train, data.y_train, quiet)
    expected = other.state()
    for name, value in mine.state().items():
        assert value.tobytes() == expected[name].tobytes()


@pytest.mark.parametrize("gate", ["rom_softplus", "rom_sigmoid"])
@pytest.mark.parametrize("lambda_log2", [1, -9])
def test_tables_make_the_products_of_the_gate(gate, lambda_log2):
    method = Nma(gate=gate, lambda_log2=lambda_log2)
    table = method.trainer(Topology.of("64-4-10"), digits(), 1, 0).squares
    x, w = np.arange(256)[:, None], np.arange(-127, 128)[None]
    products = table[np.abs(x + w)] - table[np.abs(x - w)]
    assert np.array_equal(products, method.arithmetic.compute(*np.broadcast_arrays(x, w)))
    error = np.abs(products - x * w).max()
    assert 0 < error <= method.arithmetic.error_bound


@pytest.mark.parametrize("gate", TABLES)
def test_networks_compute_the_trainings_own_scores(gate):
    data = digits(True)
    method = Nma(gate=gate)
    trainer = method.trainer(Topology.of(SMALL), data, 4, 1)
    for index in range(4):
        trainer.epoch(index, data.x_train, data.y_train, quiet)
    network = trainer.network(data.x_train, "digits by gates", {"method": "nma"})
    if gate != "quarter_square":
        assert not np.array_equal(network.predict(data.x_test), trainer.scores(data.x_test))
        network = approximated(network, method.arithmetic)
    assert np.array_equal(network.predict(data.x_test), trainer.scores(data.x_test))
    assert np.mean(network.classify(data.x_test) == data.y_test) > 0.85


def test_network_compiles():
    data = digits(True)
    trainer = Nma().trainer(Topology.of(SMALL), data, 2, 1)
    trainer.epoch(0, data.x_train, data.y_train, quiet)
    network = trainer.network(data.x_train, "digits by gates", {})
    design = Design.of(network, "quarter_square", 2, 3)
    images = data.x_test[:1]
    assert run_accelerator(design, images).outputs == trainer.scores(images).tolist()


# Trainings.

@pytest.mark.parametrize("settings", [{"gate": "quarter_square"}, {"gate": "rom_sigmoid"},
                                      {"gate": "softplus"}, {"gate": "sigmoid", "double": True},
                                      {"gate": "softplus", "activation": "sigmoid"}])
def test_goes_on_bit_for_bit(settings):
    data = digits()
    method = Nma(**settings)
    whole, first, second = (method.trainer(Topology.of("64-6-10"), data, 3, 7) for _ in range(3))
    results = [whole.epoch(index, data.x_train, data.y_train, quiet) for index in range(3)]
    first.epoch(0, data.x_train, data.y_train, quiet)
    second.restore(first.state())
    assert [second.epoch(index, data.x_train, data.y_train, quiet)
            for index in (1, 2)] == results[1:]
    expected = whole.state()
    for name, value in second.state().items():
        assert value.tobytes() == expected[name].tobytes()


@pytest.mark.parametrize("settings", [
    {"gate": "quarter_square"}, {"gate": "rom_softplus"}, {"gate": "rom_sigmoid"},
    {"gate": "softplus"}, {"gate": "sigmoid"}, {"gate": "exact"},
    {"gate": "softplus", "activation": "sigmoid", "loss": "squared_error", "rate": 3}])
def test_learns_digits(settings):
    data = digits()
    trainer = Nma(**settings).trainer(Topology.of("digits"), data, 12, 0)
    for index in range(12):
        trainer.epoch(index, data.x_train, data.y_train, quiet)
    least = 0.85 if "activation" in settings else 0.93
    assert np.mean(trainer.scores(data.x_test).argmax(axis=1) == data.y_test) > least


def test_sigmoids_have_no_network():
    data = digits()
    trainer = Nma(gate="softplus", activation="sigmoid").trainer(
        Topology.of("64-4-10"), data, 1, 0)
    with pytest.raises(ModelError, match="the IR has no sigmoid"):
        trainer.network(data.x_train, "none", {})


@pytest.mark.parametrize("text", ["conv 4 3, batch_norm, relu, flatten, dense 10",
                                  "conv 4 3 padding=1, relu, residual 4, flatten, dense 10",
                                  "conv 4 3, relu, global_average_pool, dense 10"])
def test_layers_that_take_quotients(text):
    with pytest.raises(UsageError, match=r"layer \d .*has gates for products only"):
        Nma(gate="softplus").trainer(Topology.of(text), digits(True), 1, 0)
    with pytest.raises(UsageError, match="gates for products only"):
        GateRule().square_root(np.ones(3, np.float32))


@pytest.mark.parametrize("settings, message", [
    (["gate=magic"], "gate must be one of quarter_square, rom_softplus, rom_sigmoid, softplus"),
    (["lambda_log2=-25"], "lambda_log2 must be an integer of -24..1, not -25"),
    (["gate=rom_softplus", "lambda_log2=-22"], "entries of 4..40 bits, not be -22"),
    (["batch=12"], "batch must be a power of two, not 12"),
    (["activation=sigmoid"], "gate quarter_square must have activation relu"),
    (["gate=rom_sigmoid", "loss=squared_error"], "must have activation relu and loss squared_hing"),
    (["loss=softmax"], "loss must be one of squared_hinge, squared_error"),
    (["rate=30"], "rate must be an integer of -8..24")])
def test_settings_out_of_range(settings, message):
    with pytest.raises(UsageError, match=message):
        # The gate first: the default takes neither sigmoid nor squared error.
        method = Nma()
        for setting in settings:
            method = with_settings(method, [setting])


def test_squared_hinge_is_smooth_at_its_corner():
    scores = np.array([[1.0, -1.0], [0.0, 0.0]])
    values, gradient = squared_hinge(scores, np.array([0, 1]))
    assert values.tolist() == [0, 1] and gradient.tolist() == [[0, 0], [1, -1]]

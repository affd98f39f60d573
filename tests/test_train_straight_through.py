"""Networks trained straight through: integer forward passes, gradients, resume, export."""

from dataclasses import replace

import numpy as np
import pytest

from nmahw.arith import ARITHMETICS
from nmahw.arith.shift import ShiftPairWeights, ShiftWeights
from nmahw.design import Design
from nmahw.errors import EnvironmentProblem, ModelError, TrainingError, UsageError
from nmahw.frontends import read_float_model
from nmahw.layers.channel_scale import ChannelScale
from nmahw.signed_digits import signed_digits
from nmahw.train.dataset import Dataset
from nmahw.train.datasets import load_dataset
from nmahw.train.fixed_point import FixedStage, input_shift
from nmahw.train.float_files import read_stages
from nmahw.train.methods import METHODS
from nmahw.train.stages import FloatStage, geometries
from nmahw.train.straight_through import StraightThrough
from nmahw.train.topology import Topology
from nmahw.train.weight_sets import WeightSet, power_of_two_steps, two_term_steps
from rtl import run_accelerator

FAMILY = [kind for kind in METHODS if issubclass(kind, StraightThrough)]
NAMES = [kind.name for kind in FAMILY]
# Arithmetic that carries each method's sums; any exact one carries those of `quantised`.
CARRIER = {"quantised": "shared_multiples"}
TINY = ("conv 3 3 padding=1, batch_norm, relu, max_pool 2, conv 4 2, batch_norm, relu, flatten, "
        "dense 4, batch_norm")


def quiet(images: int, loss: float) -> None:
    """A progress that nobody looks at."""


def spots(count: int = 240, seed: int = 3) -> Dataset:
    """Images 8x8 with one bright quarter: four classes, a few epochs suffice."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, count)
    x = rng.integers(0, 100, (count, 1, 8, 8))
    for image, label in zip(x, y, strict=True):
        top, left = 4 * (label // 2), 4 * (label % 2)
        image[0, top:top + 4, left:left + 4] += 150
    x = x.astype(np.uint8)
    return Dataset("spots", x[:160], y[:160], x[160:200], y[160:200], x[200:], y[200:], 4, 255)


def trained(method: StraightThrough, epochs: int, text: str = TINY, seed: int = 1):
    data = spots()
    trainer = method.trainer(Topology.of(text), data, epochs, seed)
    results = [trainer.epoch(index, data.x_train, data.y_train, quiet) for index in range(epochs)]
    return data, trainer, results


# Weight sets and steps.

@pytest.mark.parametrize("name", NAMES)
def test_every_level_has_a_code(name):
    kind = METHODS.get(name)
    levels = np.array(kind().allowed.levels)
    carrier = ARITHMETICS.get(CARRIER.get(name, name))
    assert np.array_equal(carrier.project(levels), levels)
    assert np.array_equal(levels, -levels[::-1]) and len(set(levels.tolist())) == len(levels)


def test_widths_are_those_of_the_codes():
    shift, pair, plain = (METHODS.get(name) for name in ("shift", "shift_pair", "quantised"))
    assert shift(weight_bits=3).allowed.levels == (-4, -2, -1, 0, 1, 2, 4)
    assert set(shift(weight_bits=5).allowed.levels) == set(ShiftWeights.terms_of())
    assert pair(weight_bits=8).allowed.levels == tuple(sorted(
        w for w in ShiftPairWeights.terms_of() if w > -128))
    assert 11 not in pair(weight_bits=5).allowed.levels and 7 in pair(weight_bits=4).allowed.levels
    assert plain(weight_bits=3).allowed.levels == tuple(range(-3, 4))


@pytest.mark.parametrize("levels", [(-1, 1), (-1, 0, 1), (-4, -2, -1, 0, 1, 2, 4), (-3, 5, 6)])
def test_nearest(levels):
    values = np.random.default_rng(2).normal(0, 4, (7, 30)).astype(np.float32)
    table = np.array(levels)
    expected = table[np.abs(values[..., None] - table).argmin(axis=-1)]
    assert np.array_equal(WeightSet(levels).nearest(values), expected)


def test_steps_of_two_terms_are_near_the_best():
    rng = np.random.default_rng(4)
    weights = rng.normal(0, 1, (20, 50)) * rng.uniform(0.02, 0.1, (20, 1))
    allowed = WeightSet((-1, 0, 1))
    factors, exponent = two_term_steps(weights, allowed)
    assert all(1 <= len(signed_digits(factor)) <= 2 for factor in factors.tolist())
    best = np.min([allowed.errors(weights, step) for step in np.geomspace(0.005, 0.3, 300)], axis=0)
    reached = [allowed.errors(weights[i:i + 1], factor * 2.0**exponent)[0]
               for i, factor in enumerate(factors.tolist())]
    assert (np.array(reached) <= best * 1.02).all()


def test_one_step_for_a_layer():
    weights = np.random.default_rng(5).normal(0, 0.1, (4, 60))
    allowed = WeightSet(tuple(range(-7, 8)))
    factors, exponent = power_of_two_steps(weights, allowed)
    assert factors.tolist() == [1] * 4
    chosen = allowed.errors(weights, 2.0**exponent).sum()
    assert all(chosen <= allowed.errors(weights, 2.0**other).sum() for other in range(-12, 3))


@pytest.mark.parametrize("high, bits, expected", [(255, 8, (0, 255)), (255, 4, (4, 15)),
                                                  (16, 5, (0, 16)), (1, 4, (0, 1))])
def test_input_is_narrowed(high, bits, expected):
    codes = np.random.default_rng(6).integers(0, high + 1, (20, 9))
    assert input_shift(codes, high, bits) == expected


# Stages.

def torch_stage(torch, g, x, parameters, float_stage):
    """The stage in PyTorch, channels first; an independent statement."""
    x = x.permute(3, 0, 1, 2)
    weights = parameters["weights"].reshape(g.weight_shape)
    if g.flatten_before:
        x = x.flatten(1)
    elif g.size is None:
        x = x[:, :, 0, 0]
    y = (torch.nn.functional.linear(x, weights) if g.size is None else
         torch.nn.functional.conv2d(x, weights, stride=g.stride, padding=g.padding))
    if g.normalised:
        y = torch.nn.functional.batch_norm(y, None, None, parameters["scale"],
                                           parameters["offset"], True, eps=float_stage.EPSILON)
    else:
        shape = (1, -1) + (1,) * (y.ndim - 2)
        y = y + parameters["bias"].reshape(shape)
    if not g.last:
        y = torch.relu(y)
        y = torch.nn.functional.max_pool2d(y, g.pool) if g.pool > 1 else y
    y = y if y.ndim == 4 else y[:, :, None, None]
    return y.permute(1, 2, 3, 0)


@pytest.mark.parametrize("text", [
    TINY, "conv 5 3 stride=2 padding=1, relu, conv 4 3, batch_norm, relu, max_pool 3, flatten, "
    "dense 7, relu, dense 4", "64-9-4"])
def test_float_gradients_equal_those_of_pytorch(text):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(7)
    shape = (64,) if text[0] == "6" else (2, 12, 12)
    stages = [FloatStage(g, rng) for g in geometries(Topology.of(text), shape)]
    x = rng.normal(size=(*(shape if len(shape) == 3 else (64, 1, 1)), 9)).astype(np.float32)
    given = [{name: torch.tensor(value, requires_grad=True)
              for name, value in stage.parameters.items()} for stage in stages]
    y, expected = x, torch.tensor(x)
    for stage, parameters in zip(stages, given, strict=True):
        for name in ("bias", "offset", "scale"):
            if name in parameters:
                moved = rng.normal(size=parameters[name].shape).astype(np.float32)
                stage.parameters[name] = moved
                parameters[name] = torch.tensor(moved, requires_grad=True)
        y = stage.forward(y, True)
        expected = torch_stage(torch, stage.geometry, expected, parameters, stage)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-4, atol=1e-4)
    gradient = rng.normal(size=y.shape).astype(np.float32)
    expected.backward(torch.tensor(gradient))
    for index in range(len(stages) - 1, -1, -1):
        gradient = stages[index].backward(gradient, index == 0)
    for stage, parameters in zip(stages, given, strict=True):
        for name, parameter in parameters.items():
            np.testing.assert_allclose(stage.gradients[name], parameter.grad.numpy(), rtol=1e-3,
                                       atol=1e-3 * float(parameter.grad.abs().max() + 1e-3))


def test_fixed_gradients_are_those_of_rounding_left_out():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(8)
    g = geometries(Topology.of("conv 3 3 padding=1, relu, max_pool 2, flatten, dense 2"),
                   (2, 6, 6))[0]
    stage = FixedStage(g, WeightSet((-1, 0, 1)), np.array([3, 4, 10]), 4, 15, 15, 1.0)
    stage.parameters["weights"] = rng.uniform(-1, 1, (3, 18)).astype(np.float32)
    stage.parameters["bias"] = rng.normal(0, 2, 3).astype(np.float32)
    x = rng.integers(0, 16, (2, 6, 6, 5)).astype(np.float32)
    result = stage.forward(x, True)
    weights = torch.tensor(stage.weights, requires_grad=True)
    bias = torch.tensor(stage.bias, requires_grad=True)
    inputs = torch.tensor(x.transpose(3, 0, 1, 2), requires_grad=True)
    factor = torch.tensor([3.0, 4, 10]) / 16
    z = torch.nn.functional.conv2d(inputs, weights.reshape(3, 2, 3, 3), bias, padding=1)
    z = torch.nn.functional.max_pool2d(z * factor[:, None, None], 2)
    rounded = torch.floor(z + 0.5).clamp(0, 15)
    assert np.array_equal(result, rounded.detach().numpy().transpose(1, 2, 3, 0))
    assert (result == 0).any() and (result == 15).any() and len(np.unique(result)) > 5
    gradient = rng.normal(size=result.shape).astype(np.float32)
    passes = ((z > 0) & (z < 15.5)).detach()
    (z * passes).backward(torch.tensor(gradient.transpose(3, 0, 1, 2)))
    back = stage.backward(gradient)
    np.testing.assert_allclose(stage.gradients["weights"], weights.grad, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(stage.gradients["bias"], bias.grad * 15, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(back.transpose(3, 0, 1, 2), inputs.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("text, message", [
    ("conv 3 3, flatten, dense 4", "layer 0 .*needs .batch_norm., relu"),
    ("conv 3 3, relu, batch_norm, flatten, dense 4", "layer 0 .*not ReLU, BatchNorm, Flatten"),
    ("conv 3 3, relu, flatten, dense 4, relu", "layer 3 .*a batch norm at most"),
    ("relu, conv 3 3, relu, flatten, dense 4", "must begin with"),
    ("conv 3 3, relu, global_average_pool, dense 4", "GlobalAveragePool"),
    ("conv 3 3, relu, residual 3, flatten, dense 4", "Residual")])
def test_topologies_that_are_no_stages(text, message):
    with pytest.raises(UsageError, match=message):
        geometries(Topology.of(text), (1, 8, 8))


# Whole trainings.

@pytest.mark.parametrize("name", NAMES)
def test_scores_are_the_networks(name):
    method = METHODS.get(name)(warm_up=4, batch=8, float_rate=0.01)
    data, trainer, results = trained(method, 8)
    network = trainer.network(data.x_train, "tiny", {"sample": "none"})
    assert np.array_equal(trainer.scores(data.x_test), network.predict(data.x_test))
    assert np.mean(network.classify(data.x_test) == data.y_test) > 0.9
    assert results[-1].loss < results[0].loss
    weights = {int(w) for layer in network.layers if layer.is_matrix for w in np.unique(
        layer.weights)}
    assert weights <= set(method.allowed.levels) and len(weights) > 1
    assert any(isinstance(layer, ChannelScale) for layer in network.layers) == (
        name in ("ternary", "binary"))
    assert network.title == "tiny" and network.metadata["sample"] == "none"
    assert network.metadata["activation_bits"] == "4"


@pytest.mark.parametrize("name", NAMES)
def test_hardware_equals_the_network(name):
    method = METHODS.get(name)(warm_up=2, batch=32, activation_bits=3)
    data, trainer, _ = trained(method, 4)
    network = trainer.network(data.x_train, "tiny", {})
    design = Design.of(network, CARRIER.get(name, name), 3, 2)
    run = run_accelerator(design, data.x_test[:2], stall=0.2)
    assert run.outputs == network.predict(data.x_test[:2]).tolist()


@pytest.mark.parametrize("terms", [0, 1, 2])
def test_terms_of_factors(terms):
    _, trainer, _ = trained(METHODS.get("ternary")(warm_up=1, batch=32, terms=terms), 2)
    digits = max(len(signed_digits(factor)) for stage in trainer.stages
                 for factor in stage.factors.tolist())
    assert digits == max(terms, 1)
    assert (terms == 0) == all((stage.factors == 1).all() for stage in trainer.stages)


@pytest.mark.parametrize("name, ended", [("ternary", 2), ("ternary", 4), ("quantised", 3)])
def test_resumes_bit_for_bit(name, ended):
    method = METHODS.get(name)(warm_up=3, batch=16, shift=1)
    data, whole, results = trained(method, 5)
    _, first, _ = trained(method, 5)
    again = method.trainer(Topology.of(TINY), data, 5, 1)
    for index in range(ended):
        again.epoch(index, data.x_train, data.y_train, quiet)
    state = {key: np.array(value) for key, value in again.state().items()}
    resumed = method.trainer(Topology.of(TINY), data, 5, 1)
    resumed.restore(state)
    assert np.array_equal(resumed.scores(data.x_test), again.scores(data.x_test))
    for index in range(ended, 5):
        assert resumed.epoch(index, data.x_train, data.y_train, quiet) == results[index]
    for key, value in whole.state().items():
        assert np.array_equal(value, first.state()[key]), key
        assert np.array_equal(value, resumed.state()[key]), key


def test_restore_refuses_another_training():
    method = METHODS.get("ternary")(warm_up=1, batch=32)
    data, trainer, _ = trained(method, 2)
    other = method.trainer(Topology.of(TINY.replace("conv 3", "conv 5")), data, 2, 1)
    with pytest.raises(ModelError, match="must have"):
        other.restore(trainer.state())
    with pytest.raises(ModelError, match="must have input, and has not"):
        other.restore({})


@pytest.mark.parametrize("text", [TINY, "64-12-4"])
def test_starts_from_the_float_model_that_it_kept(tmp_path, text):
    path = tmp_path / "float.npz"
    kept = METHODS.get("quantised")(warm_up=5, batch=8, float_rate=0.01, keep_float=str(path))
    data, first, _ = trained(kept, 6, text)
    model = read_float_model(path)
    assert np.mean(model.classify(data.x_test) == data.y_test) > 0.9
    method = METHODS.get("ternary")(start=str(path), batch=8)
    trainer = method.trainer(Topology.of(text), data, 3, 0)
    stages, base = read_stages(path, trainer._plans, data.input_format.shape)
    assert trainer.warm_up == 0 and base == pytest.approx(1 / 255)
    signal = trainer._real(data.x_test)
    for stage in stages:
        signal = stage.forward(signal, False)
    np.testing.assert_allclose(signal[:, 0, 0, :].T, model.predict(data.x_test), atol=1e-4)
    for index in range(3):
        trainer.epoch(index, data.x_train, data.y_train, quiet)
    network = trainer.network(data.x_train, "tiny", {})
    assert np.array_equal(trainer.scores(data.x_test), network.predict(data.x_test))
    assert np.mean(network.classify(data.x_test) == data.y_test) > 0.9


def test_refuses_another_float_model(tmp_path):
    path = tmp_path / "float.npz"
    trained(METHODS.get("quantised")(warm_up=1, batch=32, keep_float=str(path)), 2)

    def begin(text: str, start: str) -> None:
        data = spots()
        trainer = METHODS.get("ternary")(start=start).trainer(Topology.of(text), data, 3, 0)
        trainer.epoch(0, data.x_train, data.y_train, quiet)

    with pytest.raises(ModelError, match=r"layer 0 \(Conv\) must have"):
        begin(TINY.replace("max_pool 2, conv 4 2", "conv 4 4"), str(path))
    with pytest.raises(ModelError, match="must have 2 layers with weights, as the topology has"):
        begin("64-9-4", str(path))
    with pytest.raises(UsageError, match="suffix must be one of"):
        begin(TINY, "nowhere")
    with pytest.raises(ModelError, match="nowhere.npz"):
        begin(TINY, "nowhere.npz")


def test_a_loss_that_is_not_finite_names_the_layer():
    method = METHODS.get("quantised")(warm_up=2, batch=32, float_rate=1e30)
    with pytest.raises(TrainingError, match=r"loss must be finite, not .*(layer \d|loss) "), \
            np.errstate(all="ignore"):
        trained(method, 3)


def test_sums_beyond_float32_are_scored_by_the_network():
    method = METHODS.get("quantised")(weight_bits=8, activation_bits=8, warm_up=1, batch=32)
    data, trainer, _ = trained(method, 2)
    assert all(stage.exact() for stage in trainer.stages)
    trainer.stages[0].parameters["bias"][:] = 1e6
    assert not trainer.stages[0].exact()
    network = trainer.network(data.x_train, "tiny", {})
    assert np.array_equal(trainer.scores(data.x_test), network.predict(data.x_test))


@pytest.mark.parametrize("name, bits, message", [
    ("ternary", "3x4", "weights of method ternary have 2 bits, so --bits must be 2xA"),
    ("binary", "2x4", "have 1 bits"), ("shift", "6x4", "weight_bits must be an integer of 2..5"),
    ("shift_pair", "2x4", "of 3..8, not 2"), ("quantised", "9x4", "of 2..8, not 9"),
    ("quantised", "4x9", "activation_bits must be an integer of 1..8, not 9"),
    ("quantised", "4", "must be WxA, e.g. 4x4, not '4'")])
def test_widths_that_cannot_be_had(name, bits, message):
    with pytest.raises(UsageError, match=message):
        METHODS.get(name).with_bits(bits)


@pytest.mark.parametrize("field, value", [
    ("batch", 0), ("shift", 9), ("terms", 3), ("warm_up", -1), ("rate", 0),
    ("float_rate", float("nan"))])
def test_fields_out_of_range(field, value):
    with pytest.raises(UsageError, match=f"{field} must be"):
        replace(METHODS.get("ternary")(), **{field: value})


def test_a_place_for_the_float_model_is_checked_first(tmp_path):
    method = METHODS.get("ternary")(keep_float=str(tmp_path))
    with pytest.raises(EnvironmentProblem, match="must be a file, not a folder"):
        method.trainer(Topology.of(TINY), spots(), 20, 0)


def test_no_epoch_left_behind_the_warm_up():
    with pytest.raises(UsageError, match="epochs must be more than the 10 of the warm-up, not 10"):
        METHODS.get("ternary")().trainer(Topology.of(TINY), spots(), 10, 0)


@pytest.mark.parametrize("name, least", [("ternary", 0.88), ("binary", 0.85), ("shift", 0.92),
                                         ("shift_pair", 0.93), ("quantised", 0.93)])
def test_learns_digits(name, least):
    data = load_dataset("digits")
    method = METHODS.get(name)(warm_up=15, batch=32, float_rate=0.01)
    trainer = method.trainer(Topology.of("digits"), data, 30, 0)
    for index in range(30):
        trainer.epoch(index, data.x_train, data.y_train, quiet)
    assert np.mean(trainer.scores(data.x_test).argmax(axis=1) == data.y_test) > least

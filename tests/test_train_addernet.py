"""AdderNet: gradients, adaptive rates, clamped filters, integers that are exact, resuming."""

from dataclasses import replace

import numpy as np
import pytest

from nmahw.cache import Cache
from nmahw.certify import FORBIDDEN_CELLS, rtlil_cells
from nmahw.design import Design
from nmahw.errors import ModelError, UsageError
from nmahw.network import Network
from nmahw.simulate import simulate
from nmahw.train.adder import AdderMatrix, AdderRule, adaptive_rates
from nmahw.train.adder_export import best_step, check_chain, clamped, input_shift, settle
from nmahw.train.adder_quantised import GridAdder, GridProduct, GridReLU, ShiftNorm, signed_powers
from nmahw.train.dataset import Dataset
from nmahw.train.gradient import LOSSES
from nmahw.train.layers import BatchNorm, Matrix, build
from nmahw.train.methods.addernet import AdderNet
from nmahw.train.optimisers import Sgd
from nmahw.train.rule import Rule
from nmahw.train.run import checkpoint_path, train
from nmahw.train.topology import Topology

SMALL = ("conv 4 3 padding=1, batch_norm, relu, max_pool 2, conv 6 3, relu_here, flatten, "
         "dense 3, batch_norm").replace("relu_here", "batch_norm, relu")


def shapes_of(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images 1x8x8 of 0..15 of three classes: a bar across, a bar down, a blot; with noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    x = rng.integers(0, 5, (count, 1, 8, 8))
    for image, label in zip(x, y, strict=True):
        i, j = rng.integers(1, 6, 2)
        if label == 0:
            image[0, i, 1:7] = 15
        elif label == 1:
            image[0, 1:7, j] = 15
        else:
            image[0, i:i + 2, j:j + 2] = 15
    return x, y


@pytest.fixture(scope="module")
def data() -> Dataset:
    parts = [array for seed, count in ((1, 400), (2, 100), (3, 200))
             for array in shapes_of(seed, count)]
    return Dataset("shapes", *parts, classes=3, high=15)


def trained(method: AdderNet, data: Dataset, epochs: int, text: str = SMALL):
    trainer = method.trainer(Topology.of(text), data, epochs, 5)
    for index in range(epochs):
        result = trainer.epoch(index, data.x_train, data.y_train, lambda *args: None)
    return trainer, result


def windows_of(x: np.ndarray, size: int, stride: int, padding: int) -> np.ndarray:
    """Operands of every window (batch, rows, columns, y, x, channel), by plain slicing."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    sides = [(side - size) // stride + 1 for side in x.shape[1:3]]
    return np.stack([np.stack([x[:, r * stride:r * stride + size, c * stride:c * stride + size]
                               for c in range(sides[1])], 1) for r in range(sides[0])], 1)


@pytest.mark.parametrize("shape,size,stride,padding,outputs", [
    ((3, 7, 6, 2), 3, 1, 1, 5), ((2, 9, 8, 1), 5, 1, 2, 6), ((70, 5, 5, 3), 3, 2, 1, 4),
    ((1, 4, 4, 1), 4, 1, 0, 1)])
def test_convolution_and_its_gradients(shape, size, stride, padding, outputs):
    rng = np.random.default_rng(7)
    x = (rng.standard_normal(shape) * 2).astype(np.float32)
    layer = AdderMatrix(AdderRule(), shape[-1], outputs, rng, size, stride, padding, False)
    y = layer.forward(x, True)
    gradient = rng.standard_normal(y.shape).astype(np.float32)
    passed = layer.backward(gradient)
    w = layer.parameters["weights"].astype(np.float64)
    patches = windows_of(x.astype(np.float64), size, stride, padding)
    flat = patches.reshape(-1, len(w))
    distance = flat[:, :, None] - w
    np.testing.assert_allclose(y.reshape(-1, outputs), -np.abs(distance).sum(axis=1), rtol=1e-5)
    g = gradient.reshape(-1, 1, outputs)
    np.testing.assert_allclose(layer.gradients["weights"], (g * distance).sum(axis=0),
                               rtol=1e-3, atol=1e-3)
    clipped = (g * np.clip(-distance, -1, 1)).sum(axis=2).reshape(patches.shape)
    wanted = np.zeros((shape[0], shape[1] + 2 * padding, shape[2] + 2 * padding, shape[3]))
    for r in range(patches.shape[1]):
        for c in range(patches.shape[2]):
            rows = slice(r * stride, r * stride + size)
            wanted[:, rows, c * stride:c * stride + size] += clipped[:, r, c]
    wanted = wanted[:, padding:padding + shape[1], padding:padding + shape[2]]
    np.testing.assert_allclose(passed, wanted, rtol=1e-4, atol=1e-4)


def test_dense_equals_a_convolution_of_one_position():
    rng = np.random.default_rng(3)
    dense = AdderMatrix(AdderRule(), 30, 7, rng, bias=False)
    conv = AdderMatrix(AdderRule(), 30, 7, rng, 1, bias=False)
    conv.parameters["weights"] = dense.parameters["weights"]
    x = rng.standard_normal((9, 30)).astype(np.float32)
    g = rng.standard_normal((9, 7)).astype(np.float32)
    one = dense.forward(x, True)
    np.testing.assert_array_equal(one, conv.forward(x[:, None, None], True)[:, 0, 0])
    np.testing.assert_array_equal(dense.backward(g), conv.backward(g[:, None, None])[:, 0, 0])
    np.testing.assert_allclose(dense.gradients["weights"], conv.gradients["weights"], rtol=1e-4,
                               atol=1e-5)


def test_weight_gradient_is_that_of_squared_distances():
    """The article's full-precision gradient is that of -sum (x - w)^2 / 2: autograd agrees."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    x, g = rng.standard_normal((20, 6)), rng.standard_normal((20, 3))
    w = torch.tensor(rng.standard_normal((6, 3)), requires_grad=True)
    (-torch.square(torch.tensor(x)[:, :, None] - w).sum(dim=1) / 2
     * torch.tensor(g)).sum().backward()
    mine = AdderRule().weight_gradient(x, w.detach().numpy(), g)
    np.testing.assert_allclose(mine, w.grad.numpy(), rtol=1e-10)


def test_adaptive_rate_moves_every_adder_layer_by_eta():
    rng = np.random.default_rng(5)
    layers = [AdderMatrix(AdderRule(), 10, 4, rng, bias=False),
              AdderMatrix(AdderRule(), 50, 3, rng, bias=False), Matrix(Rule(), 6, 2, rng)]
    before = [layer.parameters["weights"].copy() for layer in layers]
    for factor, layer in zip((1e-3, 1e3, 1.0), layers, strict=True):
        layer.gradients = {name: (factor * rng.standard_normal(value.shape)).astype(np.float32)
                           for name, value in layer.parameters.items()}
    Sgd(layers, hook=adaptive_rates(0.25)).step(0.5)
    for layer, old in zip(layers[:2], before[:2], strict=True):
        moved = old - layer.parameters["weights"]
        assert np.sqrt(np.square(moved).mean()) == pytest.approx(0.125, rel=1e-5)
        assert (moved * layer.gradients["weights"] >= 0).all()
    np.testing.assert_allclose(before[2] - layers[2].parameters["weights"],
                               0.5 * layers[2].gradients["weights"], rtol=1e-5, atol=1e-7)


def test_clamped_filters_and_excess_are_exact():
    """Exhaustively: every activation of 4 bits against filters far past them."""
    weights = np.arange(-60, 90)[None]
    inside, excess = clamped(weights, 15)
    assert inside.min() == 0 and inside.max() == 15
    for x in range(16):
        np.testing.assert_array_equal(np.abs(x - weights)[0], np.abs(x - inside)[0] + excess)


@pytest.mark.parametrize("terms", [1, 2])
def test_signed_powers_are_the_nearest(terms):
    rng = np.random.default_rng(6)
    factors = np.append(rng.standard_normal(40) * 0.3, [0.0, 0.5, -0.75, 0.3125])
    signs, exponents = signed_powers(factors, terms)
    got = (signs * 2.0**exponents).sum(axis=1)
    top = exponents.max()
    powers = [0.0] + [sign * 2.0**e for e in range(top - 8, top + 1) for sign in (-1, 1)]
    for factor, value in zip(factors, got, strict=True):
        sums = [a + (b if terms == 2 else 0) for a in powers for b in powers]
        assert abs(value - factor) <= min(abs(s - factor) for s in sums) + 1e-12
    assert got[40] == 0 and got[41] == 0.5 and not signs[40].any()
    assert (np.count_nonzero(signs, axis=1) <= terms).all()


def test_shift_norm_gradients_against_differences():
    rng = np.random.default_rng(8)
    # Factors that are powers of two already: rounding is the identity there.
    norm = ShiftNorm(Rule(), np.array([0.5, -2.0]), np.array([0.1, 0.2]), np.zeros(2), np.ones(2),
                     1.0, 1.0, 2)
    x = rng.standard_normal((12, 2)).astype(np.float32)
    g = rng.standard_normal((12, 2)).astype(np.float32)
    norm.forward(x, True)
    passed = norm.backward(g)
    factor = np.array([0.5, -2.0])

    def loss(x: np.ndarray) -> float:
        return float((((x - x.mean(axis=0)) * factor + [0.1, 0.2]) * g).sum())

    for place in np.ndindex(4, 2):
        up, down = x.astype(np.float64), x.astype(np.float64)
        up[place] += 1e-3
        down[place] -= 1e-3
        assert passed[place] == pytest.approx((loss(up) - loss(down)) / 2e-3, abs=1e-4)
    np.testing.assert_allclose(norm.gradients["scale"], (g * (x - x.mean(axis=0))).sum(axis=0),
                               rtol=1e-4)


def test_grid_relu_rounds_half_up_saturates_and_passes_what_is_inside():
    relu = GridReLU(Rule(), 0.25, 2)
    x = np.array([[-1.0, 0.0, 0.124, 0.125, 0.5, 0.8, 0.874, 5.0]], np.float32)
    np.testing.assert_array_equal(relu.forward(x, True), [[0, 0, 0, 0.25, 0.5, 0.75, 0.75, 0.75]])
    np.testing.assert_array_equal(relu.backward(np.ones_like(x)), [[0, 0, 1, 1, 1, 1, 1, 0]])


def test_settled_batch_norm_has_the_statistics_of_the_images():
    rng = np.random.default_rng(9)
    model = build(Topology.of(SMALL), (1, 8, 8), AdderRule(), rng, matrix=AdderMatrix)
    x = rng.random((150, 1, 8, 8), dtype=np.float32)
    settle(model, x)
    value = x.transpose(0, 2, 3, 1)
    for layer in model.layers:
        if isinstance(layer, BatchNorm):
            flat = value.reshape(-1, value.shape[-1]).astype(np.float64)
            np.testing.assert_allclose(layer.buffers["mean"], flat.mean(axis=0), rtol=1e-4)
            np.testing.assert_allclose(layer.buffers["variance"], flat.var(axis=0), rtol=1e-3)
        value = layer.forward(value, False)


def test_best_step_leaves_grid_values_as_they_are():
    x = np.arange(16) * 0.375
    assert best_step(np.append(x, -3.0), 4) == pytest.approx(0.375)
    assert input_shift(255, 4) == 4 and input_shift(255, 8) == 0 and input_shift(16, 4) == 1


@pytest.mark.parametrize("changes", [
    {}, {"bits": 8}, {"bits": 4}, {"bits": 4, "terms": 1},
    {"bits": 5, "first": "normal", "last": "normal"}])
def test_learns_and_hands_over_exactly_what_it_computes(data, changes):
    method = AdderNet(fine_tune=3, batch=32, shift=0, **changes)
    trainer, result = trained(method, data, 9)
    assert result.accuracy > 0.8
    network = trainer.network(data.x_train, "shapes", {"who": "test"})
    assert isinstance(network, Network) and network.metadata["who"] == "test"
    scores = trainer.integer_scores(data.x_test)
    last = trainer._integer_model().layers[-1]
    unit = last.result_unit / 2.0 ** last.fixed_point().fraction
    np.testing.assert_array_equal(network.predict(data.x_test), scores / unit)
    assert np.mean(network.classify(data.x_test) == data.y_test) > 0.8
    if method.bits:
        np.testing.assert_array_equal(scores, trainer.scores(data.x_test))
    operations = [layer.operation.name for layer in network.layers if layer.is_matrix]
    normal = "product" if method.first == "normal" else "l1"
    assert operations == [normal, "l1", normal]
    bits = method.bits or 8
    for layer in network.layers:
        if layer.is_matrix and layer.operation.name == "l1":
            assert layer.weights.min() >= 0 and layer.weights.max() < 2**bits
        if layer.name == "channel_scale":
            assert (np.count_nonzero(layer.signs, axis=1) <= method.terms).all()


@pytest.mark.parametrize("bits", [4, pytest.param(8, marks=pytest.mark.long)])
def test_hardware_without_a_multiplier_computes_the_same(data, tmp_path, bits):
    trainer, _ = trained(AdderNet(bits=bits, fine_tune=1, shift=0), data, 2)
    network = trainer.network(data.x_train, "shapes", {})
    design = Design.of(network, "l1", 4, 2)
    kinds = {cell.kind for cell in rtlil_cells(design.rtlil())}
    assert "$add" in kinds and not kinds & FORBIDDEN_CELLS
    images = data.x_test[:5]
    result = simulate(design, images, jobs=1, cache=Cache(tmp_path))
    np.testing.assert_array_equal(result.outputs, network.predict(images))


def test_layers_that_narrow_before_pooling_give_the_same_as_after(data):
    text = SMALL.replace("relu, max_pool 2", "max_pool 2, relu")
    one, _ = trained(AdderNet(bits=4, fine_tune=1, shift=0), data, 3)
    other, _ = trained(AdderNet(bits=4, fine_tune=1, shift=0), data, 3, text)
    for trainer in (one, other):
        network = trainer.network(data.x_train, "shapes", {})
        assert [layer.name for layer in network.layers[:6]] == [
            "conv2d", "channel_scale", "bias", "relu", "requantise", "max_pool"]
        last = trainer._integer_model().layers[-1]
        unit = last.result_unit / 2.0 ** last.fixed_point().fraction
        np.testing.assert_array_equal(network.predict(data.x_test),
                                      trainer.scores(data.x_test) / unit)


@pytest.mark.parametrize("method", [
    AdderNet(shift=1), AdderNet(bits=4, fine_tune=2),
    AdderNet(bits=6, fine_tune=2, first="normal", last="normal")])
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_resumes_bit_for_bit(data, method, stop):
    straight, _ = trained(method, data, 4)
    first = method.trainer(Topology.of(SMALL), data, 4, 5)
    for index in range(stop):
        first.epoch(index, data.x_train, data.y_train, lambda *args: None)
    kept = {name: np.array(value) for name, value in first.state().items()}
    second = method.trainer(Topology.of(SMALL), data, 4, 5)
    second.restore(kept)
    np.testing.assert_array_equal(second.scores(data.x_test), first.scores(data.x_test))
    for index in range(stop, 4):
        second.epoch(index, data.x_train, data.y_train, lambda *args: None)
    one, other = straight.state(), second.state()
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    # Back from the quantised to the float part, as after the last epoch.
    second.restore(kept)
    np.testing.assert_array_equal(second.scores(data.x_test), first.scores(data.x_test))


def test_quantised_training_begins_from_a_float_checkpoint(data, tmp_path):
    topology = Topology.of(SMALL)
    straight = train(AdderNet(batch=32, shift=0), topology, data, 6, 5, tmp_path / "float.npz")
    start = str(checkpoint_path(tmp_path / "float.npz"))
    method = AdderNet(bits=4, batch=32, start=start)
    run = train(method, topology, data, 2, 5, tmp_path / "four.npz")
    assert run.trainer.quantised and run.record["test_accuracy"] > 0.8
    assert run.record["network_test_accuracy"] == run.record["test_accuracy"]
    fresh = method.trainer(topology, data, 2, 5)
    one, other = fresh.state(), straight.trainer.state()
    for name in one:
        if name.startswith("model."):
            np.testing.assert_array_equal(one[name], other[name])
    with pytest.raises(UsageError, match="must be a training with last normal, not adder"):
        replace(method, last="normal").trainer(topology, data, 2, 5)
    with pytest.raises(UsageError, match="must be of topology flatten, dense 3, batch_norm, not"):
        method.trainer(Topology.of("flatten, dense 3, batch_norm"), data, 2, 5)
    with pytest.raises(UsageError, match="start must be left out without bits"):
        AdderNet(start=start)
    with pytest.raises(ModelError, match="none.npz does not exist"):
        replace(method, start=str(tmp_path / "none.npz")).trainer(topology, data, 2, 5)


def test_grids_of_weights():
    w = np.array([[-1.3, 0.26], [9.0, -0.1]], np.float32)
    np.testing.assert_array_equal(GridAdder(0.5).effective(w), [[-1.5, 0.5], [9.0, 0.0]])
    np.testing.assert_array_equal(GridProduct(0.25, 4).effective(w), [[-1.25, 0.25], [1.75, 0.0]])


@pytest.mark.parametrize("field,value,message", [
    ("bits", 1, "bits must be 2..8, or 0 for float, not 1"),
    ("bits", 9, "bits must be 2..8, or 0 for float, not 9"),
    ("first", "shift", "first must be one of adder, normal, not 'shift'"),
    ("terms", 3, "terms must be an integer of 1..2, not 3"),
    ("loss", "hinge", f"loss must be one of {', '.join(LOSSES)}, not 'hinge'"),
    ("rate", float("nan"), "rate must be a positive number, not nan"),
    ("momentum", 1.0, "momentum must be a number from 0 to below 1, not 1.0"),
    ("batch", 0, "batch must be an integer of 1..65536, not 0")])
def test_settings_out_of_range(field, value, message):
    with pytest.raises(UsageError) as error:
        replace(AdderNet(), **{field: value})
    assert str(error.value) == message


def test_bits_from_the_command_line():
    assert AdderNet.with_bits("4").bits == 4
    for text in ("4x4", "", "1", "09x", "12", "٤"):
        with pytest.raises(UsageError, match="bits of method addernet must be a number of 2..8"):
            AdderNet.with_bits(text)


@pytest.mark.parametrize("text,message", [
    ("64-8-3", "batch_norm must follow layer 0"),
    ("dense 8, batch_norm, dense 3, batch_norm", "one relu must stand between"),
    ("dense 8, batch_norm, relu, dense 3, batch_norm, relu", "no relu may follow the last"),
    ("dense 8, batch_norm, relu, relu, dense 3, batch_norm", "must be the only one"),
    ("batch_norm, dense 3, batch_norm", "must follow a layer with weights"),
    ("conv 3 3, batch_norm, relu, global_average_pool", "is not among what addernet's integers")])
def test_chains_that_integers_cannot_have(data, text, message):
    text = text if text.startswith(("conv", "64")) else f"flatten, {text}"
    with pytest.raises(UsageError, match=message):
        AdderNet(bits=4, fine_tune=1).trainer(Topology.of(text), data, 3, 1)
    with pytest.raises(UsageError, match=message):
        check_chain(build(Topology.of(text), (1, 8, 8), AdderRule(),
                          np.random.default_rng(0)).layers)


def test_float_only_chain_has_no_network_but_trains(data):
    trainer, result = trained(AdderNet(shift=0, rate=0.02), data, 2, "64-8-3")
    assert np.isfinite(result.loss)
    with pytest.raises(ModelError, match="batch_norm must follow"):
        trainer.network(data.x_train, "shapes", {})


def test_too_few_epochs_and_foreign_states(data):
    with pytest.raises(UsageError, match="epochs must be more than the 3 of fine_tune, not 3"):
        AdderNet(bits=4).trainer(Topology.of(SMALL), data, 3, 1)
    trainer = AdderNet().trainer(Topology.of(SMALL), data, 2, 1)
    with pytest.raises(ModelError, match="of another method or topology"):
        trainer.restore({"model.0.weights": np.zeros(3)})

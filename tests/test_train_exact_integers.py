"""Exact integer training: bit for bit with the plain-Python oracle, and as everybody's trainer."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from integer_oracle import Oracle, xorshift

from nmahw.certify import FORBIDDEN_CELLS, rtlil_cells
from nmahw.cli import run
from nmahw.design import Design
from nmahw.errors import ModelError, UsageError
from nmahw.network import Network
from nmahw.simulate import simulate
from nmahw.train.dataset import Dataset
from nmahw.train.datasets import load_dataset
from nmahw.train.integer_trace import trace_batch
from nmahw.train.methods import METHODS
from nmahw.train.methods.exact_integers import ExactIntegers
from nmahw.train.run import accuracy, train
from nmahw.train.topology import Topology

SPECS = {
    "9-6-3": [("dense", 6, 1, 0, 1), ("dense", 3, 1, 0, 1)],
    "conv 2 3 padding=1, relu, max_pool 2, conv 3 2, relu, flatten, dense 5, relu, dense 3":
        [("conv", 2, 3, 1, 2), ("conv", 3, 2, 0, 1), ("dense", 5, 1, 0, 1),
         ("dense", 3, 1, 0, 1)],
    "conv 3 2, relu, conv 2 2 padding=1, relu, max_pool 2, flatten, dense 3":
        [("conv", 3, 2, 0, 1), ("conv", 2, 2, 1, 2), ("dense", 3, 1, 0, 1)]}


def data(shape, high=255, images=64, classes=3):
    """Random images whose class is where the bright part is; many zeros."""
    rng = np.random.default_rng(7)
    y = rng.integers(0, classes, images)
    x = rng.integers(0, high + 1, (images, *shape)) * (rng.random((images, *shape)) < 0.4)
    flat = x.reshape(images, -1)
    part = flat.shape[1] // classes
    for image, label in zip(flat, y, strict=True):
        image[label * part:(label + 1) * part] = rng.integers(high // 2, high + 1, part)
    x = x.astype(np.uint8)
    third = images // 4
    return Dataset("random", x[2 * third:], y[2 * third:], x[:third], y[:third],
                   x[third:2 * third], y[third:2 * third], classes, high)


def shape_of(text):
    return (9,) if text[0].isdigit() else (2, 5, 6)


def pair(method, text, high=255, seed=3):
    """A trainer and an oracle in the same state."""
    dataset = data(shape_of(text), high)
    trainer = method.trainer(Topology.of(text), dataset, 4, seed)
    shape = dataset.x_train.shape[1:]
    oracle = Oracle(method, SPECS[text], shape if len(shape) == 3 else (shape[0], 1, 1), high,
                    trainer.masters.tolist(), trainer.lanes.tolist())
    return dataset, trainer, oracle


def planes(x):
    return (x if x.ndim == 4 else x[:, :, None, None]).tolist()


SETTINGS = [dict(), dict(rounding="nearest"), dict(loss="softmax"), dict(batch=4),
            dict(batch=4, rounding="nearest", loss="softmax"), dict(gradient_range=-2, rate=3),
            dict(product="quarter_square", batch=2), dict(product="quarter_square")]
BITS = ["8/16/8/8", "5/10/4/4", "4/9/6/3", "4/10/2/5"]


@pytest.mark.parametrize("text", SPECS)
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_an_epoch_is_that_of_plain_python_integers(text, bits, settings):
    method = ExactIntegers.with_bits(bits, **{"rate": 4, "halvings": 0} | settings)
    dataset, trainer, oracle = pair(method, text)
    order = np.random.default_rng((3, 0)).permutation(len(dataset.x_train))
    trainer.epoch(0, dataset.x_train, dataset.y_train, lambda images, loss: None)
    images, labels = planes(dataset.x_train[order]), dataset.y_train[order].tolist()
    before = oracle.flat_masters()
    for start in range(0, len(images), method.batch):
        part = slice(start, start + method.batch)
        oracle.train(images[part], labels[part], method.rate)
    assert trainer.masters.tolist() == oracle.flat_masters() != before
    assert trainer.lanes.tolist() == oracle.flat_lanes()
    scores = [oracle.forward(image) for image in planes(dataset.x_test)]
    assert trainer.scores(dataset.x_test).tolist() == scores


@pytest.mark.parametrize("high", [1, 16, 200, 255])
def test_inputs_of_other_ranges(high):
    method = ExactIntegers.with_bits("6/12/4/6", rate=4)
    dataset, trainer, oracle = pair(method, "9-6-3", high)
    assert trainer.scores(dataset.x_test).tolist() == [
        oracle.forward(image) for image in planes(dataset.x_test)]


@pytest.mark.parametrize("text", SPECS)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_trace_shows_every_integer_of_the_same_training(text, settings):
    method = ExactIntegers.with_bits("5/10/4/4", **{"rate": 4, "halvings": 0} | settings)
    dataset, trainer, oracle = pair(method, text)
    for start in range(0, 16, method.batch):
        x = dataset.x_train[start:start + method.batch]
        y = dataset.y_train[start:start + method.batch]
        trace = trace_batch(trainer, x, y, method.rate)
        oracle.begin_batch()
        for image, label, seen in zip(planes(x), y.tolist(), trace.images, strict=True):
            for layer in oracle.layers:
                layer.g = None
            scores = oracle.forward(image)
            oracle.backward(oracle.score_gradient(scores, label))
            for index, layer in enumerate(oracle.layers):
                assert seen.values[index].tolist() == layer.values
                assert seen.sums[index].tolist() == layer.sums
                if layer.hidden:
                    assert [[divmod(place, layer.width) for place in plane] for plane in
                            seen.places[index].reshape(layer.outputs, -1).tolist()] \
                        == layer.places
                wanted = layer.g if layer.g is not None and any(map(any, layer.g)) else None
                found = seen.gradients[index]
                assert (found if found is None else
                        found.reshape(layer.outputs, -1).tolist()) == wanted
                assert seen.lanes[index].tolist() == layer.lanes
        for layer, update in zip(oracle.layers, trace.updates, strict=True):
            assert (update is not None) == layer.reached
            if update is not None:
                assert update.totals.tolist() == layer.totals
                assert update.bias_totals.tolist() == layer.bias_totals
        oracle.update(method.rate)
        assert trainer.masters.tolist() == oracle.flat_masters()
        assert trainer.lanes.tolist() == oracle.flat_lanes()
    assert any(update is not None for update in trace.updates) or settings


@pytest.mark.parametrize("text", SPECS)
@pytest.mark.parametrize("bits", BITS)
def test_quarter_squares_give_identical_bits(text, bits):
    states = []
    for product in ("exact", "quarter_square"):
        method = ExactIntegers.with_bits(bits, product=product, rate=4)
        dataset, trainer, _ = pair(method, text)
        for index in range(3):
            trainer.epoch(index, dataset.x_train, dataset.y_train, lambda images, loss: None)
        states.append((trainer.masters, trainer.lanes, trainer.scores(dataset.x_test)))
    for one, other in zip(*states, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("text", SPECS)
@pytest.mark.parametrize("bits", BITS)
def test_the_network_gives_the_same_scores(text, bits, tmp_path):
    method = ExactIntegers.with_bits(bits, rate=4)
    dataset, trainer, _ = pair(method, text)
    trainer.epoch(0, dataset.x_train, dataset.y_train, lambda images, loss: None)
    network = trainer.network(dataset.x_train, "tiny", {})
    network = Network.load(network.save(tmp_path / "tiny.npz"))
    np.testing.assert_array_equal(network.predict(dataset.x_test), trainer.scores(dataset.x_test))


def test_the_network_compiles_without_a_multiplier():
    method = ExactIntegers.with_bits("4/9/4/4", rate=4)
    dataset, trainer, _ = pair(method, "9-6-3")
    design = Design.of(trainer.network(dataset.x_train, "tiny", {}), "bit_serial", 2, 2)
    text = design.rtlil(pins="serial")
    kinds = {cell.kind for cell in rtlil_cells(text)}
    assert kinds and not kinds & FORBIDDEN_CELLS
    result = simulate(design, dataset.x_test[:5])
    np.testing.assert_array_equal(result.outputs.reshape(5, -1), trainer.scores(dataset.x_test[:5]))


def test_registers_are_linear_and_run_through_all_states():
    # The step as a matrix over GF(2); its order is 2^32 - 1 and no divisor of it.
    def times(a, b):  # columns as integers
        return [apply(a, column) for column in b]

    def apply(matrix, vector):
        result = 0
        for bit in range(32):
            if vector >> bit & 1:
                result ^= matrix[bit]
        return result

    def power(matrix, exponent):
        result = identity
        while exponent:
            if exponent & 1:
                result = times(matrix, result)
            matrix, exponent = times(matrix, matrix), exponent >> 1
        return result

    identity = [1 << bit for bit in range(32)]
    step = [xorshift(1 << bit) for bit in range(32)]
    rng = np.random.default_rng(0)
    for state in rng.integers(1, 2**32, 100).tolist():
        assert apply(step, state) == xorshift(state)
    assert power(step, 2**32 - 1) == identity
    for prime in (3, 5, 17, 257, 65537):
        assert power(step, (2**32 - 1) // prime) != identity


def test_goes_on_bit_for_bit(tmp_path):
    dataset = load_dataset("digits")
    method, topology = ExactIntegers(batch=2, rate=6), Topology.of("64-16-10")
    whole = train(method, topology, dataset, 4, 5, tmp_path / "whole.npz")

    class Killed(Exception):
        pass

    def kill(record):
        if record.epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        train(method, topology, dataset, 4, 5, tmp_path / "parts.npz", on_epoch=kill)
    parts = train(method, topology, dataset, 4, 5, tmp_path / "parts.npz")
    assert parts.record["resumed_after_epoch"] == 2
    for name, array in whole.trainer.state().items():
        np.testing.assert_array_equal(array, parts.trainer.state()[name])
    assert [entry.loss for entry in whole.history] == [entry.loss for entry in parts.history]
    assert whole.network == parts.network


@pytest.mark.parametrize("settings, least", [
    (dict(), 0.93), (dict(rounding="nearest"), 0.9), (dict(loss="softmax"), 0.93),
    (dict(batch=8), 0.9), (dict(weight_bits=5, master_bits=10, activation_bits=4,
                                gradient_bits=4), 0.9)], ids=str)
def test_learns_the_digits(settings, least):
    dataset = load_dataset("digits")
    trainer = ExactIntegers(**{"rate": 6} | settings).trainer(Topology.of("digits"), dataset, 8, 1)
    losses = [trainer.epoch(index, dataset.x_train, dataset.y_train, lambda i, loss: None).loss
              for index in range(8)]
    assert losses[-1] < losses[0] / 2
    assert accuracy(trainer, dataset.x_validation, dataset.y_validation) >= least


# What is refused.

@pytest.mark.parametrize("bits", ["8/16/8", "8x8", "a/b/c/d", "1/16/8/8", "8/30/8/8", "8/4/8/8",
                                  "8/16/0/8", "8/16/8/20", "-8/16/8/8", "8/16/8/8/8", ""])
def test_impossible_widths(bits):
    with pytest.raises(UsageError, match="must be"):
        ExactIntegers.with_bits(bits)


@pytest.mark.parametrize("settings, word", [
    (dict(batch=3), "power of two"), (dict(rounding="up"), "rounding must be one of"),
    (dict(weight_bits=2, activation_bits=2, weight_range=8),
     r"0\.\.30, not -\d: weight_range must be lower"),
    (dict(rate=-5), r"steps must be 0\.\.30, not -\d+: rate must be higher"),
    (dict(loss="l1"), "loss must be one of"), (dict(product="float"), "product must be one of")])
def test_impossible_settings(settings, word):
    with pytest.raises(UsageError, match=word):
        ExactIntegers(**settings).trainer(Topology.of("784-3"), data((784,)), 8, 0)


def test_sums_that_would_not_fit_a_word():
    text = "conv 2 3, relu, flatten, dense 3"
    with pytest.raises(UsageError, match=r"layer 0 \(conv 2\): gradient sums .* below 2\^31"):
        ExactIntegers(batch=256).trainer(Topology.of(text), data((2, 28, 28), images=8), 1, 0)


@pytest.mark.parametrize("text, word", [
    ("conv 2 3 stride=2, relu, flatten, dense 3", "stride must be 1"),
    ("conv 2 3, batch_norm, relu, flatten, dense 3", "BatchNorm"),
    ("flatten, dense 5, dense 3", "must have a relu"),
    ("flatten, dense 5, relu, dense 3, relu", "at the end"),
    ("conv 2 3, max_pool 2, relu, flatten, dense 3", "MaxPool")])
def test_topologies_it_cannot_train(text, word):
    with pytest.raises(UsageError, match=word):
        ExactIntegers().trainer(Topology.of(text), data((2, 8, 8)), 1, 0)


def test_states_of_other_trainings():
    dataset = data((9,))
    trainer = ExactIntegers(rate=4).trainer(Topology.of("9-6-3"), dataset, 1, 0)
    other = ExactIntegers(rate=4).trainer(Topology.of("9-5-3"), dataset, 1, 0)
    with pytest.raises(ModelError, match="must hold masters"):
        trainer.restore(other.state())
    state = trainer.state()
    state["lanes"][0] = 0
    with pytest.raises(ModelError, match="no lane register of 0"):
        trainer.restore(state)


def test_the_registry_has_it():
    assert METHODS.get("exact_integers") is ExactIntegers


RECORDS = Path(__file__).parent.parent / "benchmarks" / "results" / "train"


@pytest.mark.parametrize("seed", [0, 2])
def test_published_runs_are_made_again(seed, tmp_path):
    record = json.loads((RECORDS / f"digits-int8-seed{seed}.json").read_text())
    assert run(shlex.split(record["command"])[1:] + ["-o", str(tmp_path / "again.npz")]) == 0
    again = json.loads((tmp_path / "again.json").read_text())
    for entry in (*record["history"], *again["history"]):
        del entry["seconds"], entry["images_per_s"]
    for name in ("method", "data", "history", "best_epoch", "test_accuracy",
                 "network_test_accuracy"):
        assert again[name] == record[name], name

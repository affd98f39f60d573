"""Tap tiles without a weight but zero: left out of memory and time, results and cycles as said."""

import numpy as np
import oracle
import pytest
from networks import NETWORKS, random_images

from nmahw.arith import ARITHMETICS
from nmahw.bundled import load_model
from nmahw.design import Design
from nmahw.layers.bias import Bias
from nmahw.layers.conv2d import Conv2d
from nmahw.layers.dense import Dense
from nmahw.layers.flatten import Flatten
from nmahw.layers.max_pool import MaxPool
from nmahw.layers.relu import ReLU
from nmahw.layers.requantise import Requantise
from nmahw.network import Network
from nmahw.schedule import FIXED_TILES
from nmahw.tensor import TensorFormat
from rtl import run_accelerator


def sparse(draw: np.random.Generator, density: float, *shape: int) -> np.ndarray:
    return draw.integers(-8, 8, shape) * (draw.random(shape) < density)


def sparse_network(seed: int, density: float = 0.15, kind: type | None = None) -> Network:
    """Convolutions and dense layers, pooled, of several channel tiles, with dead taps."""
    draw = np.random.default_rng(seed)
    project = (lambda w: w) if kind is None else kind.project

    def weights(*shape: int) -> np.ndarray:
        return project(sparse(draw, density, *shape))

    return Network(TensorFormat((2, 7, 6), 0, 15), (
        Conv2d(weights(5, 2, 3, 3), 1, 1), Bias(draw.integers(0, 60, 5)), ReLU(),
        Requantise(4, 0, 15), MaxPool(2, 2), Conv2d(weights(3, 5, 3, 2), 1, 1), ReLU(),
        Requantise(3, 0, 15), Flatten(), Dense(weights(9, 36)), ReLU(), Requantise(4, 0, 15),
        Dense(weights(4, 9)), Bias(draw.integers(-60, 60, 4))))


def check(design: Design, images: np.ndarray, stall: float = 0.2) -> None:
    run = run_accelerator(design, images, stall=stall)
    assert run.outputs == design.predict(images).tolist()
    assert run.cycles_by_pass == [len(images) * c for c in design.schedule.cycles_by_pass]


# One, two, three and more cycles a tile; offsets; a correction column.
@pytest.mark.parametrize("name", ["fabric", "bit_serial_radix4", "bit_serial", "fair_square", *(
    pytest.param(name, marks=pytest.mark.long) for name in ("ternary", "shift",
                                                            "shared_multiples"))])
@pytest.mark.parametrize("rows, columns", [(2, 2), pytest.param(1, 3, marks=pytest.mark.long)])
def test_hardware_equals_golden_and_closed_form(name, rows, columns):
    kind = ARITHMETICS.get(name)
    network = sparse_network(rows, kind=kind)
    design = Design.of(network, name, rows, columns, skip_zeros=True)
    plain = Design.of(network, name, rows, columns)
    assert design.schedule.skipping
    assert design.schedule.weight_words < plain.schedule.weight_words
    assert sum(design.schedule.cycles_by_pass) < 0.9 * sum(plain.schedule.cycles_by_pass)
    images = random_images(network, 2)
    assert design.predict(images).tolist() == [oracle.predict(network, i) for i in images]
    check(design, images)


@pytest.mark.parametrize("phases, name", [(1, "fabric"), (2, "bit_serial_radix4"),
                                          (4, "bit_serial")])
def test_cycles_of_a_tile(phases, name):
    network = sparse_network(1)
    design = Design.of(network, name, 2, 2, skip_zeros=True)
    assert {p.phases for p in design.schedule.passes} == {phases}


def test_live_tiles_are_those_with_a_weight():
    weights = np.zeros((5, 16), dtype=int)
    weights[0, 8] = weights[3, 15] = 3
    network = Network(TensorFormat((16,), 0, 3), (Dense(weights),))
    design = Design.of(network, "fabric", 2, 2, skip_zeros=True)
    passes, = design.schedule.passes
    assert passes.live == ((0, 1, 2, 4), (0, 1, 2, 7), (0, 1, 2))
    assert passes.tiles == (4, 4, FIXED_TILES)
    assert design.schedule.weight_words == 11 * 4
    check(design, random_images(network, 4))


def test_a_whole_layer_of_zeros():
    network = Network(TensorFormat((12,), 0, 3), (
        Dense(np.zeros((5, 12), dtype=int)), Bias(np.arange(5)), Requantise(0, 0, 3),
        Dense(sparse(np.random.default_rng(1), 0.3, 3, 5))))
    check(Design.of(network, "bit_serial", 1, 2, skip_zeros=True), random_images(network, 3))


def test_several_engines_skip_in_one():
    network = sparse_network(4)
    design = Design.of(network, "conv2d=distributed,dense=bit_serial", 2, 2, skip_zeros=True)
    assert [p.live is not None for p in design.schedule.passes][:3] == [False, False, True]
    check(design, random_images(network, 2))
    design = Design.of(network, "conv2d=fabric,dense=bit_serial", 2, 2, skip_zeros=True)
    assert [p.live is not None for p in design.schedule.passes][:3] == [True, True, False]
    check(design, random_images(network, 2))


def test_only_products_with_zero_are_nothing():
    weights = np.zeros((2, 12), dtype=int)
    network = Network(TensorFormat((12,), 0, 3), (Dense(weights, operation="l1"),))
    assert not Design.of(network, "l1", 2, 2, skip_zeros=True).schedule.skipping


@pytest.mark.parametrize("name", ["lenet-like", "mlp"])
def test_nothing_changes_where_nothing_is_skipped(name):
    plain, skipping = (Design.of(NETWORKS[name], "fabric", 2, 2, skip_zeros=skip)
                       for skip in (False, True))
    assert not skipping.schedule.skipping
    assert plain.rtlil() == skipping.rtlil()


def test_what_it_saves_on_a_bundled_network():
    network = load_model("mlp-w4a4")
    plain, skipping = (Design.of(network, "bit_serial", 4, 4, skip_zeros=skip)
                       for skip in (False, True))
    share = sum(skipping.schedule.cycles_by_pass) / sum(plain.schedule.cycles_by_pass)
    assert 0.6 < share < 0.9
    assert skipping.memory_bits < plain.memory_bits

"""Scales of one or two signed shifts: recoding, lowering, hardware, no multiplier."""

from itertools import product

import numpy as np
import oracle
import pytest
from networks import random_images

from nmahw.arith import ARITHMETICS
from nmahw.cache import Cache
from nmahw.certify import certify
from nmahw.design import Design
from nmahw.devices import device
from nmahw.estimate import estimate
from nmahw.gateware.scale import shifter_stages
from nmahw.layers.average_pool import AveragePool
from nmahw.layers.bias import Bias
from nmahw.layers.channel_scale import ChannelScale
from nmahw.layers.conv2d import Conv2d
from nmahw.layers.dense import Dense
from nmahw.layers.flatten import Flatten
from nmahw.layers.max_pool import MaxPool
from nmahw.layers.relu import ReLU
from nmahw.layers.requantise import Requantise
from nmahw.lowering import lower
from nmahw.mismatch import check_cycles, compare_with_golden
from nmahw.network import Network
from nmahw.result import flow_options
from nmahw.signed_digits import signed_digits, terms_of
from nmahw.simulate import simulate
from nmahw.tensor import TensorFormat
from nmahw.verilog import emit, lint
from nmahw.workbench import Workbench
from rtl import run_accelerator

rng = np.random.default_rng(12)


def scale(*factors: int) -> ChannelScale:
    """The layer with these factors, each of at most two signed powers of two."""
    digits = [(signed_digits(factor) + [(0, 0), (0, 0)])[:2] for factor in factors]
    layer = ChannelScale(np.array([[sign for _, sign in pair] for pair in digits]),
                         np.array([[shift for shift, _ in pair] for pair in digits]))
    assert layer.factors.tolist() == list(factors)
    return layer


def test_signed_digits_are_few_and_add_up():
    for value in (*range(-260, 261), 2**40 - 2**7, -(2**31) - 1):
        digits = signed_digits(value)
        assert sum(sign << shift for shift, sign in digits) == value
        shifts = [shift for shift, _ in digits]
        assert all(a - b > 1 for a, b in zip(shifts, shifts[1:], strict=False))


def test_two_signed_powers_stay_two():
    for (s, t), j, k in product(product((-1, 0, 1), repeat=2), range(9), range(9)):
        assert len(signed_digits((s << j) + (t << k))) <= 2


@pytest.mark.parametrize("factors", [
    [1, 1], [2, 1], [-1, 0, 1], [3, -5, 4, 1], [0, 0], [2**31 + 1, 1, 8], [-7] * 3,
    [96, 96, 2, 64, 32, -32, 1, 0]])
def test_terms_add_up_to_the_factors(factors):
    terms = terms_of(factors)
    for channel, factor in enumerate(factors):
        assert factor == (sum(t.signs[channel] << t.shifts[channel] for t in terms)
                          if terms else 1)
    assert (len(terms) == 0) == (set(factors) == {1})
    assert len(terms) < 2 or any(len(signed_digits(f)) == 2 for f in factors)


def test_a_lone_power_uses_the_shifter_that_has_it():
    # 5 = 4 + 1, 9 = 8 + 1: the second shifter has nothing to shift.
    first, second = terms_of([5, 9, 1, 8])
    assert set(first.shifts) == {2, 3} and set(second.shifts) == {0}


@pytest.mark.parametrize("shifts, stages", [
    ([3], 0), ([0, 5], 1), ([2, 9, 2], 1), ([0, 1, 2, 3], 2), ([0, 1, 5], 2), ([0, 1, 2], 2),
    (range(8), 3), ([4, 7, 20, 23], 2), ([0, 3, 7, 20, 31], 4), (range(32), 5)])
def test_shifters_have_few_stages(shifts, stages):
    amounts = shifter_stages(tuple(shifts))
    sums = {sum(a for bit, a in enumerate(amounts) if n >> bit & 1)
            for n in range(1 << len(amounts))}
    assert {shift - min(shifts) for shift in shifts} <= sums
    assert len(amounts) == stages


CONV = Conv2d(rng.integers(-8, 8, (3, 1, 2, 2)))
NARROW = Requantise(6, 0, 15)


@pytest.mark.parametrize("layers, passes", [
    # The usual form; a bias before; both.
    ((CONV, scale(3, -8, 5), Bias(np.array([9, -7, 100])), ReLU(), NARROW, MaxPool(2, 2)), 1),
    ((CONV, Bias(np.array([9, -7, 100])), scale(3, -8, 5)), 1),
    ((CONV, Bias(np.array([9, -7, 1])), scale(3, 0, 5), Bias(np.array([-9, -7, 80]))), 1),
    # Two in a row as one, if two terms are enough.
    ((CONV, scale(4, -8, 1), Bias(np.array([9, -7, 1])), scale(3, 2, 7)), 1),
    ((CONV, Requantise(3, -8, 7), MaxPool(1, 1), scale(3, 2, 7)), 2),
    ((CONV, scale(5, 5, 5), Requantise(4, -128, 127), scale(5, 1, 5)), 2),
    ((CONV, scale(5, 5, 5), scale(5, 5, 5)), 2),
    # A maximum is scaled as its elements are, unless negated.
    ((CONV, MaxPool(2, 2), scale(3, 0, 5)), 1),
    ((CONV, MaxPool(2, 2), scale(3, -1, 5)), 2),
    ((CONV, AveragePool(2, 2), scale(3, 1, 5)), 2),
    ((CONV, ReLU(), scale(3, 1, 5)), 2),
    ((scale(6), CONV), 2),
    ((Flatten(), scale(*range(-10, 10))), 1),
    # As many channels, but of other elements.
    ((CONV, Flatten(), scale(*[5, -3, 0, 7] * 9)), 2),
])
def test_lowering(layers, passes):
    network = Network(TensorFormat((1, 5, 4), -8, 7), layers)
    program = lower(network)
    assert len(program.passes) == passes
    design = Design.of(network, "fabric", 2, 2)
    images = random_images(network, 4)
    golden = design.predict(images).tolist()
    assert golden == [np.ravel(oracle.predict(network, image)).tolist() for image in images]
    run = run_accelerator(design, images, stall=0.2)
    assert run.outputs == golden
    assert run.cycles_by_pass == [len(images) * c for c in design.schedule.cycles_by_pass]


def all_adder() -> Network:
    """LeNet's form at a small size: every layer L1, with its batch norm in shifts."""
    draw = np.random.default_rng(5)
    fmt = TensorFormat((1, 12, 11), 0, 15)
    layers: list = []

    def add(kind, *shape: int, **options):
        layers.append(kind(draw.integers(-3, 19, shape), operation="l1", **options))
        layers.append(ChannelScale(draw.choice([-1, 1, 1], (shape[0], 2)),
                                   draw.integers(0, 6, (shape[0], 2))))
        # As batch norm does: each channel's mean to zero.
        seen = Network(fmt, tuple(layers)).predict(random_images(Network(fmt, (ReLU(),)), 30))
        means = seen.mean(axis=(0, *range(2, seen.ndim)))
        layers.append(Bias(np.rint(-means).astype(int)))

    add(Conv2d, 6, 1, 3, 3, padding=1)
    layers.extend([ReLU(), Requantise(6, 0, 15), MaxPool(2, 2)])
    add(Conv2d, 5, 6, 3, 3)
    layers.extend([ReLU(), Requantise(7, 0, 15), MaxPool(2, 2), Flatten()])
    add(Dense, 9, 10)
    layers.extend([ReLU(), Requantise(6, 0, 15)])
    add(Dense, 4, 9)
    return Network(fmt, tuple(layers))


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Cache:
    return Cache(tmp_path_factory.mktemp("scaled"))


@pytest.mark.parametrize("rows, columns", [(4, 4), (3, 16)])
def test_all_adder_network_in_native_simulation(rows, columns, cache):
    network = all_adder()
    design = Design.of(network, "l1", rows, columns)
    assert len(design.program.passes) == 4 and len(design.schedule.scale_terms) == 2
    images = random_images(network, 40)
    golden = network.predict(images)
    assert len(np.unique(golden[2:])) > 40  # the net tells images apart
    for options in ({}, {"stall_seed": 5, "stall_probability": 0.4}):
        result = simulate(design, images, cache=cache, **options)
        compare_with_golden(network, images, result, design, cache)
        check_cycles(design, result)


def test_all_adder_network_has_no_multiplier(cache, tmp_path):
    # Nine columns: two groups of them.
    design = Design.of(all_adder(), "l1", 1, 9)
    emitted = list(emit(design, tmp_path, cache))
    lint([path for path in emitted if path.suffix == ".v"], top="nmahw_top")
    bench = Workbench(cache)
    certificate = certify(design.rtlil(pins="serial"), device("ecp5-25k"),
                          flow_options(design.arithmetic), bench, label="all adders")
    assert certificate.require().granted


@pytest.mark.parametrize("name", [kind.name for kind in ARITHMETICS if kind.exact])
def test_offsets_are_scaled_with_the_sums(name):
    kind = ARITHMETICS.get(name)
    weights = kind.project(rng.integers(-8, 8, (3, 11)))
    network = Network(TensorFormat((11,), 2, 15), (
        Dense(weights, operation=kind.operation), scale(6, -3, 1), Bias(np.array([4, 5, -6]))))
    design = Design.of(network, name, 2, 2)
    images = random_images(network, 6)
    run = run_accelerator(design, images, stall=0.2)
    assert run.outputs == design.predict(images).tolist()


def test_what_is_not_needed_is_not_built():
    layers = (Dense(rng.integers(-8, 8, (3, 4))), Bias(np.array([4, 5, -6])))
    texts, cycles, needs = [], [], []
    for factors in (None, (1, 1, 1), (2, 1, -4), (3, 1, 1)):
        scales = () if factors is None else (scale(*factors),)
        network = Network(TensorFormat((4,), 0, 15), (layers[0], *scales, layers[1]))
        design = Design.of(network, "bit_serial", 2, 2)
        texts.append(design.rtlil())
        cycles.append(sum(design.schedule.cycles_by_pass))
        needs.append(estimate(design, "ecp5-25k").resources)
    assert texts[0] == texts[1] != texts[2]
    # The estimator sees the stage: more logic, nothing else.
    assert needs[0] == needs[1]
    assert all(needs[0]["lut"] + 10 < n["lut"] < needs[0]["lut"] + 120 for n in needs[2:])
    assert all(n["dsp"] == 0 and n["block_ram"] == needs[0]["block_ram"] for n in needs)
    # A cycle for the shift, and one for a second term.
    assert [c - cycles[0] for c in cycles] == [0, 0, 1, 2]

"""Random chains of layers on random arrays: golden, oracle and hardware agree, cycles too."""

import random
from itertools import chain

import numpy as np
import oracle
import pytest
from networks import adapted, random_images

from nmahw.arith import ARITHMETICS
from nmahw.design import Design
from nmahw.errors import ModelError
from nmahw.layers.arg_max import ArgMax
from nmahw.layers.average_pool import AveragePool
from nmahw.layers.bias import Bias
from nmahw.layers.channel_scale import ChannelScale
from nmahw.layers.conv2d import Conv2d
from nmahw.layers.dense import Dense
from nmahw.layers.flatten import Flatten
from nmahw.layers.max_pool import MaxPool
from nmahw.layers.relu import ReLU
from nmahw.layers.requantise import Requantise
from nmahw.network import Network
from nmahw.tensor import TensorFormat
from rtl import run_accelerator

EXACT = [kind.name for kind in ARITHMETICS
         if kind.exact and kind.operation in oracle.OPERATIONS]
# Amaranth simulates some thousand cycles a second.
MAX_CYCLES = 1500


def random_layer(draw: random.Random, fmt: TensorFormat):
    """A layer that may or may not take `fmt`."""
    def weights(*shape: int) -> np.ndarray:
        low, high = draw.choice([(-8, 7), (0, 1), (-128, 127), (-2, 0), (-4, -1)])
        return np.array([draw.randint(low, high) for _ in range(np.prod(shape))]).reshape(shape)

    def pairs(low: int, high: int) -> np.ndarray:
        return np.array([[draw.randint(low, high) for _ in range(2)] for _ in range(fmt.shape[0])])

    wide = fmt.bits > 8
    kinds = [lambda: ReLU(), lambda: Bias(np.array([draw.randint(-99, 99)
                                                    for _ in range(fmt.shape[0])]))]
    high = draw.choice([1, 4, 9])
    kinds += [lambda: ChannelScale(pairs(-1, 1), pairs(0, high))]
    kinds += [lambda: Requantise(draw.randint(0, max(0, fmt.bits - 3)), *draw.choice(
        [(0, 15), (-8, 7), (0, 255), (-128, 127), (0, 1), (3, 9), (-9, -2)]))] * (6 if wide else 2)
    if len(fmt.shape) == 1 and not wide:
        kinds += [lambda: Dense(weights(draw.randint(1, 11), fmt.shape[0]))] * 4
    if len(fmt.shape) == 3:
        kinds += [lambda: Flatten(), lambda: MaxPool(draw.randint(1, 3), draw.randint(1, 4)),
                  lambda: AveragePool(draw.choice([1, 2, 2, 4]), draw.randint(1, 4))]
        if not wide:
            size = draw.randint(1, 3), draw.randint(1, 3)
            kinds += [lambda: Conv2d(weights(draw.randint(1, 5), fmt.shape[0], *size),
                                     draw.randint(1, 3), draw.randint(0, min(size) - 1))] * 4
    return draw.choice(kinds)()


def random_network(draw: random.Random) -> Network:
    shape = draw.choice([(draw.randint(1, 12),),
                         (draw.randint(1, 3), draw.randint(1, 6), draw.randint(1, 6))])
    fmt = first = TensorFormat(shape, *draw.choice(
        [(0, 3), (0, 15), (-8, 7), (-1, 0), (-4, -1), (2, 9), (0, 255), (-128, 127)]))
    layers = []
    for _ in range(draw.randint(1, 7)):
        try:
            layer = random_layer(draw, fmt)
            output = layer.output_format(fmt)
        except ModelError:
            continue
        if output.size <= 60:
            layers.append(layer)
            fmt = output
    if len(fmt.shape) == 1 and draw.random() < 0.3:
        layers.append(ArgMax())
    return Network(first, tuple(layers) or (ReLU(),))


def random_design(draw: random.Random) -> Design:
    while True:
        shape = draw.choice([(1, 1), (1, 4), (4, 1), (2, 3), (3, 2), (5, 5), (8, 2), (2, 11)])
        try:
            kind = ARITHMETICS.get(draw.choice(EXACT))
            design = Design.of(adapted(random_network(draw), kind), kind.name, *shape)
        except ModelError:
            # Operands or layers that this arithmetic cannot take: refused, as it should be.
            continue
        if sum(design.schedule.cycles_by_pass) <= MAX_CYCLES:
            return design


def plain(x) -> list[int]:
    """A nested list's numbers in order."""
    return list(chain.from_iterable(map(plain, x))) if isinstance(x, list) else [x]


@pytest.mark.parametrize("seed", [
    *range(16), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(16, 250))])
def test_random_network(seed):
    draw = random.Random(seed)
    design = random_design(draw)
    images = random_images(design.network, 5, seed)
    golden = design.predict(images).tolist()
    assert golden == [plain(oracle.predict(design.network, image)) for image in images]
    run = run_accelerator(design, images, stall=draw.choice([0.0, 0.3]), seed=seed)
    assert run.outputs == golden
    assert run.cycles_by_pass == [len(images) * c for c in design.schedule.cycles_by_pass]

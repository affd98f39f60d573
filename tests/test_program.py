"""Lowering and schedule: what passes a network becomes, memory, tables, tiles."""

import numpy as np
import pytest
from networks import NETWORKS, network_for, random_images

from nmahw.arith import ARITHMETICS
from nmahw.bundled import load_model
from nmahw.design import Design
from nmahw.layers import LAYERS
from nmahw.lowering import lower
from nmahw.network import Network
from nmahw.program import Rescale
from rtl import run_accelerator


def test_lenet_is_five_passes():
    program = lower(load_model("lenet5-w8a8"))
    assert [p.macs for p in program.passes] == [117_600, 240_000, 48_000, 10_080, 840]
    assert [p.title.split()[1] for p in program.passes] == ["conv2d"] * 2 + ["dense"] * 3


@pytest.mark.parametrize("arithmetic, limit", [("dsp", 10_000), ("booth", 10_000),
                                               ("quarter_square", 10_000)])
def test_lenet_on_8x8_takes_at_most_10000_cycles(arithmetic, limit):
    design = Design.of(load_model("lenet5-w8a8"), arithmetic, 8, 8)
    assert design.macs_per_image == 416_520
    assert design.cycles_per_image <= limit


@pytest.mark.parametrize("name", NETWORKS)
def test_tensors_alive_together_do_not_overlap(name):
    program = lower(NETWORKS[name])
    sources = [p.source for p in program.passes]

    def words(region):
        return set(range(region.base, region.base + region.words))

    always = [program.sources[0], program.sources[1]]
    always += [s for s in sources[1:] if s.padding]
    for index, region in enumerate(sources[1:], 1):
        others = [r for r in always if r.base != region.base]
        if index + 1 < len(sources):
            others.append(sources[index + 1])
        if index > 1:
            others.append(sources[index - 1])
        for other in others:
            assert not words(region) & words(other)
        assert region.base + region.words <= program.memory_words


@pytest.mark.parametrize("name", NETWORKS)
def test_results_go_where_the_next_pass_reads(name):
    program = lower(NETWORKS[name])
    for before, after in zip(program.passes, program.passes[1:], strict=False):
        for tap in range(min(after.taps, 40)):
            if after.is_dense:
                address = after.source.base + tap
                channel, y, x = before.target.locate(address)
                assert (channel * before.grid[0] + y) * before.grid[1] + x == tap
        if not after.is_dense:
            assert before.target.locate(after.source.origin) == (0, 0, 0)
            assert after.source.locate(after.source.base + after.source.words) is None


@pytest.mark.parametrize("first, second", [
    (Rescale(0, 0, None), Rescale(3, -4, 9)), (Rescale(3, None, 9), Rescale(0, 1, 2)),
    (Rescale(0, -7, 20), Rescale(2, None, 3)), (Rescale(), Rescale(5, 0, 1)),
    (Rescale(2, -3, 3), Rescale(0, 5, 9))])
def test_two_rescales_as_one(first, second):
    combined = first.then(second)
    for value in range(-300, 300):
        assert combined.apply(value) == second.apply(first.apply(value))


def test_rounding_twice_is_not_combined():
    assert Rescale(1).then(Rescale(1)) is None


@pytest.mark.parametrize("arithmetic", [kind.name for kind in ARITHMETICS if kind.exact])
def test_weight_tiles_hold_every_weight_once(arithmetic):
    network = network_for("lenet-like", ARITHMETICS.get(arithmetic))
    schedule = Design.of(network, arithmetic, 3, 4).schedule
    assert len(schedule.engines) == 1
    kind, codes = schedule.engines[0], schedule.weight_codes(0)
    assert codes.shape[1:] == (3, 4)
    lanes = schedule.lanes(kind)
    for p in schedule.passes:
        for tap in range(p.work.taps):
            for channel in range(p.work.channels):
                tile = p.weight_base + channel // 4 * p.tap_tiles + tap // lanes
                row = tap % lanes // kind.taps
                if kind.taps == 1:
                    expected = kind.encode_weights(np.array([p.work.weights[tap, channel]]))
                    assert codes[tile, row, channel % 4] == int(expected)
    assert len(codes) == sum(p.tap_tiles * p.channel_tiles for p in schedule.passes)


LAYER_EXAMPLES = [(kind.name, fmt, layer) for kind in LAYERS
                  for fmt, layer in kind.examples(np.random.default_rng(4))]


@pytest.mark.parametrize("name, fmt, layer", LAYER_EXAMPLES,
                         ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(LAYER_EXAMPLES)])
def test_every_layer_kind_runs_on_the_engine(name, fmt, layer):
    network = Network(fmt, (layer,))
    operation = layer.operation.name if layer.is_matrix else "product"
    arithmetic = {"product": "dsp"}.get(operation) or next(
        kind.name for kind in ARITHMETICS if kind.exact and kind.operation == operation)
    design = Design.of(network, arithmetic, 3, 3)
    images = random_images(network, 3)
    run = run_accelerator(design, images, stall=0.2)
    assert run.outputs == design.predict(images).tolist()

"""The accelerator in Amaranth's simulator against the golden model, and its cycle counts."""

import numpy as np
import pytest
from networks import NETWORKS, network_for, random_images

from nmahw.arith import ARITHMETICS
from nmahw.design import Design
from nmahw.errors import ModelError, UsageError
from nmahw.layers.dense import Dense
from nmahw.layers.requantise import Requantise
from nmahw.network import Network
from nmahw.tensor import TensorFormat
from rtl import run_accelerator

SHAPES = [(1, 1), (3, 2), (4, 4), (2, 9), (5, 3)]


def check(name: str, arithmetic: str, rows: int, columns: int, stall: float, count: int = 3):
    network = network_for(name, ARITHMETICS.get(arithmetic))
    design = Design.of(network, arithmetic, rows, columns)
    images = random_images(network, count, seed=rows * 100 + columns)
    run = run_accelerator(design, images, stall=stall, seed=columns)
    assert run.outputs == design.predict(images).tolist()
    assert run.frame_errors == 0
    assert run.cycles_by_pass == [count * c for c in design.schedule.cycles_by_pass]
    return design, run


# Arithmetics that differ in how the array treats them try every network; the others one, and
# the rest where time does not matter.
EVERYWHERE = ("dsp", "bit_serial", "distributed", "l1")


@pytest.mark.parametrize("name, arithmetic", [
    pytest.param(name, kind.name, marks=[] if name == "lenet-like" or kind.name in EVERYWHERE
                 else pytest.mark.long)
    for kind in ARITHMETICS if kind.exact for name in NETWORKS])
def test_equals_golden_and_closed_form(name, arithmetic):
    shape = SHAPES[sorted(NETWORKS).index(name) % len(SHAPES)]
    if NETWORKS[name].macs > 3000 and shape == (1, 1):
        shape = (2, 2)
    check(name, arithmetic, *shape, stall=0.3)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["lenet-like", "averages"])
def test_array_shapes(name, shape):
    check(name, "dsp", *shape, stall=0.2, count=2)


def test_groups_of_columns_see_activations_one_after_the_other():
    check("lenet-like", "bit_serial", 3, 19, stall=0.0, count=2)


@pytest.mark.parametrize("name", ["mlp", "lenet-like", "one weight", "bound by its input",
                                  "bound by its output"])
def test_cycles_from_image_to_image(name):
    network = NETWORKS[name]
    design = Design.of(network, "dsp", 32 if name == "bound by its input" else 2, 2)
    few, many = (run_accelerator(design, random_images(network, count)).total_cycles
                 for count in (3, 8))
    assert many - few == 5 * design.cycles_per_image


def test_damaged_frames_are_dropped_and_the_next_image_is_whole():
    network = NETWORKS["mlp"]
    design = Design.of(network, "dsp", 2, 2)
    images = random_images(network, 4, seed=5)
    whole = [[int(v) for v in image] for image in images]
    frames = [(whole[0], 12), (whole[1][:5], 4), (whole[1], 12), (whole[2] + [1, 2, 3], 15),
              (whole[2], 12), (whole[3][:1], 0), (whole[3], 12)]
    run = run_accelerator(design, images, stall=0.3, frames=frames, expected=4)
    assert run.outputs == design.predict(images).tolist()
    assert run.frame_errors == 3


@pytest.mark.parametrize("rows, columns", [(0, 1), (1, 0), (65, 1), (1, 10**9), (2.0, 2)])
def test_refuses_array_shape(rows, columns):
    with pytest.raises(UsageError, match=r"array (rows|columns) must be an integer of 1\.\.64"):
        Design.of(NETWORKS["mlp"], "dsp", rows, columns)


def test_refuses_operands_too_wide_naming_the_layer():
    network = Network(TensorFormat((3,), 0, 2**10 - 1), (Dense(np.array([[1, 2, 3]])),))
    with pytest.raises(ModelError, match="layer 0 dense: quarter_square takes activations of at "
                                         "most 9 bits, not 10"):
        Design.of(network, "quarter_square", 2, 2)
    network = Network(TensorFormat((3,), 0, 3), (Dense(np.array([[1, 2, -40000]])),))
    with pytest.raises(ModelError, match="layer 0 dense: dsp takes weights of at most 16 bits"):
        Design.of(network, "dsp", 2, 2)


def test_refuses_widths_that_only_two_layers_together_exceed():
    network = Network(TensorFormat((2,), 0, 511), (
        Dense(np.array([[1, -2]])), Requantise(2, -256, 255), Dense(np.array([[3]]))))
    with pytest.raises(ModelError, match="layers 2 dense .* and 0 dense .* share one array: "
                                         "quarter_square takes activations of at most 9 bits"):
        Design.of(network, "quarter_square", 1, 1)


def test_refuses_inputs_wider_than_a_beat():
    network = Network(TensorFormat((2,), 0, 2**33), (
        Requantise(30, 0, 7), Dense(np.array([[1, -2]]))))
    with pytest.raises(ModelError, match="at most 32 bits an element, not 34"):
        Design.of(network, "dsp", 1, 1)


def test_refuses_networks_no_device_could_hold():
    network = Network(TensorFormat((3000,), 0, 1), (Dense(np.ones((3000, 3000), int)),))
    with pytest.raises(ModelError, match="weight memory must hold at most 4,194,304 words"):
        Design.of(network, "dsp", 4, 4)


def test_refuses_weights_without_a_code(monkeypatch):
    kind = ARITHMETICS.get("bit_serial")
    monkeypatch.setattr(kind, "project", classmethod(lambda cls, w: np.clip(w, -1, 1)))
    with pytest.raises(ModelError, match="layer 0 dense: bit_serial must have a code for every "
                                         "weight, but has none for -2"):
        Design.of(NETWORKS["one weight"], "bit_serial", 1, 1)


def test_refuses_a_network_it_would_compute_otherwise(monkeypatch):
    design = Design.of(NETWORKS["one weight"], "bit_serial", 1, 1)
    monkeypatch.setattr(ARITHMETICS.get("bit_serial"), "exact", False)
    with pytest.raises(ModelError, match="must be computed by bit_serial"):
        Design(design.network, design.arithmetic, 1, 1)


def test_refuses_another_operation():
    network = Network(TensorFormat((2,), 0, 3), (Dense(np.array([[1, -2]]), operation="l1"),))
    with pytest.raises(ModelError, match="layer 0 dense: bit_serial computes the operation "
                                         "product, but the layer must have l1"):
        Design.of(network, "bit_serial", 1, 1)

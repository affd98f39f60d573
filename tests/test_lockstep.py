"""Images in lockstep and rows that share memories: golden results, closed forms, no image waits."""

import numpy as np
import pytest
from networks import NETWORKS, network_for, random_images

from nmahw.arith import ARITHMETICS, Operand
from nmahw.bundled import load_model, load_sample
from nmahw.cache import Cache
from nmahw.certify import FORBIDDEN_CELLS, rtlil_cells
from nmahw.cli import run as run_command
from nmahw.design import Design
from nmahw.errors import ModelError, UsageError
from nmahw.layers.bias import Bias
from nmahw.layers.channel_scale import ChannelScale
from nmahw.layers.conv2d import Conv2d
from nmahw.layers.dense import Dense
from nmahw.layers.flatten import Flatten
from nmahw.layers.max_pool import MaxPool
from nmahw.layers.requantise import Requantise
from nmahw.layers.softmax import Softmax
from nmahw.mismatch import check_cycles, compare_with_golden
from nmahw.network import Network
from nmahw.simulate import simulate
from nmahw.tensor import TensorFormat
from rtl import run_accelerator

#: A unit of every kind on the way out, in few cycles.
POOLED = Network(TensorFormat((1, 5, 4), 0, 15), (
    Conv2d(np.random.default_rng(3).integers(-8, 8, (4, 1, 2, 3))),
    ChannelScale(np.array([[1, 0], [1, -1], [0, -1], [1, 1]]), np.array([[0, 0], [3, 1], [0, 2],
                                                                         [2, 0]])),
    Bias(np.array([7, -20, 300, 0])), Requantise(5, 0, 15), MaxPool(2, 2), Flatten(),
    Dense(np.random.default_rng(4).integers(-8, 8, (3, 8)))))


def design_of(name: str, arithmetic: str, rows: int, columns: int, images: int, share: int):
    network = POOLED if name == "pooled" else network_for(name, ARITHMETICS.get(arithmetic))
    return Design.of(network, arithmetic, rows, columns, images=images, share=share)


def long(*values):
    return pytest.param(*values, marks=pytest.mark.long)


@pytest.mark.parametrize("name, arithmetic, rows, columns, images, share", [
    ("pooled", "bit_serial_weight", 5, 3, 2, 3),  # groups of 3 and 2 rows
    long("lenet-like", "bit_serial_weight", 5, 3, 2, 3),
    ("mlp", "bit_serial_weight", 4, 9, 3, 4),  # two groups of columns
    long("lenet-like", "bit_serial_weight", 4, 9, 3, 4),
    ("mlp", "bit_serial", 5, 3, 2, 2),  # whole codes, digits of activations
    long("averages", "bit_serial", 5, 9, 2, 2),
    ("pooled", "bit_serial_weight_radix4", 3, 2, 2, 2),
    long("scaled", "bit_serial_weight_radix4", 3, 2, 2, 2),
    ("mlp", "fair_square", 3, 2, 3, 1),  # a correction column for each image
    ("mlp", "distributed", 2, 2, 2, 1),  # held weights
    long("lenet-like", "distributed", 2, 2, 2, 1),
    long("layers on their own", "bit_serial_weight", 1, 1, 2, 1),
])
def test_equals_golden_under_stalls(name, arithmetic, rows, columns, images, share):
    design = design_of(name, arithmetic, rows, columns, images, share)
    count = 2 * images + 1
    pixels = random_images(design.network, count, seed=rows)
    run = run_accelerator(design, pixels, stall=0.3, seed=columns)
    assert run.outputs == design.predict(pixels).tolist()
    assert run.frame_errors == 0
    batches, rest = divmod(run.cycles_by_pass[0], design.schedule.cycles_by_pass[0])
    assert rest == 0 and -(-count // images) <= batches <= count
    assert run.cycles_by_pass == [batches * c for c in design.schedule.cycles_by_pass]


@pytest.mark.parametrize("share", [1, 2, 4])
def test_sharing_costs_neither_cycles_nor_results(share):
    design, alone = (design_of("mlp", "bit_serial_weight", 6, 3, 1, n) for n in (share, 1))
    pixels = random_images(design.network, 2)
    run = run_accelerator(design, pixels)
    assert run.outputs == design.predict(pixels).tolist()
    assert run.cycles_by_pass == [2 * c for c in design.schedule.cycles_by_pass]
    if share > 1:
        # The element is one register shorter, the way to it one longer, layers need few bits.
        assert all(c <= d for c, d in zip(design.schedule.cycles_by_pass,
                                          alone.schedule.cycles_by_pass, strict=True))


@pytest.mark.parametrize("name", ["mlp", "one weight", "bound by its input",
                                  "bound by its output"])
def test_cycles_from_batch_to_batch(name):
    design = design_of(name, "dsp", 2, 2, 3, 1)
    few, many = (run_accelerator(design, random_images(design.network, count)).total_cycles
                 for count in (6, 12))
    assert many - few == 2 * design.schedule.batch_cycles
    assert design.cycles_per_image == -(-design.schedule.batch_cycles // 3)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_no_image_waits_for_one_that_does_not_come(count):
    design = design_of("mlp", "dsp", 2, 2, 4, 1)
    pixels = random_images(design.network, count)
    run = run_accelerator(design, pixels)
    assert run.outputs == design.predict(pixels).tolist()
    batches = -(-count // 4)
    assert run.cycles_by_pass == [batches * c for c in design.schedule.cycles_by_pass]


def test_damaged_frames_are_dropped_whatever_their_place_in_the_batch():
    design = design_of("mlp", "dsp", 2, 2, 3, 1)
    pixels = random_images(design.network, 4, seed=5)
    whole = [[int(v) for v in image] for image in pixels]
    frames = [(whole[0], 12), (whole[1][:5], 4), (whole[1], 12), (whole[2] + [1, 2, 3], 15),
              (whole[2], 12), (whole[3][:1], 0), (whole[3], 12), (whole[0] + [7, 7], 14)]
    for stall in (0.0, 0.3):
        run = run_accelerator(design, pixels, stall=stall, seed=2, frames=frames, expected=4)
        assert run.outputs == design.predict(pixels).tolist()


def test_a_single_overlong_frame_leaves_no_image_behind():
    design = design_of("mlp", "dsp", 2, 2, 3, 1)
    pixels = random_images(design.network, 1)
    image = [int(v) for v in pixels[0]]
    run = run_accelerator(design, pixels, frames=[(image, 12), (image + [1], -1)], expected=1)
    assert run.outputs == design.predict(pixels).tolist()
    assert run.frame_errors == 1


@pytest.mark.parametrize("bits", [2, 3, 5])
def test_element_that_takes_digits(bits):
    arithmetic = ARITHMETICS.get("bit_serial_weight")(
        Operand(3, False), Operand(bits, True)).by_digits()
    weights = np.array([[w] for w in arithmetic.weight.values])
    for digits in (bits, bits + 2):
        codes = arithmetic.encode_digits(weights, digits)
        places = [-1 << digits - 1] + [1 << p for p in reversed(range(digits - 1))]
        assert [sum(c * p for c, p in zip(word, places, strict=True)) for word in codes.T
                ] == list(arithmetic.weight.values)
    assert arithmetic.digits_for(weights) == bits
    assert arithmetic.digits_for(np.array([[-1], [0]])) == 1
    assert arithmetic.by_digits() == arithmetic


def test_a_layer_takes_as_many_cycles_as_its_weights_need():
    network = Network(TensorFormat((3,), 0, 3), (
        Dense(np.array([[1, -2, 1]])), Dense(np.array([[100], [-100]]))))
    design = Design.of(network, "bit_serial_weight", 2, 2, share=2)
    assert [p.phases for p in design.schedule.passes] == [2, 8]
    pixels = random_images(network, 3)
    assert run_accelerator(design, pixels).outputs == design.predict(pixels).tolist()


def test_lenet5_by_digits_fills_its_block_rams():
    design = Design.of(load_model("lenet5-int8"), "bit_serial_weight", 32, 8, images=3, share=8)
    schedule = design.schedule
    assert [p.phases for p in schedule.passes] == [8] * 5
    assert sum(p.weight_words for p in schedule.passes) == 2048
    assert design.lockstep == {"images": 3, "share": 8}
    assert schedule.batch_cycles == 16_525 and schedule.image_cycles == 5_509


@pytest.mark.long
def test_native_simulation_of_batches(tmp_path):
    cache = Cache(tmp_path)
    network = load_model("digits-int8")
    design = Design.of(network, "bit_serial_weight", 5, 4, images=3, share=4)
    pixels = load_sample("digits-sample").first(20).x
    result = simulate(design, pixels, jobs=1, cache=cache)
    compare_with_golden(network, pixels, result, design, cache)
    check_cycles(design, result)
    assert len(result.pass_cycles) == 7


def test_no_multiplier():
    design = design_of("mlp", "bit_serial_weight", 3, 3, 2, 3)
    assert not {cell.kind for cell in rtlil_cells(design.rtlil(pins="serial"))} & FORBIDDEN_CELLS


@pytest.mark.parametrize("number", [0, 17, 2.0, True])
@pytest.mark.parametrize("what", ["images", "share"])
def test_refuses_numbers(what, number):
    with pytest.raises(UsageError, match=rf"{what} must be an integer of 1\.\.16, not"):
        Design.of(NETWORKS["mlp"], "bit_serial_weight", 2, 2, **{what: number})


def test_refuses_rows_that_have_no_time_to_share():
    with pytest.raises(ModelError, match="layer 0 dense: fabric takes 1 cycles a step, but rows "
                                         "that share a memory by 2 need as many"):
        Design.of(NETWORKS["mlp"], "fabric", 2, 2, share=2)
    with pytest.raises(UsageError, match="skip_zeros must not be combined with share"):
        Design.of(NETWORKS["mlp"], "bit_serial_weight", 2, 2, skip_zeros=True, share=2)


def test_refuses_softmax_in_lockstep():
    network = Network(TensorFormat((3,), 0, 7), (Dense(np.array([[1, -2, 3]])), Softmax(2)))
    with pytest.raises(ModelError, match="images must be 1 for a network that ends with softmax"):
        Design.of(network, "fabric", 1, 1, images=2)


def test_commands_take_both_options(capsys):
    choice = ["digits-int8", "--arith", "bit_serial_weight", "--array", "4x3"]
    assert run_command(["estimate", *choice, "--lockstep", "2", "--share", "4"]) == 0
    text = capsys.readouterr().out
    design = Design.of(load_model("digits-int8"), "bit_serial_weight", 4, 3, images=2, share=4)
    assert f"cycles an image: {design.cycles_per_image:,}" in text
    assert run_command(["compare", "--array", "4x4", "--lockstep", "2"]) == UsageError.exit_code
    assert "--lockstep must not be given without a MODEL" in capsys.readouterr().err
    assert run_command(["estimate", "digits-int8", "--share", "2"]) == UsageError.exit_code
    assert "--arith must name an arithmetic with --lockstep or --share" in capsys.readouterr().err

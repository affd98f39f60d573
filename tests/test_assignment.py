"""Several arithmetics in one accelerator: the choice by layer, and the hardware it makes."""

import pytest
from networks import NETWORKS, random_images

from nmahw.assignment import names_by_pass
from nmahw.cli._options import read_arithmetics
from nmahw.design import Design
from nmahw.errors import ModelError, UsageError
from nmahw.lowering import lower
from rtl import run_accelerator

CHOICES = [
    ("lenet-like", "conv=distributed,dense=bit_serial", 3, 2, 0.0),
    ("lenet-like", "conv=distributed,dense=quarter_square", 2, 9, 0.2),
    ("layers on their own", "other=quarter_square", 2, 2, 0.0),
    ("mlp", "0=booth,dense=distributed", 2, 3, 0.1),
]


@pytest.mark.parametrize(("name", "choice", "rows", "columns", "stall"), CHOICES)
def test_hardware_is_the_golden_model(name, choice, rows, columns, stall):
    network = NETWORKS[name]
    design = Design.of(network, choice, rows, columns)
    images = random_images(network, 2, seed=5)
    run = run_accelerator(design, images, stall=stall, seed=1)
    golden = network.predict(images).reshape(2, -1)
    assert run.outputs == design.predict(images).tolist() == golden.tolist()
    assert run.cycles_by_pass == [2 * cycles for cycles in design.schedule.cycles_by_pass]


def test_the_most_particular_choice_wins():
    program = lower(NETWORKS["lenet-like"])
    kinds = [p.title for p in program.passes]
    assert kinds == ["0 conv2d", "5 conv2d", "11 dense", "15 dense"]
    assert names_by_pass(program, "dense=booth,other=fabric,11=dsp") == [
        "fabric", "fabric", "dsp", "booth"]
    assert names_by_pass(program, "bit_serial") == ["bit_serial"] * 4


def test_equal_arithmetics_share_an_engine():
    design = Design.of(NETWORKS["lenet-like"], "conv=distributed,dense=bit_serial", 3, 2)
    assert [p.engine for p in design.schedule.passes] == [0, 0, 1, 1]
    assert design.arithmetic.name == "distributed+bit_serial"
    assert design.arithmetic.exact and not design.arithmetic.is_baseline


@pytest.mark.parametrize(("choice", "message"), [
    ("conv=dsp", "layer 11 dense must get an arithmetic: add dense=... or other=..."),
    ("pool=dsp,other=dsp", "must be for conv2d, dense, a layer number .* or other, not 'pool'"),
    ("1=dsp,other=dsp", r"a layer number \(0, 5, 11, 15\) or other, not '1'"),
    ("conv=dsp,conv2d=booth", "conv2d must get one arithmetic, not dsp and booth"),
    ("conv=nothing,other=dsp", "arithmetic must be one of .*, not 'nothing'"),
    ("conv=,other=dsp", "arithmetic must be one of .*, not ''"),
])
def test_bad_choices_are_refused(choice, message):
    with pytest.raises(UsageError, match=message):
        Design.of(NETWORKS["lenet-like"], choice, 2, 2)


def test_weights_without_a_code_name_the_layer():
    with pytest.raises(ModelError, match="layer 5 conv2d: ternary"):
        Design.of(NETWORKS["lenet-like"], "5=ternary,other=bit_serial", 2, 2)


def test_the_command_line_tells_lists_from_choices():
    assert read_arithmetics("dsp,conv=booth,dense=fabric,rows", by_layer=True) == [
        "dsp", "conv=booth,dense=fabric", "rows"]
    with pytest.raises(UsageError, match="arithmetic must be one of"):
        read_arithmetics("conv=booth,dense=fabric")

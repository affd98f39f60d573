"""``nmahw verilog``."""

from pathlib import Path
from typing import Annotated

import typer

from ._choices import completion
from ._options import Arithmetic, Array, Lockstep, Model, Share, read_array, read_choice
from ._terminal import show_path, tell, working

EXAMPLE = "nmahw verilog lenet5-w8a8 --arith bit_serial --array 4x4 -o build --lint"


def command(model: Model, output: Annotated[Path, typer.Option(
                "-o", "--output", metavar="DIR", help="Folder to write to.", show_default=False)],
            arith: Arithmetic = "quarter_square", array: Array = "8x8",
            wrapper: Annotated[str, typer.Option(
                "--wrapper", metavar="NAME", autocompletion=completion("wrappers"),
                help="What is around the accelerator: {wrappers}.")] = "axis",
            lockstep: Lockstep = 1, share: Share = 1,
            lint: Annotated[bool, typer.Option(
                "--lint", help="Let Verilator judge the result.")] = False):
    """Write an accelerator as Verilog, for people and flows without Python.

    Beside it: a JSON file of ports, formats and cycle counts, a FuseSoC core file, and a C++ bench,
    or a C header where there are registers.
    """
    from ..bundled import load_model
    from ..design import Design
    from ..files import check_writable
    from ..gateware.wrappers import WRAPPERS
    from ..verilog import emit
    from ..verilog import lint as judge
    rows, columns = read_array(array)
    around = WRAPPERS.get(wrapper)
    check_writable(output / f"{around.top}.v")
    network = load_model(model)
    design = Design.of(network, read_choice(network, arith, rows, columns), rows, columns,
                       images=lockstep, share=share)
    with working("generating Verilog"):
        emitted = emit(design, output, wrapper=around.name)
        if lint:
            judge(emitted.verilog)
    for what, path in vars(emitted).items():
        if path is not None:
            show_path(what, path)
    if lint:
        tell("Verilator has nothing to say against it")

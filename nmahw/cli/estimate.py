"""``nmahw estimate``."""

import json as json_text
from pathlib import Path
from typing import Annotated

import typer

from ..errors import DoesNotFit, UsageError
from ._choices import completion
from ._options import Array, DeviceName, Lockstep, Share, read_array, read_bits
from ._terminal import show_path, show_table, tell

EXAMPLE = "nmahw estimate lenet5-w8a8 --arith auto --array 8x8 --device ecp5-45k"


def command(
        model: Annotated[str | None, typer.Argument(
            metavar="[MODEL]", show_default=False, autocompletion=completion("models"),
            help="A bundled network ({models}) or a file written by 'nmahw import'. Without one, "
                 "the array alone with feeding, weight loading and accumulators.")] = None,
        arith: Annotated[str, typer.Option(
            "--arith", metavar="NAME", autocompletion=completion("arithmetics"),
            help="Arithmetic: {arithmetics}. For a MODEL also by layer, for example "
                 "conv=distributed,dense=bit_serial, or 'auto', the cheapest exact choice.")]
        = "auto",
        array: Array = "8x8", lockstep: Lockstep = 1, share: Share = 1,
        device: DeviceName = "ecp5-45k",
        bits: Annotated[str | None, typer.Option(
            "--bits", metavar="WxA", show_default=False,
            help="Without a MODEL: bits of weights and of activations, by default 8x8.")] = None,
        positions: Annotated[int | None, typer.Option(
            "--positions", metavar="N", show_default=False,
            help="Without a MODEL: sums that each column holds, by default 512.")] = None,
        json: Annotated[Path | None, typer.Option(
            "--json", metavar="FILE", help="Write the figures as JSON.")] = None):
    """Estimate what a design takes of a device, without synthesis (exit code 5 if it is too much).

    Block RAMs and hard multipliers are exact; look-up tables and flip-flops come from a model
    fitted to designs that Yosys mapped, and are those of the mapped netlist.

    The array alone: nmahw estimate --arith distributed --array 16x16 --bits 8x8
    """
    from ..assignment import AUTO
    from ..bundled import load_model
    from ..choose import best
    from ..design import Design
    from ..devices import device as device_called
    from ..estimate import estimate
    from ..files import check_writable, write_atomically
    from ..kernel import Kernel
    from ..measure import operands
    if json is not None:
        check_writable(json)
    rows, columns = read_array(array)
    part = device_called(device)
    if model is not None:
        if bits is not None or positions is not None:
            raise UsageError("--bits and --positions must not be given with a MODEL, whose "
                             "operands are its own")
        network, chosen = load_model(model), None
        if arith.strip() == AUTO:
            if lockstep > 1 or share > 1:
                raise UsageError("--arith must name an arithmetic with --lockstep or --share, not "
                                 "'auto'")
            chosen = best(network, rows, columns, part)
            arith = chosen.text
            tell(f"auto: --arith {arith}")
        subject = Design.of(network, arith, rows, columns, images=lockstep, share=share)
        arithmetic = str(subject.arithmetic)
        found = chosen.estimate if chosen else estimate(subject, part)
    else:
        if lockstep > 1 or share > 1:
            raise UsageError("--lockstep and --share must not be given without a MODEL")
        if arith.strip() == AUTO:
            raise UsageError("--arith must name an arithmetic without a MODEL, because 'auto' "
                             "chooses for a network's layers")
        weight_bits, activation_bits = read_bits("8x8" if bits is None else bits)
        subject = Kernel.of(arith, rows, columns, *operands(weight_bits, activation_bits),
                            positions=512 if positions is None else positions)
        arithmetic = str(subject.arithmetic)
        found = estimate(subject, part)
    show_table(f"{arithmetic}, {rows}x{columns} array on {part.name}, estimated",
               ("resource", "needed", "there", "%"),
               [(part.rules.resource_title(name), found.resources[name], found.limits[name],
                 f"{100 * found.resources[name] / found.limits[name]:.0f}"
                 if found.limits[name] else "") for name in found.resources])
    if found.cycles_per_image is not None:
        tell(f"cycles an image: {found.cycles_per_image:,}")
    if found.clock_mhz is not None:
        tell(f"clock: about {found.clock_mhz:.0f} MHz, "
             f"{found.clock_mhz * 1e6 / found.cycles_per_image:,.0f} images a second"
             + ("" if found.clock_is_fitted else " (a guess: no accelerator with these arithmetics "
                "was measured)"))
    tell(f"operations a cycle: {found.macs_per_cycle:.3g}")
    if not found.is_fitted:
        tell("LUT and FF are a guess: the model was not fitted to these arithmetics")
    if json is not None:
        show_path("JSON", write_atomically(json, json_text.dumps({
            "device": part.name, "arithmetic": arithmetic, "rows": rows, "columns": columns,
            "resources": dict(found.resources), "limits": found.limits, "fits": found.fits,
            "is_fitted": found.is_fitted, "cycles_per_image": found.cycles_per_image,
            "macs_per_cycle": found.macs_per_cycle, "clock_mhz": found.clock_mhz,
            "clock_is_fitted": found.clock_is_fitted},
            indent=2) + "\n"))
    if found.fits:
        tell(f"fits {part.name}")
    else:
        tell(f"does not fit {part.name}: " + ", ".join(
            f"{need:,} {part.rules.resource_title(name)} of {there:,}"
            for name, (need, there) in found.lacking.items()))
        raise typer.Exit(DoesNotFit.exit_code)

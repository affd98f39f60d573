"""``nmahw prove``."""

import time
from typing import Annotated

import typer

from ..errors import BuildError, MismatchError, ModelError
from ._choices import completion
from ._options import ALL, read_arithmetics, read_array
from ._terminal import show_table, working

EXAMPLE = "nmahw prove quarter_square bit_serial --bits 4x4"


def command(names: Annotated[list[str] | None, typer.Argument(
                metavar="[NAME]...", help="Arithmetics, by default all: {arithmetics}.",
                show_default=False, autocompletion=completion("arithmetics"))] = None,
            bits: Annotated[str, typer.Option(
                "--bits", metavar="AxW", help="Bits of activations and weights.")] = "4x4",
            unsigned: Annotated[bool, typer.Option(
                "--unsigned", help="Activations without a sign; weights always have one.")]
            = False,
            rows: Annotated[int, typer.Option(
                "--rows", metavar="N", min=1, max=8, help="Rows of the column.")] = 2,
            streams: Annotated[bool, typer.Option(
                "--streams", help="Prove the streams in and out of an accelerator as well.")]
            = False,
            timeout: Annotated[float | None, typer.Option(
                "--timeout", metavar="S", min=1, help="Seconds for each question to the solver.",
                show_default=False)] = None):
    """Prove that arithmetics' hardware computes what it says, for all operands (exit code 4 if
    not).

    A column of rows between row units and column unit is compared with the definition of the
    operation, whatever state it begins in and whatever other steps do. What fails is shown with
    the operands that it fails for.
    """
    from ..arith import ARITHMETICS, Operand
    from ..formal.proof import prove
    kinds = [ARITHMETICS.get(name) for name in read_arithmetics(",".join(names or [ALL]))]
    activation_bits, weight_bits = read_bits(bits)
    table, wrong, undecided = [], [], []
    with working("proving") as work:
        for kind in kinds:
            operands = Operand(activation_bits, not unsigned), Operand(weight_bits, True)
            arithmetic = kind.nearest(*operands)
            what = kind.name, f"{arithmetic.activation}x{arithmetic.weight}"
            work.say(f"{arithmetic}, {rows} rows")
            try:
                proof = prove(arithmetic, rows, timeout)
            except MismatchError as error:
                wrong.append(str(error))
                table.append((*what, "golden model refuted", ""))
            except (BuildError, ModelError) as error:
                undecided.append(f"{arithmetic}: {error}")
                table.append((*what, "undecided", ""))
            else:
                if not proof.holds:
                    wrong.append(f"{arithmetic}: for {proof.counterexample}")
                table.append((*what, proof.statement if proof.holds else "refuted",
                              f"{proof.seconds:.1f}"))
        for name in _contracts(streams):
            work.say(f"stream contract: {name}")
            begun = time.monotonic()
            holds = _holds(name, timeout)
            if not holds:
                wrong.append(f"stream contract {name}")
            table.append((f"stream {name}", "", "contract, in every cycle" if holds else "refuted",
                          f"{time.monotonic() - begun:.1f}"))
    show_table(f"{rows} rows, all operands", ("arithmetic", "operands", "proved", "seconds"),
               table, left=(0, 1, 2))
    if wrong:
        raise MismatchError("every arithmetic must be proved, but these are refuted:\n"
                            + "\n".join(f"  {line}" for line in wrong))
    if undecided:
        raise BuildError("every arithmetic must be proved, but these are undecided:\n"
                         + "\n".join(f"  {line}" for line in undecided))


def _contracts(wanted: bool) -> list[str]:
    from ..formal.streams import CONTRACTS
    return list(CONTRACTS) if wanted else []


def _holds(name: str, timeout_s: float | None) -> bool:
    from ..formal.invariant import holds_always
    from ..formal.streams import CONTRACTS, small_schedule
    return holds_always(CONTRACTS[name](small_schedule()), timeout_s)


def read_bits(text: str) -> tuple[int, int]:
    """Bits of activations and weights of ``"AxW"``."""
    from ..errors import UsageError
    try:
        bits = read_array(text)
    except UsageError:
        bits = (0, 0)
    if not all(1 <= count <= 16 for count in bits):
        raise UsageError(f"bits must be ACTIVATIONxWEIGHT, each 1 to 16, for example 8x4, not "
                         f"{text!r}")
    return bits

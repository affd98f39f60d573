"""``nmahw prove``."""

import time
from typing import Annotated

import typer

from ..errors import BuildError, MismatchError, ModelError
from ._choices import completion
from ._options import ALL, read_arithmetics, read_bits
from ._terminal import show_table, working

EXAMPLE = "nmahw prove quarter_square bit_serial --bits 4x4"


def command(names: Annotated[list[str] | None, typer.Argument(
                metavar="[NAME]...", help="Arithmetics, by default all: {arithmetics}.",
                show_default=False, autocompletion=completion("arithmetics"))] = None,
            bits: Annotated[str, typer.Option(
                "--bits", metavar="WxA", help="Bits of weights and of activations.")] = "4x4",
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
    from ..measure import operands
    kinds = [ARITHMETICS.get(name) for name in read_arithmetics(",".join(names or [ALL]))]
    positive, weight = operands(*read_bits(bits))
    activation = Operand(positive.bits, not unsigned)
    table, wrong, undecided = [], [], []
    with working("proving") as work:
        for kind in kinds:
            arithmetic = kind.nearest(activation, weight)
            what = kind.name, str(arithmetic.weight), str(arithmetic.activation)
            work.say(f"{arithmetic}, {rows} rows")
            try:
                proof = prove(arithmetic, rows, timeout)
            except MismatchError as error:
                wrong.append(str(error))
                table.append((*what, "refuted", ""))
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
            table.append((f"stream {name}", "", "",
                          "contract, in every cycle" if holds else "refuted",
                          f"{time.monotonic() - begun:.1f}"))
    show_table(f"{rows} rows, all operands",
               ("arithmetic", "weights", "activations", "proved", "seconds"), table,
               left=(0, 1, 2, 3))
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

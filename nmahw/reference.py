"""The reference Verilog in ``rtl/``, for people without Python.

``python -m nmahw.reference DIR`` writes it anew: the element of every arithmetic (and its row and
column unit where it has its own), one array, one whole accelerator.
"""

import sys

from amaranth.back import rtlil

from .arith import ARITHMETICS, Arithmetic, Operand
from .bundled import load_model
from .design import Design
from .gateware.array import SystolicArray
from .verilog import emit_reference

__all__ = ["reference_designs"]

_OPERANDS = Operand(8, False), Operand(8, True)
_ROWS = _COLUMNS = 4


def reference_designs() -> list[tuple[str, str]]:
    """File name without suffix and RTLIL of every reference design.

    Operands are unsigned 8-bit activations and signed 8-bit weights, or the nearest widths an
    arithmetic takes; elements are those of row 1.
    """
    modules = {}
    for kind in ARITHMETICS:
        arithmetic = kind.nearest(*_OPERANDS)
        modules[f"nmahw_element_{kind.name}"] = arithmetic.create(row=1)
        if kind.create_row_unit is not Arithmetic.create_row_unit:
            modules[f"nmahw_row_unit_{kind.name}"] = arithmetic.create_row_unit()
        if kind.create_column_unit is not Arithmetic.create_column_unit:
            modules[f"nmahw_column_unit_{kind.name}"] = arithmetic.create_column_unit(_ROWS)
    quarter_square = ARITHMETICS.get("quarter_square")(*_OPERANDS)
    modules["nmahw_array_quarter_square"] = SystolicArray(quarter_square, _ROWS, _COLUMNS, hop=8)
    designs = [(name, rtlil.convert(module, name=name, emit_src=False))
               for name, module in modules.items()]
    accelerator = Design.of(load_model("digits-w4a4"), "quarter_square", _ROWS, _COLUMNS)
    return [*designs, ("nmahw_top", accelerator.rtlil())]


if __name__ == "__main__":
    for path in emit_reference(sys.argv[1] if len(sys.argv) > 1 else "rtl", reference_designs()):
        print(path)

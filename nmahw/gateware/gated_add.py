"""Adder that can ignore or negate its second operand, in a form a carry chain can take.

Most FPGA families have a look-up table before each bit of their carry chain, and some can do
more with it than one operand's exclusive or: an ECP5's CCU2C gates and negates, a Gowin ALU does
either. Synthesis does not find that by itself. So the adder marks its operands and its total with
the attribute `ROLE`; `nmahw.carry_chain` finds them in the RTLIL and lets the device family put
its own cells there. Left alone, the adder is what any tool makes of plain additions.
"""

from amaranth.hdl import Cat, Module, Mux, Shape, ShapeLike, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["GatedAdd", "ROLE"]

#: Attribute of the wires of an adder that a family may build; its value is the wire's role.
ROLE = "carry_chain"


class GatedAdd(wiring.Component):
    """``total = augend + ((addend ^ negate) & gate) + carry``, combinational.

    Operands are extended to the total's width, each as its own shape says, before anything is
    done to them; `negate` and `gate` are one bit for all bits of `addend`. A `subtract` in the
    place of `negate` also brings its own carry, `subtract & gate`, so that the addend is
    subtracted and not one more. With `twos` that carry is `subtract & twos` instead: where `twos`
    is 0, the one's complement is added.

    Parameters
    ----------
    augend_shape, addend_shape : ShapeLike
        Of at least one bit.
    total_shape : ShapeLike
        The total is taken modulo two to its width.
    gate, negate, subtract, twos, carry : bool
        Whether there is such an input; without it, the addend counts, is not inverted, and
        nothing is carried in. At most one of `negate` and `subtract`, `carry` not with
        `subtract`, `twos` only with it.

    Attributes
    ----------
    augend, addend : In
    gate, negate, subtract, twos, carry : In(1)
        Where asked for.
    total : Out
        In the same cycle.

    Raises
    ------
    ValueError
        A shape without bits, or inputs that exclude each other.
    """

    def __init__(self, augend_shape: ShapeLike, addend_shape: ShapeLike, total_shape: ShapeLike,
                 *, gate: bool = False, negate: bool = False, subtract: bool = False,
                 twos: bool = False, carry: bool = False):
        for what, shape in (("augend", augend_shape), ("addend", addend_shape),
                            ("total", total_shape)):
            if Shape.cast(shape).width < 1:
                raise ValueError(f"{what} shape must have at least one bit, not {shape!r}")
        if twos and not subtract:
            raise ValueError("input twos must come with subtract")
        if subtract and (negate or carry):
            raise ValueError("inputs must be subtract or negate and carry, not both")
        self._options = [name for name, there in (
            ("gate", gate), ("negate", negate), ("subtract", subtract), ("twos", twos),
            ("carry", carry)) if there]
        super().__init__({"augend": In(augend_shape), "addend": In(addend_shape),
                          **{name: In(1) for name in self._options}, "total": Out(total_shape)})

    def elaborate(self, platform):
        m = Module()
        bits = Shape.cast(self.total.shape()).width

        def role(name: str, width: int, value: Value | None = None) -> Signal:
            wire = Signal(width, name=f"chain_{name}", attrs={ROLE: name})
            if value is not None:
                m.d.comb += wire.eq(value)
            return wire

        augend, addend = (role(name, bits, getattr(self, name)) for name in ("augend", "addend"))
        extra = {name: role(name, 1, getattr(self, name)) for name in self._options}
        total = role("total", bits)
        carry = extra.get("carry")
        inverted = extra.get("negate", extra.get("subtract"))
        if inverted is not None:
            addend = addend ^ inverted.replicate(bits)
        if "gate" in extra:
            # A multiplexer, which becomes a register's reset where there is no augend.
            addend = Mux(extra["gate"], addend, 0)
        if "subtract" in extra:
            carry = extra["subtract"] & extra.get("twos", extra.get("gate", 1))
        if carry is None:
            m.d.comb += total.eq(augend + addend)
        else:
            # One bit more instead of a third summand: 1 + carry carries into bit 0.
            m.d.comb += total.eq((Cat(1, augend) + Cat(carry, addend))[1:])
        m.d.comb += self.total.eq(total)
        return m

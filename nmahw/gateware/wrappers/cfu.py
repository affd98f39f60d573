"""Custom function unit of a RISC-V processor, as CFU-Playground connects it to VexRiscv.

Ports: github.com/google/CFU-Playground, interface of the module ``Cfu``. An instruction takes two
cycles and never waits for the accelerator.
"""

from typing import TYPE_CHECKING

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Elaboratable, Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from ._register_file import RegisterWrapper
from ._registers import ADDRESS_BITS, REGISTERS, WORD_BITS, Function

if TYPE_CHECKING:
    from ...design import Design

__all__ = ["Cfu"]

_READ, _WRITE, _PUSH, _POP = range(4)
_NUMBER = {register.name: register.number for register in REGISTERS}


class Cfu(RegisterWrapper):
    """The unit.

    Attributes
    ----------
    cmd_valid, cmd_ready
    cmd_payload_function_id : In
        ``funct7`` above ``funct3``. The former is not looked at.
    cmd_payload_inputs_0, cmd_payload_inputs_1 : In
        Operands.
    rsp_valid, rsp_ready
    rsp_payload_outputs_0 : Out
        Result.
    """

    name = "cfu"
    title = "Custom function unit, as in CFU-Playground"
    top = "Cfu"
    functions = (
        Function("READ", _READ, ("register's number", "-"), "its value, 0 where it cannot be read",
                 "Read a register"),
        Function("WRITE", _WRITE, ("register's number", "value"), "1, or 0 where it was refused",
                 "Write a register"),
        Function("PUSH", _PUSH, ("elements, the first in the lowest byte",
                                 "1 with the image's last word, else 0"),
                 "1, or 0 without room: do it again",
                 "The image's next elements; without room nothing happens"),
        Function("POP", _POP, ("-", "-"), "the next result, 0 without one",
                 "Take a result; without one the flag UNDERFLOW is set"),
    )

    cmd_valid: In(1)
    cmd_ready: Out(1)
    cmd_payload_function_id: In(10)
    cmd_payload_inputs_0: In(WORD_BITS)
    cmd_payload_inputs_1: In(WORD_BITS)
    rsp_valid: Out(1)
    rsp_ready: In(1)
    rsp_payload_outputs_0: Out(WORD_BITS)

    @classmethod
    def _convert(cls, design: "Design") -> str:
        unit, clk, reset = cls(design), Signal(name="clk"), Signal(name="reset")
        ports = {name: (getattr(unit, name), None) for name in unit.signature.members}
        return rtlil.convert(_Clocked(unit, clk, reset), name=cls.top, emit_src=False,
                             ports=ports | {"clk": (clk, None), "reset": (reset, None)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.registers = registers = self._registers
        function, first, second = (self.cmd_payload_function_id[:3], self.cmd_payload_inputs_0,
                                   self.cmd_payload_inputs_1)
        taken = self.cmd_valid & self.cmd_ready
        changes = Signal()
        read, write, push, pop = (function == number for number in (_READ, _WRITE, _PUSH, _POP))
        known = Signal()
        m.d.comb += [
            self.cmd_ready.eq(~self.rsp_valid),
            # Without room a push is told so, and is nothing to be flagged.
            registers.request.eq(taken & (
                pop | ((read | write) & (first < 1 << ADDRESS_BITS))
                | (push & registers.writable))),
            registers.write.eq(write | push), registers.data.eq(Mux(push, first, second)),
            registers.address.eq(Mux(pop, _NUMBER["OUTPUT"], Mux(
                push, Mux(second[0], _NUMBER["INPUT_LAST"], _NUMBER["INPUT"]), first))),
            self.rsp_payload_outputs_0.eq(Mux(
                known, Mux(changes, registers.taken, registers.value), 0)),
        ]
        with m.If(taken):
            m.d.sync += [self.rsp_valid.eq(1), changes.eq(write | push),
                         known.eq(registers.request)]
        with m.Elif(self.rsp_ready):
            m.d.sync += self.rsp_valid.eq(0)
        return m


class _Clocked(Elaboratable):
    """A unit whose clock and reset have the names that the processor wants."""

    def __init__(self, unit: Cfu, clk: Signal, reset: Signal):
        self._unit, self._clk, self._reset = unit, clk, reset

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = domain = ClockDomain(local=True)
        domain.clk, domain.rst = self._clk, self._reset
        m.submodules.unit = self._unit
        return m

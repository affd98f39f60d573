"""Designs of a few cells behind a serial harness, for what happens after RTLIL."""

from dataclasses import dataclass

from amaranth import Cat, Module, Signal, signed
from amaranth.back import rtlil
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from nmahw.cache import Cache
from nmahw.workbench import Workbench


class SmallDesign(wiring.Component):
    """`elements` times ``acc += operation(a, b)`` on `bits`-bit operands shifted in."""

    def __init__(self, operation="add", elements=1, bits=4, outputs=1):
        self.operation, self.elements, self.bits = operation, elements, bits
        super().__init__({"si": In(1), "so": Out(outputs)})

    def elaborate(self, platform):
        m = Module()
        width = 2 * self.bits * self.elements
        shifted = Signal(width)
        m.d.sync += shifted.eq(Cat(self.si, shifted))
        for index in range(self.elements):
            a, b = (Signal(signed(self.bits), name=f"{name}{index}") for name in "ab")
            result, acc = Signal(signed(2 * self.bits)), Signal(signed(2 * self.bits + 2))
            at = 2 * self.bits * index
            m.d.sync += [
                a.eq(shifted[at:at + self.bits]),
                b.eq(shifted[at + self.bits:at + 2 * self.bits]),
                result.eq(a * b if self.operation == "multiply" else a + b),
                acc.eq(acc + result)]
            with m.If(shifted[at]):
                m.d.sync += self.so.eq((self.so << 1) ^ self.so ^ acc.xor())
        return m


def small_rtlil(operation="add", elements=1, bits=4, outputs=1, sources=False) -> str:
    """RTLIL of a `SmallDesign`, top module ``top``."""
    return rtlil.convert(SmallDesign(operation, elements, bits, outputs), name="top",
                         emit_src=sources)


@dataclass
class StandInArithmetic:
    """What the outward stages read of an arithmetic."""

    name: str
    is_baseline: bool = False
    exact: bool = True
    hard_multiplier: bool = False
    yosys_passes: tuple[str, ...] = ()


@dataclass
class StandInDesign:
    """What the outward stages read of a design."""

    arithmetic: StandInArithmetic
    cycles_per_image: int
    text: str
    memory_bits: int = 0

    def rtlil(self, pins):
        assert pins == "serial"
        return self.text


def shared_bench(tmp_path_factory, **options) -> Workbench:
    """A workbench with a cache that all tests of one process share."""
    return Workbench(Cache(tmp_path_factory.getbasetemp() / "shared-cache"), **options)

"""The per-pass program: one word a pass, from which every unit takes its constants.

A unit names the fields it needs; `Configuration` collects them, lays out the word and fills the
table. A field that has the same value in every pass costs nothing: it is a constant.
"""

from collections.abc import Sequence

from amaranth.hdl import Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from ..arith import range_shape

__all__ = ["Configuration"]


class Configuration(wiring.Component):
    """Table of per-pass constants, and the registers that hold those of the running pass.

    Parameters
    ----------
    fields : mapping of str to sequence of int
        Value of each field in every program entry.

    Attributes
    ----------
    entry : In
        Program entry to fetch; its values are in the registers two cycles later if `load` is
        set in the cycle between.
    load : In
    """

    def __init__(self, fields: dict[str, Sequence[int]]):
        lengths = {len(values) for values in fields.values()}
        assert len(lengths) == 1
        self.entries = lengths.pop()
        self._fields = {name: [int(v) for v in values] for name, values in fields.items()}
        self._registers: dict[str, Value] = {}
        for name, values in self._fields.items():
            shape = range_shape(min(values), max(values))
            self._registers[name] = (Const(values[0], shape) if len(set(values)) == 1
                                     else Signal(shape, name=name, reset_less=True))
        super().__init__({"entry": In(range(max(self.entries, 2))), "load": In(1)})

    def __contains__(self, name: str) -> bool:
        return name in self._registers

    def __getitem__(self, name: str) -> Value:
        """The running pass's value of field `name`."""
        return self._registers[name]

    def elaborate(self, platform):
        m = Module()
        varying = [name for name, value in self._registers.items() if isinstance(value, Signal)]
        if not varying:
            return m
        words, position = [0] * self.entries, 0
        places = {}
        for name in varying:
            width = len(self._registers[name])
            for index, value in enumerate(self._fields[name]):
                words[index] |= (value & ((1 << width) - 1)) << position
            places[name] = slice(position, position + width)
            position += width
        m.submodules.table = table = Memory(shape=position, depth=self.entries, init=words,
                                            attrs={"rom_style": "logic", "ram_style": "logic"})
        port = table.read_port()
        m.d.comb += [port.en.eq(1), port.addr.eq(self.entry)]
        with m.If(self.load):
            for name in varying:
                m.d.sync += self._registers[name].eq(port.data[places[name]])
        return m

"""A memory cut into slices of bits, so that block RAMs need no multiplexer behind them.

A 3,000 x 8 bit memory made of 2 K x 9 blocks ends in a multiplexer in LUTs, right behind the
blocks' slow outputs; the same memory made of two 4 K x 4 slices does not, and takes no more
blocks. The cut assumes 16 Kbit blocks (ECP5, Gowin); smaller ones (iCE40) are joined anyway.

Nobody may use what is read from a word in the cycle in which it is written: synthesis is told
that any value will do, which saves a comparator and a multiplexer around every block. It holds
here. A pass reads its source while it writes its target and the entry fills the other input, and
these regions are disjoint; an idle tap may read anything, because its weight is 0. The pool reads
a channel's running value three cycles before it can be written and at the earliest one cycle
after it was; the output buffer is read only when it is complete.
"""

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

__all__ = ["SinglePortMemory", "SlicedMemory"]

_BLOCK_BITS = 16384
# Blocks are widest in this shape; what is shallower gains nothing from a cut.
_LEAST_DEPTH = 512


class SlicedMemory(wiring.Component):
    """One read port (a cycle of latency) and, unless `init` is given, one write port.

    Parameters
    ----------
    width : int
        Bits of a word.
    depth : int
        Words.
    init : sequence of int, optional
        Contents; makes a read-only memory.

    Attributes
    ----------
    r_addr, r_data : In, Out
    w_en, w_addr, w_data : In
        Only without `init`.
    """

    def __init__(self, width: int, depth: int, init: Sequence[int] | None = None):
        self._width, self._depth, self._init = width, depth, init
        ports = {"r_addr": In(range(max(depth, 2))), "r_data": Out(unsigned(width))}
        if init is None:
            ports |= {"w_en": In(1), "w_addr": In(range(max(depth, 2))),
                      "w_data": In(unsigned(width))}
        super().__init__(ports)

    def forget_large_contents(self, bits: int) -> None:
        """Leave out contents of slices of more than so many bits, which take long to build.

        For those who only look at the shape of what is built.
        """
        if self._init and min(self.slices(self._width, self._depth)) * self._depth > bits:
            self._init = []

    @staticmethod
    def slice_bits(depth: int) -> int:
        """Width of one slice of a memory of `depth` words."""
        depth = max(1 << (depth - 1).bit_length(), _LEAST_DEPTH)
        # Every ninth bit is free: 512 x 36, 1024 x 18, 2048 x 9, but 4096 x 4.
        bits = max(_BLOCK_BITS // depth, 1)
        return bits + bits // 8

    @classmethod
    def slices(cls, width: int, depth: int) -> list[int]:
        """Widths of the slices of a memory."""
        full = cls.slice_bits(depth)
        return [min(full, width - low) for low in range(0, width, full)]

    def elaborate(self, platform):
        m = Module()
        words = []
        slice_bits = self.slice_bits(self._depth)
        for index, bits in enumerate(self.slices(self._width, self._depth)):
            low = index * slice_bits
            init = [(word >> low) & ((1 << bits) - 1) for word in self._init or []]
            m.submodules[f"slice{index}"] = memory = Memory(
                shape=unsigned(bits), depth=self._depth, init=init)
            read = memory.read_port()
            m.d.comb += [read.en.eq(1), read.addr.eq(self.r_addr)]
            words.append(read.data)
            if self._init is None:
                write = memory.write_port()
                m.d.comb += [write.en.eq(self.w_en), write.addr.eq(self.w_addr),
                             write.data.eq(self.w_data[low:low + bits])]
        m.d.comb += self.r_data.eq(Cat(words))
        return m


class SinglePortMemory(wiring.Component):
    """One port that reads or writes; what is read stays while nothing else is.

    Parameters
    ----------
    width : int
        Bits of a word, a multiple of 8.
    depth : int
        Words.
    style : str
        What synthesis calls such a memory (``ram_style``); "" for any.

    Attributes
    ----------
    address, data, read : In, In, Out
        `read` is the word at `address` a cycle ago, unless it was written.
    write : In
        Which bytes of the word are written.
    """

    def __init__(self, width: int, depth: int, style: str = ""):
        self._depth, self._style = depth, style
        super().__init__({
            "address": In(range(max(depth, 2))), "data": In(unsigned(width)),
            "write": In(width // 8), "read": Out(unsigned(width)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(
            shape=unsigned(len(self.data)), depth=self._depth, init=[],
            attrs={"ram_style": self._style} if self._style else {})
        read, write = memory.read_port(), memory.write_port(granularity=8)
        m.d.comb += [read.addr.eq(self.address), read.en.eq(~self.write.any()),
                     write.addr.eq(self.address), write.data.eq(self.data),
                     write.en.eq(self.write), self.read.eq(read.data)]
        return m

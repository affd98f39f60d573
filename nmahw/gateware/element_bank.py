"""Elements side by side, to measure one element alone; and the same ports without elements.

Behind `nmahw.gateware.harness`, which registers every input and captures every output, the
difference between the two is what the elements take.
"""

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..arith import Arithmetic

__all__ = ["ElementBank", "EmptyBank"]


class ElementBank(wiring.Component):
    """Elements that share nothing.

    Parameters
    ----------
    arithmetic : Arithmetic
    row : int
        Row of an array that they stand in; decides the width of the psum.
    count : int

    Attributes
    ----------
    operands : In
        The inputs of all elements.
    psums : Out
        The psums of all elements.
    """

    def __init__(self, arithmetic: Arithmetic, row: int, count: int):
        self._elements = [arithmetic.create(row) for _ in range(count)]
        self._inputs, outputs = [], []
        for element in self._elements:
            for _, member, value in element.signature.flatten(element):
                (self._inputs if member.flow == In else outputs).append(value)
        self._outputs = outputs
        super().__init__({"operands": In(len(Cat(*self._inputs))),
                          "psums": Out(len(Cat(*outputs)))})

    def elaborate(self, platform):
        m = Module()
        for index, element in enumerate(self._elements):
            m.submodules[f"element{index}"] = element
        m.d.comb += [Cat(*self._inputs).eq(self.operands), self.psums.eq(Cat(*self._outputs))]
        return m


class EmptyBank(wiring.Component):
    """Ports as wide as a bank's; every output is some input, the last input is used.

    Parameters
    ----------
    inputs, outputs : int
        Bits, at least 1 each.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__({"operands": In(inputs), "psums": Out(outputs)})

    def elaborate(self, platform):
        m = Module()
        inputs = len(self.operands)
        m.d.comb += [self.psums[bit].eq(self.operands[inputs - 1 - bit % inputs])
                     for bit in range(len(self.psums))]
        return m

"""Hardware of the smooth multiplication gate (`nmahw.arith.gate`)."""

from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib.memory import Memory

from . import Element, range_shape

__all__ = ["GateElement"]


class GateElement(Element):
    """Add and subtract, look up, add pairs, subtract, scale, add to the psum; registers between.

    A neuron whose weights are -lambda reads a ROM that runs the other way, so no argument is
    negated: two ROMs with two ports each are the four neurons.
    """

    def elaborate(self, platform):
        m = Module()
        arithmetic = self.arithmetic
        rom, (low, high) = arithmetic.rom, arithmetic.argument_range
        depth = 1 << (high - low).bit_length()
        # Modulo two to the difference's width, all that happens before it may overflow.
        width = range_shape(*arithmetic.sum_range).width
        x = Signal(arithmetic.activation.shape)
        w = Signal(arithmetic.weight.shape)
        arguments = [Signal(range(depth), name=name, reset_less=True)
                     for name in ("total", "difference")]
        m.d.comb += [x.eq(self.symbol), w.eq(self.weight)]
        m.d.sync += [arguments[0].eq(x + w), arguments[1].eq(x - w)]

        def neurons(name: str, contents: dict[int, int]) -> list[Signal]:
            """A ROM's words for both arguments, two cycles later."""
            words = [0] * depth
            for argument, entry in contents.items():
                words[argument % depth] = entry % (1 << width)
            m.submodules[name] = table = Memory(
                shape=unsigned(width), depth=depth, init=words,
                attrs={"ram_style": "block", "rom_style": "block"})
            registers = []
            for argument in arguments:
                port = table.read_port()
                register = Signal(width, name=f"{name}_{argument.name}", reset_less=True)
                m.d.comb += [port.en.eq(1), port.addr.eq(argument)]
                m.d.sync += register.eq(port.data)
                registers.append(register)
            return registers

        positive = {k: rom.entries[k + rom.reach] for k in range(low, high + 1)}
        negative = {k: rom.entries[-k + rom.reach] for k in range(low, high + 1)}
        if arithmetic.folded:
            pairs = neurons("even", {k: positive[k] + negative[k] for k in positive})
        else:
            pairs = []
            for plus, minus in zip(neurons("positive", positive), neurons("negative", negative),
                                   strict=True):
                pair = Signal(width, name=f"pair{len(pairs)}", reset_less=True)
                m.d.sync += pair.eq(plus + minus)
                pairs.append(pair)
        output = Signal(signed(width), reset_less=True)
        m.d.sync += output.eq(pairs[0] - pairs[1])
        product = Signal(range_shape(*arithmetic.product_range()), reset_less=True)
        if rom.shift > 0:
            m.d.sync += product.eq((output + (1 << (rom.shift - 1))) >> rom.shift)
        else:
            m.d.comb += product.eq(output << -rom.shift)
        self.add_to_psum(m, product)
        return m

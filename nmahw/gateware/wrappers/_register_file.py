"""The registers of `_registers.REGISTERS` around an accelerator, for any bus.

Words of several elements are taken apart on the way in; results go out one a word. Nothing here
waits: a word for which there is no room, and a result that is not there, are refused and flagged,
so that no bus can hang. The end mark of an image comes from the register that was written, and the
accelerator drops what has the wrong length.
"""

from typing import TYPE_CHECKING

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from ...errors import ModelError, UsageError
from . import Wrapper
from ._registers import ADDRESS_BITS, MAGIC, MAP_VERSION, REGISTERS, WORD_BITS

if TYPE_CHECKING:
    from ...design import Design

__all__ = ["INPUT_WORDS", "OUTPUT_WORDS", "RegisterFile", "RegisterWrapper"]

#: Sizes of the two buffers. The accelerator holds two images and an answer besides.
INPUT_WORDS = OUTPUT_WORDS = 16
_BY_NAME = {register.name: register for register in REGISTERS}
_FLAGS = ("FRAME_ERROR", "OVERFLOW", "UNDERFLOW")


class RegisterFile(wiring.Component):
    """See the module's text. An answer takes one cycle; requests may come in every one.

    Parameters
    ----------
    design : Design

    Attributes
    ----------
    request : In
        An access happens in this cycle.
    address : In
        The register's number.
    write : In
        Whether it is written.
    data : In
        What is written.
    value : Out
        From the next cycle until the next access: what was read, 0 after a write.
    taken : Out
        Likewise: whether the access did what it says.
    listed : Out
        Likewise: whether there is such a register with such an access. Others change nothing.
    writable, readable : Out
        INPUT takes a word, OUTPUT has a result, in this cycle.
    """

    request: In(1)
    address: In(ADDRESS_BITS)
    write: In(1)
    data: In(WORD_BITS)
    value: Out(WORD_BITS)
    taken: Out(1)
    listed: Out(1)
    writable: Out(1)
    readable: Out(1)

    def __init__(self, design: "Design"):
        self._design = design
        self._accelerator = design.create()
        # A word holds a whole number of elements.
        self._input_bytes = next(size for size in (1, 2, 4)
                                 if 8 * size >= design.network.input_format.bits)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        design = self._design
        number = {name: register.number for name, register in _BY_NAME.items()}

        def accessed(name, write):
            return self.request & (self.write == write) & (self.address == number[name])

        # Reset takes effect one cycle after its request; no request can come in between.
        reset = Signal()
        control = accessed("CONTROL", 1)
        m.d.sync += reset.eq(control & self.data[0])
        core = Module()
        m.submodules.core = ResetInserter(reset)(core)

        core.submodules.accelerator = accelerator = self._accelerator
        core.submodules.input = input_ = SyncFIFOBuffered(width=WORD_BITS + 1, depth=INPUT_WORDS)
        core.submodules.output = output = SyncFIFOBuffered(width=WORD_BITS + 1,
                                                           depth=OUTPUT_WORDS)
        m.d.comb += [self.writable.eq(input_.w_rdy), self.readable.eq(output.r_rdy)]
        self._feed(core, input_)
        self._collect(core, output)

        put = Signal()
        m.d.comb += [
            put.eq(accessed("INPUT", 1) | accessed("INPUT_LAST", 1)),
            input_.w_data.eq(Cat(self.data, self.address == number["INPUT_LAST"])),
            input_.w_en.eq(put), output.r_en.eq(accessed("OUTPUT", 0)),
        ]
        flags = {name: Signal(name=name.lower()) for name in _FLAGS}
        with core.If(control & self.data[1]):
            core.d.sync += [flag.eq(0) for flag in flags.values()]
        for name, sign in zip(_FLAGS, (accelerator.frame_error, put & ~input_.w_rdy,
                                       output.r_en & ~output.r_rdy), strict=True):
            with core.If(sign):
                core.d.sync += flags[name].eq(1)
        counters = {name: Signal(WORD_BITS, name=name.lower())
                    for name in ("IMAGES", "DROPPED", "CYCLES", "BUSY_CYCLES")}
        for name, event in (("IMAGES", output.w_en & output.w_rdy & output.w_data[-1]),
                            ("DROPPED", accelerator.frame_error), ("CYCLES", Const(1)),
                            ("BUSY_CYCLES", accelerator.busy)):
            core.d.sync += counters[name].eq(counters[name] + event)

        status = {"WRITABLE": input_.w_rdy, "READABLE": output.r_rdy,
                  "LAST": output.r_rdy & output.r_data[-1], "BUSY": accelerator.busy, **flags,
                  "ROOM": INPUT_WORDS - input_.level,
                  # A result that is still on its way through the buffer does not count.
                  "WAITING": Mux(output.r_rdy, output.level, 0)}
        values = {"STATUS": _word("STATUS", status),
                  "OUTPUT": Mux(output.r_rdy, output.r_data[:WORD_BITS], 0), **counters,
                  **_identity(design, self._input_bytes)}
        with m.If(self.request):
            m.d.sync += [self.value.eq(0), self.taken.eq(0), self.listed.eq(0)]
            with m.Switch(self.address):
                for register in REGISTERS:
                    for index in range(register.count):
                        with m.Case(register.number + index):
                            right = self.write == (register.access == "w")
                            m.d.sync += [self.listed.eq(right), self.taken.eq(right)]
                            if register.access == "r":
                                word = values[register.name]
                                word = word[index] if register.count > 1 else word
                                m.d.sync += self.value.eq(Mux(self.write, 0, word))
            with m.If((put & ~input_.w_rdy) | (output.r_en & ~output.r_rdy)):
                m.d.sync += self.taken.eq(0)
        return m

    def _feed(self, m: Module, words: SyncFIFOBuffered) -> None:
        """Words into elements."""
        accelerator, width = self._accelerator, 8 * self._input_bytes
        lanes = WORD_BITS // width
        in_last_word = (self._design.network.input_format.size - 1) % lanes
        word, last = Signal(WORD_BITS), Signal()
        left = Signal(range(max(lanes, 2)))
        full = Signal()
        done = full & (left == 0) & accelerator.s_axis_tready
        m.d.comb += [
            accelerator.s_axis_tvalid.eq(full),
            accelerator.s_axis_tdata.eq(word[:len(accelerator.s_axis_tdata)]),
            accelerator.s_axis_tlast.eq(last & (left == 0)),
            words.r_en.eq(~full | done),
        ]
        with m.If(full & accelerator.s_axis_tready):
            m.d.sync += [word.eq(word >> width), left.eq(left - 1)]
        with m.If(words.r_en):
            m.d.sync += [Cat(word, last).eq(words.r_data), full.eq(words.r_rdy),
                         left.eq(Mux(words.r_data[-1], in_last_word, lanes - 1))]

    def _collect(self, m: Module, words: SyncFIFOBuffered) -> None:
        """Results into words."""
        accelerator = self._accelerator
        result = accelerator.m_axis_tdata
        if self._design.network.output_format.signed:
            result = result.as_signed()
        extended = Signal(signed(WORD_BITS))
        m.d.comb += [
            extended.eq(result), words.w_data.eq(Cat(extended, accelerator.m_axis_tlast)),
            words.w_en.eq(accelerator.m_axis_tvalid),
            accelerator.m_axis_tready.eq(words.w_rdy),
        ]


def _word(name: str, parts: dict) -> Cat:
    """Fields of the register `name`, put where the table says."""
    bits = []
    for item in _BY_NAME[name].fields:
        part = Const(parts[item.name]) if isinstance(parts[item.name], int) else parts[item.name]
        bits += [Const(0, item.low - sum(map(len, bits))), *[Cat(part, Const(0, item.width))
                                                             [:item.width]]]
    return Cat(*bits)


def _identity(design: "Design", input_bytes: int) -> dict:
    """Registers that never change."""
    from ...verilog import network_sha256
    network = design.network
    sha256 = bytes.fromhex(network_sha256(network))
    return {
        "MAGIC": Const(MAGIC, WORD_BITS), "VERSION": Const(MAP_VERSION),
        "INPUTS": Const(network.input_format.size), "OUTPUTS": Const(network.output_format.size),
        "FORMAT": _word("FORMAT", {
            "INPUT_BYTES": input_bytes, "INPUT_SIGNED": int(network.input_format.signed),
            "OUTPUT_SIGNED": int(network.output_format.signed)}),
        "IMAGE_CYCLES": Const(design.cycles_per_image),
        "HASH": [Const(int.from_bytes(sha256[at:at + 4], "little"), WORD_BITS)
                 for at in range(0, len(sha256), 4)]}


class RegisterWrapper(Wrapper):
    """Base of the wrappers that are a bus's way to a `RegisterFile`."""

    registers = REGISTERS

    def __init__(self, design: "Design"):
        self._registers = RegisterFile(design)
        super().__init__()

    @classmethod
    def _check(cls, design: "Design") -> None:
        if design.store is not None:
            raise UsageError("weights must be constant behind registers, not loaded at start")
        network = design.network
        for what, fmt in (("elements", network.input_format), ("results", network.output_format)):
            if fmt.bits > WORD_BITS:
                raise ModelError(f"{what} must have at most {WORD_BITS} bits behind registers, not "
                                 f"{fmt.bits}")

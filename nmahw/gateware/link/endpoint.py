"""An accelerator behind a byte line: what a board's top holds beside clock, reset and pins."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect

from ...design import Design
from ...errors import ModelError
from ...link import LOADED_OUTSTANDING, MAX_PAYLOAD_BYTES, OUTSTANDING
from .answers import Answers
from .frames import Deframer, Framer
from .loading import Loading
from .requests import Requests

__all__ = ["Endpoint"]


class Endpoint(wiring.Component):
    """Requests in, replies out, byte by byte; `docs/protocol.md` specifies both.

    Parameters
    ----------
    design : Design
    description : bytes
        What IDENTIFY is answered with; see `nmahw.link.description`.

    Attributes
    ----------
    i, o : In, Out
        Streams of bytes from and to the host.
    busy : Out
        Whether the accelerator computes, or loaded weights are checked.

    Raises
    ------
    ModelError
        An image, or an answer, is too long for a frame.
    """

    i: In(stream.Signature(8))
    o: Out(stream.Signature(8))
    busy: Out(1)

    def __init__(self, design: Design, description: bytes):
        check_lengths(design)
        self._accelerator = accelerator = design.create()
        network, self._layout = design.network, design.schedule.layout
        loads = self._layout is not None
        outstanding = LOADED_OUTSTANDING if loads else OUTSTANDING
        self._requests = Requests(network.input_format.size, len(accelerator.s_axis_tdata) // 8,
                                  loads, outstanding)
        self._answers = Answers(description, network.output_format.size,
                                len(accelerator.m_axis_tdata) // 8, outstanding,
                                "block" if loads else "")
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.accelerator = accelerator = self._accelerator
        m.submodules.requests = requests = self._requests
        m.submodules.answers = answers = self._answers
        m.submodules.deframer = deframer = Deframer()
        m.submodules.framer = framer = Framer()
        connect(m, wiring.flipped(self.i), deframer.i)
        connect(m, deframer.o, requests.i)
        connect(m, requests.reply, answers.reply)
        connect(m, answers.o, framer.i)
        connect(m, framer.o, wiring.flipped(self.o))
        elements, results = requests.elements, answers.results
        m.d.comb += [
            accelerator.s_axis_tdata.eq(elements.payload.data),
            accelerator.s_axis_tlast.eq(elements.payload.last),
            accelerator.s_axis_tvalid.eq(elements.valid),
            elements.ready.eq(accelerator.s_axis_tready),
            results.payload.data.eq(accelerator.m_axis_tdata),
            results.payload.last.eq(accelerator.m_axis_tlast),
            results.valid.eq(accelerator.m_axis_tvalid),
            accelerator.m_axis_tready.eq(results.ready),
            answers.image.eq(requests.image), answers.sequence.eq(requests.sequence),
            answers.reset_link.eq(requests.reset_link),
            answers.bad_frame.eq(requests.counted_bad),
            answers.dropped_image.eq(accelerator.frame_error),
            requests.outstanding.eq(answers.outstanding),
        ]
        if self._layout is None:
            m.d.comb += [requests.loaded.eq(1), self.busy.eq(accelerator.busy)]
        else:
            self._connect_loading(m, requests, answers, accelerator)
        return m

    def _connect_loading(self, m, requests, answers, accelerator) -> None:
        m.submodules.loading = loading = Loading(self._layout)
        m.d.comb += [
            *(getattr(loading, name).eq(getattr(requests, name))
              for name in ("load_valid", "load_address", "load_data", "verify")),
            requests.verified.eq(loading.verified), requests.loaded.eq(loading.loaded),
            answers.check.eq(loading.check),
            *(getattr(accelerator, f"load_{name}").eq(getattr(loading.memory, name))
              for name in ("enable", "write", "address", "data")),
            loading.memory.read.eq(accelerator.load_read),
            # A simulation may rest when nothing is going on.
            self.busy.eq(accelerator.busy | loading.checking),
        ]


def check_lengths(design: Design) -> None:
    """Refuse images and answers that no frame can hold."""
    for what, fmt, more in (("an image", design.network.input_format, 0),
                            ("an answer", design.network.output_format, 4)):
        length = fmt.size * -(-fmt.bits // 8) + more
        if length > MAX_PAYLOAD_BYTES:
            raise ModelError(f"{what} must have at most {MAX_PAYLOAD_BYTES} bytes to fit a frame, "
                             f"not {length}")

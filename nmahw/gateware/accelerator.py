"""The whole accelerator behind AXI4-Stream ports.

One image's elements come in by `s_axis`, its results go out by `m_axis`; images may follow each
other without a gap. Nothing between entry and exit ever stalls: a pass starts only when its
input is complete and its output has room, so its cycles are known beforehand.
"""

from amaranth.hdl import Array, Cat, Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..arith import range_shape
from ..schedule import Schedule
from .common import delayed, delayed_tags, of_images
from .configuration import Configuration
from .engine import Engine
from .entry import Entry
from .exit import Exit
from .exits import Exits
from .feeder import Feeder
from .loaded_weights import loading_signature
from .sequencer import Sequencer, sequencer_fields
from .shared_feeder import SharedFeeder
from .softmax import SoftmaxExit
from .way_out import WayOut, way_out_fields

__all__ = ["Accelerator"]


class Accelerator(wiring.Component):
    """Runs one network on one array.

    Parameters
    ----------
    schedule : Schedule
    trace : bool
        Add ports that show every result written, for finding mismatches.

    Attributes
    ----------
    s_axis_tdata, s_axis_tvalid, s_axis_tready, s_axis_tlast
        Elements of the input, channel by channel, row by row. Bits above the element's width are
        ignored; elements outside the network's input range are computed with as they are, and
        accumulators may then overflow.
    m_axis_tdata, m_axis_tvalid, m_axis_tready, m_axis_tlast
        Results, sign- or zero-extended to whole bytes.
    busy, layer : Out
        Whether a pass runs, and its index.
    frame_error : Out
        Pulse: `s_axis_tlast` came at the wrong element; that image was dropped.
    trace_valid, trace_layer, trace_address, trace_data : Out
        Only with `trace`.
    load_enable, load_write, load_address, load_data, load_read
        Only if weights are loaded at start: see `loading_signature`. No image may be on its way.
    """

    def __init__(self, schedule: Schedule, trace: bool = False):
        self.schedule = schedule
        self.trace = trace
        passes = schedule.passes
        fields = {name: [*values, values[0]] for name, values in way_out_fields(schedule).items()}
        self._configuration = Configuration({**sequencer_fields(schedule), **fields})
        self._entry = Entry(schedule)
        self._exit = (SoftmaxExit(schedule) if schedule.program.softmax else
                      Exit(schedule) if schedule.images == 1 else Exits(schedule))
        self._sequencer = Sequencer(schedule, self._configuration)
        self._engines = [Engine(schedule, index, self._sequencer.signature)
                         for index in range(len(schedule.engines))]
        spans = [span for span in schedule.sum_ranges]
        self._way_out = WayOut(schedule, self._configuration, range_shape(
            min(low for low, _ in spans), max(high for _, high in spans)))
        ports = {
            "s_axis_tdata": In(self._entry.tdata.width), "s_axis_tvalid": In(1),
            "s_axis_tready": Out(1), "s_axis_tlast": In(1),
            "m_axis_tdata": Out(self._exit.tdata.width), "m_axis_tvalid": Out(1),
            "m_axis_tready": In(1), "m_axis_tlast": Out(1),
            "busy": Out(1), "layer": Out(range(max(len(passes), 2))), "frame_error": Out(1),
        }
        if trace:
            ports |= {"trace_valid": Out(1), "trace_layer": Out(range(max(len(passes), 2))),
                      "trace_address": Out(self._way_out.w_addr.shape()),
                      "trace_data": Out(self._way_out.w_data.shape())}
        if schedule.layout is not None:
            # One by one: Verilator mangles the names that nested ports would get.
            ports |= {f"load_{name}": member.flip() for name, member in
                      loading_signature(schedule.layout).members.items()}
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        schedule = self.schedule
        m.submodules.configuration = configuration = self._configuration
        m.submodules.entry = entry = self._entry
        m.submodules.sequencer = sequencer = self._sequencer
        m.submodules.feeder = feeder = (Feeder if schedule.share == 1 else SharedFeeder)(
            schedule, sequencer.signature)
        m.submodules.way_out = way_out = self._way_out
        m.submodules.exit = exit_ = self._exit

        last_pass = sequencer.layer == len(schedule.passes) - 1
        stored = way_out.w_en & ~last_pass
        m.d.comb += [
            # Outside to entry.
            entry.i.payload.data.eq(self.s_axis_tdata), entry.i.payload.last.eq(self.s_axis_tlast),
            entry.i.valid.eq(self.s_axis_tvalid), self.s_axis_tready.eq(entry.i.ready),
            self.frame_error.eq(entry.frame_error),
            # Entry and way out share the activation memory's write port; results go first.
            entry.blocked.eq(stored),
            feeder.w_en.eq(stored.replicate(schedule.images) | entry.w_en),
            feeder.w_addr.eq(Mux(stored, way_out.w_addr, entry.w_addr)),
            *(to.eq(Mux(stored, result, entry.w_data)) for to, result in zip(
                of_images(feeder.w_data, schedule.images),
                of_images(way_out.w_data, schedule.images), strict=True)),
            # Sequencer.
            sequencer.input_full.eq(entry.full), sequencer.output_free.eq(exit_.free),
            sequencer.done.eq(way_out.done),
            entry.release.eq(sequencer.input_release),
            entry.release_bank.eq(sequencer.input_bank),
            configuration.entry.eq(sequencer.entry), configuration.load.eq(sequencer.fetch),
            *(getattr(feeder, name).eq(delayed(m, getattr(sequencer, name), schedule.lead_cycles,
                                               f"lead_{name}"))
              for name in ("address", "tap", "phase")),
            way_out.start.eq(sequencer.start),
            # Results of the last pass to the exit and outside.
            exit_.w_en.eq(way_out.w_en & last_pass), exit_.w_addr.eq(way_out.w_addr),
            *(to.eq(result) for to, result in zip(
                of_images(exit_.w_data, schedule.images),
                of_images(way_out.w_data, schedule.images), strict=True)),
            exit_.w_done.eq(way_out.done),
            self.m_axis_tdata.eq(exit_.o.payload.data), self.m_axis_tlast.eq(exit_.o.payload.last),
            self.m_axis_tvalid.eq(exit_.o.valid), exit_.o.ready.eq(self.m_axis_tready),
            self.busy.eq(sequencer.busy), self.layer.eq(sequencer.layer),
        ]
        if schedule.share > 1:
            m.d.comb += feeder.strobe.eq(sequencer.tags.valid & sequencer.tags.first_phase)
        if schedule.images > 1:
            self._connect_batch(m, entry, sequencer, exit_)
        self._connect_engines(m, sequencer, feeder, way_out)
        if self.trace:
            m.d.comb += [self.trace_valid.eq(way_out.w_en), self.trace_layer.eq(sequencer.layer),
                         self.trace_address.eq(way_out.w_addr),
                         self.trace_data.eq(of_images(way_out.w_data, schedule.images)[0])]
        return m

    @staticmethod
    def _connect_batch(m: Module, entry, sequencer, exit_) -> None:
        """What entry and exit have to know of a batch."""
        waits = ~sequencer.busy & (sequencer.layer == 0)
        m.d.comb += entry.wanted.eq(Cat(waits & ~sequencer.input_bank,
                                        waits & sequencer.input_bank))
        # Its input may be filled again long before its results leave.
        with m.If(sequencer.start & (sequencer.layer == 0)):
            m.d.sync += exit_.count.eq(Array(entry.counts)[sequencer.input_bank])

    def _connect_engines(self, m: Module, sequencer, feeder, way_out) -> None:
        """Steps to all engines, sums from the one whose pass it is."""
        schedule, cfg = self.schedule, self._configuration
        several = len(self._engines) > 1
        tags = delayed_tags(m, sequencer.tags, schedule.lead_cycles, "lead_tags")
        for index, engine in enumerate(self._engines):
            m.submodules[f"engine{index}" if several else "engine"] = engine
            chosen = cfg["engine"] == index if several else 1
            for row in range(schedule.images * schedule.rows):
                if row < schedule.rows:
                    m.d.comb += engine.phases[row].eq(feeder.phases[row])
                for tap in range(schedule.taps):
                    m.d.comb += engine.activations[row][tap].eq(feeder.activations[row][tap])
            if engine.arithmetic.holds_weights:
                m.d.comb += [engine.load.eq(sequencer.load & chosen),
                             engine.start.eq(sequencer.start),
                             engine.load_base.eq(cfg["load_base"])]
            else:
                m.d.comb += engine.weight.eq(sequencer.weight)
            m.d.comb += [engine.tags.eq(tags), engine.tags.valid.eq(tags.valid & chosen)]
            if schedule.layout is not None:
                m.d.comb += [engine.step.eq(sequencer.tags.valid & sequencer.tags.first_phase),
                             engine.loaded.eq(cfg["loaded"])]
                m.d.comb += [getattr(engine.loading, name).eq(getattr(self, f"load_{name}"))
                             for name in ("enable", "write", "address", "data")]
                m.d.comb += self.load_read.eq(engine.loading.read)
        m.d.comb += way_out.emit.eq(self._engines[0].emit)
        for column in range(schedule.images * schedule.columns):
            m.d.comb += way_out.sums[column].eq(self._engines[0].sums[column])
        # Passes do not overlap, so the running one's engine is the one that emits.
        for index, engine in enumerate(self._engines[1:], 1):
            with m.If(cfg["engine"] == index):
                m.d.comb += way_out.emit.eq(engine.emit)
                for column in range(schedule.images * schedule.columns):
                    m.d.comb += way_out.sums[column].eq(engine.sums[column])

"""An engine: an array with one arithmetic, its weights and its accumulators."""

from amaranth.hdl import Cat, Module, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..schedule import Schedule
from .accumulators import EARLY_CYCLES, Accumulators
from .array import SystolicArray
from .common import Tags, delayed_tags, image_suffix, of_images
from .loaded_weights import LoadedWeights, loading_signature
from .weights import HeldWeights, WeightMemory

__all__ = ["Engine"]


class Engine(wiring.Component):
    """Activations to sums.

    Parameters
    ----------
    schedule : Schedule
    index : int
        Which of its engines.
    sequencer_signature : Signature
        For the shapes of the steps.

    Attributes
    ----------
    activations, phases : In
        Of each row, from the feeder; activations of row r of image i in place ``i * rows + r``.
    weight, load, start, load_base : In
        The step's weight tile; or, if weights are held: the next tile is wanted; a pass begins;
        where its weights lie.
    step, loaded, loading : In
        Only if weights are loaded at start: see `LoadedWeights`.
    tags : In
        Tags of the step that the sequencer shows, valid only if it is one of the engine's passes.
    sums, emit : Out
        See `Accumulators`.
    """

    def __init__(self, schedule: Schedule, index: int, sequencer_signature):
        self.schedule, self.index = schedule, index
        self.arithmetic = schedule.engines[index]
        self.accumulators = Accumulators(schedule, index)
        held = self.arithmetic.holds_weights
        stored = schedule.layout is not None
        self.weights = (HeldWeights(schedule, index) if held else
                        LoadedWeights(schedule, sequencer_signature) if stored else
                        WeightMemory(schedule, index, sequencer_signature))
        members = sequencer_signature.members
        super().__init__({
            "activations": In(unsigned(schedule.activation_bits))
            .array(schedule.images * schedule.rows, schedule.taps),
            "phases": In(members["phase"].shape).array(schedule.rows),
            **({"load": In(1), "start": In(1), "load_base": In(self.weights.base.shape())}
               if held else {"weight": In(members["weight"].shape)}),
            **({"step": In(1), "loaded": In(1), "loading": In(loading_signature(schedule.layout))}
               if stored else {}),
            "tags": In(Tags),
            "sums": Out(self.accumulators.sum_shape).array(schedule.images * schedule.columns),
            "emit": Out(Tags),
        })

    def elaborate(self, platform):
        m = Module()
        schedule, arithmetic = self.schedule, self.arithmetic
        held = arithmetic.holds_weights
        arrays = [SystolicArray(arithmetic, schedule.rows, schedule.columns, schedule.hop, held)
                  for _ in range(schedule.images)]
        for image, array in enumerate(arrays):
            m.submodules[f"array{image_suffix(image)}"] = array
        m.submodules.weights = weights = self.weights
        m.submodules.accumulators = accumulators = self.accumulators
        for image, array in enumerate(arrays):
            self._connect_rows(m, image, array)
        if held:
            m.d.comb += [weights.load.eq(self.load), weights.start.eq(self.start),
                         weights.base.eq(self.load_base),
                         *(array.load_step.eq(weights.step) for array in arrays)]
        else:
            m.d.comb += weights.tile.eq(self.weight)
        if schedule.layout is not None:
            m.d.comb += [weights.step.eq(self.step), weights.loaded.eq(self.loaded)]
            wiring.connect(m, wiring.flipped(self.loading), weights.loading)
        tags = delayed_tags(m, self.tags, schedule.array_cycles(arithmetic) - EARLY_CYCLES, "tags")
        m.d.comb += [accumulators.tags.eq(tags), self.emit.eq(accumulators.emit)]
        for image, array in enumerate(arrays):
            if hasattr(array, "correction"):
                correction = of_images(accumulators.correction, schedule.images)[image]
                m.d.comb += correction.eq(array.correction)
            for column in range(schedule.columns):
                place = image * schedule.columns + column
                m.d.comb += [accumulators.psums[place].eq(array.psums[column]),
                             self.sums[place].eq(accumulators.sums[place])]
                if held:
                    m.d.comb += array.load_data[column].eq(weights.data[column])
        return m

    def _connect_rows(self, m: Module, image: int, array: SystolicArray) -> None:
        """Activations and weights of one image's array."""
        schedule, arithmetic, weights = self.schedule, self.arithmetic, self.weights
        bits = arithmetic.activation.bits
        for row in range(schedule.rows):
            unit = arithmetic.create_row_unit()
            m.submodules[f"row_unit{row}{image_suffix(image)}"] = unit
            lanes = self.activations[image * schedule.rows + row]
            taps = [lanes[tap][:bits] for tap in range(arithmetic.taps)]
            m.d.comb += [unit.activations.eq(Cat(taps)), unit.phase.eq(self.phases[row]),
                         array.symbols[row].eq(unit.symbol)]
            if arithmetic.holds_weights:
                m.d.comb += array.loads[row].eq(weights.loads[row])
            else:
                for column in range(schedule.columns):
                    m.d.comb += array.codes[row][column].eq(weights.codes[row][column])

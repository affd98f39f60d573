"""Control of the matrix kernel: whose turn it is to load, who computes, what a slot is for.

Whatever decides in a slot is a single register, made ready in the cycle before it from others that
were made ready in the slot before: with arithmetics whose slot is one cycle, this logic runs as
fast as the array. So it is told a cycle early whether there will be a word.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..kernel import Kernel
from .common import delayed

__all__ = ["KernelControl", "SlotTags"]


class SlotTags(data.Struct):
    """What is said about a slot on its way to the accumulators."""

    valid: 1
    keep: 1
    emit: 1


class Countdown:
    """Tells when some turns have gone by; `last` is the counter's sign, so nothing is compared.

    Parameters
    ----------
    name : str
    turns : int
        From the turn with `start` to the last one, at least 1.
    gone : int
        How many of them have gone by after a reset.
    """

    def __init__(self, name: str, turns: int, gone: int = 0):
        self.turns = turns
        self.left = Signal(range(-1, max(turns, 1)), name=f"{name}_left", init=turns - 1 - gone)

    @property
    def last(self) -> Value:
        """Whether the last turn has come; in the turn with `start` it is still the one before."""
        return self.left[-1]

    def restart(self) -> list:
        """Statements that go back to what is there after a reset."""
        return [self.left.eq(self.left.init)]

    def advance(self, start: Value) -> list:
        """Statements that end a turn, the one with `start` or a later one."""
        # One addition, without a choice behind it.
        return [self.left.eq(Mux(start, 0, self.left) + Mux(start, self.turns - 2, -1))]


class KernelControl(wiring.Component):
    """See the module's text.

    Attributes
    ----------
    strobe : In
        A slot may begin in this cycle, or the next if slots are longer than a cycle.
    slot_strobe : Out
        It does, as a bubble or not: the cycle that everything else is counted from.
    weights : In stream
        Codes.
    words_valid : In
        There will be a word of activations in the next cycle.
    rounds, start, started, idle
        See `MatrixKernel`.
    code, shift, take, begin, free, complete
        For `WeightLoader`.
    turn : Out
        One-hot: the row that loads.
    going : Out
        With `slot_strobe`: the slot is no bubble.
    going_next : Out
        The next cycle's `going`.
    active : Out
        The rows that take part in it.
    tags, position : Out
        What it is for.
    """

    def __init__(self, kernel: Kernel):
        self.kernel = kernel
        code = unsigned(kernel.arithmetic.weight_code_bits)
        super().__init__({
            "strobe": In(1), "slot_strobe": Out(1), "weights": In(stream.Signature(code)),
            "words_valid": In(1),
            "rounds": In(8), "start": In(1), "started": Out(1), "idle": Out(1),
            "code": Out(code), "shift": Out(1), "take": Out(1), "begin": Out(1), "free": In(1),
            "complete": In(1),
            "turn": Out(kernel.rows), "going": Out(1), "going_next": Out(1),
            "active": Out(kernel.rows), "tags": Out(SlotTags),
            "position": Out(range(kernel.positions)),
        })

    def elaborate(self, platform):
        m = Module()
        kernel, rows = self.kernel, self.kernel.rows
        claim, codes_ready = Signal(), self._codes(m)

        running, flushing, pending, clearing = Signal(), Signal(), Signal(), Signal()
        computing = Signal(rows)  # `active`, but for the row whose turn to load it is
        row = Signal(rows, init=1)  # one-hot: the last row that had its turn, or has it
        visit = Signal(init=1)  # its turn begins in this slot
        last_round = Signal()
        final = Signal()  # with this slot the last row is done
        ready = Signal(name="load_ready")  # no row's turn begins that would have to get codes
        # The same of the slot after this one, so that all who decide look at registers.
        at_once = kernel.stagger_slots == 1 and rows > 1
        row_next = Signal(rows, init=2 if at_once else 1)
        visit_next = Signal(init=at_once)
        ready_next = Signal(name="load_ready_next", init=not at_once)
        left = Signal(signed(9), name="rounds_left")
        left_then = Signal(signed(9), name="rounds_left_then")
        m.d.sync += left_then.eq(left - 1)  # a round is longer than a cycle
        last_round_next = left[-1]
        # Slots from the turn of a row to the last one before the next row's.
        stagger = Countdown("stagger", max(kernel.stagger_slots - 1, 1), gone=1)
        next_row = (stagger.last & ~visit_next if kernel.stagger_slots > 1 else Const(1)
                    ) & ~row_next[-1]
        period = Countdown("round", kernel.round_slots, gone=2)
        place_last = Signal()  # the last position
        # Slots until the row that loads is back, less the one of its turn.
        away = Countdown("away", max(kernel.idle_slots - 1, 1))
        returning = Signal()
        go = self.going
        free = running & (ready | codes_ready)
        if kernel.phases > 1:
            m.d.comb += self.going_next.eq(self.strobe & free & self.words_valid)
            m.d.sync += [self.slot_strobe.eq(self.strobe), go.eq(self.going_next)]
        else:
            # A turn is longer than a slot, so `codes_ready` need not know of this slot's claim,
            # nor of the last one's: it is cleared two cycles late.
            after = ~final & (ready_next | codes_ready)
            m.d.comb += self.going_next.eq(Mux(go, after, free) & self.words_valid)
            m.d.sync += go.eq(self.going_next)
            m.d.comb += self.slot_strobe.eq(self.strobe)
        m.d.comb += [
            claim.eq(go & visit & ~last_round),
            self.take.eq(delayed(m, claim, 1, "take", reset=True)),
            self.idle.eq(~running & ~flushing & ~pending),
            self.active.eq(computing & ~Mux(visit, row, 0)),
            self.tags.valid.eq(go | (self.slot_strobe & flushing)),
            self.tags.keep.eq(~clearing & ~flushing),
            self.tags.emit.eq((clearing & pending) | flushing),
        ]
        self._begin_loads(m)

        with m.If(go | (self.slot_strobe & flushing)):
            m.d.sync += [self.position.eq(self.position + 1),
                         place_last.eq(self.position == kernel.positions - 2)]
        with m.If(go):
            with m.If(place_last):
                m.d.sync += [clearing.eq(0), pending.eq(pending & ~clearing)]
            # Who computes.
            m.d.sync += [computing.eq(self.active | Mux(returning & away.last, self.turn, 0)),
                         returning.eq(returning & ~away.last)]
            with m.If(visit):
                m.d.sync += [self.turn.eq(row), returning.eq(~last_round)]
                if kernel.idle_slots == 1:
                    m.d.sync += [computing.eq(self.active | Mux(last_round, 0, row)),
                                 returning.eq(0)]
            with m.If(final):
                m.d.sync += [running.eq(0), pending.eq(1)]
            # Whose turn is next, and after that.
            m.d.sync += [*away.advance(visit), *stagger.advance(visit_next),
                         *period.advance(period.last),
                         visit.eq(visit_next), row.eq(row_next), last_round.eq(last_round_next),
                         final.eq(visit_next & last_round_next & row_next[-1]),
                         ready.eq(ready_next),
                         ready_next.eq(Mux(period.last, left_then[-1],
                                           ~next_row | last_round_next)),
                         visit_next.eq(period.last | next_row)]
            with m.If(period.last):
                m.d.sync += [row_next.eq(1), left.eq(left_then)]
            with m.Elif(next_row):
                m.d.sync += row_next.eq(row_next << 1)
        with m.If(self.slot_strobe & flushing & place_last):
            m.d.sync += [flushing.eq(0), pending.eq(0)]
        # Between slots: the next block, or the sums of the last one on their own. Their first
        # position may be the last one's last, whose sum takes five cycles to be written back.
        rested = delayed(m, ~running, 5, "rested") if kernel.phases < 5 else 1
        restart = Signal()  # a register: what it acts on is spread out
        m.d.sync += restart.eq(~running & ~flushing & ~restart & rested & (self.start | pending))
        with m.If(restart):
            m.d.sync += [self.position.eq(0), place_last.eq(0), returning.eq(0),
                         visit.eq(1), row.eq(1), last_round.eq(0), final.eq(0), ready.eq(0),
                         visit_next.eq(at_once), row_next.eq(row_next.init),
                         ready_next.eq(not at_once), *period.restart(), *stagger.restart()]
            with m.If(self.start):
                m.d.comb += self.started.eq(1)
                m.d.sync += [running.eq(1), clearing.eq(1), left.eq(self.rounds)]
            with m.Elif(pending):
                m.d.sync += flushing.eq(1)
        return m

    def _codes(self, m: Module) -> Signal:
        """Whether the next row's codes are in their places; `take` says that they were."""
        places = Countdown("code", self.kernel.columns, gone=1)
        arrived = Countdown("arrived", self.kernel.columns, gone=1)
        ready = Signal(name="codes_ready")
        open_ = Signal(init=1)  # codes may come in
        m.d.comb += [
            self.code.eq(self.weights.payload), self.weights.ready.eq(open_),
            self.shift.eq(open_ & self.weights.valid),
        ]
        with m.If(self.shift):
            m.d.sync += places.advance(places.last)
            with m.If(places.last):
                m.d.sync += open_.eq(0)
        with m.If(self.complete):
            m.d.sync += arrived.advance(arrived.last)
            with m.If(arrived.last):
                m.d.sync += ready.eq(1)
        with m.If(self.free):
            m.d.sync += open_.eq(1)
        # In time: who looks for the next row's codes does so a turn later, and none of these can
        # be complete before `free`, which follows `take`.
        with m.If(self.take):
            m.d.sync += ready.eq(0)
        return ready

    def _begin_loads(self, m: Module) -> None:
        """Row r begins to load when the first symbol that says so reaches it, r cycles later."""
        begins = Signal(self.kernel.rows + self.kernel.begin_cycles - 2)
        inserted = Signal.like(begins)
        m.d.comb += [inserted[self.kernel.begin_cycles - 2:].eq(Mux(self.take, self.turn, 0)),
                     self.begin.eq(begins[0])]
        m.d.sync += begins.eq(Cat(begins[1:], 0) | inserted)

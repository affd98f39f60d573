"""Proofs of the arithmetics, and that what is wrong is refuted."""

import re

import numpy as np
import pytest
from amaranth.hdl import Module, Mux, Signal

from nmahw.arith import ARITHMETICS, ColumnUnit, Element, Operand, RowUnit
from nmahw.arith._multiplier import MultiplierArithmetic, MultiplierElement
from nmahw.arith.bit_serial import BitSerial, BitSerialElement
from nmahw.cli import run
from nmahw.errors import BuildError, MismatchError, ModelError
from nmahw.formal.aig import Graph, read_aiger
from nmahw.formal.proof import MOST_OPERAND_BITS, check_golden, prove, prove_step
from nmahw.formal.solve import satisfy
from nmahw.formal.step import MOST_LOAD_CYCLES, Step
from rtl import step_results


def width(kind, bits):
    """Bits of activation and weight together, as the arithmetic takes them."""
    arithmetic = instance(kind, bits, True)
    return arithmetic.activation.bits + arithmetic.weight.bits


def instance(kind, bits, signed):
    return kind.nearest(Operand(bits, signed), Operand(bits, True))


#: Floats of 16 bits and more have more operands than can be listed.
LISTABLE = [kind for kind in ARITHMETICS if width(kind, 8) <= MOST_OPERAND_BITS]
SMALL = [kind for kind in LISTABLE if width(kind, 4) <= 12 and not kind.holds_weights]
#: Their taps have codes together, of which all are listed.
HELD = [kind for kind in LISTABLE if kind.holds_weights
        and instance(kind, 4, True).load_cycles <= MOST_LOAD_CYCLES]


# Four bits without a sign are among the long tests: all of these take half a minute of one core.
@pytest.mark.parametrize("bits, signed", [
    (4, True), (3, False), pytest.param(4, False, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", SMALL, ids=lambda kind: kind.name)
def test_proved_at_few_bits(kind, bits, signed):
    proof = prove(instance(kind, bits, signed))
    assert proof.holds, f"{proof.arithmetic}: {proof.counterexample}"


@pytest.mark.long
@pytest.mark.parametrize("kind", HELD, ids=lambda kind: kind.name)
def test_held_weights_and_all_they_make_at_once(kind):
    """Load unit, elements and column in one question, which only few bits allow."""
    step = Step(kind(Operand(4, True), Operand(16 // kind.taps, True)), rows=1)
    assert prove_step(step, together=False) is None
    for signed in (False, True):
        assert prove_step(Step(kind(Operand(3, signed), Operand(1, True)), rows=1)) is None


@pytest.mark.long
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("kind", [kind for kind in LISTABLE if not kind.holds_weights],
                         ids=lambda kind: kind.name)
def test_proved_at_eight_bits(kind, signed):
    proof = prove(instance(kind, 8, signed))
    assert proof.holds, f"{proof.arithmetic}: {proof.counterexample}"


@pytest.mark.parametrize("kind", LISTABLE, ids=lambda kind: kind.name)
def test_golden_is_the_operation_at_eight_bits(kind):
    for signed in (False, True):
        check_golden(instance(kind, 8, signed))


# Arithmetics with a mistake each.

class WrongCorner(MultiplierArithmetic):
    """Wrong for one pair of operands only: -8 * -8 overflows."""

    name = "wrong_corner"

    def create(self, row=0):
        return WrongCornerElement(self, row)


class WrongCornerElement(MultiplierElement):
    def elaborate(self, platform):
        m = Module()
        x, w = Signal(self.arithmetic.activation.shape), Signal(self.arithmetic.weight.shape)
        product = Signal(x.shape().width + w.shape().width - 1, reset_less=True)
        m.d.comb += [x.eq(self.symbol), w.eq(self.weight)]
        m.d.sync += product.eq(x * w)
        self.add_to_psum(m, product.as_signed())
        return m


class WrongPsum(BitSerial):
    """Right as long as the element above says 0: no test of one row sees it."""

    name = "wrong_psum"

    def create(self, row=0):
        return WrongPsumElement(self, row)


class WrongPsumElement(BitSerialElement):
    def elaborate(self, platform):
        m = Module()
        weight = Signal(self.arithmetic.weight.shape)
        m.d.comb += weight.eq(Mux(self.symbol, self.weight, 0))
        self.add_to_psum(m, weight - (self.psum_i == 3))
        return m


class WrongState(BitSerial):
    """Keeps something of the step before: its first phase does not begin anew."""

    name = "wrong_state"

    def create_column_unit(self, rows):
        return WrongStateColumnUnit(self, rows)


class WrongStateColumnUnit(ColumnUnit):
    def elaborate(self, platform):
        m = Module()
        fresh = self.first & ~self.value[0]
        m.d.sync += self.value.eq(Mux(fresh, -self.psum, (self.value << 1) + self.psum))
        return m


class WrongInactive(MultiplierArithmetic):
    """A row that is not active contributes all the same."""

    name = "wrong_inactive"

    def create(self, row=0):
        return MultiplierElement(self, row)

    def create_row_unit(self):
        return AlwaysActiveRowUnit(self)


class AlwaysActiveRowUnit(RowUnit):
    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.symbol.eq(self.activations)
        return m


S4 = Operand(4, True)


def recomputed(counterexample) -> int:
    """The definition, in plain integers."""
    return sum(x * w for xs, ws in zip(counterexample.x, counterexample.w, strict=True)
               for x, w in zip(xs, ws, strict=True) if x is not None)


def test_a_single_wrong_pair_is_found():
    arithmetic = WrongCorner(S4, S4)
    proof = prove(arithmetic)
    assert not proof.holds
    found = proof.counterexample
    assert (found.x, found.w) == (((-8,), (None,)), ((-8,), (None,)))
    assert (found.value, found.expected) == (-64, 64)
    assert str(found) == ("x=-8 w=-8: the value must be 64 (0x40), not -64 (0xffffffc0)")
    # It is what a simulation shows.
    assert step_results(arithmetic, [(-8, -8)]) == [-64]


@pytest.mark.parametrize("kind", [WrongPsum, WrongState, WrongInactive],
                         ids=lambda kind: kind.name)
def test_what_one_step_alone_does_not_show_is_found(kind):
    arithmetic = kind(S4, S4)
    pairs = [(x, w) for x in arithmetic.activation.values for w in arithmetic.weight.values]
    if kind is WrongPsum:
        # Exhaustive simulation of one row finds nothing.
        assert step_results(arithmetic, pairs) == [x * w for x, w in pairs]
    proof = prove(arithmetic)
    assert not proof.holds
    assert proof.counterexample.expected == recomputed(proof.counterexample)
    assert proof.counterexample.value != proof.counterexample.expected
    if kind is WrongPsum:
        assert proof.counterexample.x[0] != (None,)


def test_a_wrong_golden_model_is_refused():
    class WrongGolden(WrongCorner):
        name = "wrong_golden"

        def compute(self, x, w):
            return np.asarray(x) * np.asarray(w) + (np.asarray(x) == 3) * (np.asarray(w) == -5)

    with pytest.raises(MismatchError, match=r"for x=3 w=-5 it is -14, not -15"):
        check_golden(WrongGolden(S4, S4))


def test_an_error_bound_is_held_to():
    class Coarse(MultiplierArithmetic):
        name, exact = "coarse", False
        bound = 3.0

        @property
        def error_bound(self):
            return self.bound

        def compute(self, x, w):
            return (np.asarray(x) * np.asarray(w)) & ~3

        def create(self, row=0):
            return CoarseElement(self, row)

    class CoarseElement(MultiplierElement):
        def elaborate(self, platform):
            m = Module()
            x, w = Signal(S4.shape), Signal(S4.shape)
            product = Signal(8, reset_less=True)
            m.d.comb += [x.eq(self.symbol), w.eq(self.weight)]
            m.d.sync += product.eq((x * w) & ~3)
            self.add_to_psum(m, product.as_signed())
            return m

    proof = prove(Coarse(S4, S4))
    assert proof.holds
    assert proof.statement == "value = golden model, within 3 of product"
    Coarse.bound = 2.0
    with pytest.raises(MismatchError, match="must be within 2 of product"):
        prove(Coarse(S4, S4))


def test_operands_that_cannot_be_listed_are_refused():
    wide = ARITHMETICS.get("fabric")(Operand(16, True), Operand(8, True))
    with pytest.raises(ModelError, match="must have operands of at most 18 bits together"):
        prove(wide)


def test_tables_that_load_for_long_are_refused():
    class Slow(BitSerial):
        name = "slow"

        @property
        def load_cycles(self):
            return MOST_LOAD_CYCLES + 1

    with pytest.raises(ModelError, match="must load its weights within 32 cycles"):
        prove(Slow(S4, S4))


def test_codes_must_be_fields_or_few():
    class Tangled(MultiplierArithmetic):
        name, taps = "tangled", 2

        def create(self, row=0):
            return Element(self, row)

        def encode_weights(self, weights, used=None):
            return np.abs(weights[..., 0] * weights[..., 1]).astype(object)

    wide = Operand(11, True)
    with pytest.raises(ModelError, match="at most 20 bits of weights an element to be proved, "
                                         "not 22: its taps have a code together"):
        prove(Tangled(S4, wide))


# The machinery.

def test_graph_operations_are_those_of_integers():
    graph = Graph()
    a, b = graph.word(4), graph.word(4)
    total, equal = graph.add(a, b), graph.equal(a, b)
    entries = [(7 * index + 3) % 16 for index in range(16)]
    looked_up = graph.table(a, entries, 4)
    for p in range(16):
        for q in range(16):
            bits = {literal >> 1: bool(value >> index & 1)
                    for word, value in ((a, p), (b, q)) for index, literal in enumerate(word)}
            numbers = [sum(bit << i for i, bit in enumerate(graph.evaluate(word, bits)))
                       for word in (total, [equal], looked_up)]
            assert numbers == [(p + q) % 16, p == q, entries[p]]


def test_the_solver_finds_the_only_solution():
    graph = Graph()
    word = graph.word(8)
    model = satisfy(graph, graph.equal(word, graph.constant(0xA5, 8)))
    assert [model[literal >> 1] for literal in word] == [bool(0xA5 >> i & 1) for i in range(8)]
    assert satisfy(graph, graph.and_(word[0], word[0] ^ 1)) is None
    assert satisfy(graph, 1) == {}


def test_the_solver_is_given_up():
    graph = Graph()
    # 24-bit factoring into primes, by a multiplier of gates: far more than a hundredth of a second.
    a, b = graph.word(32), graph.word(32)
    total = graph.constant(0, 64)
    for shift, bit in enumerate(b):
        row = [0] * shift + [graph.and_(bit, p) for p in a] + [0] * (32 - shift)
        total = graph.add(total, row)
    product = 4294967291 * 4294967279
    question = graph.all([graph.equal(total, graph.constant(product, 64)),
                          graph.equal(a, graph.constant(1, 32)) ^ 1,
                          graph.equal(b, graph.constant(1, 32)) ^ 1])
    with pytest.raises(BuildError, match="z3 did not end within 0.1 s"):
        satisfy(graph, question, timeout_s=0.1)


def test_aiger_files_are_read_in_any_order():
    machine = read_aiger("aag 4 1 1 1 2\n2\n4 9 1\n8\n8 6 4\n6 2 4\n"
                         "i0 a[0]\no0 q\nc\nwritten by hand\n")
    graph = Graph()
    outputs, state = machine.unroll(graph, [1], {"a": [1]})
    assert (outputs["q"], state) == ([1], [0])
    assert [latch.initial for latch in machine.latches] == [1]


# The command.

def test_command_shows_what_is_proved(capsys):
    assert run(["prove", "dsp", "--bits", "3x2", "--unsigned"]) == 0
    out = capsys.readouterr().out
    assert "value = sum of product" in out
    assert re.search(r"dsp +\W* *s3 +\W* *u2 ", out)


def test_command_shows_a_counterexample(capsys, monkeypatch):
    monkeypatch.setitem(ARITHMETICS._entries, "wrong_corner", WrongCorner)
    assert run(["prove", "wrong_corner", "--bits", "4x4"]) == MismatchError.exit_code
    captured = capsys.readouterr()
    assert "refuted" in captured.out
    assert "wrong_corner s4xs4: for x=-8 w=-8: the value must be 64" in captured.err


@pytest.mark.parametrize("arguments, message", [
    (["prove", "nothing"], "arithmetic must be one of"),
    (["prove", "--bits", "4"], "bits must be WEIGHTxACTIVATION"),
    (["prove", "--bits", "4x0"], "activation bits must be 1..16, not 0"),
    (["prove", "dsp", "dsp"], "arithmetics must be different"),
])
def test_command_refuses(capsys, arguments, message):
    assert run(arguments) == 2
    assert message in capsys.readouterr().err

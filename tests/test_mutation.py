"""Mutants of the elements, and the stimulus that has to kill them."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from nmahw.arith import ARITHMETICS, Operand
from nmahw.errors import ModelError
from nmahw.formal.aig import Machine
from nmahw.formal.step import Step, StepCircuit
from nmahw.formal.stimulus import stimulus
from nmahw.mutate import Mutant, is_equivalent, mutants, run_mutants, score

SMALL = [kind for kind in ARITHMETICS if kind.activation_bits[0] + kind.weight_bits[0] <= 12]


def instance(kind, signed=True):
    # Of held weights, whose taps have a code together, 16 bits in all.
    bits = 16 // kind.taps if kind.holds_weights else 4
    return kind.nearest(Operand(4, signed), Operand(bits, True)).provable


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("kind", SMALL, ids=lambda kind: kind.name)
def test_column_of_two_rows(kind, signed):
    """The stimulus that mutants are held to is a test itself, in Amaranth's simulator."""
    arithmetic = instance(kind, signed)
    given, circuit = stimulus(arithmetic), StepCircuit(arithmetic, 2)
    value = circuit.ports["value"]
    shown = []

    async def bench(ctx):
        for inputs, step in given.cycles():
            for name, number in inputs.items():
                ctx.set(circuit.ports[name], number)
            if step is not None:
                shown.append(ctx.get(value))
            await ctx.tick()

    simulator = Simulator(circuit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert shown == given.values()


@pytest.mark.parametrize("name", ["bit_serial", "quarter_square_rom",
                                  pytest.param("distributed_binary", marks=pytest.mark.long)])
def test_mutants_are_killed(name):
    result = score(instance(ARITHMETICS.get(name)), 60, seed=3)
    assert result.mutants == 60
    assert result.ratio >= 0.95, result.survivors


def test_a_poor_stimulus_lets_mutants_live():
    arithmetic = instance(ARITHMETICS.get("fabric"))
    step, given = Step(arithmetic), stimulus(arithmetic)
    drawn = mutants(step.machine, 200)
    poor = type(given)(arithmetic, *(array[:3] for array in (given.x, given.w, given.used,
                                                             given.active)))
    live = [sum(first is None for first in run_mutants(step.machine, drawn, part))
            for part in (given, poor)]
    assert live[0] * 3 < live[1]


def test_equivalence_is_decided():
    arithmetic = instance(ARITHMETICS.get("bit_serial"))
    step = Step(arithmetic)
    output, a, _ = step.machine.gates[-1]
    assert is_equivalent(step, Mutant("wire", len(step.machine.gates) - 1, 0, a))
    outputs = {literal & ~1 for literal in step.machine.outputs["value"]}
    shown = next(index for index, latch in enumerate(step.machine.latches)
                 if latch.literal in outputs)
    stuck = Mutant("one", len(step.machine.gates) + shown, 0, 1)
    assert not is_equivalent(step, stuck)


def test_lanes_are_what_mutants_do_alone():
    arithmetic = instance(ARITHMETICS.get("fabric"))
    machine, given = Step(arithmetic).machine, stimulus(arithmetic)
    drawn = mutants(machine, 12, seed=1)
    together = run_mutants(machine, drawn, given)
    for mutant, first in zip(drawn, together, strict=True):
        alone = mutant.of(machine)
        assert isinstance(alone, Machine) and alone != machine
        if first is None:
            assert run_mutants(alone, [], given) == []
        else:
            with pytest.raises(ModelError, match=f"wrong in step {first}$"):
                run_mutants(alone, [], given)


def test_stimulus_holds_every_pair_at_every_row():
    given = stimulus(instance(ARITHMETICS.get("fabric")))
    for row in range(2):
        counted = given.used[:, row, 0] & given.active[:, row]
        pairs = np.stack([given.x[counted, row, 0], given.w[counted, row, 0]], axis=1)
        assert len(np.unique(pairs, axis=0)) == 256
    assert not given.used.all() and not given.active.all()

"""The matrix kernel in Amaranth's simulator against its golden model, with stalls."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from oracle import OPERATIONS

from nmahw.arith import ARITHMETICS, Operand
from nmahw.errors import ModelError, UsageError
from nmahw.kernel import Kernel

SHAPES = [(1, 1), (3, 2), (2, 9), (4, 4)]


def run_kernel(kernel: Kernel, blocks, stall: float = 0.0, seed: int = 0):
    """Sums of each block (positions, columns), and the cycles from first to last."""
    rng = np.random.default_rng(seed)
    dut = kernel.create()
    codes = [code for _, w in blocks for code in kernel.weight_words(w)]
    words = [word for x, _ in blocks for word in kernel.activation_words(x)]
    rounds = [kernel.rounds(len(w)) for _, w in blocks]
    sums = [np.full((kernel.positions, kernel.columns), 1 << 60) for _ in blocks]
    cycles = 0

    def source(port, items):
        async def bench(ctx):
            for item in items:
                while rng.random() < stall:
                    await ctx.tick()
                ctx.set(port.payload, item)
                ctx.set(port.valid, 1)
                await ctx.tick().until(port.ready)
                ctx.set(port.valid, 0)
        return bench

    async def starter(ctx):
        for count in rounds:
            while rng.random() < stall:
                await ctx.tick()
            ctx.set(dut.rounds, count - 1)
            ctx.set(dut.start, 1)
            await ctx.tick().until(dut.started)
            ctx.set(dut.start, 0)

    async def monitor(ctx):
        nonlocal cycles
        seen, due = 0, []
        limit = (sum(kernel.block_slots(r) for r in rounds) + 3 * kernel.positions
                 + 400) * kernel.phases * (1 + round(10 * stall)) + 40 * len(codes)
        while seen < len(blocks) * kernel.positions or due:
            cycles += 1
            assert cycles < limit, "the kernel stopped answering"
            _, _, valid, position, *values = await ctx.tick().sample(
                dut.sums_valid, dut.sums_position, *dut.sums)
            if valid:
                due.append([0, seen // kernel.positions, position])
                seen += 1
            for entry in due:
                late, block, position = entry
                for column in range(late * kernel.hop, min((late + 1) * kernel.hop,
                                                           kernel.columns)):
                    sums[block][position, column] = values[column]
                entry[0] += 1
            due = [entry for entry in due if entry[0] < kernel.groups]

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    for bench in (source(dut.weights, codes), source(dut.activations, words), starter, monitor):
        simulator.add_testbench(bench)
    simulator.run()
    return [s - kernel.offsets(w) for s, (_, w) in zip(sums, blocks, strict=True)], cycles


def some_blocks(kernel: Kernel, taps: list[int], seed: int = 1):
    rng = np.random.default_rng(seed)
    arithmetic = kernel.arithmetic
    blocks = []
    for count in taps:
        x = rng.integers(arithmetic.activation.low, arithmetic.activation.high + 1,
                         (kernel.positions, count))
        values = np.array(arithmetic.weight.values) if arithmetic.weight.bits <= 16 else \
            rng.integers(arithmetic.weight.low, arithmetic.weight.high + 1, 4096)
        values = values[values == type(arithmetic).project(values)]
        blocks.append((x, rng.choice(values, (count, kernel.columns))))
    return blocks


def small(name: str, rows: int, columns: int, operands) -> Kernel:
    """The kernel with the fewest positions that let the rows load in turn."""
    value = ARITHMETICS.get(name).nearest(*operands).value_shape(rows)
    for positions in (16, 32, 64, 128, 256, 512, 1024):
        try:
            return Kernel.of(name, rows, columns, *operands, positions=positions,
                             sum_bits=24 if value.width < 20 else 48)
        except UsageError:
            continue
    raise AssertionError("no number of positions will do")


@pytest.mark.parametrize("name, shape", [
    pytest.param(name, shape, id=f"{name}-{shape[0]}x{shape[1]}",
                 marks=[] if shape == (3, 2) or name == "distributed" else pytest.mark.long)
    for name in ARITHMETICS.names() for shape in SHAPES])
def test_sums(name, shape):
    signed = shape[0] % 2 == 1
    kernel = small(name, *shape, (Operand(4, signed), Operand(4, True)))
    taps = [kernel.lanes, 2 * kernel.lanes + 1, 1]
    blocks = some_blocks(kernel, taps[:2] if kernel.phases > 4 else taps)
    results, _ = run_kernel(kernel, blocks, stall=0.3 if shape == (3, 2) else 0.0)
    for result, (x, w) in zip(results, blocks, strict=True):
        assert result.tolist() == kernel.predict(x, w).tolist()
        apply = OPERATIONS.get(kernel.arithmetic.operation)
        if kernel.arithmetic.exact and apply:
            assert result[3].tolist() == [
                sum(apply(int(a), int(b)) for a, b in zip(x[3], column, strict=True))
                for column in w.T]


@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_rows_that_load_one_slot_after_the_other(stall):
    kernel = Kernel.of("binary", 2, 1, Operand(8, False), Operand(4, True), positions=16)
    assert kernel.stagger_slots == 1 and kernel.phases > 1
    blocks = some_blocks(kernel, [kernel.lanes, 3 * kernel.lanes, 1])
    results, _ = run_kernel(kernel, blocks, stall)
    for result, (x, w) in zip(results, blocks, strict=True):
        assert result.tolist() == kernel.predict(x, w).tolist()


def test_short_blocks_do_not_overtake_their_sums():
    # One row, one round: a block ends with the position that the next one begins with.
    kernel = small("float_multiply_e4m3", 1, 1, (Operand(4, True), Operand(4, True)))
    blocks = some_blocks(kernel, [kernel.lanes] * 3)
    results, _ = run_kernel(kernel, blocks)
    for result, (x, w) in zip(results, blocks, strict=True):
        assert result.tolist() == kernel.predict(x, w).tolist()


def test_cycles_are_those_of_the_closed_form():
    kernel = small("bit_serial", 3, 2, (Operand(4, False), Operand(4, True)))
    cycles = []
    for rounds in (1, 2, 5):
        blocks = some_blocks(kernel, [rounds * kernel.lanes])
        cycles.append(run_kernel(kernel, blocks)[1])
    slots = [kernel.block_slots(rounds) for rounds in (1, 2, 5)]
    assert cycles[1] - cycles[0] == (slots[1] - slots[0]) * kernel.phases
    assert cycles[2] - cycles[0] == (slots[2] - slots[0]) * kernel.phases


def test_refuses_what_cannot_be():
    operands = Operand(8, False), Operand(8, True)
    with pytest.raises(UsageError, match="rows must be an integer of 1..64, not 0"):
        Kernel.of("dsp", 0, 4, *operands)
    with pytest.raises(UsageError, match="positions must be a power of two of 16..1024, not 17"):
        Kernel.of("dsp", 4, 4, *operands, positions=17)
    with pytest.raises(UsageError, match=r"positions must be at least \d+, so that 16 rows"):
        Kernel.of("dsp", 16, 16, *operands, positions=16)
    with pytest.raises(UsageError, match="accumulators must have"):
        Kernel.of("dsp", 4, 4, *operands, sum_bits=10)
    kernel = Kernel.of("dsp", 4, 4, *operands, positions=64)
    with pytest.raises(ModelError, match="a block must have activations"):
        kernel.predict(np.zeros((3, 3), dtype=int), np.zeros((3, 4), dtype=int))
    with pytest.raises(ModelError, match="activations must be of u8, not -1..0"):
        kernel.predict(np.full((64, 3), -1) * np.arange(3).clip(0, 1), np.zeros((3, 4), dtype=int))

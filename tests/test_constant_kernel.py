"""The kernel with built-in weights in Amaranth's simulator against plain products."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from oracle import OPERATIONS

from nmahw.arith import ARITHMETICS, Operand
from nmahw.errors import ModelError
from nmahw.gateware.constant_kernel import ConstantKernel, check_constants


def run(kernel: ConstantKernel, words: list[int], stall: float) -> list[list[int]]:
    rng = np.random.default_rng(3)
    sums = []

    async def source(ctx):
        for word in words:
            while rng.random() < stall:
                await ctx.tick()
            ctx.set(kernel.activations.payload, word)
            ctx.set(kernel.activations.valid, 1)
            await ctx.tick().until(kernel.activations.ready)
            ctx.set(kernel.activations.valid, 0)

    async def monitor(ctx):
        due = []
        cycles = 0
        while len(sums) < len(words) or due:
            cycles += 1
            assert cycles < 100 * len(words) + 400, "the kernel stopped answering"
            _, _, valid, *values = await ctx.tick().sample(kernel.sums_valid, *kernel.sums)
            if valid:
                sums.append([0] * kernel.columns)
                due.append([0, sums[-1]])
            for entry in due:
                columns = slice(entry[0] * kernel.hop, (entry[0] + 1) * kernel.hop)
                entry[1][columns] = values[columns]
                entry[0] += 1
            due = [entry for entry in due if entry[0] * kernel.hop < kernel.columns]

    simulator = Simulator(kernel)
    simulator.add_clock(1e-6)
    simulator.add_testbench(source)
    simulator.add_testbench(monitor)
    simulator.run()
    return sums


@pytest.mark.parametrize("name", ["distributed", "distributed_binary", "bit_serial",
                                  "quarter_square", "l1", "shift"])
@pytest.mark.parametrize("signed", [False, True])
def test_sums(name, signed):
    arithmetic = ARITHMETICS.get(name).nearest(Operand(5, signed), Operand(5, True))
    rng = np.random.default_rng(signed)
    taps, columns, count = 3 * arithmetic.taps - signed, 9, 12
    weights = arithmetic.project(rng.integers(-16, 16, (taps, columns)))
    kernel = ConstantKernel(arithmetic, weights)
    lanes = kernel.rows * arithmetic.taps
    x = rng.integers(arithmetic.activation.low, arithmetic.activation.high + 1, (count, lanes))
    x[:, taps:] = 0
    mask = (1 << arithmetic.activation.bits) - 1
    words = [sum((int(v) & mask) << (k * arithmetic.activation.bits) for k, v in enumerate(row))
             for row in x]
    apply = OPERATIONS[arithmetic.operation]
    expected = [[sum(apply(int(a), int(b)) for a, b in zip(row, w, strict=False))
                 for w in weights.T] for row in x]
    result = np.array(run(kernel, words, 0.3 if signed else 0.0)) - kernel.offsets
    if arithmetic.operation == "product":  # padded taps have weight 0
        assert result.tolist() == expected
    elif lanes == taps:
        assert result.tolist() == expected


def test_refuses_a_correction_column():
    arithmetic = ARITHMETICS.get("fair_square").nearest(Operand(4, False), Operand(4, True))
    with pytest.raises(ModelError, match="no correction column, but fair_square does"):
        check_constants(arithmetic, np.ones((2, 2), dtype=int))

"""The parallel AdderNet kernel, and the same with products, against numpy and plain Python."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from amaranth.sim import Simulator

from nmahw.arith import Operand
from nmahw.gateware.l1_kernel import L1Kernel, ProductKernel

KINDS = {
    "l1": L1Kernel(), "product": ProductKernel(),
    "unsigned l1": L1Kernel(4, 3, Operand(6, False), Operand(6, False), 0, 10, 5),
    "l1 of wide weights": L1Kernel(8, 2, Operand(4, False), Operand(6, True), 2, 8, 4),
    "saturating l1": L1Kernel(8, 2, Operand(8, True), Operand(8, True), 2, 8, 4),
    "one input": L1Kernel(1, 2, Operand(5, True), Operand(5, True), 1, 6, 4),
}


def blocks_of(kernel, count):
    """Random blocks of positions; the first ones at the operands' corners."""
    rng = np.random.default_rng(3)
    x_low, x_high = kernel.activation.low, kernel.activation.high
    w_low, w_high = kernel.weight.low, kernel.weight.high
    blocks = []
    for index in range(count):
        positions = kernel.positions - index % 2
        x = rng.integers(x_low, x_high + 1, (positions, kernel.inputs))
        w = rng.integers(w_low, w_high + 1, (positions, kernel.outputs, kernel.inputs))
        if index < 3:
            x[:], w[:] = [(x_low, w_high), (x_high, w_low), (x_high, min(x_high, w_high))][index]
        blocks.append((x, w))
    return blocks


def plain(kernel, x, w):
    """One block's results in plain Python."""
    term = (lambda a, b: a * b) if isinstance(kernel, ProductKernel) else \
        (lambda a, b: -abs(a - b))
    limit = 2**(kernel.result_bits - 1)
    results = []
    for output in range(kernel.outputs):
        total = 0
        for xs, ws in zip(x.tolist(), w.tolist(), strict=True):
            part = sum(term(a, b) for a, b in zip(xs, ws[output], strict=True))
            rounded = floor(Fraction(part, 2**kernel.shift) + (
                Fraction(1, 2) if kernel.shift else 0))
            total += min(max(rounded, -limit), limit - 1)
        results.append(total)
    return results


def run(kernel, blocks):
    """Accumulators after each block, positions separated by cycles that are none."""
    dut, results = kernel.create(), []
    rng = np.random.default_rng(9)

    async def bench(ctx):
        due = []
        for cycle, step in enumerate(steps):
            for index, value in enumerate(step["x"]):
                ctx.set(dut.x[index], value)
            for output, row in enumerate(step["w"]):
                for index, value in enumerate(row):
                    ctx.set(dut.w[output][index], value)
            ctx.set(dut.valid, step["valid"])
            ctx.set(dut.first, step["first"])
            if step["last"]:
                due.append(cycle + kernel.latency_cycles)
            if cycle in due:
                results.append([ctx.get(value) for value in dut.sums])
            await ctx.tick()

    steps = []
    for x, w in blocks:
        for position in range(len(x)):
            for valid in [False] * int(rng.integers(0, 2)) + [True]:
                steps.append({"x": x[position].tolist(), "w": w[position].tolist(), "valid": valid,
                              "first": position == 0, "last": valid and position == len(x) - 1})
    steps += [{**steps[-1], "valid": False, "last": False}] * (kernel.latency_cycles + 1)
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return results


@pytest.mark.parametrize("name", KINDS)
def test_golden_is_plain_arithmetic(name):
    kernel = KINDS[name]
    for x, w in blocks_of(kernel, 5):
        assert kernel.compute(x, w).tolist() == plain(kernel, x, w)


@pytest.mark.parametrize("name", [name for name in KINDS if name != "product"])
def test_hardware_is_the_golden_model(name):
    kernel = KINDS[name]
    blocks = blocks_of(kernel, 5)
    assert run(kernel, blocks) == [kernel.compute(x, w).tolist() for x, w in blocks]


def test_products():
    kernel = ProductKernel(4, 2, Operand(5, True), Operand(5, True), 3, 6, 4)
    blocks = blocks_of(kernel, 5)
    assert run(kernel, blocks) == [kernel.compute(x, w).tolist() for x, w in blocks]

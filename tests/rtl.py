"""Drives hardware in Amaranth's simulator; used by the tests of elements and accelerators."""

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Module
from amaranth.sim import Simulator

from nmahw.arith import Arithmetic
from nmahw.design import Design


def step_results(arithmetic: Arithmetic, pairs: list[tuple[int, int]], psum: int = 0) -> list[int]:
    """Value of one step for each (activation, weight), through row unit, element, column unit.

    An element that takes several activations gets each pair at another of its taps; the others
    are unused and get arbitrary activations. The step's offset is taken from the value. A pair
    whose weight is None stands for a row that is not active, with an arbitrary weight.
    """
    element, row_unit = arithmetic.create(row=1), arithmetic.create_row_unit()
    column_unit = arithmetic.create_column_unit(rows=2)
    m = Module()
    m.submodules += [element, row_unit, column_unit]
    if arithmetic.correction_shape(2) is not None:
        m.submodules.correction = correction = arithmetic.create_correction(row=1)
        m.d.comb += [correction.symbol.eq(row_unit.symbol),
                     column_unit.correction.eq(correction.psum_o)]
    m.d.comb += [element.symbol.eq(row_unit.symbol), column_unit.psum.eq(element.psum_o),
                 element.psum_i.eq(psum)]
    phases = arithmetic.phases(arithmetic.activation)
    to_psum = arithmetic.row_latency_cycles + arithmetic.latency_cycles
    to_value = to_psum + arithmetic.column_latency_cycles
    if arithmetic.holds_weights:
        m.submodules.load_unit = load_unit = arithmetic.create_load_unit()
        m.d.comb += element.load_data.eq(load_unit.data)
    rng = np.random.default_rng(0)
    weights = np.zeros((len(pairs), arithmetic.taps), dtype=np.int64)
    used = np.zeros(weights.shape, dtype=bool)
    activations = rng.integers(
        arithmetic.activation.low, arithmetic.activation.high + 1, weights.shape)
    offsets = []
    for index, (x, w) in enumerate(pairs):
        if w is None:
            offsets.append(0)
            w = int(arithmetic.project(np.array(arithmetic.weight.high)))
        else:
            offset = arithmetic.step_offset(np.array([[w]], dtype=np.int64),
                                            arithmetic.activation)
            offsets.append(int(offset[0]))
        # Loading takes long: a weight that is held stays at its tap.
        tap = (w if arithmetic.holds_weights else index) % arithmetic.taps
        weights[index, tap] = w
        used[index, tap] = True
        activations[index, tap] = x
    codes = [int(c) for c in arithmetic.encode_weights(weights, used)]
    mask = (1 << arithmetic.activation.bits) - 1
    words = [sum((int(x) & mask) << (tap * arithmetic.activation.bits)
                 for tap, x in enumerate(row)) for row in activations]
    results = []

    async def held_bench(ctx):
        # One pair after the other, weight by weight: load, then the step.
        to_load = arithmetic.load_latency_cycles
        results.extend([0] * len(pairs))
        loaded = None
        for index in sorted(range(len(pairs)), key=codes.__getitem__):
            ctx.set(load_unit.code, codes[index])
            again = codes[index] != loaded
            loaded = codes[index]
            for cycle in range((arithmetic.load_cycles + to_load) * again):
                ctx.set(load_unit.step, min(cycle, arithmetic.load_cycles - 1))
                ctx.set(element.load, cycle >= to_load)
                ctx.set(element.load_step, max(cycle - to_load, 0))
                await ctx.tick()
            ctx.set(element.load, 0)
            ctx.set(row_unit.activations, words[index])
            ctx.set(row_unit.active, pairs[index][1] is not None)
            for cycle in range(phases + to_value):
                ctx.set(row_unit.phase, max(phases - 1 - cycle, 0))
                ctx.set(column_unit.first, cycle == to_psum)
                ctx.set(column_unit.last, cycle == to_psum + phases - 1)
                if cycle == to_value + phases - 1:
                    results[index] = ctx.get(column_unit.value) - offsets[index]
                await ctx.tick()

    async def bench(ctx):
        for cycle in range(len(pairs) * phases + to_value):
            # Weight codes come with the symbols, not with the activations.
            arrived = cycle - arithmetic.row_latency_cycles
            if 0 <= arrived < len(pairs) * phases:
                ctx.set(element.weight, codes[arrived // phases])
            if cycle < len(pairs) * phases:
                index, phase = divmod(cycle, phases)
                ctx.set(row_unit.activations, words[index])
                ctx.set(row_unit.phase, phases - 1 - phase)
                ctx.set(row_unit.active, pairs[index][1] is not None)
            phase = (cycle - to_psum) % phases
            ctx.set(column_unit.first, phase == 0)
            ctx.set(column_unit.last, phase == phases - 1)
            if cycle >= to_value and (cycle - to_value) % phases == phases - 1:
                results.append(ctx.get(column_unit.value) - offsets[len(results)])
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(held_bench if arithmetic.holds_weights else bench)
    simulator.run()
    return results


@dataclass
class Run:
    """What `run_accelerator` saw."""

    outputs: list[list[int]]
    cycles_by_pass: list[int]
    total_cycles: int
    frame_errors: int


async def load_weights(ctx, dut, image: bytes) -> None:
    """Write what an accelerator wants to have loaded."""
    ctx.set(dut.load_enable, 1)
    ctx.set(dut.load_write, 1)
    for address, byte in enumerate(image):
        ctx.set(dut.load_address, address)
        ctx.set(dut.load_data, byte)
        await ctx.tick()
    ctx.set(dut.load_write, 0)
    ctx.set(dut.load_enable, 0)


def run_accelerator(design: Design, images: np.ndarray, stall: float = 0.0, seed: int = 0,
                    frames: list[tuple[list[int], int]] | None = None,
                    expected: int | None = None) -> Run:
    """Stream `images` through the accelerator in Amaranth's simulator.

    Parameters
    ----------
    stall : float
        Probability that either side pauses in a cycle.
    frames : list of (elements, index of tlast or -1), optional
        What to send instead of whole images.
    expected : int, optional
        Images to wait for, when fewer come out than went in.
    """
    rng = np.random.default_rng(seed)
    dut = design.create()
    width_in, width_out = len(dut.s_axis_tdata), len(dut.m_axis_tdata)
    signed = design.network.output_format.signed
    if frames is None:
        frames = [([int(v) for v in image.ravel()], image.size - 1) for image in images]
    expected = len(frames) if expected is None else expected
    run = Run([], [0] * len(design.schedule.passes), 0, 0)

    async def driver(ctx):
        if design.schedule.layout is not None:
            await load_weights(ctx, dut, design.schedule.layout.image)
        for elements, last in frames:
            for index, value in enumerate(elements):
                while rng.random() < stall:
                    await ctx.tick()
                ctx.set(dut.s_axis_tdata, value & ((1 << width_in) - 1))
                ctx.set(dut.s_axis_tlast, int(index == last))
                ctx.set(dut.s_axis_tvalid, 1)
                await ctx.tick().until(dut.s_axis_tready)
                ctx.set(dut.s_axis_tvalid, 0)

    async def monitor(ctx):
        row, held = [], None
        limit = (expected * design.cycles_per_image * 3 + sum(len(f) for f, _ in frames) * 8
                 + 10_000 + (0 if design.schedule.layout is None
                             else len(design.schedule.layout.image)))
        while len(run.outputs) < expected:
            if run.total_cycles > limit:
                raise TimeoutError("the accelerator stopped answering")
            ready = rng.random() >= stall
            ctx.set(dut.m_axis_tready, int(ready))
            _, _, busy, layer, valid, value, last, error = await ctx.tick().sample(
                dut.busy, dut.layer, dut.m_axis_tvalid, dut.m_axis_tdata, dut.m_axis_tlast,
                dut.frame_error)
            run.total_cycles += 1
            run.cycles_by_pass[layer] += busy
            run.frame_errors += error
            if held is not None:
                assert (valid, value, last) == (1, *held), "payload must hold until taken"
            held = (value, last) if valid and not ready else None
            if valid and ready:
                row.append(value - (1 << width_out) * (signed and value >> (width_out - 1)))
                if last:
                    run.outputs.append(row)
                    row = []

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(driver)
    simulator.add_testbench(monitor)
    simulator.run()
    return run

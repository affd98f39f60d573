"""Whole data sets through the RTL: images in, every answer and every cycle count out.

The emitted Verilog, compiled to a native program, gets the images as a stream; several
processes share them. All of it is compared by `nmahw.mismatch`.
"""

import selectors
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .cache import Cache
from .errors import BuildError, MismatchError, UsageError
from .toolchain import ProcessGroup
from .verilate import build_simulator
from .verilog import Port, read_ports

if TYPE_CHECKING:
    from .design import Design

__all__ = ["SimulationSettings", "SimulationResult", "TraceRecord", "simulate", "trace_image"]

_MAGIC = 0x4D49535748414D4E
_HEADER = 8


@dataclass(frozen=True)
class SimulationSettings:
    """How the streams behave.

    Parameters
    ----------
    stall_seed : int, optional
        Seed of random stalls on both streams; None for none.
    stall_probability : float
        Probability of a stall in a cycle, on each stream, 0..0.99.
    reset_cycle : int, optional
        Reset in this cycle (of every process), then go on with the first unanswered image.
    """

    stall_seed: int | None = None
    stall_probability: float = 0.25
    reset_cycle: int | None = None

    def __post_init__(self):
        if not 0 <= self.stall_probability <= 0.99:
            raise UsageError(f"stall probability must be 0..0.99, not {self.stall_probability}")
        for name in ("stall_seed", "reset_cycle"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 2**62:
                raise UsageError(f"{name} must be at least 0, not {value}")

    def arguments(self, job: int) -> list[str]:
        """Command line of the harness for one process."""
        given = []
        if self.stall_seed is not None:
            given = [f"--stall-seed={self.stall_seed + job}",
                     f"--stall-in={self.stall_probability}",
                     f"--stall-out={self.stall_probability}"]
        if self.reset_cycle is not None:
            given.append(f"--reset-cycle={self.reset_cycle}")
        return given


@dataclass(frozen=True)
class TraceRecord:
    """A result the accelerator wrote: pass, physical address, value, clock cycle."""

    layer: int
    address: int
    value: int
    cycle: int


@dataclass(frozen=True)
class SimulationResult:
    """What the hardware did.

    Attributes
    ----------
    outputs : int64 array (images, outputs)
        Every output element of every image.
    pass_cycles : int64 array (images or batches, passes)
        Cycles each pass took for each image, or for each batch of images in lockstep.
    latency_cycles : int64 array (images,)
        From an image's first element in to its last one out, inclusive; waiting for the image
        before it is part of it.
    total_cycles : int
        Simulated clock cycles of all processes together.
    frame_errors : int
        Pulses of the port of that name.
    wall_s : float
        Time the simulation took, compilation left out.
    settings : SimulationSettings
    starts : tuple of int
        First image of each process.
    """

    outputs: np.ndarray
    pass_cycles: np.ndarray
    latency_cycles: np.ndarray
    total_cycles: int
    frame_errors: int
    wall_s: float
    settings: SimulationSettings
    starts: tuple[int, ...]

    @property
    def cycles_per_second(self) -> float:
        """Simulated cycles per second of wall-clock time, all processes together."""
        return self.total_cycles / self.wall_s


def simulate(design: "Design", images: np.ndarray, *, jobs: int = 2,
             stall_seed: int | None = None, stall_probability: float = 0.25,
             reset_cycle: int | None = None, cache: Cache | None = None,
             progress: Callable[[int, int], None] = lambda done, total: None,
             say: Callable[[str], None] = lambda text: None) -> SimulationResult:
    """Stream images through a design's RTL.

    Parameters
    ----------
    design : Design
    images : integer array (images, *input shape)
    jobs : int
        Processes; the images are split evenly.
    stall_seed, stall_probability, reset_cycle
        See `SimulationSettings`.
    cache : Cache, optional
        Where compiled simulations are kept.
    progress : callable
        Called with the number of answered images and of all images.
    say : callable
        Told that compiling begins.

    Raises
    ------
    ModelError
        The images are not inputs of the network.
    MismatchError
        The hardware broke a rule of its streams, or stopped.
    EnvironmentProblem, BuildError
        See `build_simulator`.
    """
    if type(jobs) is not int or jobs < 1:
        raise UsageError(f"jobs must be an integer of at least 1, not {jobs!r}")
    settings = SimulationSettings(stall_seed, stall_probability, reset_cycle)
    images = design.network.check_input(images)
    if not len(images):
        raise UsageError("there must be at least one image to simulate")
    rtlil = design.rtlil()
    program, ports = build_simulator(rtlil, cache, say), _ports(rtlil)
    starts = tuple(len(images) * job // jobs for job in range(jobs))
    starts = tuple(sorted(set(starts)))
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="nmahw-") as folder:
        commands = [
            _command(design, program, ports, images[start:end], Path(folder) / str(job),
                     [*settings.arguments(job), f"--first-image={start}"])
            for job, (start, end) in enumerate(zip(starts, (*starts[1:], len(images)),
                                                   strict=True))]
        _run_all(commands, lambda done: progress(done, len(images)))
        parts = [_read(design, ports, Path(folder) / str(job), settings)[0]
                 for job in range(len(starts))]
    return replace(
        parts[0], starts=starts, wall_s=time.perf_counter() - begun,
        total_cycles=sum(part.total_cycles for part in parts),
        frame_errors=sum(part.frame_errors for part in parts),
        **{name: np.concatenate([getattr(part, name) for part in parts])
           for name in ("outputs", "pass_cycles", "latency_cycles")})


def trace_image(design: "Design", images: np.ndarray, result: SimulationResult, image: int,
                cache: Cache | None = None, say: Callable[[str], None] = lambda text: None
                ) -> tuple[list[TraceRecord], np.ndarray]:
    """Run up to one image again, exactly as before, and record what it writes to memory.

    Parameters
    ----------
    design : Design
    images : integer array (images, *input shape)
        The same as in the run that gave `result`.
    result : SimulationResult
    image : int
    cache, say
        As for `simulate`.

    Returns
    -------
    list of TraceRecord
        Empty when the design has no trace ports.
    integer array (outputs,)
        The image's answer.
    """
    images = design.network.check_input(images)
    # The ports show one image: of those in lockstep, the same array with each alone.
    design = replace(design, images=1) if design.images > 1 else design
    job = max(index for index, start in enumerate(result.starts) if start <= image)
    start = result.starts[job]
    rtlil = design.rtlil(trace=True)
    program, ports = build_simulator(rtlil, cache, say), _ports(rtlil)
    with tempfile.TemporaryDirectory(prefix="nmahw-") as folder:
        command = _command(design, program, ports, images[start:image + 1], Path(folder) / "0",
                           [*result.settings.arguments(job), f"--trace-image={image - start}"])
        _run_all([command], lambda done: None)
        again, trace = _read(design, ports, Path(folder) / "0", result.settings)
    return trace, again.outputs[-1]


def _ports(rtlil: str) -> dict[str, Port]:
    return {port.name: port for port in read_ports(rtlil)}


def _command(design: "Design", program: Path, ports: dict[str, Port], images: np.ndarray,
             stem: Path, more: list[str]) -> list[str]:
    """Write the images beside `stem` and give the harness's command line."""
    network = design.network
    width = ports["s_axis_tdata"].width
    bits = images.reshape(len(images), -1).astype(np.int64) & ((1 << width) - 1)
    stem.with_suffix(".images").write_bytes(bits.astype("<u4").tobytes())
    # A stalled stream is slower by its probability; 8 images without a sign of life are plenty.
    watchdog = 20_000 + 8 * (design.schedule.batch_cycles + network.input_format.size)
    layout = design.schedule.layout
    if layout is not None:
        stem.with_suffix(".weights").write_bytes(layout.image)
        more = [*more, f"--weights={stem}.weights"]
    return [str(program), f"--images={stem}.images", f"--result={stem}.result",
            f"--inputs={network.input_format.size}", f"--outputs={network.output_format.size}",
            f"--passes={len(design.program.passes)}", f"--watchdog={watchdog}", *more]


def _run_all(commands: list[list[str]], progress: Callable[[int], None]) -> None:
    """Run processes side by side; when one fails or the user interrupts, end them all."""
    group = ProcessGroup()
    processes = []
    try:
        with selectors.DefaultSelector() as selector:
            for command in commands:
                process = group._start(lambda command=command: subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE, start_new_session=True,
                    cwd=Path(command[0]).parent))
                processes.append(process)
                selector.register(process.stdout, selectors.EVENT_READ, len(processes) - 1)
            done = [0] * len(processes)
            while selector.get_map():
                for key, _ in selector.select():
                    line = key.fileobj.readline()
                    if not line:
                        selector.unregister(key.fileobj)
                        _judge(processes[key.data])
                        continue
                    done[key.data] = int(line)
                    progress(sum(done))
    finally:
        group.stop()
        for process in processes:
            process.stdout.close()
            process.stderr.close()
            process.wait()


def _judge(process: subprocess.Popen) -> None:
    text = process.stderr.read().decode(errors="replace").strip()
    code = process.wait()
    if code == 3:
        raise MismatchError(f"simulation: {text}")
    if code:
        raise BuildError(f"the simulation must end by itself, but ended with code {code}: {text}")


def _read(design: "Design", ports: dict[str, Port], stem: Path,
          settings: SimulationSettings) -> tuple[SimulationResult, list[TraceRecord]]:
    raw = np.fromfile(f"{stem}.result", dtype="<i8")
    if len(raw) < _HEADER or raw[0] != _MAGIC or raw[1] != 1:
        raise BuildError("the simulation's result must be one of this version's harness")
    images, outputs, passes, total, frame_errors, records = (int(v) for v in raw[2:_HEADER])
    sizes = (images * outputs, images * passes, images * 2, records * 4)
    if len(raw) != _HEADER + sum(sizes):
        raise BuildError("the simulation's result must be whole")
    answers, cycles, times, trace = np.split(raw[_HEADER:], np.cumsum(sizes)[:-1])
    times = times.reshape(-1, 2)
    cycles = cycles.reshape(images, passes)
    if design.images > 1:
        # The harness counts batch by batch, as many as there were.
        cycles = cycles[cycles.any(axis=1)]
    answers = _from_bits(answers, ports["m_axis_tdata"].width,
                         design.network.output_format.signed)
    trace = trace.reshape(-1, 4)
    if records:
        trace[:, 2] = _from_bits(trace[:, 2], ports["trace_data"].width,
                                 ports["trace_data"].signed)
    result = SimulationResult(
        answers.reshape(images, outputs), cycles,
        times[:, 1] - times[:, 0] + 1, total, frame_errors, 0.0, settings, (0,))
    return result, [TraceRecord(*(int(v) for v in row)) for row in trace]


def _from_bits(bits: np.ndarray, width: int, signed: bool) -> np.ndarray:
    bits = bits & ((1 << width) - 1) if width < 64 else bits
    return np.where(bits >> (width - 1) & 1, bits - (1 << width), bits) \
        if signed and width < 64 else bits

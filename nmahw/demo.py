"""The whole way of the data in one call: a trained network to a placed and routed accelerator.

Golden model, Verilog, simulation bit for bit, certificate, place and route, report. Simulation
and place and route need nothing of each other and run side by side, sharing the jobs.
"""

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .bundled import load_model, sample_for
from .cache import Cache
from .compare import Comparison, compare
from .datasets import Images
from .design import Design
from .devices import device as find_device
from .errors import BuildError
from .files import check_writable, write_atomically
from .mismatch import check_cycles, compare_with_golden
from .network import Network
from .report import write_html, write_json
from .report_plots import require_matplotlib
from .simulate import simulate
from .toolchain import find, prewarm
from .workbench import Workbench

__all__ = ["Check", "DemoPlan", "DemoResult", "FULL", "QUICK", "run_demo"]


@dataclass(frozen=True)
class DemoPlan:
    """What a demo shows.

    Attributes
    ----------
    model : str
        Bundled network.
    device : str
    rows, columns : int
        Shape of the array.
    images : mapping of str to int or None
        Arithmetics to build, and on how many images of the sample each is simulated (None: all).
    baselines : tuple of str
        Which of them the certificate has to refuse.
    seeds : tuple of int
        Of place and route.
    """

    model: str
    device: str
    rows: int
    columns: int
    images: Mapping[str, int | None]
    baselines: tuple[str, ...] = ("dsp", "booth")
    seeds: tuple[int, ...] = (1,)


#: LeNet-5 on the largest array that leaves `make demo` well within its six minutes.
FULL = DemoPlan("lenet5-w8a8", "ecp5-45k", 4, 4,
                {"quarter_square": None, "bit_serial": 64, "dsp": 64, "booth": 64})
#: A small network through the same stages, in about a minute.
QUICK = DemoPlan("digits-w4a4", "ecp5-25k", 2, 2,
                 {"quarter_square": None, "bit_serial": 64, "dsp": 64, "booth": 64})


@dataclass(frozen=True)
class Check:
    """What one arithmetic's simulation showed: all of it equal to the golden model.

    Attributes
    ----------
    arithmetic : str
    images, outputs : int
        Compared.
    cycles_per_image : int
        As predicted and, pass by pass, as simulated.
    simulated_cycles : int
    cycles_per_second : float
        Of simulation.
    """

    arithmetic: str
    images: int
    outputs: int
    cycles_per_image: int
    simulated_cycles: int
    cycles_per_second: float


@dataclass(frozen=True)
class DemoResult:
    """Everything a demo found out.

    Attributes
    ----------
    plan : DemoPlan
    network : Network
    images : int
    accuracy : float
        Of the golden model on all of them, 0..1.
    checks : tuple of Check
    comparison : Comparison
        With every row's certificate.
    paths : mapping of str to Path
        What was written.
    """

    plan: DemoPlan
    network: Network
    images: int
    accuracy: float
    checks: tuple[Check, ...]
    comparison: Comparison
    paths: Mapping[str, Path]


class _SharedBench(Workbench):
    """A workbench that lends one of its slots to work done outside it."""

    @contextmanager
    def lend(self) -> Iterator[None]:
        """Hold a slot while the block runs."""
        with self._slots:
            yield


def run_demo(directory: str | os.PathLike, plan: DemoPlan = FULL, jobs: int = 2, *,
             say: Callable[[str], None] = lambda text: None,
             progress: Callable[[int, int], None] = lambda done, total: None,
             cache: Cache | None = None) -> DemoResult:
    """Go the whole way and write everything to `directory`.

    Parameters
    ----------
    directory : path
    plan : DemoPlan
    jobs : int
        Programs that run at the same time.
    say : callable
        Told what happens, from any thread.
    progress : callable
        Called with the number of simulated images and of all.
    cache : Cache, optional

    Raises
    ------
    MismatchError
        Hardware and golden model differ; or, as `CertificateError`, a design that must have no
        multiplier has one.
    BuildError
        A design could not be built.
    EnvironmentProblem
        A tool is missing, or `directory` cannot be written to.
    """
    directory = Path(directory)
    paths = {"figures": directory / "report.json", "report": directory / "report.html",
             "picture": directory / "report.png", "simulation": directory / "simulation.json"}
    for path in paths.values():
        check_writable(path)
    # Whatever is missing is told now, not after minutes.
    require_matplotlib()
    yosys = find("yosys")
    for tool in ("verilator", find_device(plan.device).rules.place_tool):
        find(tool)
    bench = _SharedBench(cache or Cache(), jobs, say)

    network = load_model(plan.model)
    images = sample_for(network)
    accuracy = images.accuracy(network.classify(images.x))
    say(f"golden model of {network.title}: {100 * accuracy:.2f} % of {len(images)} images right")
    # Both sides call Yosys; its first run must be alone.
    prewarm([yosys], say, bench.group)
    designs = {name: Design.of(network, name, plan.rows, plan.columns) for name in plan.images}

    def place() -> Comparison:
        return compare(network, list(plan.images), plan.device, plan.rows, plan.columns,
                       plan.seeds, accuracy=accuracy, baselines=plan.baselines, bench=bench)

    with _in_background(place, bench) as comparison_of:
        with bench.lend():
            checks = tuple(_check(design, images.first(plan.images[name]), jobs, bench, progress)
                           for name, design in designs.items())
        say("every simulated output equals the golden model's; waiting for place and route")
        comparison = comparison_of()
    for name, design in designs.items():
        paths[f"Verilog, {name}"] = _emit(design, directory / "verilog" / name, bench.cache)
    write_atomically(paths["simulation"], json.dumps([vars(check) for check in checks], indent=1))
    write_json(comparison, paths["figures"])
    write_html(comparison, paths["report"])
    write_atomically(paths["picture"], draw_picture(comparison, network, images))
    _judge(comparison)
    return DemoResult(plan, network, len(images), accuracy, checks, comparison, paths)


@contextmanager
def _in_background(work: Callable[[], Comparison], bench: Workbench
                   ) -> Iterator[Callable[[], Comparison]]:
    """Run `work` in a thread; the value waits for its result. Leaving early ends its tools."""
    outcome: list[Comparison | BaseException] = []

    def target() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            outcome.append(error)

    def result() -> Comparison:
        thread.join()
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return outcome[0]

    thread = threading.Thread(target=target, name="compare")
    thread.start()
    try:
        yield result
    except BaseException:
        bench.group.stop()
        thread.join()
        raise


def _check(design: Design, images: Images, jobs: int, bench: Workbench,
           progress: Callable[[int, int], None]) -> Check:
    name = design.arithmetic.name
    bench.say(f"{name}: simulating {len(images)} images")
    result = simulate(design, images.x, jobs=jobs, cache=bench.cache, progress=progress,
                      say=lambda text: bench.say(f"{name}: {text}"))
    compare_with_golden(design.network, images.x, result, design, bench.cache)
    check_cycles(design, result)
    bench.say(f"{name}: all {result.outputs.size:,} outputs of {len(images)} images equal the "
              f"golden model's, {design.cycles_per_image:,} cycles an image as predicted")
    return Check(name, len(images), result.outputs.size, design.cycles_per_image,
                 result.total_cycles, result.cycles_per_second)


def _emit(design: Design, directory: Path, cache: Cache) -> Path:
    from .verilog import emit
    return emit(design, directory, cache).verilog


def _judge(comparison: Comparison) -> None:
    """Every row must be built; every one but the baselines must be certified."""
    for row in comparison.results:
        if not row.built:
            raise BuildError(f"{row.arithmetic}: {row.problem}")
        if not row.is_baseline:
            row.certificate.require()


def draw_picture(comparison: Comparison, network: Network, images: Images) -> bytes:
    """PNG: some images with the class named for each, and the designs' figures.

    Raises
    ------
    EnvironmentProblem
        Matplotlib is missing.
    """
    require_matplotlib()
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    figure = Figure(figsize=(11, 6.2), layout="constrained")
    FigureCanvasAgg(figure)
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 3))
    figure.suptitle(f"{network.title} on {comparison.device.name}, "
                    f"{comparison.rows}x{comparison.columns} array")
    side = round(float(np.sqrt(images.x[0].size)))
    for axes, pixels, named in zip(top.subplots(1, 12), images.x, network.classify(images.x[:12]),
                                   strict=False):
        axes.imshow(pixels.reshape(-1, side), cmap="gray_r")
        axes.set_title(str(named), fontsize=10)
        axes.axis("off")
    rows = [row for row in comparison.results if row.built]
    names = [row.arithmetic for row in rows]
    colours = ["#b4561c" if row.is_baseline else "#0f7b6c" for row in rows]
    panels: Sequence[tuple[str, list[float]]] = (
        (comparison.device.rules.lut_name, [row.lut for row in rows]),
        ("hard multipliers", [row.resources["dsp"] for row in rows]),
        ("images a second", [row.images_per_s for row in rows]),
        ("thousand MAC/s per logic cell", [row.macs_per_s_per_lut / 1e3 for row in rows]))
    for axes, (title, values) in zip(bottom.subplots(1, len(panels)), panels, strict=True):
        axes.bar_label(axes.bar(names, values, color=colours), fmt="{:,.0f}", fontsize=8)
        axes.set_title(title, fontsize=10)
        axes.tick_params("x", rotation=60, labelsize=8)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.set_yticks([])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()

"""A network onto a board: bitstream and report.

The clock is the board's oscillator, or the fastest that its PLL can make of it below what place and
route reaches. `auto` takes the largest array that fits and meets timing.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from amaranth.back import rtlil

from . import __version__
from .bitstream import READBACKS
from .boards import Board, Pin
from .certify import certify
from .design import MAX_COLUMNS, MAX_ROWS, Design
from .devices import Device, Pll
from .errors import BuildError, DoesNotFit, EnvironmentProblem, ModelError, NotPlaced, UsageError
from .estimate import counted, estimate
from .files import write_atomically
from .gateware.board_top import BoardTop
from .gateware.link.endpoint import Endpoint
from .gateware.link.serial_endpoint import SerialEndpoint
from .gateware.link.uart import check_baud
from .link.description import Description
from .network import Network
from .place import PlacedResult, place_and_route
from .result import flow_options
from .synthesise import does_not_fit
from .toolchain import Cancelled, find
from .verilog import network_sha256
from .workbench import Workbench

__all__ = ["ARRAY_SHAPES", "REPORT", "ROUTED_NETLIST", "Built", "board_pins", "build",
           "build_largest"]

#: Files beside the bitstream: what is in it, and what nextpnr routed where bitstreams cannot be
#: taken back (`nmahw.bitstream`).
REPORT, ROUTED_NETLIST = "report.json", "routed.json.gz"

#: Arrays that `build_largest` tries, largest first.
ARRAY_SHAPES: tuple[tuple[int, int], ...] = tuple(sorted(
    {(rows, columns) for columns in (1, 2, 4, 6, 8, 12, 16, 24, 32)
     for rows in (columns, 2 * columns) if rows <= MAX_ROWS and columns <= MAX_COLUMNS},
    key=lambda shape: -shape[0] * shape[1]))
_LEAST_CELLS = 20
# Placing and routing again at a clock that was reached once may fall a little short.
_MARGINS = (1.0, 0.95, 0.9, 0.8)


@dataclass(frozen=True)
class Built:
    """A bitstream and what is known of it.

    Attributes
    ----------
    board : type of Board
    design : Design
    clock_hz : float
        Of the design.
    pll : Pll or None
    placed : PlacedResult
    bitstream : Path
    report : Path
    baud : int
    """

    board: type[Board]
    design: Design
    clock_hz: float
    placed: PlacedResult
    baud: int
    pll: Pll | None = None
    bitstream: Path = field(default=Path())
    report: Path = field(default=Path())

    @property
    def images_per_s(self) -> float:
        """By cycles and clock, the line left out."""
        return self.clock_hz / self.design.cycles_per_image

    def document(self) -> dict[str, object]:
        """The report as plain values."""
        return {
            "schema": "nmahw-build", "version": 1, "nmahw": __version__,
            "board": self.board.name, "device": self.placed_device.name,
            "part": self.placed_device.part, "network": self.design.network.title,
            "network_sha256": network_sha256(self.design.network),
            "arithmetic": str(self.design.arithmetic),
            "array": {"rows": self.design.rows, "columns": self.design.columns,
                      **self.design.lockstep},
            "weights": "constant" if self.design.store is None else "loaded",
            "clock_hz": self.clock_hz, "oscillator_hz": self.board.clock_hz,
            "pll": self.pll is not None, "fmax_mhz": self.placed.fmax_mhz,
            "cycles_per_image": self.design.cycles_per_image, "images_per_s": self.images_per_s,
            "baud": self.baud, "seed": self.placed.seed,
            "resources": dict(self.placed.utilisation),
            "limits": dict(self.placed.limits), "tools": dict(self.placed.tool_versions)}

    @property
    def placed_device(self) -> Device:
        """The device in the board's package."""
        return self.board.fpga()


def board_rtlil(design: Design, board: type[Board], clock_hz: float, pll: Pll | None, baud: int
                ) -> str:
    """RTLIL of a board's whole design, top module ``top``."""
    endpoint = Endpoint(design, Description.of(design, round(clock_hz)).encode())
    top = BoardTop(SerialEndpoint(endpoint, round(clock_hz), baud), pll,
                   None if board.reset is None else board.reset.inverted)
    return rtlil.convert(top, name="top", ports=top.ports, emit_src=False)


def board_pins(board: type[Board]) -> dict[str, Pin]:
    """Where the ports of `board_rtlil`'s design are on a board."""
    pins = {"clk": board.clock, "rx": board.uart_rx, "tx": board.uart_tx, "button": board.reset}
    return {port: pin for port, pin in pins.items() if pin is not None}


def _place(design: Design, board: type[Board], clock_hz: float, pll: Pll | None, baud: int,
           seeds: Sequence[int], bench: Workbench) -> PlacedResult:
    """The fastest of several seeds, searched for multipliers."""
    device, options = board.fpga(), flow_options(design.arithmetic)
    text = board_rtlil(design, board, clock_hz, pll, baud)
    label = f"{design.rows}x{design.columns}"
    if not design.arithmetic.is_baseline:
        certify(text, device, options, bench, label=label).require()
    try:
        placed = place_and_route(text, device, options, seeds, bench=bench, label=label,
                                 pins=board_pins(board), bitstream=True)
    except (Cancelled, DoesNotFit):
        raise
    except BuildError as error:
        raise NotPlaced(str(error)) from None
    best = max(placed, key=lambda result: result.fmax_mhz)
    if not design.arithmetic.is_baseline:
        certify(text, device, options, bench, [best], label).require()
    return best


def build(network: Network, board: type[Board], arithmetic: str, rows: int, columns: int,
          folder: Path, *, seeds: Sequence[int] = (1,), clock_hz: float | None = None,
          baud: int = 115200, weights: str = "auto", bench: Workbench | None = None,
          images: int = 1, share: int = 1) -> Built:
    """Make a bitstream.

    Parameters
    ----------
    network : Network
    board : type of Board
    arithmetic : str
        As for `Design.of`.
    rows, columns : int
    folder : Path
        Where bitstream and report go.
    seeds : sequence of int
        Of place and route; the fastest result is taken.
    clock_hz : float, optional
        The clock to run at, at most; by default the fastest that place and route reaches. 0: the
        oscillator's own.
    baud : int
    weights : str
        Where they are: see `Design.with_weights`.
    bench : Workbench, optional
    images, share : int
        See `Design`.

    Raises
    ------
    DoesNotFit
    BuildError
        Timing is not met, or a tool refuses the design.
    UsageError, ModelError
        See `Design.of`.
    """
    bench = bench or Workbench()
    check_baud(board.clock_hz, baud)
    if not board.fpga().rules.pack_tool:
        raise UsageError(f"no bitstreams can be made for {board.fpga().rules.name} devices")
    design = Design.of(network, arithmetic, rows, columns, images=images, share=share
                       ).with_weights(weights, board.fpga())
    own = float(board.clock_hz)
    placed = _place(design, board, own, None, baud, seeds, bench)
    built = Built(board, design, own, placed, baud)
    reached_hz = placed.fmax_mhz * 1e6
    if clock_hz is None or clock_hz > own:
        faster = _with_pll(built, min(reached_hz, clock_hz or reached_hz), seeds, bench)
        if faster is not None:
            return _finish(faster, folder, bench)
    if reached_hz < own:
        slower = _with_pll(built, min(reached_hz, clock_hz or reached_hz), seeds, bench)
        if slower is None:
            raise NotPlaced(f"the design must run at the oscillator's {own / 1e6:g} MHz, but "
                             f"reaches {placed.fmax_mhz:.1f} MHz, and the PLL can make no lower "
                             f"clock: take a smaller array or another arithmetic")
        return _finish(slower, folder, bench)
    return _finish(built, folder, bench)


def _with_pll(built: Built, target_hz: float, seeds: Sequence[int], bench: Workbench
              ) -> Built | None:
    """The same design at the fastest clock up to `target_hz` that it meets; None for none."""
    tried = set()
    for margin in _MARGINS:
        pll = built.board.pll(target_hz * margin)
        if pll is None or pll.output_hz in tried:
            continue
        tried.add(pll.output_hz)
        if pll.output_hz <= built.board.clock_hz <= built.placed.fmax_mhz * 1e6:
            return None
        placed = _place(built.design, built.board, pll.output_hz, pll, built.baud, seeds, bench)
        # nextpnr derives no constraint from some PLLs: every clock has to be fast enough.
        if placed.fmax_mhz * 1e6 >= pll.output_hz:
            return Built(built.board, built.design, pll.output_hz, placed, built.baud, pll)
        bench.say(f"{pll.output_hz / 1e6:.2f} MHz is missed: {placed.fmax_mhz:.2f} MHz")
    return None


def _finish(built: Built, folder: Path, bench: Workbench) -> Built:
    """Pack the bitstream, and write it and the report."""
    device = built.placed_device
    rules = device.rules
    tool = find(rules.pack_tool)
    source = built.placed.report.parent / rules.packed_from

    def pack(making: Path) -> None:
        name = rules.packed_from.removesuffix(".gz")
        if rules.packed_from.endswith(".gz"):
            import gzip
            (making / name).write_bytes(gzip.decompress(source.read_bytes()))
        else:
            shutil.copyfile(source, making / name)
        target = "design" + rules.bitstream_suffix
        bench.run(tool, rules.pack_arguments(device, name, target), making,
                  making / "pack.log", "packing the bitstream")
        if not (making / target).is_file() or not (making / target).stat().st_size:
            raise BuildError(f"{tool.name} ended without a bitstream (log: {making / 'pack.log'})")
        (making / name).unlink()

    entry = bench.cache.get_or_build("bitstream", {
        "placed": source.parent.name, "device": device.name, "tool": tool.version,
        "arguments": rules.pack_arguments(device, "source", "target")}, pack)
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(f"output folder {folder} must be writable: {error.strerror}"
                                 ) from None
    bitstream = write_atomically(
        folder / f"{built.board.name}{rules.bitstream_suffix}",
        (entry / f"design{rules.bitstream_suffix}").read_bytes())
    files = [bitstream]
    if device.family in READBACKS and not READBACKS.get(device.family).reads_bitstream:
        files.append(write_atomically(folder / ROUTED_NETLIST,
                                      built.placed.placed_netlist.read_bytes()))
    document = built.document() | {"files": {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}}
    report = write_atomically(folder / REPORT, json.dumps(document, indent=1) + "\n")
    return Built(built.board, built.design, built.clock_hz, built.placed, built.baud, built.pll,
                 bitstream, report)


def _may_fit(design: Design, device: Device) -> bool:
    """Whether a design may fit, by its estimate where the family has been fitted.

    Raises
    ------
    DoesNotFit
        Its arithmetic needs what the device has none of.
    """
    if design.memory_bits > device.limits["block_ram"] * device.rules.block_ram_bits:
        return False
    # No element is smaller than its accumulator's share.
    if design.rows * design.columns * _LEAST_CELLS > device.limits["lut"]:
        return False
    try:
        guess = estimate(design, device).resources
    except UsageError:
        guess = counted(design, device)
    if tables := guess.get("distributed_ram"):  # of whatever shape
        raise does_not_fit(device, {"distributed_ram": (tables, 0)})
    # Memories are exact; the rest is good for some per cent, and a full device does not route.
    return all(guess.get(name, 0) * part <= device.limits.get(name, 0)
               for name, part in (("lut", 0.9), ("ff", 0.9), ("block_ram", 1)))


def _shaped(network: Network, device: Device, arithmetic: str, weights: str, images: int,
            share: int) -> Iterator[Design]:
    """Designs of all shapes; wider than high ones too where weights are loaded."""
    store = device.weight_store
    wider = {(rows, rows * halves // 2) for rows in range(1, (store.blocks if store else 0) + 1)
             for halves in (2, 3, 4, 6)} if weights != "constant" else set()
    refused, found = None, False
    for rows, columns in (*ARRAY_SHAPES, *sorted(wider - set(ARRAY_SHAPES))):
        try:
            design = Design.of(network, arithmetic, rows, columns, images=images, share=share
                               ).with_weights(weights, device)
        except (UsageError, ModelError) as error:
            # More rows than memories, say: another shape may do.
            refused = error
            continue
        found = True
        yield design
    if not found:
        raise refused


def _candidates(network: Network, board: type[Board], arithmetic: str, weights: str, images: int,
                share: int) -> Iterator[tuple[int, int]]:
    """Shapes that may fit by the estimate, those with the fewest cycles first."""
    device = board.fpga()
    designs = list(_shaped(network, device, arithmetic, weights, images, share))
    # Estimating takes a second: only those whose turn has come.
    for design in sorted(designs, key=lambda d: (d.cycles_per_image, d.rows * d.columns)):
        if _may_fit(design, device):
            yield design.rows, design.columns


def build_largest(network: Network, board: type[Board], arithmetic: str, folder: Path,
                  **options: object) -> Built:
    """`build` with the array of the fewest cycles that fits and meets timing.

    Raises
    ------
    DoesNotFit
        Not even the smallest fits.
    """
    bench = options.setdefault("bench", Workbench())
    last: BuildError = DoesNotFit(f"no array for {network.title} fits {board.title}: its weights "
                                  f"and activations, or the least control, need more than there is")
    weights = str(options.setdefault("weights", "auto"))
    for rows, columns in _candidates(network, board, arithmetic, weights,
                                     int(options.get("images", 1)), int(options.get("share", 1))):
        bench.say(f"trying {rows}x{columns}")
        try:
            return build(network, board, arithmetic, rows, columns, folder, **options)
        except (DoesNotFit, NotPlaced) as error:
            bench.say(str(error).splitlines()[0])
            last = error
    raise last

"""Verilog for people without Python: emission, side-car, FuseSoC core, lint, reference files.

RTLIL goes in, Verilog comes out of Yosys. The same RTLIL and the same Yosys give the same
bytes; RTLIL does not depend on the Yosys version, so the header carries its hash and a
reference is judged by that. Source locations are stripped: no path of the machine that
generated a file is in it.
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import __version__
from .cache import Cache
from .errors import BuildError, MismatchError
from .files import check_writable, write_atomically
from .fusesoc import HARNESS_FILE, accelerator_core, reference_core, wrapper_core
from .gateware.wrappers import WRAPPERS, Wrapper
from .gateware.wrappers._registers import c_header
from .network import Network
from .tensor import TensorFormat
from .toolchain import Tool, find, run

if TYPE_CHECKING:
    from .design import Design

__all__ = ["Emitted", "Port", "LINT_WAIVERS", "emit", "emit_reference", "check_reference",
           "to_verilog", "read_ports", "read_top", "rtlil_sha256", "network_sha256", "lint"]

#: Verilator warnings that machine-written Verilog sets off, and why each is harmless here.
LINT_WAIVERS = {
    "DECLFILENAME": "one file holds the whole hierarchy",
    "UNUSEDSIGNAL": "bits and ports a configuration does not use stay declared",
    "WIDTHEXPAND": "Verilog extends operands to the context exactly as RTLIL does",
    "WIDTHTRUNC": "a result cut to its target's width is meant, as in RTLIL",
    "CASEOVERLAP": "a select's first match wins, as in RTLIL",
    "PROCASSINIT": "a register's declaration gives its value at power-up",
}

# Wires without width (the address of a memory of one word) would become two bits in Verilog.
# Processes become assignments: an `always @*` whose inputs never change is never run by Icarus.
_SCRIPT = """read_rtlil in.il
delete */s:0
proc -norom
memory_collect
opt_clean -purge
attrmap {remove}
attrmap -modattr {remove}
write_verilog out.v
"""
_REMOVED = ("generator", "top", "src", "amaranth.hierarchy", "amaranth.decoding", "carry_chain")


@dataclass(frozen=True)
class Port:
    """A port of a top module; `direction` is ``"input"`` or ``"output"``."""

    name: str
    direction: str
    width: int
    signed: bool


@dataclass(frozen=True)
class Emitted:
    """Paths of what `emit` wrote; None for what the wrapper has no use for."""

    verilog: Path
    sidecar: Path
    core: Path
    harness: Path | None = None
    header: Path | None = None

    def __iter__(self):
        paths = (getattr(self, item.name) for item in fields(self))
        return iter(path for path in paths if path is not None)


def rtlil_sha256(rtlil: str) -> str:
    """What names a design: the hash of its RTLIL text."""
    return hashlib.sha256(rtlil.encode()).hexdigest()


def network_sha256(network: Network) -> str:
    """Hash of what a network computes: formats, layers, weights; not its title."""
    sha256 = hashlib.sha256(repr(network.input_format).encode())
    for layer in network.layers:
        sha256.update(repr(layer.name).encode())
        for item in fields(layer):
            value = np.asarray(getattr(layer, item.name))
            sha256.update(repr((item.name, value.shape)).encode())
            sha256.update(value.astype("<i8").tobytes() if value.dtype.kind in "iub"
                          else repr(value.tolist()).encode())
    return sha256.hexdigest()


def read_top(rtlil: str) -> str:
    """Name of the module that RTLIL text marks as its top.

    Raises
    ------
    BuildError
        There is none.
    """
    match = re.search(r"^attribute \\top 1\n(?:attribute .*\n)*module \\(\S+)", rtlil, re.M)
    if not match:
        raise BuildError("RTLIL must hold a module with the attribute top")
    return match[1]


def read_ports(rtlil: str) -> list[Port]:
    """Ports of the top module, in their order."""
    body = rtlil.split(f"module \\{read_top(rtlil)}\n", 1)[1].split("\nend\n", 1)[0]
    ports = {}
    for options, name in re.findall(r"^  wire (.*)\\(\S+)$", body, re.M):
        width, place = (re.search(pattern, options)
                        for pattern in (r"width (\d+)", r"(input|output) (\d+)"))
        if place:
            ports[int(place[2])] = Port(name, place[1], int(width[1]) if width else 1,
                                        "signed" in options)
    return [ports[index] for index in sorted(ports)]


def _yosys_version(tool: Tool) -> str:
    # A native Yosys adds its compiler and flags after a comma.
    return tool.version.split(",")[0].replace("(git", "git").strip()


def to_verilog(rtlil: str, title: str = "", cache: Cache | None = None) -> str:
    """Verilog of RTLIL text, with a header that tells where it comes from.

    Parameters
    ----------
    rtlil : str
    title : str
        What the first line says beside the top module's name.
    cache : Cache, optional
        Where finished texts are kept; by default the user's.

    Raises
    ------
    BuildError
        Yosys refuses it.
    EnvironmentProblem
        Yosys is missing.
    """
    yosys = find("yosys")
    script = _SCRIPT.format(remove=" ".join(f"-remove {name}" for name in _REMOVED))

    def build(folder: Path) -> None:
        (folder / "in.il").write_text(rtlil)
        (folder / "script.ys").write_text(script)
        run(yosys, ["-q", "-l", "yosys.log", "-s", "script.ys"], cwd=folder)
        text = (folder / "out.v").read_text() if (folder / "out.v").is_file() else ""
        if "endmodule" not in text:
            raise BuildError("yosys must write Verilog, but wrote none (whole log: "
                             f"{folder / 'yosys.log'})")
        for used in ("in.il", "script.ys", "yosys.log"):
            (folder / used).unlink()

    sha256 = rtlil_sha256(rtlil)
    key = {"rtlil": sha256, "yosys": yosys.version, "script": script}
    text = ((cache or Cache()).get_or_build("verilog", key, build) / "out.v").read_text()
    text = re.sub(r"\A/\* Generated by Yosys.*?\*/\s*", "", text, flags=re.S)
    first = f"{read_top(rtlil)}: {title}" if title else read_top(rtlil)
    return (f"// {' '.join(first.split())}\n"
            f"// Generated by nmahw {__version__}; do not edit.\n"
            f"// RTLIL SHA-256: {sha256}\n"
            f"// Yosys: {_yosys_version(yosys)}\n\n" + text)


def _format(tensor: TensorFormat) -> dict[str, object]:
    return {"shape": list(tensor.shape), "low": tensor.low, "high": tensor.high,
            "bits": tensor.bits, "signed": tensor.signed}


def _sidecar(design: "Design", rtlil: str, wrapper: type[Wrapper]) -> str:
    network = design.network
    passes = [{"title": work.title, "cycles": cycles} for work, cycles
              in zip(design.program.passes, design.schedule.cycles_by_pass, strict=True)]
    return json.dumps({
        "format": "nmahw-accelerator", "version": 1, "generator": f"nmahw {__version__}",
        "top": read_top(rtlil), "rtlil_sha256": rtlil_sha256(rtlil), "wrapper": wrapper.name,
        "network": {"title": network.title, "sha256": network_sha256(network),
                    "macs": network.macs},
        "array": {"arithmetic": design.arithmetic.name, "rows": design.rows,
                  "columns": design.columns, **design.lockstep},
        "input": _format(network.input_format), "output": _format(network.output_format),
        "ports": [vars(port) for port in read_ports(rtlil)],
        "registers": [asdict(register) for register in wrapper.registers],
        "functions": [asdict(function) for function in wrapper.functions],
        "passes": passes, "cycles_per_image": design.cycles_per_image,
    }, indent=2) + "\n"


def emit(design: "Design", directory: str | os.PathLike, cache: Cache | None = None,
         wrapper: str = "axis") -> Emitted:
    """Write an accelerator's Verilog and what goes with it.

    Writes ``<top>.v``, ``<top>.json`` (ports, operand formats, cycles per pass, network, registers)
    and ``<top>.core`` (FuseSoC CAPI2, with a lint target), each atomically. With streams as ports
    also the C++ bench and a target that runs it; with registers ``<top>.h``, their C header.

    Parameters
    ----------
    design : Design
    directory : path
    cache : Cache, optional
    wrapper : str
        What is around the accelerator; see `nmahw.gateware.wrappers`.

    Raises
    ------
    EnvironmentProblem
        The folder cannot be written to (found out before the work), or Yosys is missing.
    BuildError
        Yosys refuses the design.
    UsageError
        Unknown wrapper.
    ModelError
        The network's numbers do not fit the wrapper.
    """
    directory = Path(directory)
    around = WRAPPERS.get(wrapper)
    check_writable(directory / f"{around.top}.v")
    rtlil = around.rtlil(design)
    top, network = read_top(rtlil), design.network
    title = f"{network.title}, {design.arithmetic.name}, {design.rows}x{design.columns}"
    text = to_verilog(rtlil, title, cache)
    core = (accelerator_core(top, title, network.input_format.size, network.output_format.size,
                             len(design.program.passes), LINT_WAIVERS) if around.streams else
            wrapper_core(top, title, LINT_WAIVERS))
    return Emitted(
        write_atomically(directory / f"{top}.v", text),
        write_atomically(directory / f"{top}.json", _sidecar(design, rtlil, around)),
        write_atomically(directory / f"{top}.core", core),
        write_atomically(directory / HARNESS_FILE.name, HARNESS_FILE.read_bytes())
        if around.streams else None,
        write_atomically(directory / f"{top}.h",
                         c_header(around.name, around.registers, around.functions))
        if around.registers else None)


def emit_reference(directory: str | os.PathLike, designs: Iterable[tuple[str, str]],
                   cache: Cache | None = None) -> list[Path]:
    """Write reference Verilog, one file per design, and ``nmahw.core`` over all of them.

    Parameters
    ----------
    directory : path
    designs : iterable of (str, str)
        File name without suffix, RTLIL text. Module names must not clash between files.

    Returns
    -------
    list of Path
        Everything written.
    """
    directory = Path(directory)
    check_writable(directory / "nmahw.core")
    designs = list(designs)
    paths = [write_atomically(directory / f"{name}.v", to_verilog(rtlil, cache=cache))
             for name, rtlil in designs]
    core = reference_core({name: read_top(rtlil) for name, rtlil in designs}, LINT_WAIVERS)
    return [*paths, write_atomically(directory / "nmahw.core", core)]


def check_reference(directory: str | os.PathLike, designs: Iterable[tuple[str, str]],
                    cache: Cache | None = None) -> None:
    """Regenerate what `emit_reference` wrote and compare.

    The RTLIL hash in every header must be today's. The text is compared only when it was
    written by the Yosys at hand, because the text differs between Yosys versions.

    Raises
    ------
    MismatchError
        A file is missing, superfluous, out of date or edited; the message names all of them.
    """
    directory = Path(directory)
    designs = list(designs)
    wrong = []
    for name, rtlil in designs:
        path = directory / f"{name}.v"
        if not path.is_file():
            wrong.append(f"{path.name} is missing")
            continue
        header = dict(re.findall(r"^// ([\w -]+): (.+)$", path.read_text(), re.M)[-2:])
        today = to_verilog(rtlil, cache=cache)
        if header.get("RTLIL SHA-256") != rtlil_sha256(rtlil):
            wrong.append(f"{path.name} comes from another design")
        elif header.get("Yosys") == _yosys_version(find("yosys")) and path.read_text() != today:
            wrong.append(f"{path.name} differs from what is generated today")
    expected = {f"{name}.v" for name, _ in designs}
    wrong += [f"{path.name} belongs to no design" for path in sorted(directory.glob("*.v"))
              if path.name not in expected]
    core = reference_core({name: read_top(rtlil) for name, rtlil in designs}, LINT_WAIVERS)
    path = directory / "nmahw.core"
    if not path.is_file() or path.read_text() != core:
        wrong.append("nmahw.core is out of date")
    if wrong:
        raise MismatchError(f"reference Verilog in {directory} must be what nmahw generates: "
                            + "; ".join(wrong))


def lint(paths: str | os.PathLike | Sequence[str | os.PathLike], top: str | None = None) -> None:
    """Let Verilator judge Verilog files, with every warning on but `LINT_WAIVERS`.

    Raises
    ------
    BuildError
        It has something to say; the message holds it.
    EnvironmentProblem
        Verilator is missing.
    """
    files = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    arguments = ["--lint-only", "-Wall", *(f"-Wno-{name}" for name in LINT_WAIVERS)]
    if top:
        arguments += ["--top-module", top]
    with tempfile.TemporaryDirectory(prefix="nmahw-") as folder:
        run(find("verilator"), [*arguments, *(Path(file).resolve() for file in files)], cwd=folder)

"""Amaranth hardware as an and-inverter graph, through Yosys."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Elaboratable, Value

from ..errors import BuildError
from ..toolchain import find, run
from .aig import Machine, read_aiger

__all__ = ["FORGET_INITIAL", "LOWER_TO_WORDS", "LOWER_TO_GATES", "machine_of", "run_yosys",
           "to_rtlil"]

#: From RTLIL to word-level cells in one module: where mutations are made.
LOWER_TO_WORDS = ("read_rtlil in.il", "delete */s:0", "proc -norom", "flatten", "opt -full",
                  "memory_dff", "memory_collect", "opt -purge")
#: From there to AND gates, inverters and plain registers. A table that is never written becomes
#: logic; a memory that is becomes registers.
LOWER_TO_GATES = ("memory_map", "chformal -lower", "opt -purge", "alumacc", "maccmap -unmap", "opt",
                  "techmap", "opt", "dffunmap", "simplemap", "opt -nosdff -nodffe", "aigmap",
                  "opt_merge", "opt_clean -purge", "write_aiger -ascii -symbols out.aag")
#: What makes all registers, but no table, hold anything at the beginning.
FORGET_INITIAL = "setattr -unset init w:*"


def run_yosys(script: tuple[str, ...], files: Mapping[str, str], *wanted: str) -> tuple[str, ...]:
    """Run Yosys in a folder of its own.

    Parameters
    ----------
    script : tuple of str
        Commands.
    files : mapping of str to str
        What the folder holds at the beginning.
    *wanted : str
        Files to return the text of.

    Raises
    ------
    BuildError
        Yosys fails, or does not write what is wanted.
    """
    with tempfile.TemporaryDirectory(prefix="nmahw-") as name:
        folder = Path(name)
        for file, text in files.items():
            (folder / file).write_text(text)
        (folder / "script.ys").write_text("\n".join(script) + "\n")
        run(find("yosys"), ["-q", "-l", "yosys.log", "-s", "script.ys"], cwd=folder)
        for file in wanted:
            if not (folder / file).is_file():
                raise BuildError(f"yosys must write {file}, but wrote none")
        return tuple((folder / file).read_text() for file in wanted)


def to_rtlil(top: Elaboratable, ports: Mapping[str, Value], name: str = "top") -> str:
    """RTLIL text of a design, its ports named."""
    return rtlil.convert(top, name=name, emit_src=False,
                         ports={key: (value, None) for key, value in ports.items()})


def machine_of(top: Elaboratable, ports: Mapping[str, Value],
               initial: bool = False) -> Machine:
    """The and-inverter graph of a design.

    Parameters
    ----------
    top : Elaboratable
    ports : mapping of str to Value
        Inputs and outputs by name; clock and reset come by themselves.
    initial : bool
        Keep what registers hold at power-up; otherwise they may hold anything.

    Raises
    ------
    BuildError
        Yosys refuses the design.
    """
    read, *lower = LOWER_TO_WORDS
    forget = () if initial else (FORGET_INITIAL,)
    text, = run_yosys((read, *forget, *lower, *LOWER_TO_GATES), {"in.il": to_rtlil(top, ports)},
                      "out.aag")
    return read_aiger(text)

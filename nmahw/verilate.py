"""An accelerator's Verilog as a native program: Verilator makes C++, g++ compiles it.

The compiler is called directly: Verilator's own makefile needs perl and expects a configured
installation, which the wheel is not. Two compilations run side by side. What does not depend
on the design (Verilator's run-time library) is compiled once and kept. Contents of memories go
into files that the program reads when it starts: as statements they would be most of what
Verilator and the compiler have to work through.
"""

import re
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .cache import Cache
from .errors import BuildError, EnvironmentProblem
from .fusesoc import HARNESS_FILE
from .toolchain import ProcessGroup, Tool, find, run
from .verilog import read_top, rtlil_sha256, to_verilog

__all__ = ["build_simulator", "build_verilog_simulator", "PROGRAM"]

#: File name of the simulator.
PROGRAM = "simulate"

# How Yosys writes the contents of a memory: word by word.
_MEMORY = re.compile(r"^  initial begin\n((?:    \S+ ?\[\d+\] = \d+'[hdb][0-9a-f]+;\n)+)  end$",
                     re.M)
_WORD = re.compile(r"^    (\S+ ?)\[(\d+)\] = \d+'([hdb])([0-9a-f]+);$", re.M)
_BASES = {"h": 16, "d": 10, "b": 2}

_VERILATOR = ("--cc", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-assert",
              "--no-timing", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--Mdir", "model")
_DEFINES = ("-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TIMING=0", "-DVM_TRACE=0", "-DVM_TRACE_FST=0",
            "-DVM_TRACE_VCD=0", "-DVM_TRACE_SAIF=0")
# g++ reads Verilator's headers for a second per file: few large files compile fastest.
_COMPILE = ("-std=c++20", "-w", *_DEFINES)
_FAST, _SLOW = ("-O2",), ("-O0",)
_RUNTIME = ("verilated", "verilated_threads")


def _compiler() -> tuple[Tool, str]:
    """The C++ compiler and its version."""
    path = shutil.which("g++") or shutil.which("clang++")
    if path is None:
        raise EnvironmentProblem("g++ must be installed to simulate, but is not on PATH: "
                                 "apt install g++")
    tool = Tool(Path(path).name, (path,))
    return tool, run(tool, ["--version"], cwd=Path(path).parent).partition("\n")[0].strip()


def _runtime(cache: Cache, verilator: Tool, compiler: Tool, compiler_version: str, root: Path,
             group: ProcessGroup) -> Path:
    """Folder with the object files of Verilator's run-time library."""
    def build(folder: Path) -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda name: run(
                compiler, [*_COMPILE, "-O1", f"-I{root}/include", f"-I{root}/include/vltstd", "-c",
                           root / "include" / f"{name}.cpp", "-o", f"{name}.o"],
                cwd=folder, group=group), _RUNTIME))
    return cache.get_or_build("verilator-runtime", {
        "verilator": verilator.version, "compiler": compiler_version, "flags": _COMPILE}, build)


def _join(folder: Path, name: str, sources: list[Path]) -> str:
    (folder / name).write_text("".join(f'#include "{path.name}"\n' for path in sources))
    return name


def _memories_to_files(verilog: str, folder: Path) -> str:
    """Write what memories hold to hexadecimal files in `folder`; Verilog that reads them."""
    count = 0

    def move(match: re.Match) -> str:
        nonlocal count
        words = _WORD.findall(match[1])
        if len({name for name, *_ in words}) != 1:
            return match[0]
        count += 1
        (folder / f"memory{count}.hex").write_text("".join(
            f"@{int(index):x} {int(digits, _BASES[base]):x}\n" for _, index, base, digits in words))
        return f'  initial $readmemh("memory{count}.hex", {words[0][0]});'

    return _MEMORY.sub(move, verilog)


def build_simulator(rtlil: str, cache: Cache | None = None,
                    say: Callable[[str], None] = lambda text: None,
                    group: ProcessGroup | None = None, harness: Path = HARNESS_FILE) -> Path:
    """A native program that simulates a design, from the cache when it was built before.

    Parameters
    ----------
    rtlil : str
        A design whose top has the ports that the harness drives.
    cache : Cache, optional
        By default the user's.
    say : callable
        Told, once, that something long begins.
    group : ProcessGroup, optional
        Lets another thread end the compilation.
    harness : Path
        C++ with the program's ``main``; by default the one that streams images.

    Returns
    -------
    Path
        The program; its arguments are told at the top of the harness's source. It has to be
        started in its own folder.

    Raises
    ------
    EnvironmentProblem
        Verilator or g++ is missing.
    BuildError
        One of the tools refuses the design.
    """
    cache = cache or Cache()
    find("verilator")  # the tool that simulating is about is told first when it is missing
    key = {"rtlil": rtlil_sha256(rtlil), "yosys": find("yosys").version}
    return build_verilog_simulator(lambda: to_verilog(rtlil, cache=cache), key, read_top(rtlil),
                                   harness, cache, say, group)


def build_verilog_simulator(verilog: Callable[[], str], key: Mapping[str, object], top: str,
                            harness: Path, cache: Cache | None = None,
                            say: Callable[[str], None] = lambda text: None,
                            group: ProcessGroup | None = None) -> Path:
    """As `build_simulator`, of Verilog.

    Parameters
    ----------
    verilog : callable
        Gives the text when it is needed.
    key : mapping
        What the text depends on.
    top : str
        Its top module.
    """
    cache, group = cache or Cache(), group or ProcessGroup()
    verilator = find("verilator")
    compiler, compiler_version = _compiler()

    def build(folder: Path) -> None:
        say("compiling the simulation")
        with ThreadPoolExecutor(2) as pool:
            try:
                _build(folder, pool)
            except BaseException:
                group.stop()
                raise

    def _build(folder: Path, pool: ThreadPoolExecutor) -> None:
        (folder / f"{top}.v").write_text(
            _memories_to_files(verilog(), folder))
        run(verilator, [*_VERILATOR, "--top-module", top, f"{top}.v"], cwd=folder, group=group)
        model = folder / "model"
        root = _verilator_root(model / f"V{top}.mk")
        runtime = pool.submit(_runtime, cache, verilator, compiler, compiler_version, root, group)
        (model / harness.name).write_bytes(harness.read_bytes())
        sources = sorted(model.glob(f"V{top}*.cpp"))
        slow = [path for path in sources if "__Slow" in path.name]
        fast = [path for path in sources if path not in slow] + [model / harness.name]

        def compile_(name: str, flags: tuple[str, ...]) -> None:
            run(compiler, [*_COMPILE, *flags, f"-I{root}/include", f"-I{root}/include/vltstd",
                           "-c", name, "-o", f"{name}.o"], cwd=model, group=group)

        # The design and its start-up code; the library, when it has to be built, goes first
        # in a thread of its own.
        units = [pool.submit(compile_, _join(model, "fast.cpp", fast), _FAST),
                 pool.submit(compile_, _join(model, "slow.cpp", slow), _SLOW)]
        for unit in units:
            unit.result()
        objects = [runtime.result() / f"{name}.o" for name in _RUNTIME]
        run(compiler, ["model/fast.cpp.o", "model/slow.cpp.o", *objects, "-pthread",
                       "-o", PROGRAM], cwd=folder, group=group)
        if not (folder / PROGRAM).is_file():
            raise BuildError(f"{compiler.name} must link the simulation, but made no program")
        shutil.rmtree(model)

    place = cache.get_or_build("simulator", {
        **key, "harness": harness.read_bytes(),
        "verilator": verilator.version, "compiler": compiler_version,
        "options": [_VERILATOR, _COMPILE, _FAST, _SLOW, _MEMORY.pattern]}, build)
    return place.resolve() / PROGRAM


def _verilator_root(makefile: Path) -> Path:
    """Where Verilator's headers are, as it wrote into its makefile."""
    match = re.search(r"^VERILATOR_ROOT = (.+)$", makefile.read_text(), re.M)
    if not match or not (Path(match[1]) / "include" / "verilated.cpp").is_file():
        raise EnvironmentProblem("verilator must come with its include folder, but none was found")
    return Path(match[1])

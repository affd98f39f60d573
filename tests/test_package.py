"""What is installed: a wheel holds everything that runs need, and the build files are sound."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import nmahw
import nmahw.boards

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# What pip says when the index of packages cannot be reached.
NO_NETWORK = ("Could not find a version that satisfies", "Temporary failure in name resolution",
              "NewConnectionError", "Network is unreachable")


def files(folder: Path, name: str) -> set[str]:
    """What a wheel has to hold of a folder, under that name."""
    return {f"{name}/{path.relative_to(folder).as_posix()}" for path in folder.rglob("*")
            if path.is_file() and path.suffix in (".py", ".npz", ".cpp")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a copy, so that nothing is left in the repository."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("nmahw", "boards"):
        shutil.copytree(ROOT / name, source / name,
                        ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", folder / "dist", source],
        capture_output=True, text=True, cwd=folder)
    if done.returncode and any(text in done.stdout + done.stderr for text in NO_NETWORK):
        pytest.skip("the build backend could not be fetched: no network")
    assert done.returncode == 0, done.stdout + done.stderr
    built, = (folder / "dist").glob("*.whl")
    return built


def test_wheel_holds_every_module_and_data_file(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    # What was copied: the checkout may be worked on meanwhile.
    source = wheel.parent.parent / "source"
    expected = files(source / "nmahw", "nmahw") | files(source / "boards", "nmahw/boards")
    assert {"nmahw/cli/demo.py", "nmahw/boards/ulx3s.py", "nmahw/data/lenet5-w8a8.npz",
            "nmahw/harness/nmahw_harness.cpp"} <= expected
    assert expected - names == set()
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_wheel_names_the_version_and_the_command(wheel):
    archive = zipfile.ZipFile(wheel)
    assert wheel.name.startswith(f"nmahw-{nmahw.__version__}-py3-none-any")
    text, = (archive.read(name).decode() for name in archive.namelist()
             if name.endswith("entry_points.txt"))
    assert "nmahw = nmahw.__main__:main" in text


def test_installed_wheel_runs(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    own = {**os.environ, "NMAHW_CACHE": str(tmp_path / "cache")}
    environment = {**own, "PYTHONPATH": str(tmp_path / "site")}
    where = subprocess.run([sys.executable, "-c", "import nmahw.boards; "
                            "print(nmahw.__file__, *nmahw.boards.__path__)"], text=True,
                           cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert all(path.startswith(str(tmp_path / "site")) for path in where.stdout.split())
    done = subprocess.run([sys.executable, "-m", "nmahw", "info"], cwd=tmp_path, env=environment,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    here = subprocess.run([sys.executable, "-m", "nmahw", "info"], cwd=ROOT, env=own,
                          capture_output=True, text=True, check=True)
    assert done.stdout == here.stdout


def test_editable_install_finds_the_boards():
    if not Path(nmahw.__file__).is_relative_to(ROOT):
        pytest.skip("nmahw is not installed from this checkout")
    assert Path(nmahw.boards.__file__).parent == ROOT / "boards"
    entry, = (entry for entry in metadata.entry_points(group="console_scripts")
              if entry.name == "nmahw")
    from nmahw.__main__ import main
    assert entry.load() is main


def test_every_package_folder_is_listed():
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in
               (ROOT / "nmahw").rglob("__init__.py")} | {"nmahw.boards"}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == folders


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_makefile_refuses_an_old_python(tmp_path):
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\nexec ' + sys.executable + ' -c "import sys\n'
                   'sys.version_info = (3, 9, 1)\nexec(sys.argv[2])" "$@"\n')
    old.chmod(0o755)
    done = subprocess.run(["make", "-s", "install", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}"],
                          cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "must be 3.11 to 3.13, not 3.9" in done.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_makefile_names_what_makes_environments(tmp_path):
    lacking = tmp_path / "python3"
    lacking.write_text(f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\n'
                       f'exec {sys.executable} "$@"\n')
    lacking.chmod(0o755)
    done = subprocess.run(
        ["make", "-s", "install", f"PYTHON={lacking}", f"VENV={tmp_path / 'venv'}"],
        cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "apt install python3-venv" in done.stderr


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
@pytest.mark.parametrize("target", ["demo", "test", "test-long", "lint", "wheel", "clean"])
def test_make_targets_exist(target):
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout


def test_continuous_integration_script_can_be_run():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)

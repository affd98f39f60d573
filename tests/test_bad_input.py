"""What a person can get wrong with data files, checkpoints, ports and outputs is told plainly."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from nmahw.board_sim import VirtualBoard
from nmahw.cli import run as run_cli
from nmahw.errors import DoesNotFit, EnvironmentProblem, ModelError, UsageError
from nmahw.link.ports import SerialLine
from nmahw.train.checkpoint import Checkpoint
from nmahw.train.datasets import MOST_HIGH, load_dataset
from nmahw.train.methods import METHODS

IMAGES = np.arange(100 * 16).reshape(100, 4, 4) % 17
LABELS = np.arange(100) % 4
IDENTITY = {"method": {"name": "exact_integers", "rate": 7}, "topology": "64-10", "epochs": 2,
            "seed": 0, "data": "0", "version": 1}


@pytest.mark.parametrize("x, y, word", [
    (IMAGES.astype(np.int64) * 2**50, LABELS, f"1..{MOST_HIGH}"),
    (np.full((100, 4), 2**64 - 1, np.uint64), LABELS, f"1..{MOST_HIGH}"),
    (IMAGES * 0, LABELS, f"1..{MOST_HIGH}, not be 0"),
    (IMAGES, LABELS * 0, "at least two classes"), (IMAGES[:2], LABELS[:2], "only 1 image")])
def test_images_that_cannot_be_trained_on(tmp_path, x, y, word):
    np.savez(tmp_path / "d.npz", x=x, y=y)
    with pytest.raises(ModelError, match=word):
        load_dataset(tmp_path / "d.npz")


def test_sixteen_bit_images_are_taken(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.minimum(IMAGES * 5000, MOST_HIGH), y=LABELS)
    assert load_dataset(tmp_path / "d.npz").high == MOST_HIGH


@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY\x01\x00",
                                     b"PK\x03\x04" + bytes(60)])
def test_what_is_no_archive_is_told_without_numpys_words(tmp_path, content):
    path = tmp_path / "d.npz"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="damaged or not an .npz archive of images") as caught:
        load_dataset(path)
    assert "pickle" not in str(caught.value)


@pytest.mark.parametrize("change", [
    {"identity": []}, {"identity": IDENTITY | {"topology": 3}}, {"identity": {}},
    {"best_epoch": 7}, {"best_epoch": "1"}, {"best_epoch": -1}])
def test_checkpoints_with_odd_headers(tmp_path, change):
    path = tmp_path / "c.npz"
    parts = {"identity": IDENTITY, "best_epoch": 0} | change
    checkpoint = Checkpoint(IDENTITY)
    object.__setattr__(checkpoint, "best_epoch", parts["best_epoch"])
    if parts["identity"] == []:
        # Written past `save`, which makes a dict of it.
        checkpoint.save(path)
        with np.load(path) as archive:
            header = json.loads(str(archive["header"]))
        np.savez(path, header=np.array(json.dumps(header | {"identity": []})))
    else:
        object.__setattr__(checkpoint, "identity", parts["identity"])
        checkpoint.save(path)
    with pytest.raises(ModelError, match="damaged"):
        Checkpoint.load(path)


@pytest.mark.parametrize("change, word", [
    ({"method": {"name": "exact_integers", "rate": 8}}, "exact_integers with rate 8, but is of 7"),
    ({"method": {"name": "mogami"}}, "of method mogami, but is of exact_integers"),
    ({"data": "1"}, "--split or --validation"), ({"seed": 1}, "of seed 1, but is of 0")])
def test_what_differs_from_a_checkpoint_is_named(tmp_path, change, word):
    with pytest.raises(UsageError, match=word):
        Checkpoint(IDENTITY).require(IDENTITY | change, tmp_path / "c.npz")


def test_a_plot_that_cannot_be_written_is_told_before_the_training(tmp_path, capsys):
    np.savez(tmp_path / "d.npz", x=IMAGES, y=LABELS)
    (tmp_path / "file").touch()
    code = run_cli(["train", str(tmp_path / "d.npz"), "--epochs", "1", "-o",
                    str(tmp_path / "n.npz"), "--plot", str(tmp_path / "file" / "p.svg")])
    assert code == EnvironmentProblem.exit_code and "p.svg" in capsys.readouterr().err
    assert not (tmp_path / "n.npz").exists() and not (tmp_path / "n.checkpoint.npz").exists()


def test_an_output_that_cannot_be_written_is_told_before_the_build(tmp_path, capsys):
    (tmp_path / "file").touch()
    code = run_cli(["build", "digits-w4a4", "--board", "ulx3s_45f", "--array", "2x2", "-o",
                    str(tmp_path / "file" / "out")])
    said = capsys.readouterr().err
    assert code == EnvironmentProblem.exit_code and "must be writable" in said
    assert "mapping" not in said


def test_an_output_that_is_no_file_is_left_as_it_is(tmp_path, capsys):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code = run_cli(["estimate", "--arith", "l1", "--array", "2x2", "--json", str(pipe)])
    assert code == EnvironmentProblem.exit_code and pipe.is_fifo()
    assert "must be a file, not a device or a pipe" in capsys.readouterr().err


def test_a_refused_build_leaves_no_folder(tmp_path, capsys):
    code = run_cli(["build", "lenet5-w8a8", "--board", "icestick", "--array", "2x2", "-o",
                    str(tmp_path / "out" / "deeper")])
    assert code == DoesNotFit.exit_code and "does not fit" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_too_little_memory_is_no_defect(monkeypatch, capsys):
    def fail(*arguments, **options):
        raise MemoryError("Unable to allocate 9 PiB")
    monkeypatch.setattr("nmahw.bundled.load_model", fail)
    assert run_cli(["evaluate", "digits-w4a4", "digits"]) == EnvironmentProblem.exit_code
    said = capsys.readouterr().err
    assert "more memory" in said and "9 PiB" in said and "Traceback" not in said


@pytest.mark.parametrize("port", ["", "tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:99999",
                                  "tcp://127.0.0.1:0", "tcp://:5", "tcp://a:b"])
def test_what_cannot_be_a_port(port):
    with pytest.raises(UsageError, match="tcp://HOST:PORT, not"):
        SerialLine(port, 115200)


@pytest.mark.parametrize("baud", [0, -1, 1 << 31, 99_999_999_999])
def test_what_cannot_be_a_baud_rate(baud):
    with pytest.raises(UsageError, match=f"baud rate must be 1..100000000, not {baud}"):
        SerialLine("nowhere", baud)


@pytest.mark.parametrize("seconds", ["inf", "1e300", "nan", "0"])
@pytest.mark.parametrize("command", ["run", "serve"])
def test_what_nobody_can_wait_for(command, seconds, capsys):
    assert run_cli([command, "--port", "nowhere", "--timeout", seconds]) == UsageError.exit_code
    assert "--timeout" in capsys.readouterr().err


def test_a_file_is_no_serial_port(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentProblem, match="must be a serial port, but is not"):
        SerialLine(str(tmp_path / "file"), 115200)


@pytest.mark.skipif(not shutil.which("false"), reason="there is no program that only fails")
def test_a_simulated_board_that_ends_by_itself_is_told(monkeypatch, capsys):
    monkeypatch.setattr("nmahw.board_sim.build_simulator",
                        lambda *arguments, **options: Path(shutil.which("false")))
    code = run_cli(["board-sim", "digits-w4a4", "--array", "2x2", "--tcp", "127.0.0.1:0"])
    assert code == EnvironmentProblem.exit_code
    assert "ended with exit code 1" in capsys.readouterr().err


@pytest.fixture
def ended_board(monkeypatch):
    """A virtual board whose simulation is a program that ends at once."""
    program = shutil.which("true")
    if program is None:
        pytest.skip("there is no program that only ends")
    monkeypatch.setattr("nmahw.board_sim.build_simulator",
                        lambda *arguments, **options: Path(program))
    monkeypatch.setattr("nmahw.board_sim.board_rtlil", lambda *arguments: "")
    return VirtualBoard(None, 1)


def test_a_link_is_put_only_in_the_place_of_another_boards(ended_board, tmp_path):
    link, kept = tmp_path / "board", tmp_path / "kept"
    kept.write_text("kept")
    link.symlink_to("/dev/pts/9999")  # of a board that was killed
    with ended_board as board:
        port = board.start(link=link)
        assert str(link.readlink()) == port
    assert not link.is_symlink()
    for taken in (kept, tmp_path, link):
        link.unlink(missing_ok=True)
        link.symlink_to(kept)
        with ended_board as board, pytest.raises(UsageError, match="is there already"):
            board.start(link=taken)
        assert link.readlink() == kept and kept.read_text() == "kept"


def test_a_link_of_a_later_board_stays(ended_board, tmp_path):
    link = tmp_path / "board"
    with ended_board as board:
        board.start(link=link)
        link.unlink()
        link.symlink_to("/dev/pts/9999")
    assert str(link.readlink()) == "/dev/pts/9999"


def test_a_link_that_cannot_be_made_is_told(ended_board, tmp_path):
    with ended_board as board, pytest.raises(EnvironmentProblem, match="must be writable"):
        board.start(link=tmp_path / "none" / "board")


def test_a_link_to_a_socket_is_refused(capsys):
    code = run_cli(["board-sim", "digits-w4a4", "--array", "2x2", "--tcp", "127.0.0.1:0",
                    "--link", "board"])
    assert code == UsageError.exit_code
    assert "--link or --tcp" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no pseudo-terminals here")
def test_a_board_that_leaves_is_told():
    board, ours = os.openpty()
    with SerialLine(os.ttyname(ours), 115200) as line:
        os.close(ours)
        os.close(board)
        with pytest.raises(EnvironmentProblem, match="unplugged, or its simulation ended"):
            line.read(5.0)


def test_a_convolution_at_the_end_is_refused_by_integers(tmp_path, capsys):
    for method in ("exact_integers", "nma"):
        assert run_cli(["train", "digits-images", "--method", method, "--topology",
                        "conv 10 8, flatten", "-o", str(tmp_path / "n.npz")]) == 2
        assert "dense layer at the end" in capsys.readouterr().err


def test_a_method_with_a_warm_up_needs_no_number_of_epochs():
    assert METHODS.get("ternary")(warm_up=3).default_epochs == 13
    assert METHODS.get("ternary")(warm_up=3, start="model.npz").default_epochs == 10
    assert METHODS.get("exact_integers")().default_epochs == 10


def test_going_on_is_told(tmp_path, capsys):
    np.savez(tmp_path / "d.npz", x=IMAGES, y=LABELS)
    command = ["train", str(tmp_path / "d.npz"), "--epochs", "1", "-o", str(tmp_path / "n.npz")]
    assert run_cli(command) == 0 and "going on" not in capsys.readouterr().err
    assert run_cli(command) == 0 and "with 1 of 1 epochs done" in capsys.readouterr().err


def test_an_absurd_rate_is_told_without_numpys_warnings(tmp_path, capsys):
    # Warnings are errors here: one would end the training otherwise.
    assert run_cli(["train", "digits", "--method", "ternary", "--set", "warm_up=1", "--set",
                    "float_rate=1e30", "--epochs", "2", "-o", str(tmp_path / "n.npz")]) == 7
    assert "loss must be finite" in capsys.readouterr().err

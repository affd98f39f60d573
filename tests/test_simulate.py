"""The native simulation: a sound design passes, every kind of fault is found and located."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from _standin import StandIn, standin_images

from nmahw import toolchain, verilate
from nmahw.bundled import load_model
from nmahw.cache import Cache
from nmahw.datasets import load_images
from nmahw.design import Design
from nmahw.errors import EnvironmentProblem, MismatchError, ModelError, UsageError
from nmahw.layers.conv2d import Conv2d
from nmahw.layers.dense import Dense
from nmahw.layers.flatten import Flatten
from nmahw.layers.requantise import Requantise
from nmahw.mismatch import check_cycles, compare_with_golden, describe, first_difference
from nmahw.network import Network
from nmahw.simulate import SimulationSettings, TraceRecord, _from_bits, simulate, trace_image
from nmahw.tensor import TensorFormat

SOUND, FAULTY = StandIn(), StandIn(faulty=True)


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Cache:
    return Cache(tmp_path_factory.mktemp("simulators"))


def check(design, images, result, cache=None):
    golden = compare_with_golden(design.network, images, result, design, cache)
    assert np.array_equal(golden, result.outputs)


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_equal_to_golden(cache, jobs):
    images, seen = standin_images(7), []
    result = simulate(SOUND, images, jobs=jobs, cache=cache,
                      progress=lambda done, total: seen.append((done, total)))
    check(SOUND, images, result)
    check_cycles(SOUND, result)
    assert result.pass_cycles.shape == (7, 2) and result.frame_errors == 0
    assert len(result.starts) == jobs and seen[-1] == (7, 7)
    # 12 elements in, 24 and 72 cycles of passes, 3 elements out.
    assert set(result.latency_cycles.tolist()) == {12 + 24 + 72 + 3}
    assert result.total_cycles >= 7 * 111 and result.cycles_per_second > 0


def test_more_jobs_than_images(cache):
    images = standin_images(2)
    result = simulate(SOUND, images, jobs=4, cache=cache)
    check(SOUND, images, result)
    assert len(result.starts) <= 2


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("probability", [0.2, 0.9])
def test_random_stalls(cache, seed, probability):
    images = standin_images(9)
    result = simulate(SOUND, images, stall_seed=seed, stall_probability=probability, cache=cache)
    check(SOUND, images, result)
    check_cycles(SOUND, result)  # nothing in the stand-in's passes waits for the output
    assert result.total_cycles > simulate(SOUND, images, cache=cache).total_cycles


# In the input, in either pass, in the output, between images, in a later image.
@pytest.mark.parametrize("cycle", [2, 9, 20, 60, 111, 112, 113, 114, 290])
def test_reset_in_mid_image(cache, cycle):
    images = standin_images(4)
    result = simulate(SOUND, images, jobs=1, reset_cycle=cycle, cache=cache)
    check(SOUND, images, result)
    check_cycles(SOUND, result)
    plain = simulate(SOUND, images, jobs=1, cache=cache)
    assert result.total_cycles > plain.total_cycles


@pytest.mark.parametrize("stall_seed", [None, 3])
def test_wrong_result_is_located(cache, stall_seed):
    images = standin_images(9, {5: "convolution", 7: "convolution", 8: "dense"})
    result = simulate(FAULTY, images, stall_seed=stall_seed, cache=cache)
    _, trace = FAULTY.network.predict(images[5:6], trace=True)
    right = int(trace.outputs[1][0, 1, 1, 2])
    with pytest.raises(MismatchError) as caught:
        compare_with_golden(FAULTY.network, images, result, FAULTY, cache)
    text = str(caught.value)
    assert text.startswith("image 5, output element ")
    assert ("first wrong in pass 0 (layer 0 conv2d), channel 1, position (1, 2): "
            + describe(right ^ 1, right)) in text
    assert text.endswith("of 27 outputs differ, in 3 of 9 images")


def test_wrong_output_without_wrong_memory(cache):
    images = standin_images(3, {1: "dense"})
    result = simulate(FAULTY, images, cache=cache)
    right = int(FAULTY.network.predict(images)[1, 2])
    with pytest.raises(MismatchError) as caught:
        compare_with_golden(FAULTY.network, images, result, FAULTY, cache)
    assert str(caught.value) == (
        f"image 1, output element 2: {describe(right + 1, right)}; every result written to the "
        f"activation memory is right; 1 of 9 outputs differ, in 1 of 3 images")
    with pytest.raises(MismatchError, match="^image 1, output element 2: .*; 1 of 9 outputs"):
        compare_with_golden(FAULTY.network, images, result)


def test_wrong_cycle_count(cache):
    images = standin_images(4, {2: "cycles"})
    result = simulate(FAULTY, images, cache=cache)
    check(FAULTY, images, result)
    with pytest.raises(MismatchError, match=r"pass 0 \(layer 0 conv2d\) must take 24 cycles as "
                                            r"predicted, not 25 \(image 2\); 1 of 8 counts"):
        check_cycles(FAULTY, result)


@pytest.mark.parametrize("fault, message", [
    ("tlast", r"m_axis_tlast must be 1 at output element 2, not 0 \(image 3, cycle"),
    ("hang", r"no progress for \d+ cycles \(image 3, cycle \d+\): input element 0 of image 4 is "
             r"next, output element 0 is awaited; s_axis_tvalid=1 s_axis_tready=0 "
             r"m_axis_tvalid=0 m_axis_tready=[01] busy=0"),
    ("unstable", r"m_axis_tdata and m_axis_tlast must not change while they wait .*image 3"),
])
def test_broken_rule(cache, fault, message):
    with pytest.raises(MismatchError, match=message):
        simulate(FAULTY, standin_images(6, {3: fault}), stall_seed=1, stall_probability=0.9,
                 cache=cache)


def test_trace(cache):
    images = standin_images(4)
    result = simulate(FAULTY, images, cache=cache)
    trace, outputs = trace_image(FAULTY, images, result, 3, cache)
    _, golden = FAULTY.network.predict(images[3:], trace=True)
    assert outputs.tolist() == golden.outputs[-1][0].tolist()
    written = {FAULTY.program.locate(record.layer, record.address): record.value
               for record in trace}
    assert len(trace) == len(written) == 24
    assert all(value == golden.outputs[1][0][place] for place, value in written.items())
    assert first_difference(FAULTY, trace, golden.outputs) is None
    missing = first_difference(FAULTY, trace[:-1], golden.outputs)
    assert (missing.channel, missing.y, missing.x) == (1, 2, 3) and missing.hardware is None
    assert "hardware wrote nothing, golden" in str(missing)
    assert first_difference(FAULTY, [TraceRecord(0, 3, 99, 0)], golden.outputs) is None


@pytest.mark.parametrize("bits, width, signed, value", [
    (0x80, 8, True, -128), (0x80, 8, False, 128), (0x7F, 8, True, 127),
    (0xFFFFFF, 24, True, -1), (0xFFFFFF, 24, False, 2**24 - 1), (-5, 64, True, -5)])
def test_port_bits_to_values(bits, width, signed, value):
    assert _from_bits(np.array([bits]), width, signed).tolist() == [value]


@pytest.mark.parametrize("hardware, golden, text", [
    (24, 30, "hardware 24 (0x18), golden 30 (0x1e)"),
    (-7, -8, "hardware -7 (0xf9), golden -8 (0xf8)"),
    (128, -129, "hardware 128 (0x0080), golden -129 (0xff7f)")])
def test_both_values_decimal_and_hexadecimal(hardware, golden, text):
    assert describe(hardware, golden) == text


def test_shapes_must_agree(cache):
    result = simulate(SOUND, standin_images(2), cache=cache)
    with pytest.raises(MismatchError, match=r"hardware must give \(3, 3\) outputs, not \(2, 3\)"):
        compare_with_golden(SOUND.network, standin_images(3), result)


def test_bad_arguments(cache):
    with pytest.raises(UsageError, match="jobs must be an integer of at least 1, not 0"):
        simulate(SOUND, standin_images(1), jobs=0, cache=cache)
    with pytest.raises(UsageError, match="at least one image"):
        simulate(SOUND, standin_images(0), cache=cache)
    with pytest.raises(UsageError, match="stall probability must be 0..0.99, not 1.0"):
        SimulationSettings(1, 1.0)
    with pytest.raises(UsageError, match="reset_cycle must be at least 0, not -1"):
        SimulationSettings(reset_cycle=-1)
    with pytest.raises(ModelError, match="input must lie in 0..15"):
        simulate(SOUND, standin_images(1) + 16, cache=cache)


def test_missing_tools(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentProblem, match=r"g\+\+ must be installed .* apt install g\+\+"):
        verilate.build_simulator(SOUND.rtlil(), Cache(tmp_path / "cache"))
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match=r'pip install "nmahw\[sim\]"'):
        verilate.build_simulator(SOUND.rtlil(), Cache(tmp_path / "cache"))


def test_interrupt_ends_children(cache):
    simulate(SOUND, standin_images(1), cache=cache)  # compile
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from _standin import StandIn, standin_images
from nmahw.cache import Cache
from nmahw.simulate import simulate
simulate(StandIn(), standin_images(400_000), cache=Cache({str(cache.folder)!r}),
         progress=lambda done, total: print(done, flush=True))
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, start_new_session=True)
    with process:
        process.stdout.readline()
        assert _running(cache)
        os.kill(process.pid, signal.SIGINT)
        _, text = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in text
    deadline = time.monotonic() + 10
    while _running(cache) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _running(cache)


def _running(cache: Cache) -> list[str]:
    """Command lines of simulators that run out of `cache`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().decode(errors="replace").split("\0")[0]
        except OSError:
            continue
        if command.startswith(str(cache.folder)) and command.endswith(verilate.PROGRAM):
            found.append(command)
    return found


def test_memory_contents_move_to_files(tmp_path):
    text = """  reg [7:0] a [2:0];
  initial begin
    a[0] = 8'h0f;
    a[1] = 8'd12;
    a[2] = 8'b101;
  end
  initial begin
    \\b$1 [0] = 8'h01;
  end
  initial begin
    c[0] = 8'h1x;
  end
"""
    changed = verilate._memories_to_files(text, tmp_path)
    assert '  initial $readmemh("memory1.hex", a);\n' in changed
    assert '  initial $readmemh("memory2.hex", \\b$1 );\n' in changed
    assert changed.count("initial begin") == 1 and "c[0] = 8'h1x;" in changed
    assert (tmp_path / "memory1.hex").read_text() == "@0 f\n@1 c\n@2 5\n"


def test_build_is_reused(cache):
    said = []
    simulate(SOUND, standin_images(1), cache=cache)
    simulate(SOUND, standin_images(1), cache=cache, say=said.append)
    assert said == []


def test_real_accelerator(cache):
    """Signed input (-8..7), signed intermediate values, an output wider than 8 bits."""
    rng = np.random.default_rng(2)
    network = Network(TensorFormat((2, 4, 4), -8, 7), (
        Conv2d(rng.integers(-8, 8, (3, 2, 2, 2))), Requantise(4, -8, 7), Flatten(),
        Dense(rng.integers(-8, 8, (5, 27)))))
    design = Design.of(network, "bit_serial", 2, 2)
    images = rng.integers(-8, 8, (10, 2, 4, 4))
    result = simulate(design, images, cache=cache)
    check(design, images, result, cache)
    check_cycles(design, result)
    stalled = simulate(design, images, stall_seed=4, stall_probability=0.5, reset_cycle=900,
                       cache=cache)
    check(design, images, stalled, cache)
    # Compared with a network that has one other weight: found in that weight's channel.
    weights = network.layers[0].weights.copy()
    weights[2, 1, 0, 1] ^= 7
    other = Network(network.input_format, (Conv2d(weights), *network.layers[1:]))
    _, trace = network.predict(images, trace=True)
    _, other_trace = other.predict(images, trace=True)
    image = int(np.argwhere(trace.outputs[-1] != other_trace.outputs[-1])[0, 0])
    with pytest.raises(MismatchError, match=rf"^image {image}, output element") as caught:
        compare_with_golden(other, images, result, design, cache)
    place = next(tuple(int(v) for v in index) for index in np.argwhere(
        trace.outputs[1][image] != other_trace.outputs[1][image]))
    values = describe(*(int(t.outputs[1][image][place]) for t in (trace, other_trace)))
    channel, y, x = place
    assert channel == 2
    assert (f"first wrong in pass 0 (layer 0 conv2d), channel 2, position ({y}, {x}): {values}; "
            in str(caught.value))


@pytest.mark.long
def test_thousand_mnist_images_through_lenet(cache):
    data = Path(__file__).parents[2] / "shared" / "data" / "mnist.npz"
    if not data.is_file():
        pytest.skip("needs ../shared/data/mnist.npz")
    images = load_images(data).first(1000).x
    design = Design.of(load_model("lenet5-w8a8"), "quarter_square", 8, 8)
    result = simulate(design, images, cache=cache)
    check(design, images, result, cache)
    check_cycles(design, result)

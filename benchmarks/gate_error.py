"""Error of the smooth multiplication gate against lambda, in floats and from ROMs, and its plot.

    python benchmarks/gate_error.py [--json F] [--plot F] [--no-networks]

ROMs: all products of an 8-bit activation (0..255) and a signed 8-bit weight. Floats: random pairs
of the same range. Operands count as fractions of 256, so that lambda means the same for both.
Errors are relative to the largest product. The networks are the bundled ones, on their bundled
samples, golden model only.
"""

import argparse
import importlib.metadata
import io
import json
import math
import platform
import sys
from pathlib import Path

import numpy as np

from nmahw.approximate import approximated
from nmahw.arith import Operand
from nmahw.arith.gate import NONLINEARITIES, Gate, gate_float
from nmahw.bundled import load_model, sample_for
from nmahw.errors import NmahwError
from nmahw.files import check_writable, write_atomically
from nmahw.lowering import lower
from nmahw.operands import operands_for
from nmahw.report_plots import require_matplotlib

ROOT = Path(__file__).parent.parent
ACTIVATION, WEIGHT = Operand(8, False), Operand(8, True)
FRACTION_BITS = 8
FLOAT_PAIRS = 1 << 16
LAMBDAS_LOG2 = range(-24, 2)
ENTRY_BITS = (12, 18, 24, 30, 36)
NETWORKS = ("digits-w8a8", "mlp-w8a8", "lenet5-w8a8")
NETWORK_ENTRY_BITS = (8, 10, 12, 14, 18)


def float_errors(nonlinearity: str, dtype: type) -> list[dict]:
    """Largest and root mean square error for each lambda."""
    # Of the same range, but not fractions of few bits, on which roundings happen to cancel.
    rng = np.random.default_rng(0)
    x, w = (rng.uniform(operand.low, operand.high, FLOAT_PAIRS).astype(np.float32)
            .astype(np.float64) / 2**FRACTION_BITS for operand in (ACTIVATION, WEIGHT))
    exact = x * w
    rows = []
    for lambda_log2 in LAMBDAS_LOG2:
        products = gate_float(x, w, lambda_log2, nonlinearity, dtype).astype(np.float64)
        error = (products - exact) / np.abs(exact).max()
        rows.append({"lambda_log2": lambda_log2, **_summary(error)})
    return rows


def rom_errors(nonlinearity: str, entry_bits: int) -> list[dict]:
    """The same in ROM arithmetic, rounding to an integer product included, with the bound."""
    x, w = np.array(ACTIVATION.values)[:, None], np.array(WEIGHT.values)
    largest = np.abs(x * w).max()
    rows = []
    for lambda_log2 in LAMBDAS_LOG2:
        code_log2 = lambda_log2 - FRACTION_BITS
        if code_log2 < -24:
            continue
        gate = Gate(ACTIVATION, WEIGHT, nonlinearity, code_log2, entry_bits)
        error = (gate.compute(x, w) - x * w) / largest
        rows.append({"lambda_log2": lambda_log2, **_summary(error),
                     "bound": gate.error_bound / float(largest)})
    return rows


def _summary(error: np.ndarray) -> dict:
    return {"largest": float(np.abs(error).max()), "rms": float(np.sqrt(np.mean(error**2)))}


def network_accuracy(name: str) -> dict:
    """Accuracy with exact products and with gates of several ROM widths."""
    network = load_model(name)
    sample = sample_for(network)
    classes = network.classify(sample.x)
    operands = operands_for(lower(network), Gate)
    rows = []
    for nonlinearity in NONLINEARITIES:
        for entry_bits in NETWORK_ENTRY_BITS:
            gate = Gate(*operands, nonlinearity, entry_bits=entry_bits)
            given = approximated(network, gate).classify(sample.x)
            rows.append({"nonlinearity": nonlinearity, "entry_bits": entry_bits,
                         "lambda_log2": gate.lambda_log2, "error_bound": gate.error_bound,
                         "accuracy": sample.accuracy(given),
                         "same_class": float(np.mean(given == classes))})
    return {"network": name, "images": len(sample), "exact_accuracy": sample.accuracy(classes),
            "gates": rows}


def measure(with_networks: bool) -> dict:
    """Everything, as JSON takes it."""
    curves = [{"nonlinearity": name, "kind": kind.__name__, "points": float_errors(name, kind)}
              for name in NONLINEARITIES for kind in (np.float32, np.float64)]
    curves += [{"nonlinearity": name, "kind": "rom", "entry_bits": bits,
                "points": rom_errors(name, bits)}
               for name in NONLINEARITIES for bits in ENTRY_BITS]
    for curve in curves:
        curve["best"] = min(curve["points"], key=lambda point: point["largest"])
    return {"activation": str(ACTIVATION), "weight": str(WEIGHT),
            "versions": {"python": platform.python_version(),
                         "numpy": importlib.metadata.version("numpy")},
            "curves": curves,
            "networks": [network_accuracy(name) for name in NETWORKS] if with_networks else []}


def plot(results: dict) -> bytes:
    """PNG: error against lambda, one panel a nonlinearity."""
    require_matplotlib()
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    # Floats grey and black; ROMs from light to dark as they get wider.
    styles = {"float32": ("#8a8a8a", "float32"), "float64": ("#1a1a1a", "float64")}
    ramp = ("#9ecae1", "#6baed6", "#4292c6", "#2171b5", "#08306b")
    styles |= {bits: (colour, f"ROM, {bits} bits")
               for bits, colour in zip(ENTRY_BITS, ramp, strict=True)}
    with matplotlib.rc_context({"font.size": 10, "axes.spines.top": False,
                                "axes.spines.right": False, "axes.axisbelow": True,
                                "grid.color": "#dddddd", "grid.linewidth": 0.6}):
        figure = Figure(figsize=(10, 4.8), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, 2, sharey=True)
        for axes, name in zip(panels, ("softplus", "sigmoid"), strict=True):
            for curve in (c for c in results["curves"] if c["nonlinearity"] == name):
                colour, label = styles[curve.get("entry_bits", curve["kind"])]
                # An error of zero has no place on a logarithmic scale: mark it at the bottom.
                lambdas = [p["lambda_log2"] for p in curve["points"]]
                errors = [p["largest"] or math.nan for p in curve["points"]]
                axes.plot(lambdas, errors, color=colour, label=label, linewidth=1.6, marker="o",
                          markersize=2.5)
                none = [x for x, error in zip(lambdas, errors, strict=True) if math.isnan(error)]
                height = 2e-10 * 2 ** ENTRY_BITS.index(curve.get("entry_bits", ENTRY_BITS[0]))
                axes.plot(none, [height] * len(none), color=colour, linestyle="", marker="o",
                          markersize=4, markerfacecolor="white")
                bounds = [p for p in curve["points"] if p.get("bound", 0) > 0]
                axes.plot([p["lambda_log2"] for p in bounds], [p["bound"] for p in bounds],
                          color=colour, linewidth=0.8, linestyle=":")
            axes.set(title=name, xlabel="log2 of lambda (operands are fractions of 1)",
                     yscale="log", ylim=(1e-10, 3), xlim=(-24.5, 1.5))
            axes.grid(True)
        panels[0].set_ylabel("largest error / largest product")
        panels[0].plot([], [], color="#555555", linewidth=0.8, linestyle=":",
                       label="derived bound")
        panels[0].plot([], [], color="#555555", linestyle="", marker="o", markersize=4,
                       markerfacecolor="white", label="no error at all")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center",
                      ncols=5, frameon=False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path,
                        default=ROOT / "benchmarks" / "results" / "gate_error.json")
    parser.add_argument("--plot", type=Path, default=ROOT / "docs" / "images" / "gate_error.png")
    parser.add_argument("--no-networks", action="store_true")
    arguments = parser.parse_args()
    require_matplotlib()
    for path in (arguments.json, arguments.plot):
        check_writable(path)
    results = measure(not arguments.no_networks)
    for curve in results["curves"]:
        kind = f"{curve['kind']} {curve.get('entry_bits', '')}".strip()
        best = curve["best"]
        print(f"{curve['nonlinearity']:9} {kind:8} best at lambda 2^{best['lambda_log2']}: "
              f"largest error {best['largest']:.2e}, rms {best['rms']:.2e}")
    for row in results["networks"]:
        for gate in row["gates"]:
            print(f"{row['network']} ({row['images']} images, exact {row['exact_accuracy']:.2%}): "
                  f"{gate['nonlinearity']} {gate['entry_bits']} bits {gate['accuracy']:.2%}, "
                  f"same class {gate['same_class']:.2%}")
    print(write_atomically(arguments.plot, plot(results)))
    print(write_atomically(arguments.json, json.dumps(results, indent=1) + "\n"))


if __name__ == "__main__":
    try:
        main()
    except NmahwError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)

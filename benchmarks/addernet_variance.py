"""AdderNet's analysis of variances, measured: why it needs batch norm and rates of its own.

    python benchmarks/addernet_variance.py [--data FILE] [--json F] [--plot F]

H. Chen et al. (CVPR 2020) compare what a layer of products and a layer of L1 distances do to
variances. For operands and filters that are independent, normal and of mean zero, K of them a sum,

    products:  Var[Y] = K Var[X] Var[F]
    distances: Var[Y] = K (1 - 2/pi) (Var[X] + Var[F])     (half-normal)

Var[F] is small, so products keep variances as they are, while distances blow them up; batch norm
divides by the deviation, forward and backward, so gradients of an adder network's filters are
small. LeNet-5 with batch norm, twice: layers multiply, or all are adders. Measured on one batch
with new weights and after some steps.
"""

import argparse
import io
import json
import math
import sys
from pathlib import Path

import numpy as np

from nmahw.errors import NmahwError
from nmahw.files import check_writable, write_atomically
from nmahw.report_plots import require_matplotlib
from nmahw.train.adder import AdderMatrix, AdderRule, adaptive_rates, draw_filters
from nmahw.train.datasets import load_dataset
from nmahw.train.layers import Matrix, Model, build
from nmahw.train.losses import softmax_cross_entropy
from nmahw.train.optimisers import Sgd
from nmahw.train.patches import unfold
from nmahw.train.rule import Rule
from nmahw.train.topology import Topology

ROOT = Path(__file__).parent.parent
SEED, BATCH, STEPS, RATE, ETA = 1, 256, 200, 0.1, 0.2
LAYERS = ("conv1", "conv2", "fc1", "fc2", "fc3")
HALF_NORMAL = 1 - 2 / math.pi


def model_of(kind: str) -> Model:
    """LeNet-5 with batch norm, `kind` "cnn" or "adder", new weights."""
    rng = np.random.default_rng(SEED)
    if kind == "cnn":
        return build(Topology.of("lenet5-bn"), (1, 28, 28), Rule(), rng)
    model = build(Topology.of("lenet5-bn"), (1, 28, 28), AdderRule(), rng, matrix=AdderMatrix)
    for part in model.parts():
        if isinstance(part, Matrix):
            draw_filters(part, rng, 1.0)
    return model


def measure(model: Model, kind: str, x: np.ndarray, y: np.ndarray) -> list[dict]:
    """One row for each layer with weights: variances, predictions, gradients."""
    value = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    rows, norms = [], []
    for layer in model.layers:
        if isinstance(layer, Matrix):
            operands = value if layer.size is None else unfold(
                value, layer.size, layer.stride, layer.padding)
            filters, taps = layer.parameters["weights"], operands.shape[1]
            # Of one tap over the images, and of one channel's sums: what batch norm sees.
            input_variance = float(operands.var(axis=0, dtype=np.float64).mean())
            filter_variance = float(filters.var(dtype=np.float64))
            predicted = (taps * input_variance * filter_variance if kind == "cnn"
                         else taps * HALF_NORMAL * (input_variance + filter_variance))
            rows.append({"layer": LAYERS[len(rows)], "taps": taps,
                         "input_variance": input_variance, "filter_variance": filter_variance,
                         "predicted_output_variance": predicted})
        value = layer.forward(value, True)
        if isinstance(layer, Matrix):
            flat = value.reshape(-1, value.shape[-1])
            rows[-1]["output_variance"] = float(flat.var(axis=0, dtype=np.float64).mean())
    gradient = softmax_cross_entropy(value, y)[1] / np.float32(len(y))
    matrices = [layer for layer in model.layers if isinstance(layer, Matrix)]
    for layer in reversed(model.layers):
        if isinstance(layer, Matrix):
            norms.append(float(gradient.var(dtype=np.float64)))
        if gradient is not None:
            gradient = layer.backward(gradient)
    for row, layer, variance in zip(rows, matrices, reversed(norms), strict=True):
        slope = layer.gradients["weights"]
        norm = float(np.linalg.norm(slope.astype(np.float64)))
        row |= {"output_gradient_variance": variance, "filter_gradient_norm": norm,
                "filter_gradient_variance": float(slope.var(dtype=np.float64)),
                "adaptive_factor": ETA * math.sqrt(slope.size) / norm if kind == "adder" else None}
    return rows


def trained(model: Model, kind: str, x: np.ndarray, y: np.ndarray) -> float:
    """Train some steps; the mean loss of the last ten."""
    optimiser = Sgd(model.parts(), 0.9, adaptive_rates(ETA) if kind == "adder" else None)
    rng, losses = np.random.default_rng(SEED), []
    for _ in range(STEPS):
        chosen = rng.integers(0, len(x), 128)
        loss, gradient = softmax_cross_entropy(model.forward(x[chosen], True), y[chosen])
        model.backward(gradient / np.float32(128))
        optimiser.step(RATE)
        losses.append(float(loss.mean()))
    return float(np.mean(losses[-10:]))


def table(rows: list[dict]) -> str:
    """Markdown."""
    lines = ["| layer | K | Var[X] | Var[F] | Var[Y] formula | Var[Y] measured "
             "| measured / formula | gradient of F, 2-norm |", "| --- |" + " --- |" * 7]
    for row in rows:
        lines.append(
            f"| {row['layer']} | {row['taps']} | {row['input_variance']:.3g} | "
            f"{row['filter_variance']:.3g} | {row['predicted_output_variance']:.3g} | "
            f"{row['output_variance']:.3g} | "
            f"{row['output_variance'] / row['predicted_output_variance']:.2f} | "
            f"{row['filter_gradient_norm']:.3g} |")
    return "\n".join(lines)


def plot(results: dict, path: Path) -> None:
    """Variances and gradients of both networks, layer by layer."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    places = np.arange(len(LAYERS))
    for kind, label, colour in (("cnn", "products", "#9aa5b1"), ("adder", "distances", "#1f6feb")):
        rows = results["new weights"][kind]
        left.semilogy(places, [row["output_variance"] for row in rows], "o-", color=colour,
                      label=f"{label}, measured")
        left.semilogy(places, [row["predicted_output_variance"] for row in rows], "x:",
                      color=colour, label=f"{label}, formula")
        right.semilogy(places, [row["filter_gradient_norm"] for row in rows], "o-", color=colour,
                       label=label)
    left.set_title("variance of a channel's sums", loc="left")
    right.set_title("2-norm of the filters' gradient", loc="left")
    for axes in (left, right):
        axes.set_xticks(places, LAYERS)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_atomically(path, buffer.getvalue())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="MNIST as .npz; downloaded when left out")
    parser.add_argument("--json", type=Path,
                        default=ROOT / "benchmarks/results/train/addernet_variance.json")
    parser.add_argument("--plot", type=Path, default=ROOT / "docs/images/addernet_variance.png")
    options = parser.parse_args()
    try:
        require_matplotlib()
        options.json.parent.mkdir(parents=True, exist_ok=True)
        for path in (options.json, options.plot):
            check_writable(path)
        data = load_dataset("mnist", options.data)
        x = data.x_train[:12800].astype(np.float32) / np.float32(256)
        y = data.y_train[:12800]
        results: dict = {"new weights": {}, f"after {STEPS} steps": {}, "loss": {}}
        for kind in ("cnn", "adder"):
            model = model_of(kind)
            results["new weights"][kind] = measure(model, kind, x[:BATCH], y[:BATCH])
            results["loss"][kind] = trained(model, kind, x, y)
            results[f"after {STEPS} steps"][kind] = measure(model, kind, x[:BATCH], y[:BATCH])
        for when in ("new weights", f"after {STEPS} steps"):
            for kind, name in (("cnn", "products"), ("adder", "distances")):
                print(f"\n{when}, {name}\n\n{table(results[when][kind])}")
        document = {"topology": "lenet5-bn", "data": "mnist", "batch": BATCH, "seed": SEED,
                    "eta": ETA, **results}
        write_atomically(options.json, json.dumps(document, indent=1) + "\n")
        plot(results, options.plot)
    except NmahwError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

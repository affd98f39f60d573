"""docs/claim.md: how much of the NMA paper's claim holds, from the result files as they are.

    python benchmarks/render_claim.py

Training records (benchmarks/results/train), area reports (benchmarks/results) and the closed forms
of the bundled networks; what has no file yet is left out.
"""

import json
import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, median, stdev

from nmahw.bundled import load_model, models, sample_for
from nmahw.design import Design
from nmahw.files import write_atomically
from nmahw.lowering import lower
from nmahw.theory.per_layer import count_layers
from nmahw.theory.rules import RULES

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "claim.md"
_IMAGES = 20
#: Prefixes of records of which one, "exact", has ordinary products.
_TWINS = ("digits-nma-", "digits-images-nma-", "mlp-nma-", "lenet5-nma-", "mlp-mogami-",
          "lenet5-mogami-", "resnet-mogami-")
_COUNTED = ("lenet5-w4a4", "lenet5-w8a8", "mlp-w4a4")
_SKIPPED = (("mlp-w4a4", "bit_serial_radix4"), ("lenet5-w4a4", "bit_serial_radix4"),
            ("lenet5-ternary", "ternary"))
_SHAPES = ((4, 4), (2, 2), (1, 4))

_HEAD = """\
# How much of the claim holds

The paper says (abstract, sections 6 and 7) that networks without multiplications expedite
training and inference, and lists a numerical evaluation as future work. This page is that
evaluation, made by `benchmarks/render_claim.py` from the result files in
[`benchmarks/results`](../benchmarks/results) as they are; [theory.md](theory.md) has the theorems,
[training.md](training.md) the methods, [arithmetics.md](arithmetics.md) the arrays.
"""


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], text: int = 1) -> str:
    """Markdown; the first `text` columns are text, the others numbers."""
    rule = ["---"] * text + ["---:"] * (len(headings) - text)
    return "\n".join("| " + " | ".join(row) + " |" for row in (headings, rule, *rows)) + "\n"


def read(name: str) -> Mapping | None:
    """A result file, if it is there."""
    path = RESULTS / name
    return json.loads(path.read_text()) if path.is_file() else None


# Training.

def records() -> dict[str, list[Mapping]]:
    """Records by name, without seed and split."""
    groups: dict[str, list[Mapping]] = defaultdict(list)
    for path in sorted((RESULTS / "train").glob("*.json")):
        record = json.loads(path.read_text())
        if record.get("format") == "nmahw-training" and record.get("history"):
            groups[re.sub(r"(-split\d+)?-seed\d+$", "", path.stem)].append(record)
    return dict(groups)


def rate(group: Sequence[Mapping]) -> float:
    """Images a second: median over all epochs (the first one may include compiling)."""
    return median(epoch["images_per_s"] for record in group for epoch in record["history"])


def accuracy(group: Sequence[Mapping]) -> float:
    """Mean test accuracy, 0..1."""
    return mean(record["test_accuracy"] for record in group)


def _spread(group: Sequence[Mapping]) -> str:
    text = f"{100 * accuracy(group):.2f}"
    values = [100 * record["test_accuracy"] for record in group]
    return text + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")


def _topology(record: Mapping) -> str:
    text = record["topology"]
    if "," not in text:
        return text
    return f"{text.count('conv')} conv, {text.count('dense')} dense"


def training(groups: Mapping[str, Sequence[Mapping]]) -> str:
    """Accuracy and speed of every record."""
    rows = []
    for name, group in sorted(groups.items(), key=lambda item: (item[1][0]["data"]["name"],
                                                               item[0])):
        first = group[0]
        rows.append([f"`{name}`", first["method"]["name"], first["data"]["name"], _topology(first),
                     f"{len(group)}", _spread(group),
                     f"{mean(record['best_epoch'] for record in group):.0f}",
                     f"{rate(group):,.0f}"])
    return table(["record", "method", "data", "topology", "runs", "test %", "best epoch",
                  "images/s"], rows, 4)


def twins(groups: Mapping[str, Sequence[Mapping]]) -> tuple[str, list[float], list[float]]:
    """Trainings without products beside their twin with products.

    Returns
    -------
    str
        The table.
    list of float
        How many times slower smooth gates are.
    list of float
        By how many points gates change accuracy.
    """
    rows, slower, differences = [], [], []
    for prefix in _TWINS:
        for name, group in sorted(groups.items()):
            kind = name.removeprefix(prefix)
            twin = groups.get(f"{prefix}exact-sigmoid" if kind.endswith("-sigmoid") else
                              f"{prefix}exact")
            if not name.startswith(prefix) or kind.startswith("exact") or twin is None:
                continue
            times, points = rate(twin) / rate(group), 100 * (accuracy(group) - accuracy(twin))
            if group[0]["method"]["name"] == "nma":
                differences.append(points)
                if not kind.startswith(("quarter", "rom")):
                    slower.append(times)
            rows.append([f"`{name}`", f"{len(group)}", f"{points:+.2f}", f"{times:.1f}"])
    return (table(["record", "runs", "accuracy, points over products",
                   "times slower than products"], rows), slower, differences)


def left_over(groups: Mapping[str, Sequence[Mapping]]) -> str:
    """What still multiplies, in each method's own words."""
    words = {}
    for group in groups.values():
        words.setdefault(group[0]["method"]["name"], group[0]["multiplications"])
    return "\n".join(f"- `{name}`: {text}" for name, text in sorted(words.items())) + "\n"


# Area.

def comparisons() -> list[Mapping]:
    """Reports of whole accelerators."""
    documents = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    return [document for document in documents
            if isinstance(document, dict) and document.get("schema") == "nmahw-comparison"]


def _median_mhz(row: Mapping) -> float:
    return row["fmax_mhz"]["median"]


def area_row(row: Mapping, booth: Mapping | None, dsp: Mapping | None) -> list[str]:
    """A row of a comparison."""
    name = f"`{row['arithmetic']}`" + " (baseline)" * bool(row["baseline"])
    if not row.get("resources"):
        return [name, *["-"] * 6]
    use = row["resources"]

    def ratio(to: Mapping | None) -> str:
        return f"{row['macs_per_s_per_lut'] / to['macs_per_s_per_lut']:.2f}" if to else "-"

    return [name, f"{use['lut']:,.0f}", f"{use['dsp']:.0f}", f"{use['block_ram']:.0f}",
            f"{_median_mhz(row):.0f}", f"{row['macs_per_s_per_lut'] / 1e6:.2f}", ratio(booth),
            ratio(dsp)]


_AREA = ["arithmetic", "LUT", "DSP", "block RAM", "MHz", "MMAC/s per LUT", "to Booth", "to DSP"]


def area() -> str:
    """Every comparison of whole accelerators, and of arrays."""
    sections = []
    for document in comparisons():
        array = document["array"]
        sections.append(_area_section(
            f"{document['network']['title']}, whole accelerator, {array['rows']}x"
            f"{array['columns']} array, {document['device']['name']}", document["rows"]))
    arrays = read("arrays.json") or {"tables": {}}
    for entry in arrays["tables"].values():
        task = entry["task"]
        sections.append(_area_section(
            f"Matrix kernel, {task.get('rows', '')}x{task.get('columns', '')}, weights of "
            f"{task['weight_bits']} and activations of {task['activation_bits']} bits, "
            f"{entry['device']}", list(entry["rows"].values())))
    return "\n".join(sections)


def _area_section(title: str, rows: Sequence[Mapping]) -> str:
    built = {row["arithmetic"]: row for row in rows if row.get("resources")}
    lines = [area_row(row, built.get("booth"), built.get("dsp"))
             for row in sorted(built.values(), key=lambda row: -row["macs_per_s_per_lut"])]
    return f"**{title}**\n\n{table(_AREA, lines)}"


# Products.

def products() -> str:
    """What the networks' products are, and what a model promises of sharing them."""
    rows = []
    for name in _COUNTED:
        network = load_model(name)
        for count in count_layers(network, sample_for(network).x[:_IMAGES]):
            layer = count.distinct["layer", RULES[0]]
            rows.append([f"{name}, {count.shape.name}", f"{count.shape.macs:,}",
                         f"{count.nonzero_macs:,.0f}", f"{layer:,.0f}",
                         f"{count.shape.macs / layer:,.0f}", f"{count.sharing.gain:.2f}"])
    return table(["layer", "MAC", "without a zero", "different products", "MAC / different",
                  "gain in additions"], rows)


def beside_booth() -> str | None:
    """Where the gain of shared multiples comes from, in every accelerator that has them."""
    lines = []
    for document in comparisons():
        rows = {row["arithmetic"]: row for row in document["rows"] if row.get("resources")}
        if {"shared_multiples", "booth"} <= set(rows):
            shared, booth = rows["shared_multiples"], rows["booth"]
            lut, blocks = (shared["resources"][name] / booth["resources"][name]
                           for name in ("lut", "block_ram"))
            gain = shared["macs_per_s_per_lut"] / booth["macs_per_s_per_lut"]
            lines.append(f"{document['network']['title']} on {document['device']['name']}, beside "
                         f"Booth multipliers in every element: {gain:.2f} times the MAC/s per LUT, "
                         f"of which {_median_mhz(shared) / _median_mhz(booth):.2f} is clock; "
                         f"{lut:.2f} times the LUT, harness included, {blocks:.2f} times the block "
                         f"RAM, because a weight's code names its multiple.\n")
    return "\n".join(lines) or None


def sharing() -> str | None:
    """The measurement of shared multiples."""
    document = read("sharing.json")
    if document is None:
        return None
    rows, built = [], document["rows"]
    booth, dsp = built.get("booth"), built.get("dsp")
    labels = {"shared": "multiples made once a row", "private": "multiples made in every element",
              "few": "once a row, weights rounded to 0, 1, 2, 3, 4, 6"}
    for key, row in sorted(built.items(), key=lambda item: -(
            item[1].get("macs_per_s_per_lut") or 0)):
        if row.get("resources"):
            cells = area_row(row, booth, dsp)
            if key in labels:
                cells[0] = labels[key]
            known = row.get("accuracy")
            rows.append([*cells, "-" if known is None else f"{100 * known:.2f}"])
    text = (f"LeNet-5 W4A4, {document['array']} array, {document['device']} "
            f"(`benchmarks/sharing.py`):\n\n{table([*_AREA, 'MNIST %'], rows)}")
    if all(built.get(key, {}).get("resources") for key in ("shared", "private")):
        gain = built["shared"]["macs_per_s_per_lut"] / built["private"]["macs_per_s_per_lut"]
        saved = 1 - built["shared"]["resources"]["lut"] / built["private"]["resources"]["lut"]
        text += (f"\nThe same elements with and without sharing: {100 * saved:.0f} % fewer LUT, "
                 f"{gain:.2f} times the MAC/s per LUT.\n")
    return text


def skipping() -> str:
    """Zero skipping: closed forms of bundled networks, and what has been measured."""
    rows = []
    for name, arithmetic in _SKIPPED:
        if name not in models():
            continue
        network = load_model(name)
        weights = [p.weights for p in lower(network).passes]
        zero = sum(int((w == 0).sum()) for w in weights) / sum(w.size for w in weights)
        cells = [f"{name}, `{arithmetic}`", f"{100 * zero:.0f}"]
        for shape in _SHAPES:
            cycles = [Design.of(network, arithmetic, *shape, skip_zeros=skip).cycles_per_image
                      for skip in (False, True)]
            cells.append(f"{100 * (1 - cycles[1] / cycles[0]):.1f}")
        rows.append(cells)
    text = table(["network", "zero weights, %", *(f"cycles saved, {r}x{c}, %" for r, c in _SHAPES)],
                 rows)
    measured = read("skip_zeros.json")
    if measured and all(row.get("resources") for row in measured["rows"].values()):
        lines = [[key, f"{row['resources']['lut']:,.0f}", f"{row['resources']['block_ram']:.0f}",
                  f"{_median_mhz(row):.0f}", f"{row['cycles_per_image']:,}",
                  f"{row['images_per_s']:,.0f}", f"{row['macs_per_s_per_lut'] / 1e6:.2f}"]
                 for key, row in measured["rows"].items()]
        text += (f"\nPlaced and routed, {measured['network']}, {measured['array']}, "
                 f"{measured['device']} (`benchmarks/skip_zeros.py`):\n\n"
                 + table(["tap tiles", "LUT", "block RAM", "MHz", "cycles", "images/s",
                          "MMAC/s per LUT"], lines))
    return text


def render(groups: Mapping[str, Sequence[Mapping]]) -> str:
    """The whole page."""
    compared, slower, differences = twins(groups)
    parts: list[str | None] = [_HEAD, "## In short\n", _verdict(slower, differences)]
    parts += ["## Training\n", "There is no trainer in hardware here: images a second are those of "
              "software on one core of a busy machine, medians over all epochs, good for factors "
              "and not for percents.\n", training(groups),
              "What still multiplies:\n", left_over(groups),
              "**No products, everything else equal.** Table gates (`quarter_square`, `rom_...`) "
              "are integers, so their times compare another way of training too.\n", compared]
    parts += ["## Area\n", "Baselines multiply. Ratios are MAC/s per LUT in the same table; DSP "
              "blocks are not counted as LUT, which flatters `dsp`.\n", area()]
    parts += ["## Fewer products\n", f"Means of {_IMAGES} images; *different products* by the "
              "paper's count, within a layer; *gain in additions* is the model of "
              "[theory.md](theory.md#what-sharing-can-save).\n", products(),
              "**Sharing, measured.**\n", beside_booth(), sharing(),
              "**Zero skipping.** A tap tile is left out if all weights of its rows and columns "
              "are zero.\n", skipping(),
              "## Where it can be cashed in, and where not\n", where()]
    return "\n".join(part for part in parts if part)


def _verdict(slower: Sequence[float], differences: Sequence[float]) -> str:
    lines = []
    if differences:
        lines.append(f"- *It learns as well.* Gates in place of all products of backpropagation "
                     f"change accuracy by {min(differences):+.1f} to {max(differences):+.1f} "
                     f"points (means of few runs on 450 test images, where one is 0.22).")
    if slower:
        lines.append(f"- *It does not train faster on a processor.* Four function values a product "
                     f"make it {min(slower):.0f} to {max(slower):.0f} times slower. What is as "
                     f"fast as products, or faster, are narrow integers with tables: that is the "
                     f"narrowness, not the gate.")
    best = _best_exact()
    if best:
        lines.append(f"- *It saves area beside multipliers made of LUTs, from some width on, and "
                     f"rarely beside those that a device has.* Best exact arithmetic, MAC/s per "
                     f"LUT: {best}")
    lines += [
        "- *The reduction in products is real, and mostly not a reduction in work.* A MAC is a "
        "product and an addition; the addition stays. The gain is bounded by the number of "
        "additions a product takes (see below), not by how often it is repeated.",
        "- *It can be cashed in* as multiples made once a row and chosen in every element, where "
        "weights have few bits; as tables (quarter squares, distributed arithmetic) whose length "
        "depends on the operands' width alone; and as skipped zeros where these are structured."]
    return "\n".join(lines) + "\n"


def _best_exact() -> str | None:
    """The best exact arithmetic without DSP in each whole accelerator, beside the baselines."""
    found = []
    for document in comparisons():
        rows = {row["arithmetic"]: row for row in document["rows"] if row.get("resources")}
        own = [row for row in rows.values() if not row["baseline"] and row["exact"]]
        if own and {"booth", "dsp"} <= set(rows):
            best = max(own, key=lambda row: row["macs_per_s_per_lut"])
            to_booth, to_dsp = (best["macs_per_s_per_lut"] / rows[name]["macs_per_s_per_lut"]
                                for name in ("booth", "dsp"))
            beside = f", {to_dsp:.2f} of DSP blocks'" if rows["dsp"]["resources"]["dsp"] else ""
            found.append(f"{document['network']['title']} on {document['device']['name']}, "
                         f"`{best['arithmetic']}`, {to_booth:.2f} times Booth's{beside}")
    return "; ".join(found) + "." if found else None


_WHERE = (
    ("equal pixels (Theorem 2)",
     "a product made once would have to be kept and found again, by an associative memory",
     "not tried: a memory that finds is larger than what makes the product"),
    ("equal weights within a kernel or a layer (Theorem 3)",
     "multiples of an activation, made once a row, shared by all columns",
     "yes, up to about 5 weight bits, or where weights have few different magnitudes"),
    ("both",
     "a table of all products has 2^(a+w) entries; quarter squares make it 2^(max(a,w)+1)",
     "yes, as block RAM where there are no DSP blocks"),
    ("gradients (Theorem 4)",
     "as above; a training's operands have 8 bits and more, and weights change", "not tried"),
    ("zeros",
     "a tap tile is skipped if all its weights are zero; with a share z of zeros, scattered, that "
     "is z^n of the tiles of n weights",
     "only where zeros are structured: dead pixels, pruned channels"),
    ("the quotient of softmax",
     "a difference of logarithms, two tables ([theory.md](theory.md#softmax))", "yes"),
    ("fewer layers or neurons",
     "a product neuron only adds, which is what the sum costs anyway", "no"))


def where() -> str:
    """Each of the paper's reductions, and what becomes of it."""
    return table(["the paper's reduction", "in hardware", "cashed in?"], _WHERE, 3)


def main() -> int:
    """Command line."""
    print(write_atomically(PAGE, render(records())))
    return 0


if __name__ == "__main__":
    sys.exit(main())

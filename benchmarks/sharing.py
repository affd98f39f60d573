"""What sharing multiples is worth in hardware: LeNet-5 W4A4, one array, four ways to do it.

- *private*: every element makes its own odd multiples, then chooses and adds as usual;
- *shared*: a row makes them once (`shared_multiples`), those that some weight needs;
- *few*: the same with weights rounded to 0, 1, 2, 3, 4, 6, which need one odd multiple;
- the baselines, which multiply in every element.

    python benchmarks/sharing.py [--device D] [--array RxC] [--seeds N] [--data mnist.npz]

Writes benchmarks/results/sharing.json.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from amaranth.hdl import Module, Shape

from nmahw.arith import Element, RowUnit
from nmahw.arith.shared_multiples import (
    OddMultiplesRowUnit,
    SharedMultiples,
    SharedMultiplesElement,
)
from nmahw.bundled import load_model
from nmahw.compare import Comparison, compare
from nmahw.design import Design
from nmahw.files import write_atomically
from nmahw.gateware.common import delayed
from nmahw.network import Network
from nmahw.workbench import Workbench

RESULT = Path(__file__).parent / "results" / "sharing.json"
FEW = (0, 1, 2, 3, 4, 6)


class PrivateMultiples(SharedMultiples):
    """The same products, with nothing shared."""

    name = "private_multiples"

    @property
    def shared(self) -> SharedMultiples:
        """What is inside of every element."""
        return SharedMultiples(self.activation, self.weight, self.magnitudes)

    @property
    def symbol_shape(self) -> Shape:
        return Shape(self.activation.bits)

    @property
    def latency_cycles(self) -> int:
        return self.shared.latency_cycles + self.shared.row_latency_cycles

    @property
    def row_latency_cycles(self) -> int:
        return 0

    def create(self, row: int = 0) -> Element:
        return PrivateElement(self, row)

    def create_row_unit(self) -> RowUnit:
        return RowUnit(self)


class PrivateElement(Element):
    """A row unit and an element of `SharedMultiples`."""

    def __init__(self, arithmetic: PrivateMultiples, row: int):
        super().__init__(arithmetic, row)
        self._unit = OddMultiplesRowUnit(arithmetic.shared)
        self._element = SharedMultiplesElement(arithmetic.shared, row)

    def elaborate(self, platform):
        m = Module()
        m.submodules.multiples, m.submodules.element = unit, element = self._unit, self._element
        weight = delayed(m, self.weight, self.arithmetic.shared.row_latency_cycles, "weight")
        m.d.comb += [unit.activations.eq(self.symbol), unit.active.eq(1),
                     element.symbol.eq(unit.symbol), element.weight.eq(weight),
                     element.psum_i.eq(self.psum_i), self.psum_o.eq(element.psum_o)]
        return m


def private(network: Network, name: str, rows: int, columns: int) -> Design:
    """The design of `name` without sharing."""
    design = Design.of(network, name, rows, columns)
    arithmetics = tuple(PrivateMultiples(a.activation, a.weight, a.magnitudes)
                        for a in design.arithmetics)
    return Design(network, arithmetics, rows, columns)


def rounded(weights: np.ndarray) -> np.ndarray:
    """Weights of `FEW` magnitudes; half of each error goes on to the next weight of a sum."""
    allowed = np.array(sorted({s * n for n in FEW for s in (1, -1)}))
    result = weights.reshape(len(weights), -1).copy()
    for row in result:
        error = 0
        for k, weight in enumerate(row.tolist()):
            if weight not in allowed:
                row[k] = allowed[np.argmin(np.abs(allowed - (weight - error / 2)))]
            error += int(row[k]) - weight
    return result.reshape(weights.shape)


def with_few(network: Network) -> Network:
    """The network with rounded weights."""
    layers = tuple(replace(layer, weights=rounded(layer.weights)) if layer.is_matrix else layer
                   for layer in network.layers)
    return Network(network.input_format, layers, f"{network.title}, weights 0 1 2 3 4 6",
                   network.metadata)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="ecp5-25k")
    parser.add_argument("--array", default="4x4")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", type=Path, help="npz with x_test and y_test, for accuracies")
    options = parser.parse_args()
    rows, columns = map(int, options.array.split("x"))
    network = load_model("lenet5-w4a4")
    bench = Workbench(jobs=1, say=lambda text: print(text, file=sys.stderr))
    images = np.load(options.data) if options.data else None

    def measured(net: Network, baselines: tuple[str, ...], factory) -> Comparison:
        accuracy = None if images is None else float(
            (net.classify(images["x_test"]) == images["y_test"]).mean())
        return compare(net, ["shared_multiples"], options.device, rows, columns,
                       range(1, options.seeds + 1), accuracy=accuracy, baselines=baselines,
                       bench=bench, design_factory=factory)

    document = {"device": options.device, "array": options.array, "rows": {}}
    for label, net, baselines, factory in (
            ("shared", network, ("booth", "fabric", "dsp"), Design.of),
            ("private", network, (), private),
            ("few", with_few(network), (), Design.of)):
        done = measured(net, baselines, factory)
        for row in done.results:
            key = label if row.arithmetic == "shared_multiples" else row.arithmetic
            document["rows"][key] = {"network": net.title} | done.row_document(row)
            if row.built:
                print(f"{key:8} {row.lut:6,} LUT {row.fmax_mhz:6.1f} MHz "
                      f"{row.macs_per_s_per_lut / 1e6:5.2f} MMAC/s per LUT  {row.accuracy}")
            else:
                print(f"{key:8} {row.problem}")
    print(write_atomically(RESULT, json.dumps(document, indent=1) + "\n"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

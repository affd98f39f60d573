"""``.onnx``: float models as PyTorch exports them (``torch.onnx.export``), in inference mode.

The graph must be a chain: one input, each node working on the result of the one before. Parts
that work on constants or shapes alone are computed on the spot. Batch norm and constant Add,
Sub, Mul, Div are folded into weights; Dropout, Identity and casts to float are passed over, and
so is a Softmax or LogSoftmax at the very end, which does not change the order of the logits.
If the graph itself scales its input (a division by 255, say), give an input scale of 1.

`nmahw.frontends._onnx_operators` has one method per operator.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from ..errors import EnvironmentProblem, ModelError, NmahwError, UsageError
from ..floatnet import FloatNetwork
from . import FrontEnd, ImportOptions
from ._folding import fold, input_offset
from ._onnx_operators import Chain, Node

__all__ = ["OnnxFrontEnd"]


class OnnxFrontEnd(FrontEnd):
    """ONNX graphs; see the module's documentation for what they may hold."""

    name: ClassVar[str] = "onnx"
    suffixes: ClassVar[tuple[str, ...]] = (".onnx",)

    def read(self, path: Path, options: ImportOptions) -> FloatNetwork:
        if options.architecture is not None:
            raise UsageError("an architecture must not be given for an .onnx file: its graph "
                             "tells it")
        graph, opsets = _load(path)
        try:
            return _convert(graph, opsets, options, path.stem)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise ModelError(f"{path} is damaged: its graph contradicts itself "
                             f"({type(error).__name__}: {error})") from None


def _load(path: Path) -> tuple[object, dict[str, int]]:
    """The graph, and the version of each operator set."""
    try:
        import onnx
    except ImportError:
        raise EnvironmentProblem('reading .onnx files needs the package onnx: '
                                 'pip install "nmahw[onnx]"') from None
    try:
        model = onnx.load(path)
    except Exception as error:
        # The parser and the loader of external data document no common base of their errors.
        raise ModelError(f"{path} is damaged or not an ONNX model ({type(error).__name__}: "
                         f"{error})") from None
    if not model.graph.node:
        raise ModelError(f"{path} is damaged or not an ONNX model: it has no nodes")
    return model.graph, {item.domain: item.version for item in model.opset_import}


def _convert(graph: object, opsets: dict[str, int], options: ImportOptions, title: str
             ) -> FloatNetwork:
    from onnx import numpy_helper
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise ModelError(f"an ONNX graph must have one input and one output, not {len(inputs)} "
                         f"and {len(graph.output)}: "
                         + ", ".join(value.name for value in (*inputs, *graph.output)))
    batch, shape = _input_shape(inputs[0])
    input_format, scale = options.input_format(shape)
    chain = Chain(inputs[0].name, input_format.shape, batch, constants)
    for proto in graph.node:
        node = Node(proto)
        known = all(name in constants or not name for name in node.inputs)
        if node.domain in ("", "ai.onnx") and known and (node.inputs or node.kind == "Constant"):
            constants.update(_evaluate(node, constants, opsets))
        else:
            chain.append(node)
    if graph.output[0].name != chain.current:
        raise ModelError(f"the ONNX graph's output {graph.output[0].name!r} must be the last "
                         f"node's result, not another's")
    layers = fold([*input_offset(options.input_offset), *chain.steps], chain.input_shape)
    if chain.input_shape != input_format.shape:
        input_format = type(input_format)(chain.input_shape, input_format.low, input_format.high)
    return FloatNetwork(input_format, scale, layers, title)


def _input_shape(value: object) -> tuple[int, tuple[int, ...] | None]:
    """Batch size (1 if free) and shape (None if not told) of a graph's input."""
    dimensions = [d.dim_value if d.HasField("dim_value") else 0
                  for d in value.type.tensor_type.shape.dim]
    batch = dimensions[0] if dimensions and dimensions[0] > 0 else 1
    shape = tuple(dimensions[1:])
    if not shape or min(shape) < 1:
        return batch, None
    # (height, width) without channels, as a perceptron that flattens may take it.
    return batch, (1, *shape) if len(shape) == 2 else shape


def _evaluate(node: Node, constants: dict[str, np.ndarray], opsets: dict[str, int]
              ) -> dict[str, np.ndarray]:
    """Results of a node all of whose inputs are constants."""
    from onnx.reference import ReferenceEvaluator
    try:
        results = ReferenceEvaluator(node.proto, opsets=opsets).run(
            None, {name: constants[name] for name in node.inputs if name})
    except NmahwError:
        raise
    except Exception as error:
        # Whatever the evaluator meets is a fault of the graph, not of nmahw.
        raise ModelError(f"{node} works on constants, but cannot be computed "
                         f"({type(error).__name__}: {error})") from None
    return {name: np.asarray(result)
            for name, result in zip(node.outputs, results, strict=False)}

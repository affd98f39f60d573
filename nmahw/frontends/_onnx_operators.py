"""ONNX operators, one method `op_<Operator>` of `Chain` each; the methods are the list.

Definitions: the ONNX operator specification, https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import ModelError
from ..floatnet import (
    FloatAveragePool,
    FloatConv2d,
    FloatDense,
    FloatFlatten,
    FloatLayer,
    FloatMaxPool,
    FloatReLU,
    check_finite,
)
from ._folding import Affine, batch_norm

__all__ = ["Chain", "Node"]


class Node:
    """An ONNX node with its attributes as plain Python values."""

    def __init__(self, proto: object):
        self.proto = proto
        self.kind: str = proto.op_type
        self.domain: str = proto.domain
        self.inputs: list[str] = list(proto.input)
        self.outputs: list[str] = list(proto.output)
        self.name: str = proto.name or (self.outputs[0] if self.outputs else "")
        self._attributes = {item.name: item for item in proto.attribute}

    def __str__(self) -> str:
        return f"node {self.name!r} ({self.kind})"

    def get(self, name: str, default: object) -> object:
        """Value of an attribute, text decoded."""
        if name not in self._attributes:
            return default
        from onnx import helper
        value = helper.get_attribute_value(self._attributes[name])
        return value.decode(errors="replace") if isinstance(value, bytes) else value

    def square(self, name: str, default: Sequence[int]) -> int:
        """The one value that all elements of a list attribute have."""
        values = [int(v) for v in self.get(name, default)]
        if len(set(values)) != 1:
            raise ModelError(f"{self}: {name} must be equal in all directions, not {values}")
        return values[0]

    def require(self, name: str, wanted: object, default: object) -> None:
        """Refuse any value of an attribute but `wanted`."""
        value = self.get(name, default)
        value = list(value) if isinstance(wanted, list) else value
        if value != wanted:
            raise ModelError(f"{self}: {name} must be {wanted}, not {value}")


class Chain:
    """Steps of a network, as its nodes are appended in the graph's order.

    Parameters
    ----------
    source : str
        Name of the graph's input.
    shape : tuple of int
        Its shape without the batch axis.
    batch : int
        The batch size the graph was exported with.
    constants : mapping of str to array
        Known tensors by name; `Chain` adds shapes to them.
    """

    def __init__(self, source: str, shape: tuple[int, ...], batch: int,
                 constants: dict[str, np.ndarray]):
        self.current = source
        self.input_shape = self.shape = tuple(shape)
        self.batch = batch
        self.constants = constants
        self.steps: list[FloatLayer | Affine] = []
        self._shapes: dict[str, tuple[int, ...]] = {source: self.shape}
        self._ended_by: Node | None = None

    @classmethod
    def operators(cls) -> list[str]:
        """Names of the operators that can be imported."""
        return sorted(name.removeprefix("op_") for name in dir(cls) if name.startswith("op_"))

    def append(self, node: Node) -> None:
        """Take in the next node.

        Raises
        ------
        ModelError
            It cannot be imported; the message names it.
        """
        method = getattr(self, f"op_{node.kind}", None)
        if method is None or node.domain not in ("", "ai.onnx"):
            kind = f"{node.domain}.{node.kind}" if node.domain not in ("", "ai.onnx") \
                else node.kind
            raise ModelError(f"the operator of node {node.name!r} must be one of "
                             f"{', '.join(self.operators())}, not {kind!r}")
        if node.kind == "Shape":
            method(node)
            return
        if self._ended_by is not None:
            raise ModelError(f"{self._ended_by} must be the graph's last node, but {node} "
                             f"follows it")
        for name in node.inputs:
            if name and name not in self._shapes and name not in self.constants:
                raise ModelError(f"{node} must work on constants and the result of the node "
                                 f"before it, but its input {name!r} comes from no node before")
        activations = [name for name in node.inputs if name in self._shapes]
        if activations != [self.current]:
            raise ModelError(f"{node} must work on the result of the node before it, but takes "
                             f"{', '.join(activations)}: branches are not supported")
        try:
            method(node)
        except ModelError as error:
            raise ModelError(str(error) if str(node) in str(error)
                             else f"{node}: {error}") from None
        self.current = node.outputs[0]
        self._shapes[self.current] = self.shape

    def _add(self, step: FloatLayer) -> None:
        self.shape = step.output_shape(self.shape)
        self.steps.append(step)

    def _constant(self, node: Node, index: int, what: str) -> np.ndarray:
        if len(node.inputs) <= index or node.inputs[index] not in self.constants:
            raise ModelError(f"{node}: {what} must be a constant")
        return self.constants[node.inputs[index]]

    def _optional(self, node: Node, index: int, what: str, default: object) -> np.ndarray:
        if len(node.inputs) <= index or not node.inputs[index]:
            return np.asarray(default)
        return self._constant(node, index, what)

    # Sums of products

    def op_Conv(self, node: Node) -> None:
        weights = self._constant(node, 1, "weights")
        if weights.ndim != 4:
            raise ModelError(f"{node}: weights must have 4 axes, not shape {weights.shape}")
        node.require("group", 1, 1)
        node.require("dilations", [1, 1], [1, 1])
        stride = node.square("strides", [1, 1])
        bias = self._optional(node, 2, "bias", np.zeros(weights.shape[0]))
        self._add(FloatConv2d(weights, bias, node.name, stride,
                              self._padding(node, weights.shape[2:], stride)))

    def _padding(self, node: Node, kernel: Sequence[int], stride: int) -> int:
        auto = node.get("auto_pad", "NOTSET")
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            if stride != 1 or kernel[0] != kernel[1] or kernel[0] % 2 == 0:
                raise ModelError(f"{node}: auto_pad {auto} must come with stride 1 and an odd, "
                                 f"square kernel, not stride {stride} and {list(kernel)}")
            return kernel[0] // 2
        return 0 if auto == "VALID" else node.square("pads", [0])

    def op_Gemm(self, node: Node) -> None:
        node.require("transA", 0, 0)
        weights = self._constant(node, 1, "weights")
        if weights.ndim != 2:
            raise ModelError(f"{node}: weights must have 2 axes, not shape {weights.shape}")
        weights = weights if node.get("transB", 0) else weights.T
        bias = self._optional(node, 2, "bias", 0.0)
        bias = np.broadcast_to(bias.reshape(-1), weights.shape[0]) if bias.size in (
            1, weights.shape[0]) else bias
        self._add(FloatDense(weights * np.float32(node.get("alpha", 1.0)),
                             bias * np.float32(node.get("beta", 1.0)), node.name))

    def op_MatMul(self, node: Node) -> None:
        if node.inputs[0] != self.current or len(self.shape) != 1:
            raise ModelError(f"{node} must be (batch, features) times constant weights")
        weights = self._constant(node, 1, "weights")
        if weights.ndim != 2:
            raise ModelError(f"{node}: weights must have 2 axes, not shape {weights.shape}")
        self._add(FloatDense(weights.T, np.zeros(weights.shape[1]), node.name))

    # Per-channel scale and shift

    def op_BatchNormalization(self, node: Node) -> None:
        node.require("training_mode", 0, 0)
        weight, bias, mean, variance = (
            self._constant(node, i, what) for i, what in
            enumerate(("scale", "bias", "mean", "variance"), 1))
        self.steps.append(batch_norm(node.name, weight, bias, mean, variance,
                                     float(node.get("epsilon", 1e-5))))

    def _affine(self, node: Node, scale: object, shift: object) -> None:
        self.steps.append(Affine(np.asarray(scale, np.float64).reshape(-1),
                                 np.asarray(shift, np.float64).reshape(-1), str(node)))

    def _per_channel(self, node: Node) -> np.ndarray:
        """The constant operand, one value per channel or one for all."""
        index = 1 if node.inputs[0] == self.current else 0
        value = self._constant(node, index, "one operand")
        axes = len(self.shape) + 1
        if value.size > 1:
            shape = (1,) * (axes - value.ndim) + value.shape
            if shape != (1, self.shape[0]) + (1,) * (axes - 2):
                raise ModelError(f"{node}: the constant must have one value, or one per channel, "
                                 f"not shape {value.shape}")
        return check_finite(value.reshape(-1), f"{node} constant", 1)

    def op_Add(self, node: Node) -> None:
        self._affine(node, 1, self._per_channel(node))

    def op_Sub(self, node: Node) -> None:
        value = self._per_channel(node)
        self._affine(node, *((1, -value) if node.inputs[0] == self.current else (-1, value)))

    def op_Mul(self, node: Node) -> None:
        self._affine(node, self._per_channel(node), 0)

    def op_Div(self, node: Node) -> None:
        value = self._per_channel(node)
        if node.inputs[0] != self.current or not value.all():
            raise ModelError(f"{node} must divide by a constant that is not zero")
        self._affine(node, 1 / value.astype(np.float64), 0)

    # Activation and pooling

    def op_Relu(self, node: Node) -> None:
        self._add(FloatReLU())

    def _pool(self, node: Node, kind: type[FloatMaxPool] | type[FloatAveragePool]) -> None:
        size = node.square("kernel_shape", ())
        node.require("dilations", [1, 1], [1, 1])
        stride = node.square("strides", [1, 1])
        if node.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            node.require("auto_pad", "NOTSET", "NOTSET")
        if any(node.get("pads", [])):
            node.require("pads", [0, 0, 0, 0], [0, 0, 0, 0])
        if node.get("ceil_mode", 0) and any((n - size) % stride for n in self.shape[1:]):
            node.require("ceil_mode", 0, 0)
        self._add(kind(size, stride))

    def op_MaxPool(self, node: Node) -> None:
        self._pool(node, FloatMaxPool)

    def op_AveragePool(self, node: Node) -> None:
        self._pool(node, FloatAveragePool)

    def op_GlobalAveragePool(self, node: Node) -> None:
        if len(self.shape) != 3 or self.shape[1] != self.shape[2]:
            raise ModelError(f"{node}: input must be (channels, side, side), not {self.shape}")
        self._add(FloatAveragePool(self.shape[1], self.shape[1]))

    def op_ReduceMean(self, node: Node) -> None:
        axes = node.get("axes", None)
        axes = self._optional(node, 1, "axes", []) if axes is None else np.asarray(axes)
        if len(self.shape) != 3 or sorted(int(a) % 4 for a in axes.reshape(-1)) != [2, 3]:
            raise ModelError(f"{node}: axes must be height and width [2, 3], not {axes.tolist()}")
        self.op_GlobalAveragePool(node)
        if not node.get("keepdims", 1):
            self._add(FloatFlatten())

    # Shapes

    def op_Flatten(self, node: Node) -> None:
        if node.get("axis", 1) not in (1, -len(self.shape)):
            node.require("axis", 1, 1)
        self._add(FloatFlatten())

    def op_Reshape(self, node: Node) -> None:
        before = (self.batch, *self.shape)
        target = [int(v) for v in self._constant(node, 1, "target shape").reshape(-1)]
        wanted = [before[i] if v == 0 and i < len(before) else v for i, v in enumerate(target)]
        if wanted.count(-1) == 1:
            known = int(np.prod([v for v in wanted if v != -1]))
            total = int(np.prod(before))
            # A free batch axis counts as one image.
            wanted[wanted.index(-1)] = total // known if known > 0 and total % known == 0 else -1
        if wanted == [self.batch, int(np.prod(self.shape))]:
            self._add(FloatFlatten())
        elif not self.steps and len(wanted) == 4 and wanted[0] == self.batch \
                and np.prod(wanted) == np.prod(before):
            # A graph that takes rows of features and makes images of them: it takes images.
            self.input_shape = self.shape = tuple(wanted[1:])
        elif wanted != list(before):
            raise ModelError(f"{node}: target shape must be (batch, features), not {target} for "
                             f"an input of {before}")

    def op_Shape(self, node: Node) -> None:
        if node.inputs[0] not in self._shapes:
            raise ModelError(f"{node} must work on the result of a node before it")
        shape = (self.batch, *self._shapes[node.inputs[0]])
        shape = shape[node.get("start", 0):node.get("end", None)]
        self.constants[node.outputs[0]] = np.array(shape, dtype=np.int64)

    # Nothing at all

    def op_Identity(self, node: Node) -> None:
        pass

    def op_Dropout(self, node: Node) -> None:
        if self._optional(node, 2, "training mode", False).any():
            raise ModelError(f"{node}: training mode must be off; export the model in eval()")

    def op_Cast(self, node: Node) -> None:
        from onnx import TensorProto
        node.require("to", TensorProto.FLOAT, None)

    def op_Softmax(self, node: Node) -> None:
        self._ended_by = node

    op_LogSoftmax = op_Softmax



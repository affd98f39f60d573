"""ONNX models made node by node."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Graph:
    """A chain of ONNX nodes, built one call per node."""

    def __init__(self, *shape, batch="n"):
        self.value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *shape])
        self.last, self.nodes, self.tensors = "x", [], []

    def constant(self, array):
        name = f"c{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def add(self, kind, *arrays, outputs=1, before=(), **attributes):
        names = [self.constant(a) if not isinstance(a, str) else a for a in arrays]
        ahead = [self.constant(a) for a in before]
        result = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(
            kind, [*ahead, self.last, *names], [result] + [f"{result}_{i}" for i in
                                                           range(1, outputs)],
            name=f"node_{kind}_{len(self.nodes)}", **attributes))
        self.last = result
        return self

    def model(self, opset=17):
        output = helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "graph", [self.value], [output], self.tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)],
                                 ir_version=10)

    def save(self, path, opset=17):
        onnx.save(self.model(opset), path)
        return path

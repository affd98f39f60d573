"""Questions to z3 about an and-inverter graph, as SMT-LIB text.

L. de Moura and N. Bjorner, "Z3: An Efficient SMT Solver", TACAS 2008. The answer "unsatisfiable"
is a proof; a model is a counterexample, which callers check by running the circuit on it.
"""

import re
import tempfile
from pathlib import Path

from ..errors import BuildError
from ..toolchain import find, run
from .aig import FALSE, TRUE, Graph

__all__ = ["satisfy"]


def satisfy(graph: Graph, literal: int, timeout_s: float | None = None) -> dict[int, bool] | None:
    """Values of the graph's inputs that make `literal` true, or None when there are none.

    Parameters
    ----------
    graph : Graph
    literal : int
    timeout_s : float, optional
        Give up after this many seconds.

    Returns
    -------
    dict of int to bool, or None
        By variable, for the inputs that `literal` depends on.

    Raises
    ------
    BuildError
        The solver did not answer in time, or failed.
    EnvironmentProblem
        z3 is not installed.
    """
    if literal in (FALSE, TRUE):
        return {} if literal else None
    with tempfile.TemporaryDirectory(prefix="nmahw-") as folder:
        (Path(folder) / "question.smt2").write_text(_smt_lib(graph, literal))
        answer = run(find("z3"), ["-model", "question.smt2"], cwd=folder, timeout_s=timeout_s)
    if answer.startswith("unsat"):
        return None
    if not answer.startswith("sat"):
        raise BuildError(f"z3 must say sat or unsat, not {answer.strip()[:200]!r}")
    model = {int(variable): value == "true" for variable, value in
             re.findall(r"\(define-fun v(\d+) \(\) Bool\s+(true|false)\)", answer)}
    return {variable: model.get(variable, False) for variable in graph.cone([literal])
            if graph.operands[variable] is None}


def _smt_lib(graph: Graph, literal: int) -> str:
    def term(of: int) -> str:
        return f"(not v{of >> 1})" if of & 1 else f"v{of >> 1}"

    # QF_FD: the solver's SAT engine without theories.
    lines = ["(set-logic QF_FD)"]
    for variable in graph.cone([literal]):
        operands = graph.operands[variable]
        lines.append(f"(declare-const v{variable} Bool)")
        if operands:
            lines.append(f"(assert (= v{variable} (and {term(operands[0])} {term(operands[1])})))")
    lines += [f"(assert {term(literal)})", "(check-sat)"]
    return "\n".join(lines) + "\n"

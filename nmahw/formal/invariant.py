"""Proof that assertions hold in every cycle after power-up, however long that is.

z3's engine for constrained Horn clauses looks for an invariant: a set of states that holds the
first one, is closed under the transitions that assumptions allow, and keeps the assertions
(K. Hoder, N. Bjorner, "Generalized Property Directed Reachability", SAT 2012). Where there is
none, an assertion can fail; the shortest way there is then found by unrolling.
"""

import tempfile
from pathlib import Path

from amaranth.hdl import Elaboratable

from ..errors import BuildError
from ..toolchain import find, run
from .aig import FALSE, TRUE, Graph, Machine
from .machine import machine_of
from .solve import satisfy

__all__ = ["holds_always", "shortest_failure"]

RESET = "rst"


def holds_always(contract: Elaboratable, timeout_s: float | None = None) -> bool:
    """Whether the assertions inside a contract hold in every cycle.

    Parameters
    ----------
    contract : Elaboratable
        With an attribute `ports` (inputs by name) and assertions inside.
    timeout_s : float, optional
        Give up after this many seconds.

    Raises
    ------
    BuildError
        The solver or Yosys failed, or did not answer in time; or nothing is asserted.
    EnvironmentProblem
        One of them is missing.
    """
    machine = _machine(contract)
    with tempfile.TemporaryDirectory(prefix="nmahw-") as folder:
        (Path(folder) / "question.smt2").write_text(_horn_clauses(machine))
        answer = run(find("z3"), ["question.smt2"], cwd=folder, timeout_s=timeout_s).strip()
    # Of Horn clauses: satisfiable when there is an invariant.
    if answer not in ("sat", "unsat"):
        raise BuildError(f"z3 must say sat or unsat, not {answer[:200]!r}")
    return answer == "sat"


def shortest_failure(contract: Elaboratable, most_cycles: int,
                     timeout_s: float | None = None) -> list[dict[str, int]] | None:
    """Inputs, cycle by cycle, that make an assertion fail soonest; None if within `most_cycles`
    none can."""
    machine, graph = _machine(contract), Graph()
    state = [latch.initial if latch.initial is not None else graph.input()
             for latch in machine.latches]
    assumed, steps = TRUE, []
    for _ in range(most_cycles):
        inputs = {name: [FALSE] if name == RESET else graph.word(len(word))
                  for name, word in machine.inputs.items()}
        steps.append(inputs)
        outputs, state = machine.unroll(graph, state, inputs)
        assumed = graph.and_(assumed, graph.all(outputs["$constraints"]))
        fails = graph.all([bad ^ 1 for bad in outputs["$bad"]]) ^ 1
        model = satisfy(graph, graph.and_(assumed, fails), timeout_s)
        if model is not None:
            return [{name: sum(bit << index for index, bit in
                               enumerate(graph.evaluate(word, model)))
                     for name, word in step.items() if name not in (RESET, "clk")}
                    for step in steps]
    return None


def _machine(contract: Elaboratable) -> Machine:
    machine = machine_of(contract, contract.ports, initial=True)
    if not machine.bad:
        raise BuildError("a contract must assert something, but nothing of it is left")
    return machine


def _horn_clauses(machine: Machine) -> str:
    graph = Graph()
    state = graph.word(len(machine.latches))
    outputs, following = machine.unroll(graph, state, {RESET: [FALSE]})
    fails = graph.all([bad ^ 1 for bad in outputs["$bad"]]) ^ 1
    allowed = graph.all(outputs["$constraints"])

    def term(literal: int) -> str:
        if literal in (FALSE, TRUE):
            return "true" if literal else "false"
        return f"(not v{literal >> 1})" if literal & 1 else f"v{literal >> 1}"

    def applied(literals: list[int]) -> str:
        return "(Inv " + " ".join(term(literal) for literal in literals) + ")"

    def with_gates(roots: list[int], body: str) -> str:
        cone = graph.cone(roots)
        # Every shared gate has a name inside nested lets; nothing else is quantified.
        gates = [variable for variable in cone if graph.operands[variable]]
        for variable in reversed(gates):
            a, b = graph.operands[variable]
            body = f"(let ((v{variable} (and {term(a)} {term(b)}))) {body})"
        free = sorted({variable for variable in cone if not graph.operands[variable]}
                      | {literal >> 1 for literal in state})
        return f"(assert (forall ({' '.join(f'(v{v} Bool)' for v in free)}) {body}))"

    first = [state[index] if latch.initial is None else latch.initial
             for index, latch in enumerate(machine.latches)]
    unknown = [literal for literal in first if literal > TRUE]
    start = applied(first)
    if unknown:
        start = f"(forall ({' '.join(f'(v{v >> 1} Bool)' for v in unknown)}) {start})"
    return "\n".join([
        "(set-logic HORN)",
        f"(declare-fun Inv ({' '.join(['Bool'] * len(state))}) Bool)",
        f"(assert {start})",
        with_gates([allowed, *following],
                   f"(=> (and {applied(state)} {term(allowed)}) {applied(following)})"),
        with_gates([allowed, fails],
                   f"(=> (and {applied(state)} {term(allowed)} {term(fails)}) false)"),
        "(check-sat)"]) + "\n"

"""How much of an exhaustive sweep's front a search finds, replayed on its results file.

    nmahw sweep benchmarks/sweeps/search.toml -o search.sqlite
    python benchmarks/search_recovery.py benchmarks/sweeps/search.toml search.sqlite

Hypervolume of what the search would have built over that of everything that was, on logarithms of
the objective's quantities (the reference point is a tenth beyond the worst), for several budgets
and numbers of workers: a search with more of them chooses knowing less; beside it the mean of 1,000
random choices of as many designs. Prints it, and writes it to
benchmarks/results/search_recovery.json together with the designs, estimated and measured.
"""

import argparse
import json
import math
import random
import statistics
from collections import deque
from pathlib import Path

from nmahw.files import write_atomically
from nmahw.sweep.forecast import estimates
from nmahw.sweep.networks import Networks
from nmahw.sweep.pareto import front, hypervolume, oriented
from nmahw.sweep.points import points_of
from nmahw.sweep.search import Selection, figures_of, reference_point, scaled
from nmahw.sweep.spec import Spec, read_spec
from nmahw.sweep.store import Store

RESULTS = Path(__file__).parent / "results"


def replay(estimated: dict, measured: dict, objective: tuple, runs: int, workers: int) -> list:
    """Candidates that a search builds when the first that began is the first that ends."""
    selection = Selection(estimated, {key: key[:2] for key in estimated}, objective, runs)
    running: deque = deque()
    built = []
    while True:
        while len(running) < workers and (chosen := selection.next(1)):
            running += chosen
        if not running:
            return built
        key = running.popleft()
        selection.add(key, measured.get(key))
        built.append(key)


def candidates(spec: Spec, results: Path) -> tuple[dict, dict, dict]:
    """What the estimator says of every design, what was measured, and the tools' versions."""
    with Store(results) as store:
        attempts = store.attempts()
    points = {(p["model"], p["arithmetic"], p["array"], p["device"]): p
              for p in points_of(attempts)}
    made = {(row["model"], row["arithmetic"], f"{row['rows']}x{row['columns']}"): row
            for row in attempts}
    estimated, measured = {}, {}
    for (design, device), found in estimates(spec, Networks(spec))[0].items():
        model, _, arithmetic, height, width = design
        key = model, arithmetic, f"{height}x{width}", device
        if key in points:
            estimated[key] = figures_of(made[key[:3]], dict(found.resources),
                                        found.clock_mhz or 1.0)
            if points[key]["status"] == "done":
                measured[key] = points[key]
    return estimated, measured, attempts[0]["versions"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", type=Path)
    parser.add_argument("results", type=Path)
    options = parser.parse_args()
    spec = read_spec(options.spec)
    estimated, measured, tools = candidates(spec, options.results)
    keys = list(measured)
    values = scaled(oriented([measured[key] for key in keys], spec.objective))
    reference = reference_point(values)
    on_front = dict(zip(keys, front(values).tolist(), strict=True))
    whole = hypervolume(values, reference)

    def share(built: list) -> float:
        rows = [keys.index(key) for key in built if key in measured]
        return hypervolume(values[rows], reference) / whole
    found, dice = [], random.Random(1)
    for workers in (1, 2, 4):
        for budget in (0.1, 0.15, 0.2, 0.25, 0.35, 0.5):
            built = replay(estimated, measured, spec.objective,
                           max(1, math.floor(budget * len(estimated))), workers)
            guesses = [share(dice.sample(list(estimated), len(built))) for _ in range(1000)]
            found.append({
                "workers": workers, "budget": budget, "built": len(built),
                "of_front": sum(on_front.get(key, False) for key in built),
                "hypervolume": round(share(built), 4),
                "of_random_choices": round(statistics.fmean(guesses), 4)})
            print(json.dumps(found[-1]))
    designs = [{"design": list(key), "on_front": on_front.get(key, False),
                **{name: {"estimated": estimated[key][name],
                          "measured": measured.get(key, {}).get(name)}
                   for name in spec.objective}} for key in estimated]
    document = {"schema": "nmahw-search-recovery", "version": 1, "title": spec.title,
                "objective": list(spec.objective), "tools": tools,
                "front": sum(on_front.values()), "searches": found, "designs": designs}
    write_atomically(RESULTS / "search_recovery.json", json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""How much of an exhaustive sweep's front a search finds, replayed on its results file.

    nmahw sweep benchmarks/sweeps/search.toml -o search.sqlite
    python benchmarks/search_recovery.py benchmarks/sweeps/search.toml search.sqlite

Hypervolume of what the search would have built over that of everything that was, on logarithms of
the objective's quantities, for several budgets. The reference point is a tenth beyond the worst.
"""

import argparse
import json
import math
from pathlib import Path

from nmahw.sweep.forecast import estimates
from nmahw.sweep.networks import Networks
from nmahw.sweep.pareto import hypervolume, oriented
from nmahw.sweep.points import points_of
from nmahw.sweep.search import SearchPlan, Selection, _scaled, reference_point
from nmahw.sweep.spec import read_spec
from nmahw.sweep.store import Store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", type=Path)
    parser.add_argument("results", type=Path)
    options = parser.parse_args()
    spec = read_spec(options.spec)
    with Store(options.results) as store:
        attempts = store.attempts()
    points = {(p["arithmetic"], p["array"], p["device"]): p for p in points_of(attempts)}
    made = {(row["arithmetic"], f"{row['rows']}x{row['columns']}"): row for row in attempts}
    found, _ = estimates(spec, Networks(spec))
    rows = {}
    for (design, device), estimate in found.items():
        _, _, arithmetic, height, width = design
        array = f"{height}x{width}"
        if (arithmetic, array, device) in points:
            rows[arithmetic, array, device] = SearchPlan._row(
                made[arithmetic, array], dict(estimate.resources), estimate.clock_mhz or 1.0)
    done = {key: p for key, p in points.items() if p["status"] == "done" and key in rows}
    keys = list(done)
    values = _scaled(oriented([done[key] for key in keys], spec.objective))
    reference = reference_point(values)
    whole = hypervolume(values, reference)
    for budget in (0.1, 0.15, 0.2, 0.25, 0.35, 0.5):
        selection = Selection(rows, {key: key[0] for key in rows}, spec.objective,
                              max(1, math.floor(budget * len(rows))))
        chosen = []
        while more := selection.next(1):
            for key in more:
                selection.add(key, done.get(key))
                chosen += [key] * (key in done)
        share = hypervolume(values[[keys.index(key) for key in chosen]], reference) / whole
        print(json.dumps({"budget": budget, "candidates": len(rows), "built": selection.spent,
                          "hypervolume": round(share, 4)}))


if __name__ == "__main__":
    main()

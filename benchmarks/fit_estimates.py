"""Fits the resource estimator to mapped designs and says how far it is off on others.

    python benchmarks/fit_estimates.py

Reads benchmarks/results/estimate_samples.json (see estimate_samples.py) and, for clocks, all
stored comparisons of networks; writes nmahw/data/estimates.json, which `nmahw.estimate` reads, and
benchmarks/results/estimates.json, the errors. Coefficients are those with the least sum of
squared relative errors; for look-up tables none is negative.
"""

import json
import math
import time
from pathlib import Path

import numpy as np
from estimate_samples import RESULTS, Sample
from rich.console import Console
from rich.table import Table

import nmahw.data
from nmahw import estimate as estimator
from nmahw.devices import RESOURCES
from nmahw.devices import device as find_device
from nmahw.files import write_atomically

_MODEL = Path(nmahw.data.__file__).parent / "estimates.json"
_ERRORS = RESULTS.with_name("estimates.json")


def non_negative(matrix: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least squares with coefficients of at least 0 (Lawson and Hanson's active sets)."""
    count = matrix.shape[1]
    scale = np.linalg.norm(matrix, axis=0)
    scale[scale == 0] = 1
    matrix = matrix / scale
    passive = np.zeros(count, dtype=bool)
    x = np.zeros(count)
    for _ in range(10 * count):
        slope = matrix.T @ (target - matrix @ x)
        if passive.all() or slope[~passive].max() <= 1e-9:
            break
        passive[np.argmax(np.where(passive, -np.inf, slope))] = True
        while True:
            trial = np.zeros(count)
            trial[passive] = np.linalg.lstsq(matrix[:, passive], target, rcond=None)[0]
            below = passive & (trial <= 0)
            if not below.any():
                x = trial
                break
            step = (x[below] / (x[below] - trial[below])).min()
            x = x + step * (trial - x)
            passive &= x > 1e-12
            x[~passive] = 0
    return x / scale


def least_squares(matrix: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Coefficients of any sign."""
    return np.linalg.lstsq(matrix, target, rcond=None)[0]


def fit(rows: list[tuple[dict, dict]]) -> dict:
    """Coefficients by resource from (features, measured) of every sample."""
    model = {name: {} for name in RESOURCES}
    for name in ("lut", "ff"):
        columns = sorted({key for known, _ in rows for key in known[name]})
        measured = np.array([needs[name] for _, needs in rows], dtype=float)
        exact = np.array([known["exact"].get(name, 0) for known, _ in rows], dtype=float)
        matrix = np.array([[known[name].get(key, 0) for key in columns] for known, _ in rows])
        # What flip-flops are corrected by may have either sign.
        solve = non_negative if name == "lut" else least_squares
        found = solve(matrix / measured[:, None], (measured - exact) / measured)
        model[name] = {key: round(float(value), 4)
                       for key, value in zip(columns, found, strict=True)}
    return model


def fit_clock(family: str) -> dict | None:
    """Logarithms of clocks in MHz: one for each arithmetic, and a slope over elements."""
    points = []
    for path in sorted(RESULTS.parent.glob("*.json")):
        found = json.loads(path.read_text())
        if not isinstance(found, dict) or found.get("schema") != "nmahw-comparison" \
                or find_device(found["device"]["name"]).family != family:
            continue
        for row in found["rows"]:
            if row["fmax_mhz"]:
                names = {part.partition("=")[2] or part for part in row["arithmetic"].split(",")}
                points += [(name, math.log(found["array"]["rows"] * found["array"]["columns"]),
                            math.log(row["fmax_mhz"]["median"])) for name in names]
    names = sorted({name for name, *_ in points})
    if not names:
        return None
    several = len({size for _, size, _ in points}) > 1
    matrix = np.array([[*(name == other for other in names), size * several]
                       for name, size, _ in points], dtype=float)
    *own, slope = np.linalg.lstsq(matrix, np.array([clock for *_, clock in points]),
                                  rcond=None)[0].tolist()
    return {"slope": round(slope, 4),
            "arithmetics": {name: round(value, 4) for name, value in zip(names, own, strict=True)}}


def main() -> None:
    samples = json.loads(RESULTS.read_text())
    subjects, models = [], {}
    for key, measured in samples.items():
        if "problem" in measured:
            continue
        sample = Sample(**{name: measured[name] for name in Sample.__dataclass_fields__})
        device, subject = find_device(measured["device"]), sample.subject()
        subjects.append((key, sample, device, subject, measured["needs"],
                         estimator.features(subject, device)))
    for family in sorted({device.family for _, _, device, *_ in subjects}):
        chosen = [entry for entry in subjects if entry[2].family == family
                  and not entry[1].held_out]
        models[family] = fit([(known, needs) for *_, needs, known in chosen])
        if clock := fit_clock(family):
            models[family]["clock"] = clock
        models[family]["arithmetics"] = sorted({entry[1].arithmetic for entry in chosen})
    write_atomically(_MODEL, json.dumps(models, indent=1, sort_keys=True) + "\n")
    estimator._models.cache_clear()
    table = Table(title="estimated against mapped")
    for heading in ("sample", "held out", "LUT", "mapped", "error %", "FF", "mapped", "error %",
                    "DSP", "mapped", "block RAM", "mapped", "CPU s"):
        table.add_column(heading, justify="left" if heading == "sample" else "right")
    errors = {}
    for key, sample, device, subject, needs, _ in subjects:
        start = time.process_time()
        found = estimator.estimate(subject, device)
        seconds = time.process_time() - start
        off = {name: round(100 * (found.resources[name] / needs[name] - 1), 1)
               for name in ("lut", "ff")}
        errors[key] = {"held_out": sample.held_out, "estimated": dict(found.resources),
                       "mapped": needs, "error_percent": off, "cpu_s": round(seconds, 2)}
        table.add_row(key, "yes" if sample.held_out else "", *(
            str(cell) for name in RESOURCES for cell in (
                found.resources[name], needs[name],
                *((off[name],) if name in off else ()))), f"{seconds:.2f}")
    write_atomically(_ERRORS, json.dumps(errors, indent=1, sort_keys=True) + "\n")
    Console(width=170).print(table)
    for family in models:
        held = [error["error_percent"] for key, error in errors.items()
                if error["held_out"] and key.startswith(family)]
        wrong = [key for key, error in errors.items() if key.startswith(family) and any(
            error["estimated"][name] != error["mapped"][name] for name in ("dsp", "block_ram"))]
        print(f"{family}: {len(held)} held out, largest error in LUT "
              f"{max(abs(e['lut']) for e in held)} %, in FF {max(abs(e['ff']) for e in held)} %; "
              f"DSP or block RAM wrong: {', '.join(wrong) or 'never'}")
    for family, model in models.items():
        print(family, json.dumps(model))


if __name__ == "__main__":
    main()

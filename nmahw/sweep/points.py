"""Results of a sweep as points: one design on one device, figures medians over its seeds."""

import json
import statistics
from collections.abc import Iterable, Mapping

from .columns import COLUMNS, MEASURED

__all__ = ["attempts_of", "points_of", "rates"]


def points_of(attempts: Iterable[Mapping[str, object]]) -> list[dict[str, object]]:
    """Points of attempts, as `Store.attempts` gives them.

    Runs with different tool versions are different points.

    Returns
    -------
    list of dict
        With every one of `COLUMNS` (None where nothing is known), ``is_baseline``, ``reason`` and
        ``tools``; in the order of the first attempts, whose number is the point's ``id``.
    """
    groups: dict[tuple, dict[int, Mapping[str, object]]] = {}
    first: dict[tuple, int] = {}
    for row in attempts:
        key = (row["design"], row["device"], json.dumps(row["versions"], sort_keys=True))
        first.setdefault(key, row["id"])
        seeds = groups.setdefault(key, {})
        if seeds.get(row["seed"], row)["status"] != "done" or row["status"] == "done":
            seeds[row["seed"]] = row
    return [_point(first[key], list(seeds.values())) for key, seeds in groups.items()]


def _point(number: int, rows: list[Mapping[str, object]]) -> dict[str, object]:
    done = [row for row in rows if row["status"] == "done"]
    last = (done or rows)[-1]
    point: dict[str, object] = dict.fromkeys(COLUMNS)
    point |= {name: last[name] for name in (
        "model", "bits", "arithmetic", "device", "status", "accuracy", "cycles_per_image")}
    point |= {"id": number, "array": f"{last['rows']}x{last['columns']}", "seeds": len(done),
              "is_baseline": bool(last["is_baseline"]), "reason": last["reason"],
              "tools": last["versions"],
              "seconds": sum(row["seconds"] or 0 for row in rows)}
    if done:
        point |= {name: statistics.median(row[name] for row in done) for name in MEASURED}
        point |= {name: round(point[name]) for name in MEASURED if name != "fmax_mhz"}
        if last["cycles_per_image"]:
            point |= rates(last, point["lut"], point["fmax_mhz"])
    return point


def rates(design: Mapping[str, object], lut: float, fmax_mhz: float) -> dict[str, float]:
    """What a design of that size does at that clock: ``images_per_s``, ``macs_per_s_per_lut``."""
    images_per_s = fmax_mhz * 1e6 / design["cycles_per_image"]
    return {"images_per_s": images_per_s,
            "macs_per_s_per_lut": images_per_s * design["macs_per_image"] / max(1, lut)}


def attempts_of(attempts: Iterable[Mapping[str, object]], number: int
                ) -> list[Mapping[str, object]]:
    """Finished attempts of the point with that ``id``, one a seed; empty if there is none."""
    attempts = list(attempts)
    key = next(((row["design"], row["device"], row["versions"]) for row in attempts
                if row["id"] == number), None)
    return [row for row in attempts if row["status"] == "done" and
            (row["design"], row["device"], row["versions"]) == key]

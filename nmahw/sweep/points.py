"""Results of a sweep as points: one design on one device, figures medians over its seeds."""

import json
import statistics
from collections.abc import Iterable, Mapping

from .columns import COLUMNS

__all__ = ["attempts_of", "points_of"]

_MEDIANS = ("lut", "ff", "dsp", "block_ram", "fmax_mhz", "no_multiplier")


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
        point |= {name: statistics.median(row[name] for row in done) for name in _MEDIANS}
        for name in ("lut", "ff", "dsp", "block_ram", "no_multiplier"):
            point[name] = round(point[name])
        if last["cycles_per_image"]:
            point["images_per_s"] = point["fmax_mhz"] * 1e6 / last["cycles_per_image"]
            point["macs_per_s_per_lut"] = (point["images_per_s"] * last["macs_per_image"]
                                           / point["lut"] if point["lut"] else None)
    return point


def attempts_of(attempts: Iterable[Mapping[str, object]], number: int
                ) -> list[Mapping[str, object]]:
    """Finished attempts of the point with that ``id``, one a seed; empty if there is none."""
    attempts = list(attempts)
    key = next(((row["design"], row["device"], row["versions"]) for row in attempts
                if row["id"] == number), None)
    return [row for row in attempts if row["status"] == "done" and
            (row["design"], row["device"], row["versions"]) == key]

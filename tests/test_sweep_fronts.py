"""Fronts, hypervolumes, and the points that seeds make."""

import itertools
import random

import numpy as np
import pytest
from sweep_results import attempt, write_results

from nmahw.errors import UsageError
from nmahw.sweep.pareto import front, hypervolume, oriented
from nmahw.sweep.points import points_of
from nmahw.sweep.store import Store


@pytest.fixture
def results(tmp_path):
    return write_results(tmp_path)


@pytest.mark.parametrize("axes", [1, 2, 3, 4])
def test_fronts_and_volumes_agree_with_counting(axes):
    dice = random.Random(axes)
    for _ in range(15):
        points = [[dice.randrange(6) for _ in range(axes)] for _ in range(dice.randrange(1, 12))]
        kept = front(np.array(points))
        for one, keep in zip(points, kept, strict=True):
            beaten = any(all(a <= b for a, b in zip(other, one, strict=True)) and other != one
                         for other in points)
            assert keep == (not beaten)
        cells = sum(any(all(p <= c for p, c in zip(point, cell, strict=True)) for point in points)
                    for cell in itertools.product(range(7), repeat=axes))
        assert hypervolume(np.array(points, float), np.full(axes, 7.0)) == cells


def test_volumes_leave_out_what_is_beyond_the_reference():
    assert hypervolume(np.empty((0, 2)), np.ones(2)) == 0
    assert hypervolume(np.array([[2.0, 0.0]]), np.ones(2)) == 0
    with pytest.raises(UsageError, match="less or more is better, not 'seeds'"):
        oriented([{"seeds": 1}], ["seeds"])


def test_points_are_medians_over_seeds_and_keep_versions_apart(results):
    with Store(results, write=True) as store:
        store.add(attempts=[attempt("a", 1, lut=7, versions={"yosys": "2"})])
        points = points_of(store.attempts())
    assert [p["id"] for p in points] == [1, 3, 4, 5, 6]
    first = points[0]
    assert (first["lut"], first["fmax_mhz"], first["seeds"], first["seconds"]) == (
        101, 100.0, 2, 4.0)
    assert first["images_per_s"] == 100e6 / 1000
    assert first["macs_per_s_per_lut"] == 100e6 / 1000 * 500 / 101
    assert points[3]["status"] == "refused" and points[3]["lut"] is None
    assert points[4]["lut"] == 7

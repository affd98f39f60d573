"""Searches in sweeps: what is built next, within budget and constraints."""

import numpy as np
import pytest
from sweep_plans import GRID, Here, plan_of, run_here, spec_reader

from nmahw.errors import UsageError
from nmahw.sweep import job
from nmahw.sweep.pareto import front, hypervolume, oriented
from nmahw.sweep.run import load
from nmahw.sweep.search import SearchPlan, Selection, _gains, reference_point
from nmahw.sweep.store import Store


@pytest.fixture
def spec(tmp_path):
    return spec_reader(tmp_path)


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "r.sqlite", write=True) as made:
        yield made


@pytest.fixture(autouse=True)
def no_guard(monkeypatch, tmp_path):
    run_here(monkeypatch, tmp_path)


def made_up(number, seed):
    """Designs whose estimates are off by a factor of their group and some noise."""
    dice = np.random.default_rng(seed)
    truth, guess, groups = {}, {}, {}
    for index in range(number):
        group, size = index % 6, 2.0 ** (index // 6)
        bias = 1 + 0.25 * np.sin(group * 2.1)
        lut = 100 * size * (1 + group / 3)
        speed = 1e4 * size**0.9 * (1 + group * (5 - group) / 5)
        guess[index] = {"lut": lut, "images_per_s": speed}
        truth[index] = {"lut": lut * bias * dice.normal(1, 0.02),
                        "images_per_s": speed / bias * dice.normal(1, 0.07)}
        groups[index] = group
    return truth, guess, groups


@pytest.mark.parametrize("seed", range(4))
def test_a_search_finds_the_front_with_a_quarter_of_the_runs(seed):
    truth, guess, groups = made_up(60, seed)
    selection = Selection(guess, groups, ("lut", "images_per_s"), 15)
    while chosen := selection.next(1):
        for one in chosen:
            selection.add(one, truth[one])
    assert selection.spent <= 15
    values = np.log(np.abs(oriented(list(truth.values()), ("lut", "images_per_s"))))
    values[:, 1] *= -1
    reference = reference_point(values)
    found = values[sorted(selection._measured)]
    share = hypervolume(found, reference) / hypervolume(values, reference)
    assert share >= 0.95
    assert front(values).sum() > 3


def test_a_search_in_a_sweep_keeps_budget_and_goes_on(spec, store):
    text = GRID.replace('"4x4"]', '"4x4", "2x4", "4x2"]') + "[search]\nbudget = 0.25\n"
    ran = Here().run(plan_of(spec(text), store, SearchPlan))
    runs = [label[1] for label, row in ran if label[0] == "run"]
    assert len(runs) == 4 and len({(p.arithmetic, p.rows, p.columns) for p in runs}) == 2
    assert {p.seed for p in runs} == {1, 2}
    again = Here().run(plan_of(spec(text), store, SearchPlan))
    assert not {label for label, _ in again} & {label for label, _ in ran}


def test_a_search_leaves_out_what_breaks_constraints(spec, store):
    text = GRID + "[search]\nbudget = 1\n[constraints]\naccuracy_min = 0.95\n"
    with pytest.raises(UsageError, match="at least one design, but none of 4 keeps them"):
        Here().run(plan_of(spec(text), store, SearchPlan))
    assert not store.attempts() and len(store.designs()) == 4


def test_a_search_counts_nothing_that_breaks_constraints_when_built(spec, store):
    # The stand-in's larger designs have 1,601 LUT and more; the estimator thinks less of them.
    text = GRID + "[search]\nbudget = 1\n[constraints]\nlut_max = 1600\n"
    plan = plan_of(spec(text), store, SearchPlan)
    ran = Here().run(plan)
    assert {label[1].rows for label, _ in ran if label[0] == "run"} == {2, 4}
    assert {key[0][3] for key in plan._selection._measured} == {2}


def test_a_search_waits_for_what_its_workers_do(spec, store):
    text = GRID.replace('"4x4"]', '"4x4", "2x4", "4x2"]') + "[search]\nbudget = 1\n"
    plan = plan_of(spec(text), store, SearchPlan)
    while (task := plan.next_task()).label[0] == "design":
        plan.finished([(task, job.guarded(task.function, task.payload, {}))])
    # One worker: the next candidate is chosen when this one is known, or there is another worker.
    assert plan.next_task() is None
    plan.tick(1, 2)
    other = plan.next_task()
    assert other.label[1].design != task.label[1].design
    assert plan.next_task() is None
    plan.tick(5, 2)
    assert plan.progress.running == 2


def test_a_search_for_what_nobody_can_tell_is_refused_at_once(tmp_path, spec):
    spec(GRID + "[search]\n[objective]\nminimise = ['seconds', 'lut']\n")
    with pytest.raises(UsageError, match="a search's objective must be of lut"):
        load(tmp_path / "s.toml")


def test_gains_are_what_hypervolumes_say():
    dice = np.random.default_rng(5)
    for axes in (2, 3):
        have, rows = dice.uniform(size=(9, axes)), dice.uniform(size=(30, axes))
        reference = np.full(axes, 0.9)
        base = hypervolume(have, reference)
        assert np.allclose(_gains(have, rows, reference), [
            hypervolume(np.vstack([have, row]), reference) - base for row in rows])
        assert np.allclose(_gains(have[:0], rows, reference),
                           [hypervolume(row[None], reference) for row in rows])

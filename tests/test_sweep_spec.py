"""Specs of sweeps: the points they stand for, what is refused."""

import tomllib

import pytest
from sweep_plans import GRID, spec_reader

from nmahw.errors import UsageError
from nmahw.sweep.spec import Point, read_spec


@pytest.fixture
def spec(tmp_path):
    return spec_reader(tmp_path)


def test_grids_and_lists_become_points_in_order(spec):
    found = spec(GRID + """
[[list]]
model = "digits-w8a8"
arithmetic = {conv = "distributed", dense = "bit_serial"}
device = "ecp5-25k"
[[list]]
model = "digits-w4a4"
arithmetic = "quarter_square"
array = "2x2"
device = "ice40-hx8k"
""")
    assert len(found.points) == 9 and len(set(found.points)) == 9
    assert found.points[0] == Point("digits-w4a4", None, "quarter_square", 2, 2, "ice40-hx8k", 1)
    assert found.points[8] == Point("digits-w8a8", None, "conv=distributed,dense=bit_serial", 4,
                                    4, "ecp5-25k", 1)


def test_two_grids_are_joined(spec):
    second = GRID.replace("[grid]", "[[grid]]")
    assert len(spec(second + second.replace('"4x4"', '"8x8"')).points) == 12


BAD = {
    "seeds = [1]": ("seed = [1, 2]", "seeds = [1]", "'seeds' .did you mean 'seed'"),
    "an unknown table": ("[grid]", "[limit]\n[grid]", "'limit' .did you mean 'limits'"),
    "no seed": ("seed = [1, 2]", "seed = []", "at least one seed, not none"),
    "no model": ('model = ["digits-w4a4"]', "model = []", "at least one model, not none"),
    "model missing": ('model = ["digits-w4a4"]', "", "must name its model"),
    "nothing at all": (GRID, "", "must have a .grid. or a"),
    "a wrong model": ("digits-w4a4", "digits-w4a5", "did you mean 'digits-w4a4'"),
    "a wrong arithmetic": ("quarter_square", "quarter_sqare", "did you mean 'quarter_square'"),
    "a wrong device": ("ice40-hx8k", "ice40-hx9k", "device must be one of"),
    "a wrong array": ("2x2", "2by2", "array must be a text like 4x4"),
    "an array of nothing": ("2x2", "0x2", "array must be a text like 4x4"),
    "auto": ("quarter_square", "auto", "arithmetic must be named"),
    "half a choice": ("quarter_square", "conv=booth,fabric", "choice by layer"),
    "a negative seed": ("[1, 2]", "[-1]", "seed must be an integer"),
    "a seed twice": ("[1, 2]", "[1, 1]", "different"),
    "a text for a number": ("[1, 2]", '["1"]', "seed must be an integer"),
    "bits of an integer network": ("seed =", 'bits = ["8x8"]\nseed =', "has its own"),
    "not TOML": ("[grid]", "[grid", "must be TOML"),
    "constraints at odds": ("[grid]", "[search]\n[constraints]\nlut_min = 9\nlut_max = 8\n[grid]",
                            "must not contradict each other: lut_min = 9 is above lut_max = 8"),
    "accuracy above one": ("[grid]", "[constraints]\naccuracy_min = 99\n[grid]",
                           "accuracy_min must be at most 1, not 99"),
    "less than nothing": ("[grid]", "[constraints]\nlut_max = -1\n[grid]", "must be at least 0"),
    "an unknown constraint": ("[grid]", "[constraints]\nfmax_min = 1\n[grid]",
                              "did you mean 'fmax_mhz_min'"),
    "constraints of nothing": ("[grid]", "[constraints]\nlut_max = 8\n[grid]",
                               "must come with .search.: without it, everything is built"),
    "fits perhaps": ("[grid]", "[constraints]\nfits = 'perhaps'\n[grid]", "true or false"),
    "the wrong way": ("[grid]", "[objective]\nminimise = ['fmax_mhz', 'lut']\n[grid]",
                      "of which less is better, not fmax_mhz"),
    "one objective": ("[grid]", "[objective]\nminimise = ['lut']\n[grid]", "2 to 4 columns"),
    "an objective twice": ("[grid]", "[objective]\nminimise = ['lut', 'lut']\n[grid]", "once"),
    "no budget": ("[grid]", "[search]\nbudget = 0\n[grid]", "search budget must be a number"),
    "no time": ("[grid]", "[limits]\ntime_s = 0\n[grid]", "limit time_s must be a number above 0"),
    "not a number": ("[grid]", "[limits]\ntime_s = nan\n[grid]", "must be a number"),
    "an integer of thousands of digits": ("[1, 2]", "[" + "9" * 5000 + "]", "must be TOML"),
    "more than a float holds": ("[grid]", f"[limits]\ntime_s = {'9' * 400}\n[grid]",
                                "limit time_s must be a number above 0"),
    "a model of a long name": ("digits-w4a4", "m" * 300, "model must be one of"),
    "data of a long name": ("[grid]", f"data = '{'d' * 300}'\n[grid]", "an existing file"),
    "a model's file missing": (
        "[grid]", "[models.m]\nfile = 'no.npz'\ncalibration = 's.toml'\n[grid]", "existing file"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_specs_say_what_to_change(spec, name):
    old, new, said = BAD[name]
    with pytest.raises(UsageError, match=said) as caught:
        spec(GRID.replace(old, new))
    assert "s.toml" in str(caught.value)


def test_a_float_model_needs_bits_and_a_sweep_has_a_most(spec, monkeypatch):
    models = "[models.m]\nfile = 's.toml'\ncalibration = 's.toml'\n"
    with pytest.raises(UsageError, match="must have bits for the float model 'm'"):
        spec(models + GRID.replace("digits-w4a4", "m"))
    monkeypatch.setattr("nmahw.sweep.spec._MOST_POINTS", 7)
    with pytest.raises(UsageError, match="at most 7 points, not 8"):
        spec()


def test_a_spec_that_is_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "none.toml"):
        with pytest.raises(UsageError, match="must be a readable file"):
            read_spec(path)
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="UTF-8"):
        read_spec(tmp_path / "b.toml")


def test_shipped_specs_can_be_read():
    from pathlib import Path
    folder = Path(__file__).parent.parent / "benchmarks" / "sweeps"
    files = sorted(folder.glob("*.toml"))
    assert files
    for path in files:
        assert tomllib.loads(path.read_text()) and read_spec(path).points

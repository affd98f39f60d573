"""Conditions that filter designs."""

import pytest

from nmahw.errors import UsageError
from nmahw.sweep.where import parse


@pytest.mark.parametrize("text, row, wanted", [
    ("lut < 5", {"lut": 4}, True), ("lut<5", {"lut": 5}, False), ("5 >= lut", {"lut": 5}, True),
    ("accuracy >= 0.99 and not lut > 2000", {"accuracy": 0.99, "lut": 2000}, True),
    ("lut = 1 or lut = 2 and ff = 3", {"lut": 1, "ff": 0}, True),
    ("(lut = 1 or lut = 2) and ff = 3", {"lut": 1, "ff": 0}, False),
    ("device = 'ecp5-25k'", {"device": "ecp5-25k"}, True),
    ('device != "ecp5-25k"', {"device": "ecp5-25k"}, False),
    ("lut < 5", {"lut": None}, False), ("lut >= -1e3", {"lut": 0}, True),
    ("fmax_mhz > lut", {"fmax_mhz": 3, "lut": 2}, True),
    ("not not lut == 1", {"lut": 1}, True), ("lut = 2 OR Not lut = 1", {"lut": 1}, False),
])
def test_conditions(text, row, wanted):
    assert parse(text)(row) is wanted


@pytest.mark.parametrize("text, said", [
    ("", "nothing stands"), ("lut", "comparison must stand"), ("lut <", "its end"),
    ("luts < 5", "did you mean 'lut'"), ("lut < 5 lut", "'and' or 'or'"),
    ("(lut < 5", r"'\)' must stand"), ("lut < 'x'", "number is compared with a text"),
    ("__import__('os')", "no column is called __import__"),
    ("arithmetic = booth", "a text stands in quotes: 'booth'"),
    ("lut < 5; DROP TABLE attempts", "cannot be"),
    ("lut < 5 or 1=1 --", "cannot be read"), ("lut < 1_000", "cannot be read"),
    ("(" * 80 + "lut < 5" + ")" * 80, "levels"), ("lut < 1 or " * 400 + "lut < 1", "words"),
    ("device = 'open", "cannot be read"), ("device = x-25k", "text stands in quotes"),
    ("lut < 5 and", "its end"),
])
def test_what_is_no_condition_is_refused(text, said):
    with pytest.raises(UsageError, match=said):
        parse(text)

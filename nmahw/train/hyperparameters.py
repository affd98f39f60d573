"""Fields of training methods: default, meaning and range stand in one place.

``batch: int = integer(64, 1, 65536, "images of a step")`` declares a field that the command line
offers, the record names, and `check_settings` holds to its range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import Field, field, fields
from typing import Any

from ..errors import UsageError

__all__ = ["check_settings", "choice", "integer", "number", "text", "truth"]

# What a field must be, if the value is not that; None for a value that is.
_Check = Callable[[Any], str | None]


def integer(default: int, low: int, high: int, meaning: str) -> Any:
    """A dataclass field for an integer of `low` .. `high`."""
    def check(value: object) -> str | None:
        right = type(value) is int and low <= value <= high
        return None if right else f"an integer of {low}..{high}"
    return _field(default, meaning, check)


def number(default: float, meaning: str, *, below: float = math.inf, positive: bool = False) -> Any:
    """A dataclass field for a finite number, at least 0 (or above it) and less than `below`."""
    def check(value: object) -> str | None:
        right = type(value) in (int, float) and math.isfinite(value) and value < below \
            and (value > 0 if positive else value >= 0)
        if right:
            return None
        if positive:
            return "a positive number" + (f" below {below:g}" if below < math.inf else "")
        return f"a number from 0 to below {below:g}" if below < math.inf \
            else "a number of at least 0"
    return _field(default, meaning, check)


def choice(default: str, choices: Iterable[str], meaning: str) -> Any:
    """A dataclass field for one of some words."""
    known = tuple(choices)

    def check(value: object) -> str | None:
        return None if value in known else f"one of {', '.join(known)}"
    return _field(default, meaning, check)


def text(default: str, meaning: str) -> Any:
    """A dataclass field for any text."""
    return _field(default, meaning, lambda value: None if isinstance(value, str) else "a text")


def truth(default: bool, meaning: str) -> Any:
    """A dataclass field for true or false."""
    return _field(default, meaning,
                  lambda value: None if isinstance(value, bool) else "true or false")


def check_settings(method: object) -> None:
    """Hold every field of a dataclass to its range.

    Raises
    ------
    UsageError
        A value out of its range; the message names the field and the range.
    """
    for item in fields(method):
        value = getattr(method, item.name)
        must = _check_of(item)(value)
        if must is not None:
            raise UsageError(f"{item.name} must be {must}, not {value!r}")


def _field(default: object, meaning: str, check: _Check) -> Any:
    return field(default=default, metadata={"help": meaning, "check": check})


def _check_of(item: Field) -> _Check:
    return item.metadata.get("check", lambda value: None)

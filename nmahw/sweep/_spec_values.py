"""Values of a sweep's TOML file: each function gives the value or says what it must be."""

import math
import sys
from collections.abc import Mapping, Sequence

from ..errors import UsageError
from .columns import nearest

__all__ = ["bits", "number", "shape", "table", "texts", "whole"]


def table(value: object, where: str, known: Sequence[str] | None = None) -> Mapping[str, object]:
    """A table with no keys but the known ones."""
    if not isinstance(value, Mapping):
        raise UsageError(f"{where} must be a table, not {value!r}")
    for key in value:
        if known is not None and key not in known:
            names = ", ".join(known) if len(known) < 20 else f"{', '.join(known[:5])}, ..."
            raise UsageError(f"{where} must only have the keys {names}, not {key!r}"
                             f"{nearest(key, known)}")
    return value


def texts(value: object, what: str, one: bool = False) -> list[str]:
    """One text or a list of them."""
    values = value if isinstance(value, list) and not one else [value]
    for item in values:
        if not isinstance(item, str):
            raise UsageError(f"{what} must be a text, not {item!r}")
    return values


def whole(value: object, what: str, least: int) -> int:
    """An integer from `least` on."""
    if type(value) is not int or value < least:
        raise UsageError(f"{what} must be an integer of at least {least}, not {value!r}")
    return value


def number(value: object, what: str, least: float = -math.inf, most: float = math.inf,
           least_allowed: bool = False) -> float:
    """A finite number above `least` (or `least` itself, if allowed) and at most `most`."""
    # Not isfinite, which cannot take integers beyond the largest float.
    if type(value) not in (int, float) or not abs(value) <= sys.float_info.max or value > most \
            or value < least or (value == least and not least_allowed):
        bounds = (f" above {least:g}" if math.isfinite(least) and not least_allowed else
                  f" of at least {least:g}" if math.isfinite(least) else "") + (
                      f" and at most {most:g}" if math.isfinite(most) else "")
        raise UsageError(f"{what} must be a number{bounds}, not {value!r}")
    return float(value)


def shape(value: object, axes: int | None = None) -> tuple[int, ...]:
    """Sizes of ``"4x8"``."""
    parts = value.split("x") if isinstance(value, str) else []
    sizes = tuple(int(part) for part in parts if part.isascii() and part.isdigit()
                  and len(part) < 10)
    if not parts or len(sizes) != len(parts) or 0 in sizes or axes not in (None, len(sizes)):
        raise UsageError(f"{'array' if axes else 'input shape'} must be a text like "
                         f"{'4x4' if axes else '1x28x28'}, not {value!r}")
    return sizes


def bits(value: object) -> tuple[int, int]:
    """Widths of weights and activations of ``"8x8"``, 2..16 each."""
    try:
        weights, activations = shape(value, 2)
    except UsageError:
        weights = activations = 0
    if not (2 <= weights <= 16 and 2 <= activations <= 16):
        raise UsageError(f"bits must be a text like 8x4 (weights x activations, 2..16 each), not "
                         f"{value!r}")
    return weights, activations

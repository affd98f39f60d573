"""What is known of a point of a sweep: names, units, and which way is better.

Tables, filters, constraints, objectives and the page all list these. One more that place and
route tells is a line here, its type in `nmahw.sweep.store`, and its value in
`nmahw.sweep.job.place_task`; one that follows from others is a line here and its value in
`nmahw.sweep.points`.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..errors import UsageError

__all__ = ["COLUMNS", "Column", "MEASURED", "SHOWN", "column", "nearest"]


@dataclass(frozen=True)
class Column:
    """One quantity or label.

    Attributes
    ----------
    title : str
        What people call it, with its unit.
    is_number : bool
    sense : int
        +1 when more is better, -1 when less is, 0 when neither.
    least, most : float or None
        Values that it can have.
    is_measured : bool
        Told by place and route, run by run; others follow from the design, or from these.
    is_shown : bool
        Part of tables.
    """

    title: str
    is_number: bool = True
    sense: int = 0
    least: float | None = 0
    most: float | None = None
    is_measured: bool = False
    is_shown: bool = True


def _text(title: str) -> Column:
    return Column(title, is_number=False, least=None)


#: Every column of a point, in the order of tables.
COLUMNS: Mapping[str, Column] = MappingProxyType({
    "id": Column("id"),
    "model": _text("model"),
    "bits": _text("bits"),
    "arithmetic": _text("arithmetic"),
    "array": _text("array"),
    "device": _text("device"),
    "status": Column("status", is_number=False, least=None, is_shown=False),
    "seeds": Column("seeds"),
    "lut": Column("LUT", sense=-1, is_measured=True),
    "ff": Column("FF", sense=-1, is_measured=True),
    "dsp": Column("DSP", sense=-1, is_measured=True),
    "block_ram": Column("block RAM", sense=-1, is_measured=True),
    "fmax_mhz": Column("Fmax MHz", sense=1, is_measured=True),
    "cycles_per_image": Column("cycles/image", sense=-1),
    "images_per_s": Column("images/s", sense=1),
    "macs_per_s_per_lut": Column("MAC/s per LUT", sense=1, is_shown=False),
    "accuracy": Column("accuracy", sense=1, most=1),
    "no_multiplier": Column("no multiplier", sense=1, most=1, is_measured=True, is_shown=False),
    "seconds": Column("build time s", sense=-1, is_shown=False),
})
#: Those that every finished run has.
MEASURED: tuple[str, ...] = tuple(name for name, one in COLUMNS.items() if one.is_measured)
#: Those of tables.
SHOWN: tuple[str, ...] = tuple(name for name, one in COLUMNS.items() if one.is_shown)


def nearest(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` for the nearest of `known`, or nothing."""
    # Titles, which people see, have capitals.
    names = {name.lower(): name for name in known}
    near = difflib.get_close_matches(str(word).lower(), list(names), n=1, cutoff=0.5)
    return f" (did you mean {names[near[0]]!r}?)" if near else ""


def column(name: str, numeric: bool = False) -> Column:
    """The column called `name`.

    Raises
    ------
    UsageError
        There is none, or it is text where a number is needed.
    """
    known = [key for key, one in COLUMNS.items() if one.is_number or not numeric]
    if name not in known:
        raise UsageError(f"column must be one of {', '.join(known)}, not {name!r}"
                         f"{nearest(name, known)}")
    return COLUMNS[name]

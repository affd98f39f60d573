"""What tables of sums of weights hold and how they are read: the definition that proofs rest on."""

from dataclasses import dataclass

__all__ = ["TableDefinition"]


@dataclass(frozen=True)
class TableDefinition:
    """The tables of an arithmetic that holds sums of its weights.

    A weight code is the weights of the first taps, the lowest tap lowest, and behind them what the
    first step of loading gives, where that is no empty sum. What a step of loading gives is an
    entry and, where it is halved, a bit that is 1 when nothing was cut off.

    Attributes
    ----------
    entries : tuple of tuple of int
        By step of loading: how often each tap's weight is in the entry, -1, 0 or 1 times.
    reads : tuple of (int, bool)
        By pattern of the taps' activation bits in one plane, tap 0 lowest: the step that made the
        entry that is read, and whether it is negated.
    coded_taps : int
        Taps whose weights are in the code.
    is_halved : bool
        Whether an entry is half of its sum, rounded down. A bit then counts as 1 or -1 (offset
        binary), and a negated entry is the half, rounded down, of the negated sum.
    """

    entries: tuple[tuple[int, ...], ...]
    reads: tuple[tuple[int, bool], ...]
    coded_taps: int
    is_halved: bool = False

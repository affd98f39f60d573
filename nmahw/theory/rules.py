"""What makes a multiplication one of its own, when products are counted."""

from dataclasses import dataclass

import numpy as np

from ..errors import ModelError

__all__ = ["Rule", "RULES"]


@dataclass(frozen=True)
class Rule:
    """What makes a multiplication one of its own.

    Parameters
    ----------
    signs : bool
        Whether products that differ in sign only are different.
    zeros : bool
        Whether products with an operand 0 count.
    ones : bool
        Whether products with an operand of magnitude 1 count.
    shifts : bool
        Whether products of operands that differ by powers of two only are different. If not,
        both operands are replaced by their odd parts; integers only.
    """

    signs: bool = True
    zeros: bool = True
    ones: bool = True
    shifts: bool = True

    def __str__(self) -> str:
        without = [name for name in ("signs", "zeros", "ones", "shifts")
                   if not getattr(self, name)]
        return f"without {', '.join(without)}" if without else "all"

    def operands(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What stands for each operand, and whether products with it count.

        Parameters
        ----------
        values : real array

        Returns
        -------
        array of the same shape, bool array of the same shape

        Raises
        ------
        ModelError
            The rule is about shifts and `values` are no integers.
        """
        values = np.asarray(values)
        if values.dtype.kind == "u":
            values = values.astype(np.int64)
        if not self.signs:
            values = np.abs(values)
        if not self.shifts:
            if values.dtype.kind not in "iu":
                raise ModelError(f"operands must be integers where shifts are free, not "
                                 f"{values.dtype}")
            values = values // np.where(values, values & -values, 1)
        counts = np.ones(values.shape, dtype=bool)
        if not self.zeros:
            counts &= values != 0
        if not self.ones:
            counts &= np.abs(values) != 1
        return values, counts


#: Rules that reports show, from the paper's to the strictest.
RULES = (Rule(), Rule(signs=False), Rule(zeros=False), Rule(signs=False, zeros=False),
         Rule(zeros=False, ones=False), Rule(signs=False, zeros=False, ones=False),
         Rule(signs=False, zeros=False, ones=False, shifts=False))

"""Optical digits, 8x8: E. Alpaydin and C. Kaynak, UCI Machine Learning Repository (CC BY 4.0)."""

from pathlib import Path

import numpy as np

from ...datasets import Images
from ...errors import EnvironmentProblem, UsageError
from . import Parts, Source

__all__ = ["Digits"]


class Digits(Source):
    """1,797 images of 64 codes 0..16, as scikit-learn has them; nothing is downloaded."""

    name = "digits"
    summary = "1,797 digits of 8x8 codes 0..16, from scikit-learn, offline"
    sample = "digits-sample"

    def parts(self, data: Path | None) -> Parts:
        if data is not None:
            raise UsageError(f"data set digits must be used without --data, not with {data}: it "
                             f"comes with scikit-learn")
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise EnvironmentProblem("scikit-learn must be installed for the digits: "
                                     "pip install 'nmahw[train]'") from None
        found = load_digits()
        return Parts(Images(found.data.astype(np.uint8), found.target.astype(np.int64)), None, 16)

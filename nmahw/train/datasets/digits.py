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

    def parts(self, data: Path | None, split: int) -> Parts:
        if data is not None:
            raise UsageError(f"data set digits must be used without --data, not with {data}: it "
                             f"comes with scikit-learn")
        try:
            from sklearn.datasets import load_digits
            from sklearn.model_selection import train_test_split
        except ImportError:
            raise EnvironmentProblem("scikit-learn must be installed for the digits: "
                                     "pip install 'nmahw[train]'") from None
        x, y = load_digits(return_X_y=True)
        # Split 0 is that of the bundled sample and of the networks bundled with it.
        train, test, y_train, y_test = train_test_split(
            x.astype(np.uint8), y.astype(np.int64), test_size=0.25, random_state=split, stratify=y)
        return Parts(Images(train, y_train), Images(test, y_test), 16)

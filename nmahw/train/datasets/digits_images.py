"""scikit-learn's digits as planes, for convolutions; the same images and parts as `digits`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from . import Parts
from .digits import Digits

__all__ = ["DigitsImages"]


class DigitsImages(Digits):
    """1,797 images of 1x8x8 codes 0..16."""

    name = "digits-images"
    summary = "the same digits as images of 1x8x8, for convolutions"
    # The bundled sample is flat.
    sample = ""

    def parts(self, data: Path | None, split: int) -> Parts:
        parts = super().parts(data, split)
        train, test = (replace(part, x=part.x.reshape(-1, 1, 8, 8))
                       for part in (parts.train, parts.test))
        return replace(parts, train=train, test=test)

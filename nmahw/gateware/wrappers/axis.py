"""AXI4-Stream (Arm IHI 0051): the accelerator's own ports."""

from typing import TYPE_CHECKING

from . import Wrapper

if TYPE_CHECKING:
    from ...design import Design

__all__ = ["Axis"]


class Axis(Wrapper):
    """Nothing around it."""

    name = "axis"
    title = "AXI4-Stream in and out"
    top = "nmahw_top"
    streams = True

    @classmethod
    def _convert(cls, design: "Design") -> str:
        return design.rtlil()

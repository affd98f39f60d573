"""What an accelerator can be wrapped in for other people's systems: one file each.

A wrapper is a component around a design's accelerator, with the ports that some bus or processor
expects. To add one, add a file with a `Wrapper` subclass that has a `name`, and beside the benches
a ``sim/bench_NAME.py``.
"""

from typing import TYPE_CHECKING, ClassVar

from amaranth.back import rtlil
from amaranth.lib import wiring

from ...registry import Registry
from ._registers import Function, Register

if TYPE_CHECKING:
    from ...design import Design

__all__ = ["WRAPPERS", "Wrapper"]


class Wrapper(wiring.Component):
    """Base of all wrappers: constructed with the design only."""

    #: What users type.
    name: ClassVar[str]
    #: What it is, with its standard.
    title: ClassVar[str]
    #: Name of the emitted top module.
    top: ClassVar[str]
    #: Whether the ports are the streams that the C++ bench drives.
    streams: ClassVar[bool] = False
    #: What software sees; empty without software.
    registers: ClassVar[tuple[Register, ...]] = ()
    functions: ClassVar[tuple[Function, ...]] = ()

    @classmethod
    def rtlil(cls, design: "Design") -> str:
        """RTLIL text of the wrapped accelerator, top module `top`.

        Raises
        ------
        ModelError
            The network's numbers do not fit the wrapper.
        """
        cls._check(design)
        return cls._convert(design)

    @classmethod
    def _check(cls, design: "Design") -> None:
        """Refuse what does not fit, before anything is constructed."""

    @classmethod
    def _convert(cls, design: "Design") -> str:
        return rtlil.convert(cls(design), name=cls.top, emit_src=False)


#: Every wrapper there is.
WRAPPERS: Registry[Wrapper] = Registry(__name__, Wrapper, "wrapper")

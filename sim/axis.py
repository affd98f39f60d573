"""AXI4-Stream for cocotb: a source and a sink that stall at random, and check the protocol.

Everything is driven at the falling edge of the clock and sampled in the read-only phase after
it, when all combinational paths have settled and the next rising edge is still to come. That
gives the same on every simulator, whether it runs Python before or after its registers change.

Protocol: Arm IHI 0051, AMBA AXI-Stream, section 2.2 (handshake).
"""

from collections import deque
from collections.abc import Iterable
from random import Random

from cocotb.triggers import Event, FallingEdge, ReadOnly

__all__ = ["AxisSource", "AxisSink", "defined"]


def defined(signal) -> int:
    """Value of `signal`, which must not hold X or Z."""
    assert signal.value.is_resolvable, f"{signal._name} must be defined, not {signal.value}"
    return int(signal.value)


class AxisSource:
    """Sends beats into the slave port called `prefix`.

    Parameters
    ----------
    dut : the design
    prefix : str
    random : Random
    stall : float
        Probability that nothing new is offered in a cycle.
    """

    def __init__(self, dut, prefix: str, random: Random, stall: float = 0.0):
        self._clk, self._random, self._stall = dut.clk, random, stall
        self._tdata, self._tvalid, self._tready, self._tlast = (
            getattr(dut, f"{prefix}_{name}") for name in ("tdata", "tvalid", "tready", "tlast"))
        self._mask = (1 << len(self._tdata)) - 1
        self._beats: deque[tuple[int, bool]] = deque()
        self._offered: tuple[int, bool] | None = None
        self.accepted = 0
        self._tvalid.value = 0
        self._tdata.value = 0
        self._tlast.value = 0

    def send(self, elements: Iterable[int], last: int | None = -1) -> None:
        """Queue elements, with tlast at index `last` (None: nowhere)."""
        elements = [int(element) & self._mask for element in elements]
        at = len(elements) + last if last is not None and last < 0 else last
        self._beats.extend((element, index == at) for index, element in enumerate(elements))

    @property
    def idle(self) -> bool:
        """Whether everything queued was accepted."""
        return not self._beats and self._offered is None

    async def run(self) -> None:
        """Drive the port for ever."""
        while True:
            await FallingEdge(self._clk)
            if self._offered is None and self._beats and self._random.random() >= self._stall:
                self._offered = self._beats.popleft()
            # Without tvalid the other lines mean nothing: drive noise.
            data, last = self._offered or (self._random.randrange(self._mask + 1),
                                           self._random.random() < 0.5)
            self._tvalid.value = self._offered is not None
            self._tdata.value = data
            self._tlast.value = int(last)
            await ReadOnly()
            if defined(self._tready) and self._offered is not None:
                self._offered = None
                self.accepted += 1


class AxisSink:
    """Takes beats from the master port called `prefix` and checks how they are offered.

    Parameters
    ----------
    dut : the design
    prefix : str
    random : Random
    stall : float
        Probability that nothing is accepted in a cycle.
    signed : bool
        Whether elements are two's complement.
    """

    def __init__(self, dut, prefix: str, random: Random, stall: float = 0.0,
                 signed: bool = True):
        self._clk, self._random, self._stall = dut.clk, random, stall
        self._tdata, self._tvalid, self._tready, self._tlast = (
            getattr(dut, f"{prefix}_{name}") for name in ("tdata", "tvalid", "tready", "tlast"))
        self._sign = 1 << (len(self._tdata) - 1) if signed else 0
        self._frame: list[int] = []
        self._waiting: tuple[int, int] | None = None
        self.frames: list[list[int]] = []
        self.blocked = False
        self.arrived = Event()
        self._tready.value = 0

    def forget(self) -> None:
        """Drop what is incomplete: the design is being reset."""
        self._frame, self._waiting = [], None

    @property
    def partial(self) -> int:
        """Elements of the frame that is arriving."""
        return len(self._frame)

    async def run(self) -> None:
        """Take beats for ever; an AssertionError says which rule was broken."""
        while True:
            await FallingEdge(self._clk)
            ready = not self.blocked and self._random.random() >= self._stall
            self._tready.value = int(ready)
            await ReadOnly()
            if not defined(self._tvalid):
                assert self._waiting is None, "tvalid must stay until tready, but fell"
                continue
            beat = defined(self._tdata), defined(self._tlast)
            assert self._waiting in (None, beat), (
                f"tdata and tlast must not change while they wait, but went from "
                f"{self._waiting} to {beat}")
            self._waiting = None if ready else beat
            if ready:
                self._frame.append((beat[0] ^ self._sign) - self._sign)
                if beat[1]:
                    self.frames.append(self._frame)
                    self._frame = []
                    self.arrived.set()

"""Wishbone B4 for cocotb: a master, classic or pipelined, and a checker of the protocol.

Source: OpenCores, "Wishbone B4" (2010), chapters 3 (classic) and 3.1.3.2, 5 (pipelined, and how
both are connected). Timing as in `axis.py`.
"""

from collections import deque
from dataclasses import dataclass
from random import Random

from axis import defined
from cocotb.triggers import Event, FallingEdge, ReadOnly

__all__ = ["WishboneChecker", "WishboneMaster"]

# Longest time from request to answer.
_PATIENCE_CYCLES = 16


@dataclass(frozen=True)
class _Access:
    address: int
    write: bool
    data: int
    select: int


class WishboneMaster:
    """Reads and writes the slave behind ``wb_*``.

    Parameters
    ----------
    dut : the design
    random : Random
    pipelined : bool
        Whether the next request may follow before this one's answer.
    gap : float
        Probability that the master waits in a cycle: before a request, with or without the cycle
        signal held.
    """

    def __init__(self, dut, random: Random, pipelined: bool, gap: float = 0.0):
        self._dut, self._random, self._pipelined, self._gap = dut, random, pipelined, gap
        self._queue: deque[_Access] = deque()
        self._current: _Access | None = None
        self._outstanding = 0
        self._answers: list[tuple[int, bool]] = []
        self._answered = Event()
        for name in ("cyc", "stb", "we", "adr", "sel", "dat_w"):
            getattr(dut, f"wb_{name}").value = 0

    async def transfer(self, accesses: list[tuple[int, int | None]], select: int = 0xF
                       ) -> list[tuple[int, bool]]:
        """Carry out accesses (address, value to write or None): (value, error) of each."""
        self._queue.extend(_Access(address, value is not None, value or 0, select)
                           for address, value in accesses)
        while len(self._answers) < len(accesses):
            self._answered.clear()
            await self._answered.wait()
        answers, self._answers = self._answers, []
        return answers

    async def run(self) -> None:
        """Drive the bus for ever."""
        dut, random = self._dut, self._random
        while True:
            await FallingEdge(dut.clk)
            if self._current is None and self._queue and random.random() >= self._gap:
                self._current = self._queue.popleft()
            now = self._current
            # Without a strobe the other lines mean nothing: drive noise.
            shown = now or _Access(random.randrange(32), random.random() < 0.5,
                                   random.randrange(1 << 32), random.randrange(16))
            dut.wb_stb.value = int(now is not None)
            dut.wb_cyc.value = int(now is not None or self._outstanding > 0
                                   or random.random() < 0.3)
            dut.wb_adr.value, dut.wb_we.value = shown.address, int(shown.write)
            dut.wb_dat_w.value, dut.wb_sel.value = shown.data, shown.select
            await ReadOnly()
            answered = defined(dut.wb_ack) or defined(dut.wb_err)
            if self._pipelined:
                if now is not None and not defined(dut.wb_stall):
                    self._outstanding += 1
                    self._current = None
                self._outstanding -= answered
            elif answered:
                self._current = None
            if answered:
                self._answers.append((defined(dut.wb_dat_r), bool(defined(dut.wb_err))))
                self._answered.set()


class WishboneChecker:
    """Watches the bus alone, whoever drives it; an AssertionError says which rule was broken.

    Parameters
    ----------
    dut : the design
    pipelined : bool

    Attributes
    ----------
    answers : int
        Seen so far.
    """

    def __init__(self, dut, pipelined: bool):
        self._dut, self._pipelined = dut, pipelined
        self.answers = 0

    async def run(self) -> None:
        """Watch for ever."""
        dut, outstanding, waited = self._dut, 0, 0
        while True:
            await FallingEdge(dut.clk)
            await ReadOnly()
            cyc, stb, ack, err, stall = (defined(getattr(dut, f"wb_{name}")) for name in
                                         ("cyc", "stb", "ack", "err", "stall"))
            assert not (ack and err), "ack and err must not come together"
            requested = cyc and stb
            if self._pipelined:
                outstanding += requested and not stall
                open_ = outstanding > 0
            else:
                open_ = requested
            if ack or err:
                assert cyc, "there must be no answer outside of a cycle"
                assert open_, "there must be no answer without a request"
                outstanding -= self._pipelined
                self.answers += 1
            waited = waited + 1 if (requested or outstanding) and not (ack or err) else 0
            assert waited < _PATIENCE_CYCLES, "every request must be answered"
            assert cyc or not outstanding, "the master must keep cyc until all is answered"

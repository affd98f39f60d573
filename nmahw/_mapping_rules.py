"""How Yosys maps memories, adders and products onto a family's cells, as closed rules.

The numbers are given by the family (`nmahw.devices.Family.mapping`), from Yosys 0.70:
`memory_libmap` with the families' brams.txt and lutrams.txt, and arith_map.v. A
memory that does not say where it wants to be goes where it costs least: a block RAM costs
`block_cost`, a distributed RAM 4 and what chooses
between several of them, a bit in logic 1, or 1/16 if it is only read.
"""

from dataclasses import dataclass
from fractions import Fraction

from ._logic import Logic

__all__ = ["MappedMemory", "MappingRules", "MemoryShape"]


@dataclass(frozen=True)
class MemoryShape:
    """A memory.

    Attributes
    ----------
    width, depth : int
    style : str
        What the design asks for: ``"block"``, ``"logic"``, ``"distributed"`` or nothing.
    read_ports : int
    is_rom : bool
    is_synchronous : bool
        Whether reading takes a cycle.
    is_registered : bool
        Whether a plain register follows every bit that is read, and nothing else.
    words : tuple of int
        Contents of one that may become logic; otherwise empty.
    """

    width: int
    depth: int
    style: str
    read_ports: int
    is_rom: bool
    is_synchronous: bool
    is_registered: bool
    words: tuple[int, ...] = ()


@dataclass(frozen=True)
class MappedMemory:
    """What a memory becomes.

    Attributes
    ----------
    block_ram : int
    distributed_ram : int
        Cells of 16 x 4 bits.
    selected : int
        Bits of two-input multiplexers behind several of these.
    luts : int
        Look-up tables of one that is logic.
    ff : int
        Flip-flops it takes; negative for those behind it that block RAMs take in.
    """

    block_ram: int = 0
    distributed_ram: int = 0
    selected: int = 0
    luts: int = 0
    ff: int = 0


@dataclass(frozen=True)
class MappingRules:
    """Rules of one family.

    Attributes
    ----------
    block_shapes : tuple of (int, int)
        Widths and depths a block RAM can have.
    dual_port_bits : int
        Widest with two read ports; 0 if there is only one.
    block_cost : int
    has_distributed_ram : bool
    register_bits : int
        Widest port of a memory that is only read whose registers move into the block RAM, as
        those of all memories that are written do; 0 if none do.
    adder_step : int
        A carry cell adds so many bits.
    least_adder_bits : int
        Narrower adders become logic.
    multiplier_bits : int
        Factors of a hard multiplier, at most; 0 if there is none.
    least_product_bits : int
        Narrower products become logic.
    least_factor_bits : int
        Products with a narrower factor become logic.
    half_multiplier_bits : int
        Products with a wider factor count as two; 0 if all count as one.
    multiplier_takes_registers : bool
        Whether those right before and behind a product move into its hard multiplier.
    multiplier_takes_marked : bool
        Whether only those do that are marked as its own, and the product's behind them.
    distributed_ram_luts : int
        Look-up tables that cannot be used for anything else where 16x4 bits of RAM are.
    cells_hold_both : bool
        Whether what ``lut`` counts are cells of a look-up table and a flip-flop each.
    """

    block_shapes: tuple[tuple[int, int], ...]
    dual_port_bits: int
    block_cost: int
    has_distributed_ram: bool
    register_bits: int
    adder_step: int
    least_adder_bits: int
    multiplier_bits: int
    least_product_bits: int = 0
    least_factor_bits: int = 0
    half_multiplier_bits: int = 0
    multiplier_takes_registers: bool = False
    multiplier_takes_marked: bool = False
    distributed_ram_luts: int = 4
    cells_hold_both: bool = False

    def blocks(self, memory: MemoryShape) -> int:
        """Block RAMs that hold a memory; narrow words of a ROM are read several at a time."""
        def words(width: int, depth: int) -> int:
            return depth * max(width // memory.width, 1) if memory.is_rom else depth

        shared = memory.read_ports if memory.is_rom and self.dual_port_bits else 1
        copies = -(-memory.read_ports // min(shared, 2))
        return copies * min(
            -(-memory.width // width) * -(-memory.depth // words(width, depth))
            for width, depth in self.block_shapes
            if shared == 1 or width <= self.dual_port_bits)

    def block_ram(self, memory: MemoryShape) -> int:
        """Block RAMs that become of a memory, whatever it holds; 0 if it becomes something else."""
        return self.blocks(memory) if self._kind(memory) == "block" else 0

    def _kind(self, memory: MemoryShape) -> str:
        costs = {"logic": memory.width * memory.depth * (Fraction(1, 16) if memory.is_rom else 1)}
        if memory.is_synchronous:
            costs["block"] = self.blocks(memory) * self.block_cost
        if self.has_distributed_ram and not memory.is_rom:
            banks, cells = self._distributed(memory)
            # Multiplexers behind several banks count as well.
            costs["distributed"] = 4 * cells + Fraction(
                memory.read_ports * memory.width * (banks - 1), 2)
        # Of two that cost the same, the block RAM.
        return memory.style if memory.style in costs else min(
            costs, key=lambda name: (costs[name], name != "block"))

    @staticmethod
    def _distributed(memory: MemoryShape) -> tuple[int, int]:
        """Banks of 16 words, and cells of 16x4 bits in all of them."""
        banks = -(-memory.depth // 16)
        return banks, memory.read_ports * banks * -(-memory.width // 4)

    def memory(self, memory: MemoryShape) -> MappedMemory:
        """What becomes of a memory."""
        kind, blocks = self._kind(memory), self.blocks(memory)
        banks, cells = self._distributed(memory)
        if kind == "block":
            taken = memory.width * memory.read_ports
            moves = memory.is_registered and self.register_bits >= (
                memory.width if memory.is_rom else 1)
            return MappedMemory(block_ram=blocks, ff=-taken if moves else 0)
        ff = memory.width * memory.read_ports if memory.is_synchronous else 0
        if kind == "distributed":
            return MappedMemory(distributed_ram=cells, ff=ff,
                                selected=memory.read_ports * memory.width * (banks - 1))
        if memory.is_rom:
            # Bits that are the same in all words need no register, equal ones the same.
            columns = {tuple((word >> bit) & 1 for word in memory.words)
                       for bit in range(memory.width)}
            varying = sum(len(set(column)) > 1 for column in columns)
            return MappedMemory(luts=_rom_luts(memory), ff=ff * varying // memory.width)
        return MappedMemory(selected=memory.width * (memory.depth - 1),
                            ff=ff + memory.width * memory.depth)

    def multipliers(self, factors: tuple[int, int], signed: tuple[int, int]) -> int:
        """Hard multipliers that a product takes, by the widths of its factors; 0 if none."""
        if (not self.multiplier_bits or sum(factors) < self.least_product_bits
                or min(signed) < self.least_factor_bits):
            return 0
        halves = 2 if self.half_multiplier_bits and max(signed) > self.half_multiplier_bits else 1
        return halves * self._slices(factors[0]) * self._slices(factors[1])

    def _slices(self, bits: int) -> int:
        """Multipliers side by side for a factor; a last slice of one bit becomes logic."""
        whole, rest = divmod(bits, self.multiplier_bits)
        return whole + (rest > 1 or not whole)

    def adder_luts(self, bits: int) -> int:
        """Look-up tables that carry cells of an adder take; 0 if it becomes logic."""
        if bits < self.least_adder_bits:
            return 0
        return -(-bits // self.adder_step) * self.adder_step


def _rom_luts(memory: MemoryShape) -> int:
    logic = Logic()
    address = [logic.leaf() for _ in range(max(memory.depth - 1, 1).bit_length())]
    roots = []
    for bit in range(memory.width):
        level = [(word >> bit) & 1 for word in memory.words]
        for select in address:
            level += level[-1:] * (len(level) % 2)
            level = [logic.choice(select, level[i + 1], level[i])
                     for i in range(0, len(level), 2)] if len(level) > 1 else level
        roots.append(level[0])
    return logic.luts(roots)

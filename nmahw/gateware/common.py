"""Small pieces that several units use: delays, loop counters, the tags a step carries."""

from amaranth.hdl import Module, Shape, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import Member

__all__ = ["Tags", "Loop", "delayed", "delayed_tags", "choose", "per_image", "of_images",
           "image_suffix", "MULTIPLIER_REGISTER"]

#: Attribute of any register: the family may move those before and behind hard multipliers into
#: them, all over the design.
MULTIPLIER_REGISTER = "multiplier_register"


class Tags(data.Struct):
    """What is said about a step; it travels beside the data to the way out.

    ``valid`` says that there is a step at all; the others name its place in the loop nest.
    """

    valid: 1
    first_phase: 1
    last_phase: 1
    first_tile: 1
    last_tile: 1
    window_first: 1
    window_last: 1
    row_end: 1
    tile_end: 1
    last_channels: 1
    pass_end: 1


class Loop:
    """A loop counter: counts the turns left, with `first` and `last` ready in registers.

    Parameters
    ----------
    name : str
    largest : int
        Largest number of turns.
    """

    def __init__(self, name: str, largest: int):
        self.left = Signal(range(max(largest, 2)), name=f"{name}_left")
        self.first = Signal(init=1, name=f"{name}_first")
        self.last = Signal(name=f"{name}_last")

    def restart(self, turns_less_one: Value) -> list:
        """Statements that begin the loop's first turn."""
        return [self.left.eq(turns_less_one), self.first.eq(1), self.last.eq(turns_less_one == 0)]

    def advance(self) -> list:
        """Statements that begin the next turn; not after the last one."""
        return [self.left.eq(self.left - 1), self.first.eq(0), self.last.eq(self.left == 1)]


def delayed(m: Module, value: Value, cycles: int, name: str, reset: bool = False) -> Value:
    """`value` as it was `cycles` cycles ago.

    Parameters
    ----------
    reset : bool
        Whether the registers are cleared by reset (needed where a stale "valid" would act).
    """
    for stage in range(cycles):
        kept = Signal(value.shape(), name=f"{name}_d{stage + 1}", reset_less=not reset)
        m.d.sync += kept.eq(value)
        value = kept
    return value


def delayed_tags(m: Module, tags: Tags, cycles: int, name: str) -> Tags:
    """`tags` as they were `cycles` cycles ago."""
    for stage in range(cycles):
        kept = Signal(Tags, name=f"{name}_d{stage + 1}")
        m.d.sync += kept.eq(tags)
        tags = kept
    return tags


def per_image(member: Member, images: int) -> Member:
    """A port that each of several images has; where there is one, the port itself."""
    return member if images == 1 else member.array(images)


def of_images(port: Value, images: int) -> list[Value]:
    """The ports of all images: see `per_image`."""
    return [port] if images == 1 else list(port)


def image_suffix(image: int) -> str:
    """What names of the image's parts end with; those of the first one have plain names."""
    return f"_image{image}" if image else ""


def choose(m: Module, index: Value, options: list, name: str) -> Value:
    """``options[index]`` combinationally; a constant when all options are equal."""
    if len({repr(option) for option in options}) == 1:
        return options[0]
    shapes = [Value.cast(option).shape() for option in options]
    signed = any(s.signed for s in shapes)
    width = max(s.width + (1 if signed and not s.signed else 0) for s in shapes)
    result = Signal(Shape(width, signed), name=name)
    with m.Switch(index):
        for number, option in enumerate(options):
            with m.Case(number):
                m.d.comb += result.eq(option)
    return result

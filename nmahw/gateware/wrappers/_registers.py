"""What software sees of a wrapped accelerator: one table, from which everything else is made.

The gateware, the C header, the side-car and the table in docs/integration.md all come from
`REGISTERS`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ADDRESS_BITS", "MAGIC", "MAP_VERSION", "REGISTERS", "WORD_BITS", "Field", "Function",
           "Register", "c_header", "markdown_registers"]

#: Width of a register.
WORD_BITS = 32
#: Width of a register's number.
ADDRESS_BITS = 5
#: The first register, "nmah" with the first letter in the lowest byte.
MAGIC = int.from_bytes(b"nmah", "little")
#: Changes when this table does.
MAP_VERSION = 1


@dataclass(frozen=True)
class Field:
    """Some bits of a register, the lowest first."""

    name: str
    low: int
    width: int
    summary: str

    @property
    def bits(self) -> str:
        """For people: ``"3"`` or ``"15:8"``."""
        return str(self.low) if self.width == 1 else f"{self.low + self.width - 1}:{self.low}"


@dataclass(frozen=True)
class Register:
    """One register of 32 bits.

    Attributes
    ----------
    name : str
    number : int
        Its word address.
    access : str
        ``"r"`` or ``"w"``: no register is both.
    summary : str
    fields : tuple of Field
    count : int
        Registers of this kind, one behind the other.
    """

    name: str
    number: int
    access: str
    summary: str
    fields: tuple[Field, ...] = ()
    count: int = 1


@dataclass(frozen=True)
class Function:
    """One instruction of a custom function unit.

    Attributes
    ----------
    name : str
    number : int
        ``funct3``.
    inputs : tuple of (str, str)
        What the operands are.
    result, summary : str
    """

    name: str
    number: int
    inputs: tuple[str, str]
    result: str
    summary: str


#: Every register there is.
REGISTERS: tuple[Register, ...] = (
    Register("MAGIC", 0, "r", f"0x{MAGIC:08X}, \"nmah\" in ASCII, first letter lowest"),
    Register("VERSION", 1, "r", f"Version of this table: {MAP_VERSION}"),
    Register("INPUTS", 2, "r", "Elements of an image"),
    Register("OUTPUTS", 3, "r", "Results of an image"),
    Register("FORMAT", 4, "r", "What elements and results are", (
        Field("INPUT_BYTES", 0, 3, "Bytes of an element: 1, 2 or 4"),
        Field("INPUT_SIGNED", 3, 1, "Elements are two's complement"),
        Field("OUTPUT_SIGNED", 4, 1, "Results are two's complement"))),
    Register("IMAGE_CYCLES", 5, "r", "Clock cycles from image to image that the schedule predicts"),
    Register("HASH", 8, "r", "SHA-256 of the network, first byte in the lowest byte of the first "
             "register", count=8),
    Register("CONTROL", 16, "w", "Commands; bits that are 0 do nothing", (
        Field("RESET", 0, 1, "Drop all images, empty both buffers, clear flags and counters"),
        Field("CLEAR", 1, 1, "Clear the flags of STATUS"))),
    Register("STATUS", 17, "r", "What can be done, and what went wrong", (
        Field("WRITABLE", 0, 1, "INPUT takes a word"),
        Field("READABLE", 1, 1, "OUTPUT has a result"),
        Field("LAST", 2, 1, "That result is its image's last"),
        Field("BUSY", 3, 1, "The array computes"),
        Field("FRAME_ERROR", 4, 1, "Flag: an image had the wrong length and was dropped"),
        Field("OVERFLOW", 5, 1, "Flag: a word was written while INPUT was full, and lost"),
        Field("UNDERFLOW", 6, 1, "Flag: OUTPUT was read while it was empty; it gave 0"),
        Field("ROOM", 8, 8, "Words that INPUT takes"),
        Field("WAITING", 16, 8, "Results that OUTPUT has"))),
    Register("INPUT", 18, "w", "The image's next elements, the first in the lowest byte"),
    Register("INPUT_LAST", 19, "w", "The image's last word: as many elements as are missing, in "
             "the low bytes"),
    Register("OUTPUT", 20, "r", "The next result, extended to 32 bits; reading takes it"),
    Register("IMAGES", 21, "r", "Images answered since reset"),
    Register("DROPPED", 22, "r", "Images dropped for their length since reset"),
    Register("CYCLES", 23, "r", "Clock cycles since reset"),
    Register("BUSY_CYCLES", 24, "r", "Clock cycles in which the array computed since reset"),
)


def markdown_registers(registers: Sequence[Register]) -> str:
    """The table for people, in Markdown."""
    lines = ["| number | byte offset | register | access | what it holds |",
             "| ---: | ---: | --- | --- | --- |"]
    for register in registers:
        last = register.number + register.count - 1
        number, offset = str(register.number), f"0x{4 * register.number:02X}"
        if register.count > 1:
            number, offset = f"{number} to {last}", f"{offset} to 0x{4 * last:02X}"
        lines.append(f"| {number} | {offset} | `{register.name}` | {register.access} "
                     f"| {register.summary} |")
        lines += [f"| | | `{register.name}.{item.name}` | bit {item.bits} | {item.summary} |"
                  for item in register.fields]
    return "\n".join(lines) + "\n"


def c_header(name: str, registers: Sequence[Register], functions: Sequence[Function]) -> str:
    """The table for C: numbers of registers, places of their fields, numbers of functions."""
    guard = f"NMAHW_{name.upper()}_H"
    lines = [f"#ifndef {guard}", f"#define {guard}", ""]
    for register in registers:
        lines.append(f"/* {register.summary}; {register.access}. Byte offset "
                     f"0x{4 * register.number:02X}. */")
        lines.append(f"#define NMAHW_{register.name} {register.number}")
        if register.count > 1:
            lines.append(f"#define NMAHW_{register.name}_COUNT {register.count}")
        for item in register.fields:
            prefix = f"NMAHW_{register.name}_{item.name}"
            lines += [f"#define {prefix}_SHIFT {item.low}",
                      f"#define {prefix}_MASK 0x{((1 << item.width) - 1) << item.low:08X}u"]
    for function in functions:
        lines += [f"/* {function.summary} */",
                  f"#define NMAHW_FUNCTION_{function.name} {function.number}"]
    return "\n".join([*lines, "", f"#endif /* {guard} */"]) + "\n"

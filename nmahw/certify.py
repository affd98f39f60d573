"""The no-multiplier certificate: what is looked for, where, and what was found.

A design is searched at every stage there is: its RTLIL for arithmetic cells that multiply,
divide or take a remainder; the mapped netlist, and the placed one when given, for the
device's hard multipliers. Addressing and requantisation are searched like everything else.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .devices import FAMILIES, Device, FlowOptions
from .errors import CertificateError
from .netlist import netlist_cells
from .place import PlacedResult
from .synthesise import synthesise
from .workbench import Workbench

__all__ = ["Certificate", "Finding", "FORBIDDEN_CELLS", "certify", "rtlil_cells"]

#: Yosys cells that multiply, divide or take a remainder (yosys: "Binary operators", "$macc").
FORBIDDEN_CELLS = frozenset({"$mul", "$macc", "$macc_v2", "$div", "$mod", "$divfloor",
                             "$modfloor", "$pow"})

_SHOWN = 10
_STATEMENT = re.compile(r'\s*(attribute|module|cell|end)\b\s*(\S*)\s*(.*)')


@dataclass(frozen=True)
class Finding:
    """One cell that must not be there.

    Attributes
    ----------
    stage : str
        ``"RTLIL"``, ``"netlist"`` or ``"placed netlist"``.
    module, cell, kind : str
        Where it stands, its name, its type.
    source : str
        Source location recorded with it, empty when none is.
    """

    stage: str
    module: str
    cell: str
    kind: str
    source: str = ""

    def __str__(self) -> str:
        source = f", from {self.source}" if self.source else ""
        return f"{self.kind} {self.cell} in {self.module} ({self.stage}{source})"


@dataclass(frozen=True)
class Certificate:
    """Result of the search.

    Attributes
    ----------
    label : str
        What the design is called.
    device : str
    findings : tuple of Finding
        Cells that multiply; none when the certificate is granted.
    cells : mapping of str to int
        Number of cells searched at each stage.
    """

    label: str
    device: str
    findings: tuple[Finding, ...]
    cells: Mapping[str, int]

    @property
    def granted(self) -> bool:
        """Whether the design has no multiplier."""
        return not self.findings

    @property
    def counts(self) -> dict[str, int]:
        """How many cells of each forbidden type there are, at the stage with most of them."""
        found = Counter((finding.stage, finding.kind) for finding in self.findings)
        kinds = sorted({kind for _, kind in found})
        return {kind: max(found[stage, kind] for stage in self.cells) for kind in kinds}

    def __str__(self) -> str:
        searched = ", ".join(f"{count} cells of the {stage}" for stage, count in
                             self.cells.items())
        if self.granted:
            return f"{self.label} on {self.device}: no multiplier in {searched}"
        found = ", ".join(f"{count} {kind}" for kind, count in self.counts.items())
        return f"{self.label} on {self.device}: {found} in {searched}"

    def require(self) -> "Certificate":
        """The certificate itself when it is granted.

        Raises
        ------
        CertificateError
            It is not; the message lists the cells with their module and source.
        """
        if self.granted:
            return self
        lines = [f"  {finding}" for finding in self.findings[:_SHOWN]]
        if len(self.findings) > _SHOWN:
            lines.append(f"  and {len(self.findings) - _SHOWN} more")
        raise CertificateError(f"{self.label} on {self.device} must have no multiplier, but has "
                               f"{len(self.findings)}:\n" + "\n".join(lines))


def rtlil_cells(rtlil: str) -> Iterator[Finding]:
    """Every cell of an RTLIL text, in order (grammar: yosys, appendix "RTLIL text")."""
    module, source = "", ""
    for line in rtlil.splitlines():
        match = _STATEMENT.match(line)
        if not match:
            # Any other statement takes the attributes that stand before it.
            if line.strip() and not line.lstrip().startswith("#"):
                source = ""
            continue
        keyword, first, rest = match.groups()
        if keyword == "attribute":
            if first == "\\src":
                source = rest.strip().strip('"')
            continue
        if keyword == "module":
            module = first.removeprefix("\\")
        elif keyword == "cell":
            yield Finding("RTLIL", module, rest.strip().removeprefix("\\"),
                          first.removeprefix("\\"), source)
        source = ""


def certify(rtlil: str, device: Device, options: FlowOptions, bench: Workbench | None = None,
            placed: Sequence[PlacedResult] = (), label: str = "design") -> Certificate:
    """Search a design for multipliers.

    Parameters
    ----------
    rtlil : str
        With a module ``top``.
    device : Device
    options : FlowOptions
        As the design is built.
    bench : Workbench, optional
    placed : sequence of PlacedResult
        Results of placing this design, whose netlists are searched too.
    label : str
        What the design is called.

    Raises
    ------
    BuildError
        Yosys refuses the design.
    """
    hard = device.rules.hard_multipliers
    # An instance of another family's multiplier is no less a multiplier.
    forbidden = FORBIDDEN_CELLS.union(*(family.hard_multipliers for family in FAMILIES))
    everything = list(rtlil_cells(rtlil))
    findings = [cell for cell in everything if cell.kind in forbidden]
    searched = {"RTLIL": len(everything)}
    netlist = synthesise(rtlil, device, options, bench, label)
    searched["netlist"] = sum(netlist.cells.values())
    if any(kind in hard or kind in FORBIDDEN_CELLS for kind in netlist.cells):
        findings += [Finding("netlist", "top", name, kind, source)
                     for name, kind, source in netlist_cells(netlist.path)
                     if kind in hard or kind in FORBIDDEN_CELLS]
    for result in placed:
        searched["placed netlist"] = sum(result.placed_cells.values())
        if any(kind in hard for kind in result.placed_cells):
            findings += [Finding("placed netlist", "top", name, kind, source)
                         for name, kind, source in netlist_cells(result.placed_netlist)
                         if kind in hard]
            break
    return Certificate(label, device.name, tuple(findings), searched)

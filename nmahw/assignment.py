"""Which arithmetic each layer gets: one for all, by layer kind, or by layer number.

A choice is a name (``bit_serial``) or a list ``what=name,...``, where `what` is a layer kind
(``conv2d``, ``dense``; ``conv`` for short), a layer's number, or ``other``. The most particular
choice wins. ``auto`` leaves the choice to a cost model (`nmahw.choose`). Passes that carry layers
without weights of their own (a pool after a pool, say) are products with 1: they get the choice
for ``other``, or `FOR_IDENTITY`.
"""

from dataclasses import dataclass

import numpy as np

from .arith import ARITHMETICS, Arithmetic
from .errors import UsageError
from .operands import operands_for
from .program import Pass, Program

__all__ = ["AUTO", "FOR_IDENTITY", "Mixture", "assign", "names_by_pass"]

#: The choice that is left to the cost model.
AUTO = "auto"
#: What multiplies by 1 when the chosen arithmetic has no products.
FOR_IDENTITY = "bit_serial"
# Other words for layer kinds.
_SHORT = {"conv": "conv2d"}


@dataclass(frozen=True)
class Mixture:
    """What several arithmetics of one design have in common; see `Arithmetic` for the names."""

    arithmetics: tuple[Arithmetic, ...]

    @property
    def name(self) -> str:
        """Their names."""
        return "+".join(dict.fromkeys(a.name for a in self.arithmetics))

    @property
    def is_baseline(self) -> bool:
        """Whether any may multiply."""
        return any(a.is_baseline for a in self.arithmetics)

    @property
    def exact(self) -> bool:
        """Whether all are."""
        return all(a.exact for a in self.arithmetics)

    @property
    def hard_multiplier(self) -> bool:
        """Whether any uses the device's."""
        return any(a.hard_multiplier for a in self.arithmetics)

    @property
    def yosys_passes(self) -> tuple[str, ...]:
        """Those of all."""
        return tuple(dict.fromkeys(p for a in self.arithmetics for p in a.yosys_passes))

    def __str__(self) -> str:
        return " + ".join(map(str, self.arithmetics))


def names_by_pass(program: Program, choice: str) -> list[str]:
    """Name of the arithmetic of each pass.

    Raises
    ------
    UsageError
        Unknown arithmetic or layer; a matrix layer without a choice; something chosen twice.
    """
    if "=" not in choice:
        kind = ARITHMETICS.get(choice)
        return [choice if p.operation.name == kind.operation or not _is_identity(program, p)
                else FOR_IDENTITY for p in program.passes]
    chosen = _parse(program, choice)
    names = []
    for p in program.passes:
        layer = program.network.layers[p.first_layer]
        keys = [str(p.first_layer), "other"]
        if not _is_identity(program, p):
            keys.insert(1, layer.name)
        name = next((chosen[key] for key in keys if key in chosen), None)
        if name is None and not _is_identity(program, p):
            raise UsageError(f"layer {p.title} must get an arithmetic: add {layer.name}=... or "
                             f"other=... to {choice!r}")
        names.append(name or FOR_IDENTITY)
    return names


def assign(program: Program, choice: str) -> tuple[Arithmetic, ...]:
    """An arithmetic for each pass: per name one, as wide as all its passes need.

    Raises
    ------
    UsageError
        See `names_by_pass`.
    ModelError
        An arithmetic cannot take a layer's operands; the layer is named.
    """
    names = names_by_pass(program, choice)
    instances = {}
    for name in dict.fromkeys(names):
        kind = ARITHMETICS.get(name)
        passes = [p for p, n in zip(program.passes, names, strict=True) if n == name]
        values = np.unique(np.concatenate([p.weights.ravel() for p in passes]))
        instances[name] = kind.for_weights(*operands_for(passes, kind), values)
    return tuple(instances[name] for name in names)


def _is_identity(program: Program, p: Pass) -> bool:
    return not program.network.layers[p.first_layer].is_matrix


def _parse(program: Program, choice: str) -> dict[str, str]:
    layers = program.network.layers
    kinds = sorted({layer.name for layer in layers if layer.is_matrix})
    numbers = [str(p.first_layer) for p in program.passes]
    chosen = {}
    for part in choice.split(","):
        what, _, name = (text.strip() for text in part.partition("="))
        what = _SHORT.get(what, what)
        if what not in (*kinds, *numbers, "other"):
            raise UsageError(f"a choice of arithmetics must be for {', '.join(kinds)}, a layer "
                             f"number ({', '.join(numbers)}) or other, not {what!r}")
        if what in chosen:
            raise UsageError(f"{what} must get one arithmetic, not {chosen[what]} and {name}")
        ARITHMETICS.get(name)
        chosen[what] = name
    return chosen

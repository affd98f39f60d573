"""Which network a board runs: its hash against a file's, or those of the bundled networks."""

from __future__ import annotations

from pathlib import Path

from ..arith import ARITHMETICS
from ..bundled import load_model, models
from ..design import Design
from ..errors import MismatchError, ModelError
from ..network import Network
from ..verilog import network_sha256
from .description import Description

__all__ = ["network_on", "network_run"]


def network_on(board: Description, model: str | Path | None = None) -> Network | None:
    """The network that a board runs; None when `model` is not given and no bundled one is it.

    An approximate arithmetic makes another network of the one in the file: the result is that one.

    Raises
    ------
    MismatchError
        The board runs another network than `model`.
    """
    for name in ([model] if model is not None else models()):
        found = network_run(load_model(name), board.arithmetic, board.network_sha256)
        if found is not None:
            return found
    if model is not None:
        raise MismatchError(f"the board must run {model}, but it runs another network: "
                            f"{board.title!r} by {board.arithmetic}")
    return None


def network_run(network: Network, arithmetic: str, sha256: str) -> Network | None:
    """`network` as a design by `arithmetic` runs it; None if that has another hash.

    Parameters
    ----------
    network : Network
    arithmetic : str
        What the design says of itself, its name first.
    sha256 : str
        Of what the design runs; 64 hexadecimal digits.
    """
    for candidate in (network, _approximated(network, arithmetic)):
        if candidate is not None and network_sha256(candidate) == sha256:
            return candidate
    return None


def _approximated(network: Network, arithmetic: str) -> Network | None:
    """`network` as an approximate arithmetic computes it; None if that is no such arithmetic."""
    name = arithmetic.partition(" ")[0]
    if name not in ARITHMETICS or ARITHMETICS.get(name).exact:
        return None
    try:
        return Design.of(network, name, 1, 1).network
    except ModelError:
        return None

"""The weights that a board wants to be loaded, made of the network it runs."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from ..design import Design
from ..errors import MismatchError, UsageError
from ..network import Network
from ..weight_store import WeightStore
from .description import Description
from .host import Host

__all__ = ["load_weights", "weight_image"]


def weight_image(board: Description, network: Network) -> bytes:
    """The bytes that `board`, which must load its weights, wants.

    Raises
    ------
    MismatchError
        It wants others: its bitstream was made by another version.
    """
    wanted = board.weights
    store = WeightStore(wanted.blocks, wanted.block_bits, wanted.block_words)
    design = Design.of(network, board.arithmetic.partition(" ")[0], wanted.rows, wanted.columns,
                       store=store)
    image = design.schedule.layout.image
    if (len(image), zlib.crc32(image)) != (wanted.size, wanted.crc32):
        raise MismatchError("the board must want the weights that this version of nmahw makes of "
                            "its network, but wants others: build its bitstream again")
    return image


def load_weights(host: Host, network: Network | None,
                 say: Callable[[int, int], None] = lambda done, total: None) -> bool:
    """Load the weights of a board that needs it.

    Parameters
    ----------
    host : Host
    network : Network or None
        What the board runs; None if that is not known.
    say : callable
        Told how many bytes of how many are loaded.

    Returns
    -------
    bool
        Whether anything was loaded.

    Raises
    ------
    UsageError
        The network is not known.
    MismatchError
        See `weight_image` and `Host.load`.
    """
    if host.description.weights is None:
        return False
    if network is None:
        raise UsageError("--model must be given: the board's weights have to be loaded, and its "
                         "network is no bundled one")
    return host.load(weight_image(host.description, network), say)

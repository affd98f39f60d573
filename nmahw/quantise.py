"""Post-training quantisation: a float network and calibration images to an integer `Network`.

Symmetric, per tensor, with power-of-two ratios between all scales: the integer network holds
weights, biases and shifts, nothing else. Where the operation compares weights with activations
(AdderNet's L1 distance), both are on one scale. `nmahw.calibration` chooses scales layer by layer;
`nmahw.rounding` chooses integers.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from .calibration import Signal, quantise_input, quantise_stage, split_stages
from .errors import ModelError, UsageError
from .floatnet import FloatNetwork, FloatReLU
from .layers.softmax import Softmax
from .network import Network

__all__ = ["quantise", "WEIGHT_BITS", "ACTIVATION_BITS"]

#: Widths that weights can have.
WEIGHT_BITS = range(2, 17)
#: Widths that activations can have.
ACTIVATION_BITS = range(2, 17)


def quantise(network: FloatNetwork, images: np.ndarray,
             weight_bits: int | Sequence[int] = 8, activation_bits: int | Sequence[int] = 8,
             title: str | None = None, metadata: Mapping[str, str] | None = None,
             softmax_bits: int | None = None) -> Network:
    """The integer network closest to `network` on `images`.

    Parameters
    ----------
    network : FloatNetwork
    images : integer array (batch, *input shape)
        Calibration inputs (codes, as the network will get them); some hundred to two thousand
        of the *training* set. Nothing is random: the result is the same wherever floating-point
        matrix products round alike.
    weight_bits : int or sequence of int
        Width of the signed weights, 2..16; one for all or one per layer with weights. Weights
        that share the activations' scale get as many bits as that takes, up to 16.
    activation_bits : int or sequence of int
        Width of what enters each layer with weights, 2..16 (unsigned behind a ReLU).
    title : str, optional
        Title of the result; that of `network` with the widths when left out.
    metadata : mapping of str to str, optional
        Carried in the result, beside the widths.
    softmax_bits : int, optional
        End in a softmax of the logits, with results of that many bits, 1..16.

    Returns
    -------
    Network
        ``[requantise], (conv2d | dense), bias, [relu], requantise, [pooling], ...``; the last
        layer with weights gives its accumulators, which are logits on one common scale.

    Raises
    ------
    UsageError
        Widths that cannot be had.
    ModelError
        Images that do not fit the network.
    """
    before, stages = split_stages(network)
    weight_bits = _per_layer(weight_bits, "weight", WEIGHT_BITS, len(stages))
    activation_bits = _per_layer(activation_bits, "activation", ACTIVATION_BITS, len(stages))
    images = network.check_input(images)
    if not len(images):
        raise ModelError("calibration images must be at least one, not none")
    real = images.astype(np.float32) * np.float32(network.input_scale)
    signal = Signal(real, images, network.input_scale, network.input_format)
    signal = quantise_input(signal, activation_bits[0])
    for layer in before:
        if signal.format.signed or not isinstance(layer, FloatReLU):
            signal = signal.through_both(layer)
    for index, stage in enumerate(stages):
        out_bits = activation_bits[min(index + 1, len(stages) - 1)]
        signal = quantise_stage(stage, signal, weight_bits[index], out_bits)
    widths = {"weight_bits": _text(weight_bits), "activation_bits": _text(activation_bits)}
    if title is None:
        title = f"{network.title} W{widths['weight_bits']} A{widths['activation_bits']}"
    layers = signal.layers
    if softmax_bits is not None:
        # Two more bits in the tables: then their errors stay below a result's unit.
        widest = softmax_bits + 2 if isinstance(softmax_bits, int) else 12
        layers += (Softmax.of_step(signal.scale, softmax_bits, min(widest, 12)),)
    return Network(network.input_format, layers, title, {**widths, **(metadata or {})})


def _per_layer(bits: int | Sequence[int], what: str, allowed: range, count: int
               ) -> tuple[int, ...]:
    single = isinstance(bits, (int, np.integer)) and not isinstance(bits, bool)
    values = (bits,) * count if single else tuple(bits) if isinstance(
        bits, (Sequence, np.ndarray)) and not isinstance(bits, str) else (bits,)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) \
                or value not in allowed:
            raise UsageError(f"{what} bits must be an integer of {allowed[0]}..{allowed[-1]}, "
                             f"not {value!r}")
    if len(values) != count:
        raise UsageError(f"{what} bits must be one number, or one for each of the {count} layers "
                         f"with weights, not {len(values)} numbers")
    return tuple(int(value) for value in values)


def _text(bits: tuple[int, ...]) -> str:
    return str(bits[0]) if len(set(bits)) == 1 else ",".join(map(str, bits))

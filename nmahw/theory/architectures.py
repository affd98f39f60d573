"""Matrix layers of well-known networks, to be counted without weights."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from ..errors import UsageError
from .counts import MatrixShape

__all__ = ["ARCHITECTURES", "alexnet", "architecture", "lenet5", "resnet50"]


_known: dict[str, Callable[[], list[MatrixShape]]] = {}
#: By name.
ARCHITECTURES: Mapping[str, Callable[[], list[MatrixShape]]] = MappingProxyType(_known)


def _listed(function: Callable[[], list[MatrixShape]]) -> Callable[[], list[MatrixShape]]:
    _known[function.__name__] = function
    return function


def _conv(name: str, channels: int, size: int, out: int, kernel: int, stride: int = 1,
          padding: int = 0, groups: int = 1) -> MatrixShape:
    return MatrixShape(name, channels, size, size, out, (kernel, kernel), stride, padding, groups)


@_listed
def lenet5() -> list[MatrixShape]:
    """LeNet-5 as it is bundled: 28x28 maps padded to 32x32."""
    return [_conv("c1", 1, 28, 6, 5, padding=2), _conv("c2", 6, 14, 16, 5),
            *(MatrixShape.dense(name, *sizes) for name, sizes in
              (("f1", (400, 120)), ("f2", (120, 84)), ("f3", (84, 10))))]


@_listed
def alexnet() -> list[MatrixShape]:
    """AlexNet (Krizhevsky, Sutskever, Hinton 2012), with its two groups; 227x227 inputs."""
    return [_conv("conv1", 3, 227, 96, 11, stride=4),
            _conv("conv2", 96, 27, 256, 5, padding=2, groups=2),
            _conv("conv3", 256, 13, 384, 3, padding=1),
            _conv("conv4", 384, 13, 384, 3, padding=1, groups=2),
            _conv("conv5", 384, 13, 256, 3, padding=1, groups=2),
            *(MatrixShape.dense(name, *sizes) for name, sizes in
              (("fc6", (9216, 4096)), ("fc7", (4096, 4096)), ("fc8", (4096, 1000))))]


@_listed
def resnet50() -> list[MatrixShape]:
    """ResNet-50 (He and others 2016), strides in the 3x3 kernels; 224x224 inputs."""
    layers = [_conv("conv1", 3, 224, 64, 7, stride=2, padding=3)]
    channels, size = 64, 56
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 2):
        for block in range(blocks):
            stride = 2 if stage > 2 and block == 0 else 1
            name = f"conv{stage}.{block + 1}"
            layers += [_conv(f"{name}.1", channels, size, width, 1),
                       _conv(f"{name}.2", width, size, width, 3, stride, 1),
                       _conv(f"{name}.3", width, size // stride, 4 * width, 1)]
            if block == 0:
                layers.append(_conv(f"{name}.shortcut", channels, size, 4 * width, 1, stride))
            channels, size = 4 * width, size // stride
    return [*layers, MatrixShape.dense("fc", channels, 1000)]


def architecture(name: str) -> list[MatrixShape]:
    """The layers of that name.

    Raises
    ------
    UsageError
        There is none; the message lists those there are.
    """
    if name not in ARCHITECTURES:
        raise UsageError(f"architecture must be one of {', '.join(sorted(ARCHITECTURES))}, not "
                         f"{name!r}")
    return ARCHITECTURES[name]()

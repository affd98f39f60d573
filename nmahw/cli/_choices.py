"""What can be chosen, listed only when it is needed: listing imports the stages."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

__all__ = ["CHOICES", "fill"]


def _arithmetics() -> list[str]:
    from ..arith import ARITHMETICS
    return ARITHMETICS.names()


def _devices() -> list[str]:
    from ..devices import device_names
    return device_names()


def _boards() -> list[str]:
    from ..boards import BOARDS
    return BOARDS.names()


def _models() -> list[str]:
    from ..bundled import models
    return models()


def _suffixes() -> list[str]:
    from ..frontends import FRONTENDS
    return sorted(suffix for front_end in FRONTENDS for suffix in front_end.suffixes)


def _methods() -> list[str]:
    # By the files' names: listing the registry needs the extra's packages.
    from pkgutil import iter_modules

    from ..train import methods
    return sorted(info.name for info in iter_modules(methods.__path__)
                  if not info.name.startswith("_"))


def _datasets() -> list[str]:
    from ..train.datasets import DATASETS
    return DATASETS.names()


def _topologies() -> list[str]:
    from ..train.topology import TOPOLOGIES
    return sorted(TOPOLOGIES)


def _wrappers() -> list[str]:
    from ..gateware.wrappers import WRAPPERS
    return WRAPPERS.names()


#: What a help text can name in braces.
CHOICES: Mapping[str, Callable[[], Iterable[str]]] = MappingProxyType({
    "arithmetics": _arithmetics, "devices": _devices, "boards": _boards, "models": _models,
    "suffixes": _suffixes, "methods": _methods, "datasets": _datasets, "topologies": _topologies,
    "wrappers": _wrappers})


def fill(text: str | None) -> str | None:
    """`text` with the names in braces replaced by what there is."""
    for name, choices in CHOICES.items():
        if text and f"{{{name}}}" in text:
            text = text.replace(f"{{{name}}}", ", ".join(choices()))
    return text


def completion(name: str) -> Callable[[str], list[str]]:
    """Completes the beginning of one of `CHOICES` in a shell."""
    def complete(incomplete: str) -> list[str]:
        # A list's earlier items stay.
        done, comma, last = incomplete.rpartition(",")
        return [done + comma + choice for choice in CHOICES[name]() if choice.startswith(last)]
    return complete

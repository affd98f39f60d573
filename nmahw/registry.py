"""Folders as registries: what can be chosen is what files are there.

An arithmetic, a layer, a device family, a front end or a board is one file that defines one
or more concrete subclasses of the folder's base class. `Registry` imports every module of the
folder and collects them by their `name`; no table is kept by hand, so adding a file is all it
takes to appear in the command line's choices, the reports and the parametrised tests.
"""

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from functools import cached_property
from types import ModuleType
from typing import Generic, TypeVar

from .errors import UsageError

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Generic[T]):
    """The concrete subclasses of `base` defined by the modules of one package.

    Parameters
    ----------
    package : str
        Full name of the package whose modules are listed (not recursively). Modules whose
        name begins with an underscore are helpers and are not searched.
    base : type
        A class counts when it derives from `base`, is defined in the module itself (not
        imported into it) and has a `name` attribute that is a non-empty string.
    noun : str
        What an entry is called in messages, e.g. ``"arithmetic"``.
    """

    def __init__(self, package: str, base: type[T], noun: str):
        self._package = package
        self._base = base
        self.noun = noun

    @cached_property
    def _entries(self) -> dict[str, type[T]]:
        found: dict[str, type[T]] = {}
        for module in self._modules():
            for _, cls in inspect.getmembers(module, inspect.isclass):
                if not issubclass(cls, self._base) or cls.__module__ != module.__name__:
                    continue
                name = cls.__dict__.get("name")
                if not isinstance(name, str) or not name:
                    continue
                if name in found:
                    raise TypeError(f"{self.noun} {name!r} is defined twice: in "
                                    f"{found[name].__module__} and {module.__name__}")
                found[name] = cls
        return dict(sorted(found.items()))

    def _modules(self) -> Iterator[ModuleType]:
        package = importlib.import_module(self._package)
        for info in pkgutil.iter_modules(package.__path__):
            if not info.name.startswith("_"):
                yield importlib.import_module(f"{self._package}.{info.name}")

    def names(self) -> list[str]:
        """Names of all entries, sorted."""
        return list(self._entries)

    def __iter__(self) -> Iterator[type[T]]:
        return iter(self._entries.values())

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def get(self, name: str) -> type[T]:
        """The class called `name`.

        Raises
        ------
        UsageError
            No entry has that name; the message lists those there are.
        """
        try:
            return self._entries[name]
        except KeyError:
            near = difflib.get_close_matches(str(name), self._entries, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise UsageError(f"{self.noun} must be one of {', '.join(self.names())}, "
                             f"not {name!r}{hint}") from None

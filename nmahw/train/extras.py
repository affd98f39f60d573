"""Whether the packages that training needs are there, asked before they are imported."""

import importlib.util

from ..errors import EnvironmentProblem

__all__ = ["require_training"]


def require_training() -> None:
    """Make sure that methods can be listed at all.

    Raises
    ------
    EnvironmentProblem
        Numba is missing; the message has the pip command.
    """
    if importlib.util.find_spec("numba") is None:
        raise EnvironmentProblem("numba must be installed for training: pip install 'nmahw[train]'")

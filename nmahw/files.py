"""Writing files so that nobody ever sees half of one."""

import os
import tempfile
from pathlib import Path

from .errors import EnvironmentProblem

__all__ = ["write_atomically", "check_writable"]


def write_atomically(path: str | os.PathLike, data: bytes | str) -> Path:
    """Write `data` to `path` through a temporary file beside it and a rename.

    Raises
    ------
    EnvironmentProblem
        The folder does not exist or cannot be written to.
    """
    path = Path(path)
    if isinstance(data, str):
        # Names that came from the file system may hold bytes that are no text.
        data = data.encode("utf-8", "backslashreplace")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise EnvironmentProblem(f"output path {path} must be writable: "
                                 f"{error.strerror or error}") from None
    return path


def check_writable(path: str | os.PathLike) -> Path:
    """Make sure, before long work starts, that `path` can be written later.

    Raises
    ------
    EnvironmentProblem
        `path` is a folder, or its folder cannot be made or written to.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise EnvironmentProblem(f"output path {path} must be a file, not a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        os.unlink(temporary)
    except OSError as error:
        raise EnvironmentProblem(f"output path {path} must be writable: "
                                 f"{error.strerror or error}") from None
    return path

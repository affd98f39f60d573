"""Writing files so that nobody ever sees half of one."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import EnvironmentProblem

__all__ = ["alone", "check_writable", "write_atomically"]


def write_atomically(path: str | os.PathLike, data: bytes | str) -> Path:
    """Write `data` to `path` through a temporary file beside it and a rename.

    Raises
    ------
    EnvironmentProblem
        The folder cannot be made or written to, or `path` is a folder, a device or a pipe.
    """
    path = _regular(path)
    if isinstance(data, str):
        # Names that came from the file system may hold bytes that are no text.
        data = data.encode("utf-8", "backslashreplace")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                # Without it, a power cut after the rename may leave an empty file.
                file.flush()
                os.fsync(file.fileno())
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
        `path` is a folder, a device or a pipe, or its folder cannot be made or written to.
    """
    path = _regular(path)
    # What is refused later leaves no empty folders behind.
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        os.unlink(temporary)
        for folder in made:
            folder.rmdir()
    except OSError as error:
        raise EnvironmentProblem(f"output path {path} must be writable: "
                                 f"{error.strerror or error}") from None
    return path


def _regular(path: str | os.PathLike) -> Path:
    """A path that a rename may replace."""
    path = Path(path)
    try:
        is_other = path.exists() and not path.is_file()
    except OSError as error:
        raise EnvironmentProblem(f"output path {path} must be writable: {error.strerror}") from None
    if is_other:
        kind = "a folder" if path.is_dir() else "a device or a pipe"
        raise EnvironmentProblem(f"output path {path} must be a file, not {kind}")
    return path


@contextmanager
def alone(path: str | os.PathLike, work: str) -> Iterator[None]:
    """Make sure that nobody else does `work` on `path` meanwhile, by a lock file beside it.

    The lock ends with the process, however that ends. Systems without `fcntl` have no lock.

    Raises
    ------
    EnvironmentProblem
        Somebody does, or the lock file cannot be written.
    """
    path = Path(path)
    try:
        import fcntl
    except ImportError:
        yield
        return
    locked = path.with_name(f".{path.name}.lock")
    while True:
        try:
            locked.parent.mkdir(parents=True, exist_ok=True)
            lock = open(locked, "w")
        except OSError as error:
            raise EnvironmentProblem(f"output path {path} must be writable: "
                                     f"{error.strerror or error}") from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise EnvironmentProblem(f"{path} must be written by one {work} at a time, but "
                                         f"another is running") from None
            # The one before may have removed its file between our open and our lock.
            try:
                if not os.path.samestat(os.fstat(lock.fileno()), os.stat(locked)):
                    continue
            except FileNotFoundError:
                continue
            try:
                yield
            finally:
                locked.unlink(missing_ok=True)
            return

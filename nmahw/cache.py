"""Finished builds, kept on disk and reused.

An entry is a folder named by the hash of everything its content depends on. It is made
elsewhere, gets a manifest of its files' sizes and hashes, and is renamed into place: a folder
that is in place is whole. It is still checked when read, and built again when damaged.
Several processes may share a cache; two that build the same entry both succeed.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from .errors import BuildError, EnvironmentProblem
from .toolchain import Cancelled

__all__ = ["Cache", "default_folder", "digest"]

_MANIFEST = "manifest.json"
# Left by processes that were killed; nothing takes this long to build.
_STALE_S = 2 * 24 * 3600


def default_folder() -> Path:
    """``$NMAHW_CACHE``, or the platform's folder for caches."""
    if given := os.environ.get("NMAHW_CACHE"):
        return Path(given).expanduser().resolve()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "nmahw"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "nmahw" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").resolve() / "nmahw"


def digest(parts: Mapping[str, object]) -> str:
    """SHA-256 over named values: text, bytes, numbers, None, and lists and mappings of them."""
    def plain(value: object) -> object:
        if isinstance(value, bytes):
            return {"sha256": hashlib.sha256(value).hexdigest()}
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        return value
    return hashlib.sha256(json.dumps(plain(parts), sort_keys=True).encode()).hexdigest()


class Cache:
    """A folder of finished builds.

    Parameters
    ----------
    folder : path, optional
        By default `default_folder`.

    Raises
    ------
    EnvironmentProblem
        The folder cannot be made or written to.
    """

    def __init__(self, folder: str | os.PathLike | None = None):
        self.folder = Path(folder) if folder is not None else default_folder()
        self._making = self.folder / "making"
        try:
            self._making.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self._making).close()
        except OSError as error:
            raise EnvironmentProblem(f"cache folder {self.folder} must be writable: "
                                     f"{error.strerror or error} (NMAHW_CACHE names another)"
                                     ) from None
        self._remove_stale()

    def lookup(self, kind: str, key_parts: Mapping[str, object]) -> Path | None:
        """The finished entry for this key, None when there is none (or a damaged one)."""
        place = self._place(kind, key_parts)
        return place if _is_whole(place) else None

    def get_or_build(self, kind: str, key_parts: Mapping[str, object],
                     build: Callable[[Path], None]) -> Path:
        """Folder with the files `build` makes for this key.

        Parameters
        ----------
        kind : str
            What is built, e.g. ``"netlist"``: names a sub-folder and is part of the key.
        key_parts : mapping
            Everything the files depend on; see `digest`.
        build : callable
            Given an empty folder, fills it. May raise; then nothing is kept but, after a
            `BuildError`, the folder itself, so that its logs can be read.

        Returns
        -------
        Path
            Only to be read.
        """
        place = self._place(kind, key_parts)
        if _is_whole(place):
            return place
        making = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=self._making))
        try:
            build(making)
            _write_manifest(making)
            self._put(making, place)
        except BuildError as error:
            if not isinstance(error, Cancelled):
                self._keep_failed(making, self.folder / "failed" / f"{kind}-{place.name[:16]}",
                                  error)
            raise
        except OSError as error:
            raise EnvironmentProblem(f"cache folder {self.folder} must be usable: {error}"
                                     ) from None
        finally:
            shutil.rmtree(making, ignore_errors=True)
        return place

    def _place(self, kind: str, key_parts: Mapping[str, object]) -> Path:
        return self.folder / kind / digest({"kind": kind, **key_parts})

    def _put(self, making: Path, place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                os.replace(making, place)
                return
            except OSError:
                if not place.exists():
                    raise
            if _is_whole(place):
                return  # another process was faster
            # Damaged: move it away in one step, so that nobody sees a part of it.
            aside = Path(tempfile.mkdtemp(prefix="damaged-", dir=self._making))
            try:
                os.replace(place, aside / "entry")
            except FileNotFoundError:
                pass  # another process did
            shutil.rmtree(aside, ignore_errors=True)

    @staticmethod
    def _keep_failed(making: Path, failed: Path, error: BuildError) -> None:
        """Keep a failed build's folder where the error's message says it is."""
        try:
            shutil.rmtree(failed, ignore_errors=True)
            failed.parent.mkdir(parents=True, exist_ok=True)
            os.replace(making, failed)
        except OSError:
            return
        error.args = tuple(arg.replace(str(making), str(failed)) if isinstance(arg, str) else arg
                           for arg in error.args)

    def _remove_stale(self) -> None:
        try:
            old = [path for path in self._making.iterdir()
                   if time.time() - path.stat().st_mtime > _STALE_S]
        except OSError:
            return
        for path in old:
            shutil.rmtree(path, ignore_errors=True)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*")
                  if path.is_file() and path != folder / _MANIFEST)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_manifest(folder: Path) -> None:
    files = {path.relative_to(folder).as_posix(): [path.stat().st_size, _sha256(path)]
             for path in _files(folder)}
    (folder / _MANIFEST).write_text(json.dumps({"files": files}, indent=1))


def _is_whole(folder: Path) -> bool:
    try:
        files = json.loads((folder / _MANIFEST).read_text())["files"]
        return all((folder / name).stat().st_size == size for name, (size, _) in files.items()) \
            and all(_sha256(folder / name) == sha256 for name, (_, sha256) in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False

"""Results of sweeps: one SQLite file, one row per attempt, one writer.

Written in transactions with a write-ahead log, synchronised at every commit: what was told to be
done is done, whatever is killed afterwards, and a transaction that did not end never was. The
writer holds a lock on ``FILE.lock``; readers need none.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..cache import digest
from ..errors import EnvironmentProblem, ModelError
from .job import FINAL

__all__ = ["ATTEMPT_COLUMNS", "DESIGN_COLUMNS", "JSON_COLUMNS", "SCHEMA_VERSION", "Store",
           "point_key"]

#: Version of the file; newer ones are refused.
SCHEMA_VERSION = 1
# What the file's header says it belongs to: "nmah".
_APPLICATION_ID = 0x6E6D6168

#: Columns of an attempt beside its number, as (name, SQL type).
ATTEMPT_COLUMNS: tuple[tuple[str, str], ...] = (
    ("key", "TEXT NOT NULL"), ("design", "TEXT NOT NULL"), ("device", "TEXT NOT NULL"),
    ("seed", "INTEGER NOT NULL"), ("status", "TEXT NOT NULL"), ("reason", "TEXT"),
    ("log", "TEXT"), ("lut", "INTEGER"), ("ff", "INTEGER"), ("dsp", "INTEGER"),
    ("block_ram", "INTEGER"), ("fmax_mhz", "REAL"), ("no_multiplier", "INTEGER"),
    ("begun", "REAL"), ("seconds", "REAL"), ("worker", "TEXT"), ("versions", "TEXT NOT NULL"),
    ("limits", "TEXT"), ("more", "TEXT"))
#: Columns of a design.
DESIGN_COLUMNS: tuple[tuple[str, str], ...] = (
    ("design", "TEXT PRIMARY KEY"), ("model", "TEXT NOT NULL"), ("bits", "TEXT NOT NULL"),
    ("content", "TEXT NOT NULL"), ("images", "TEXT"), ("arithmetic", "TEXT NOT NULL"),
    ("rows", "INTEGER NOT NULL"), ("columns", "INTEGER NOT NULL"), ("code", "TEXT NOT NULL"),
    ("status", "TEXT NOT NULL"), ("reason", "TEXT"), ("log", "TEXT"), ("rtlil", "TEXT"),
    ("accuracy", "REAL"), ("cycles_per_image", "INTEGER"), ("macs_per_image", "INTEGER"),
    ("memory_bits", "INTEGER"), ("options", "TEXT"), ("is_baseline", "INTEGER"),
    ("exact", "INTEGER"), ("hard_multiplier", "INTEGER"), ("yosys_passes", "TEXT"),
    ("seconds", "REAL"))
#: Columns whose text is JSON.
JSON_COLUMNS = ("versions", "limits", "more", "options", "yosys_passes")


def _create(name: str, columns: Sequence[tuple[str, str]], first: str = "") -> str:
    listed = ", ".join(f'"{column}" {kind}' for column, kind in columns)
    return f"CREATE TABLE {name} ({first}{listed})"


# What an attempt does not say itself.
_OF_DESIGN = ", ".join(f'designs."{name}"' for name, _ in DESIGN_COLUMNS
                       if name not in dict(ATTEMPT_COLUMNS))
_SCHEMA = (
    _create("designs", DESIGN_COLUMNS),
    _create("attempts", ATTEMPT_COLUMNS, "id INTEGER PRIMARY KEY, "),
    "CREATE INDEX attempts_by_key ON attempts (key)",
    # A key is finished once, whatever else was tried under it.
    "CREATE UNIQUE INDEX attempts_done ON attempts (key) WHERE status = 'done'",
    "CREATE TABLE contents (sha256 TEXT PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE sweeps (id INTEGER PRIMARY KEY, begun REAL, title TEXT, spec TEXT)")


def point_key(rtlil: str, options: Mapping[str, object], device: str, seed: int,
              versions: Mapping[str, str]) -> str:
    """Identity of a place-and-route run.

    Parameters
    ----------
    rtlil : str
        SHA-256 of the design's RTLIL.
    options : mapping
        See `FlowOptions.describe`.
    device : str
    seed : int
    versions : mapping of str to str
        Of the tools used.
    """
    return digest({"rtlil": rtlil, "options": options, "device": device, "seed": seed,
                   "versions": versions})


class Store:
    """A results file.

    Parameters
    ----------
    path : path
    write : bool
        Make it if it is missing, and be its only writer.

    Raises
    ------
    ModelError
        The file is no results file, or one of a newer nmahw.
    EnvironmentProblem
        It is missing (when reading), cannot be written, or another sweep writes it.
    """

    def __init__(self, path: str | os.PathLike, write: bool = False):
        self.path = Path(path)
        self._lock = None
        self._db: sqlite3.Connection | None = None
        if not write and not self.path.is_file():
            raise EnvironmentProblem(f"results file {self.path} must exist")
        if self.path.is_dir():
            raise EnvironmentProblem(f"results file {self.path} must be a file, not a folder")
        try:
            if write:
                self._take_lock()
            with self._errors():
                self._open(write)
        except BaseException:
            self.close()
            raise

    def _open(self, write: bool) -> None:
        # A reader opens for writing as well: what a killed writer left in the log is taken over.
        self._connect(str(self.path))
        try:
            identity = self._pragma("application_id")
        except sqlite3.OperationalError:
            # The log cannot be opened in a folder that is read-only; without one, none is needed.
            if write or os.access(self.path.parent, os.W_OK) or self._log_is_left():
                raise
            self._connect(f"{self.path.resolve().as_uri()}?immutable=1", uri=True)
            identity = self._pragma("application_id")
        empty = not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not (empty and identity == 0 and write):
            if identity != _APPLICATION_ID:
                raise ModelError(f"{self.path} must be a results file of 'nmahw sweep', but is "
                                 f"another database")
            version = self._pragma("user_version")
            if version > SCHEMA_VERSION:
                raise ModelError(f"{self.path} must be of version {SCHEMA_VERSION} at most, but a "
                                 f"newer nmahw made it (version {version})")
        if not write:
            self._db.execute("PRAGMA query_only = ON")
            return
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        if empty:
            with self._transaction():
                for statement in _SCHEMA:
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _connect(self, name: str, uri: bool = False) -> None:
        if self._db is not None:
            self._db.close()
        self._db = sqlite3.connect(name, timeout=30, isolation_level=None, uri=uri)
        self._db.row_factory = sqlite3.Row

    def _log_is_left(self) -> bool:
        log = Path(f"{self.path}-wal")
        return log.exists() and log.stat().st_size > 0

    def _pragma(self, name: str) -> int:
        return self._db.execute(f"PRAGMA {name}").fetchone()[0]

    def _take_lock(self) -> None:
        try:
            self._lock = open(f"{self.path}.lock", "w")
        except OSError as error:
            raise EnvironmentProblem(f"results file {self.path} must be writable: "
                                     f"{error.strerror or error}") from None
        try:
            import fcntl
        except ImportError:  # Windows: SQLite's own locks have to do
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise EnvironmentProblem(f"results file {self.path} must be written by one sweep at a "
                                     f"time, but another is running") from None

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what SQLite says into what a person can act on."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise EnvironmentProblem(f"results file {self.path} must be usable: {error}"
                                     ) from None
        except sqlite3.DatabaseError as error:
            raise ModelError(f"{self.path} must be a results file of 'nmahw sweep': {error}"
                             ) from None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def close(self) -> None:
        """Let go of the file."""
        if self._db is not None:
            self._db.close()
        if self._lock is not None:
            self._lock.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # What a sweep writes.

    def begin(self, begun: float, title: str, spec: str, contents: Mapping[str, bytes]) -> None:
        """Note a sweep, and the networks and images it is about."""
        with self._errors(), self._transaction():
            self._db.execute("INSERT INTO sweeps (begun, title, spec) VALUES (?, ?, ?)",
                             (begun, title, spec))
            self._db.executemany("INSERT OR IGNORE INTO contents VALUES (?, ?)",
                                 list(contents.items()))

    def add(self, designs: Iterable[Mapping[str, object]] = (),
            attempts: Iterable[Mapping[str, object]] = ()) -> None:
        """Note designs and attempts, all or none of them.

        A key that is done already stays as it is.
        """
        with self._errors(), self._transaction():
            self._insert("INSERT OR REPLACE INTO designs", DESIGN_COLUMNS, designs)
            self._insert("INSERT OR IGNORE INTO attempts", ATTEMPT_COLUMNS, attempts)

    def _insert(self, what: str, columns: Sequence[tuple[str, str]],
                rows: Iterable[Mapping[str, object]]) -> None:
        names = [name for name, _ in columns]
        listed = ", ".join(f'"{name}"' for name in names)
        marks = ", ".join("?" * len(names))
        self._db.executemany(f"{what} ({listed}) VALUES ({marks})",
                             [[_plain(row.get(name)) for name in names] for row in rows])

    # What a sweep, or a table, reads.

    def designs(self) -> dict[str, dict[str, object]]:
        """Every design by its key."""
        with self._errors():
            return {row["design"]: _read(row) for row in
                    self._db.execute("SELECT * FROM designs")}

    def finished(self, retry: bool = False) -> dict[str, str]:
        """Keys that need no other attempt, and how they ended.

        Parameters
        ----------
        retry : bool
            Leave out what failed otherwise than by not fitting.
        """
        final = ["done", "does not fit", "refused"] if retry else sorted(FINAL)
        marks = ", ".join("?" * len(final))
        with self._errors():
            return dict(self._db.execute(
                f"SELECT key, status FROM attempts WHERE status IN ({marks}) ORDER BY id",
                final).fetchall())

    def statuses(self) -> dict[str, int]:
        """How many attempts ended in which way."""
        with self._errors():
            return dict(self._db.execute(
                "SELECT status, count(*) FROM attempts GROUP BY status").fetchall())

    def reasons(self, most: int = 5) -> list[tuple[str, str, int]]:
        """Status, reason and number of attempts that failed: the `most` frequent ones."""
        with self._errors():
            return [tuple(row) for row in self._db.execute(
                "SELECT status, reason, count(*) FROM attempts WHERE status != 'done' "
                "GROUP BY status, reason ORDER BY count(*) DESC, min(id) LIMIT ?", (most,))]

    def attempts(self) -> list[dict[str, object]]:
        """Every attempt in the order they ended, with what is known of its design."""
        with self._errors():
            rows = self._db.execute(
                f"SELECT attempts.*, {_OF_DESIGN} FROM attempts LEFT JOIN designs USING (design) "
                f"ORDER BY attempts.id").fetchall()
        return [_read(row) for row in rows]

    def content(self, sha256: str) -> bytes:
        """A network's or images' file.

        Raises
        ------
        ModelError
            The results do not hold it.
        """
        with self._errors():
            row = self._db.execute("SELECT data FROM contents WHERE sha256 = ?",
                                   (sha256,)).fetchone()
        if row is None:
            raise ModelError(f"{self.path} must hold the content {sha256[:12]}, but does not")
        return row["data"]


def _plain(value: object) -> object:
    return json.dumps(value, sort_keys=True) if isinstance(value, (dict, list, tuple)) else value


def _read(row: sqlite3.Row) -> dict[str, object]:
    found = {name: row[name] for name in row.keys()}
    for name in JSON_COLUMNS:
        if isinstance(found.get(name), str):
            found[name] = json.loads(found[name])
    return found

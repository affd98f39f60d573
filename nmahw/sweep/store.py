"""Results of sweeps: one SQLite file, one row per attempt, one writer.

Written in transactions with a write-ahead log, synchronised at every commit: what was told to be
done is done, whatever is killed afterwards, and a transaction that did not end never was. The
writer holds a lock beside the file; readers need none.

A run is known by its key, not by its design: where two designs come to the same RTLIL, or accuracy
is measured anew on other images, one run gives both a row (`Store.share`).
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..cache import digest
from ..errors import EnvironmentProblem, ModelError
from ..files import alone
from .job import FINAL, SETTLED

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
    "CREATE TABLE contents (sha256 TEXT PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE sweeps (id INTEGER PRIMARY KEY, begun REAL, title TEXT, spec TEXT)")
# A key is finished once for a design, whatever else was tried under it. Files of earlier versions
# have it once for all designs.
_INDEX = ("DROP INDEX IF EXISTS attempts_done",
          "CREATE UNIQUE INDEX IF NOT EXISTS attempts_done_by_design ON attempts (key, design) "
          "WHERE status = 'done'")
_FINAL = ", ".join(f"'{status}'" for status in sorted(FINAL))
# A run's row once more, for another design; but not where the two would look the same.
_SHARE = f"""
INSERT INTO attempts ({{columns}})
SELECT {{values}} FROM attempts AS run
WHERE id = (SELECT id FROM attempts WHERE key = :key AND status IN ({_FINAL})
            ORDER BY status = 'done' DESC, id DESC LIMIT 1)
AND NOT EXISTS (
    SELECT 1 FROM attempts AS other
    JOIN designs AS its ON its.design = other.design JOIN designs AS our ON our.design = :design
    WHERE other.key = :key AND other.status = run.status AND (its.design = our.design OR
        (its.model = our.model OR its.content = our.content)
        AND (its.bits, its.arithmetic, its."rows", its."columns", its.accuracy)
            IS (our.bits, our.arithmetic, our."rows", our."columns", our.accuracy)))
""".format(columns=", ".join(f'"{name}"' for name, _ in ATTEMPT_COLUMNS),
           values=", ".join({"design": ":design", "seconds": "0.0"}.get(name, f'run."{name}"')
                            for name, _ in ATTEMPT_COLUMNS))


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
        self._lock = ExitStack()
        self._db: sqlite3.Connection | None = None
        # Not Path.is_dir, nor is_file: a name that is too long is an error there.
        if os.path.isdir(self.path):
            raise EnvironmentProblem(f"results file {self.path} must be a file, not a folder")
        if not write and not os.path.isfile(self.path):
            raise EnvironmentProblem(f"results file {self.path} must exist")
        try:
            if write:
                self._lock.enter_context(alone(self.path, "sweep"))
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
                what = "another database" if identity or not empty else "empty"
                raise ModelError(f"{self.path} must be a results file of 'nmahw sweep', but is "
                                 f"{what}")
            version = self._pragma("user_version")
            if version > SCHEMA_VERSION:
                raise ModelError(f"{self.path} must be of version {SCHEMA_VERSION} at most, but a "
                                 f"newer nmahw made it (version {version})")
        if not write:
            self._db.execute("PRAGMA query_only = ON")
            return
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        with self._transaction():
            for statement in (*(_SCHEMA if empty else ()), *_INDEX):
                self._db.execute(statement)
            if empty:
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

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what SQLite says into what a person can act on."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise EnvironmentProblem(f"results file {self.path} must be usable: {error}"
                                     ) from None
        except json.JSONDecodeError:
            raise ModelError(f"{self.path} must be a results file of 'nmahw sweep', but holds "
                             f"texts that are no JSON") from None
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

        A key that is done already for the same design stays as it is.
        """
        with self._errors(), self._transaction():
            self._insert("INSERT OR REPLACE INTO designs", DESIGN_COLUMNS, designs)
            self._insert("INSERT INTO attempts", ATTEMPT_COLUMNS, attempts,
                         "ON CONFLICT DO NOTHING")

    def share(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Give designs a row of finished runs that were another design's.

        Nothing happens where a person could not tell the rows apart: another version of nmahw that
        makes the same RTLIL of the same network is no other design.

        Parameters
        ----------
        pairs : iterable of (key, design)
        """
        with self._errors(), self._transaction():
            self._db.executemany(_SHARE, [{"key": key, "design": name} for key, name in pairs])

    def _insert(self, what: str, columns: Sequence[tuple[str, str]],
                rows: Iterable[Mapping[str, object]], more: str = "") -> None:
        names = [name for name, _ in columns]
        listed = ", ".join(f'"{name}"' for name in names)
        marks = ", ".join("?" * len(names))
        self._db.executemany(f"{what} ({listed}) VALUES ({marks}) {more}",
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
        final = sorted(SETTLED if retry else FINAL)
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

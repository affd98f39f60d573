"""Attempts as a table for other programs, and back from JSON: what a results file comes down to."""

import csv
import importlib
import io
import json
import os
from pathlib import Path

from ..errors import EnvironmentProblem, ModelError, UsageError
from ..files import check_writable, write_atomically
from .columns import MEASURED
from .store import ATTEMPT_COLUMNS, DESIGN_COLUMNS, JSON_COLUMNS, Store

__all__ = ["FORMATS", "check_export", "export_attempts", "read_attempts"]

_SCHEMA, _VERSION = "nmahw-attempts", 1
# What a value of each column may be, in an attempt that somebody else may have written.
_KINDS = {"INTEGER": int, "REAL": (int, float), "TEXT": str, "JSON": (dict, list)}
_COLUMNS = {"id": int, **{
    name: _KINDS["JSON" if name in JSON_COLUMNS else kind.split()[0]]
    for name, kind in (*DESIGN_COLUMNS, *ATTEMPT_COLUMNS)}}
# What every run that was built has.
_FIGURES = (*MEASURED, "arithmetic", "model", "cycles_per_image", "macs_per_image")
# Beyond it, numbers are nobody's figures (nor are infinity, and what is no number).
_LARGEST = 2**63


def _flat(value: object) -> object:
    return json.dumps(value, sort_keys=True) if isinstance(value, (dict, list)) else value


def _csv(rows: list[dict]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0] if rows else _COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _flat(value) for name, value in row.items()} for row in rows)
    return text.getvalue().encode()


def _json(rows: list[dict]) -> bytes:
    return (json.dumps({"schema": _SCHEMA, "version": _VERSION, "attempts": rows}, indent=1)
            + "\n").encode()


def _parquet(rows: list[dict]) -> bytes:
    import pyarrow
    import pyarrow.parquet
    sink = io.BytesIO()
    kinds = {int: pyarrow.int64(), (int, float): pyarrow.float64()}
    # Columns have their types even where all values are missing, so that exports go together.
    schema = pyarrow.schema([(name, kinds.get(_COLUMNS[name], pyarrow.string()))
                             for name in (rows[0] if rows else _COLUMNS)])
    flat = [{name: _flat(value) for name, value in row.items()} for row in rows]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(flat, schema), sink)
    return sink.getvalue()


#: What makes a file's content of rows, by suffix.
FORMATS = {".csv": _csv, ".json": _json, ".parquet": _parquet}


def check_export(path: str | Path) -> Path:
    """Make sure, before a long sweep, that its results can be exported to `path`.

    Raises
    ------
    UsageError
        The suffix is none of `FORMATS`.
    EnvironmentProblem
        `path` cannot be written, or a package is missing.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise UsageError(f"an export must end in {', '.join(FORMATS)}, not {path.name!r}")
    if path.suffix == ".parquet":
        try:
            importlib.import_module("pyarrow.parquet")
        except ImportError:
            raise EnvironmentProblem('Parquet needs pyarrow: pip install "nmahw[parquet]"'
                                     ) from None
    return check_writable(path)


def export_attempts(results: str | Path, path: str | Path) -> Path:
    """Write every attempt of a results file as CSV, JSON or Parquet, by the suffix of `path`.

    Raises
    ------
    UsageError, EnvironmentProblem
        See `check_export`.
    """
    path = check_export(path)
    with Store(results) as store:
        return write_atomically(path, FORMATS[path.suffix](store.attempts()))


def read_attempts(path: str | Path) -> list[dict[str, object]]:
    """Every attempt of a results file, or of what was exported of one as JSON.

    Raises
    ------
    ModelError
        It is neither, or a newer nmahw made it.
    EnvironmentProblem
        It cannot be read.
    """
    path = Path(path)
    if path.suffix != ".json" or not os.path.isfile(path):
        with Store(path) as store:
            rows = store.attempts()
        if not all(map(_is_attempt, rows)):
            raise ModelError(f"{path} must be a results file of 'nmahw sweep', but its attempts "
                             f"lack values or have others")
        return rows
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EnvironmentProblem(f"{path} must be a readable file: {error.strerror or error}"
                                 ) from None
    except (ValueError, RecursionError):
        raise ModelError(f"{path} must be an export of 'nmahw sweep', but is no JSON") from None
    if not isinstance(document, dict) or document.get("schema") != _SCHEMA:
        raise ModelError(f"{path} must be an export of 'nmahw sweep', but is another JSON")
    if document.get("version") != _VERSION:
        raise ModelError(f"{path} must be an export of version {_VERSION}, not "
                         f"{document.get('version')!r}")
    rows = document.get("attempts")
    if not isinstance(rows, list) or not all(map(_is_attempt, rows)):
        raise ModelError(f"{path} must be an export of 'nmahw sweep', but its attempts lack values "
                         f"or have others")
    return rows


def _is_attempt(row: object) -> bool:
    needed = ("id", "design", "device", "seed", "status", "versions")
    return isinstance(row, dict) and row.keys() >= _COLUMNS.keys() and all(
        isinstance(row[name], kind)
        and (not isinstance(row[name], (int, float)) or abs(row[name]) < _LARGEST)
        or row[name] is None and name not in needed for name, kind in _COLUMNS.items()) and (
            row["status"] != "done" or all(row[name] is not None for name in _FIGURES))

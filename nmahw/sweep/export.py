"""Attempts as a table for other programs."""

import csv
import importlib
import io
import json
from pathlib import Path

from ..errors import EnvironmentProblem, UsageError
from ..files import check_writable, write_atomically
from .store import Store

__all__ = ["FORMATS", "check_export", "export_attempts"]


def _flat(value: object) -> object:
    return json.dumps(value, sort_keys=True) if isinstance(value, (dict, list)) else value


def _csv(rows: list[dict]) -> bytes:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _flat(value) for name, value in row.items()} for row in rows)
    return text.getvalue().encode()


def _json(rows: list[dict]) -> bytes:
    return (json.dumps({"schema": "nmahw-attempts", "version": 1, "attempts": rows}, indent=1)
            + "\n").encode()


def _parquet(rows: list[dict]) -> bytes:
    import pyarrow
    import pyarrow.parquet
    sink = io.BytesIO()
    flat = [{name: _flat(value) for name, value in row.items()} for row in rows]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(flat), sink)
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

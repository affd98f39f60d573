"""A method's fields as text: ``FIELD=VALUE`` of the command line and of run records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import Field, fields, replace
from pathlib import Path

from ..errors import UsageError
from .methods import Method

__all__ = ["portable", "setting_text", "settings_table", "with_settings"]

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def setting_text(value: object) -> str:
    """A field's value as `with_settings` reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (tuple, list)):
        return ",".join(map(setting_text, value))
    return str(value)


def portable(value: object) -> object:
    """A field's value without folders of this machine, for records: of an absolute path its name.
    """
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def settings_table(method: type[Method]) -> list[tuple[str, str, str]]:
    """Name, default and meaning of every field."""
    return [(item.name, setting_text(item.default), str(item.metadata.get("help", "")))
            for item in fields(method)]


def with_settings(method: Method, settings: Sequence[str]) -> Method:
    """`method` with some fields changed.

    Parameters
    ----------
    method : Method
    settings : sequence of str
        ``FIELD=VALUE`` each; the kind of the value is that of the field's default. Values of a
        tuple are separated by commas.

    Raises
    ------
    UsageError
        Unknown field, or a value that cannot be read or that the method refuses.
    """
    known = {item.name: item for item in fields(method)}
    changes = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        name = name.strip()
        if not equals:
            raise UsageError(f"--set must be FIELD=VALUE, not {setting!r}")
        if name not in known:
            raise UsageError(f"setting of method {method.name} must be one of "
                             f"{', '.join(known) or 'none'}, not {name!r}")
        changes[name] = _value(known[name], text.strip())
    return replace(method, **changes)


def _value(item: Field, text: str) -> object:
    default = item.default
    try:
        if isinstance(default, tuple):
            kind = type(default[0]) if default else str
            return tuple(_plain(kind, part.strip()) for part in text.split(",") if part.strip())
        return _plain(type(default), text)
    except (KeyError, ValueError, OverflowError):
        kind = {bool: "true or false", int: "an integer", float: "a number",
                tuple: "values separated by commas"}.get(type(default), "a text")
        raise UsageError(f"setting {item.name} must be {kind}, not {text!r}") from None


def _plain(kind: type, text: str) -> object:
    if kind is bool:
        return _TRUTH[text.lower()]
    if kind in (int, float):
        # int() and float() take underscores and other scripts' digits.
        if "_" in text or not text.isascii():
            raise ValueError
        return kind(text)
    return text

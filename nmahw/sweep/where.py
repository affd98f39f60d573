"""The filter language of ``--where``: comparisons of columns with numbers and texts.

::

    condition  = both {"or" both}
    both       = one {"and" one}
    one        = "not" one | "(" condition ")" | value operator value
    value      = column | number | 'text' | "text"
    operator   = "=" | "==" | "!=" | "<" | "<=" | ">" | ">="

Words may be in capitals. A comparison with a column that has no value (a design that could not be
built) is false. Nothing is ever evaluated by Python or SQL.
"""

import operator
import re
from collections.abc import Callable, Mapping

from ..errors import UsageError
from .columns import COLUMNS, column, nearest

__all__ = ["Condition", "parse"]

#: Tells whether a point (column to value) is wanted.
Condition = Callable[[Mapping[str, object]], bool]
_Value = Callable[[Mapping[str, object]], object]

_TOKEN = re.compile(r"""\s*(?:
    (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w.])
  | (?P<text>'[^']*'|"[^"]*")
  | (?P<operator><=|>=|==|!=|=|<|>)
  | (?P<bracket>[()])
  | (?P<word>[A-Za-z_]\w*)
)""", re.VERBOSE)
_OPERATORS = {"=": operator.eq, "==": operator.eq, "!=": operator.ne, "<": operator.lt,
              "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_MOST_TOKENS = 1000
_DEEPEST = 50


def parse(text: str) -> Condition:
    """The condition that `text` states.

    Raises
    ------
    UsageError
        It is none; the message names the place and what is wrong there.
    """
    return _Parser(text).all()


class _Parser:
    def __init__(self, text: str):
        self._text = text
        self._tokens: list[tuple[str, str, int]] = []
        position = 0
        while text[position:].strip():
            match = _TOKEN.match(text, position)
            if not match:
                raise self._wrong("this cannot be read (a text stands in quotes)",
                                  len(text) - len(text[position:].lstrip()))
            self._tokens.append((match.lastgroup, match[match.lastgroup],
                                 match.start(match.lastgroup)))
            position = match.end()
        if len(self._tokens) > _MOST_TOKENS:
            raise UsageError(f"--where must have at most {_MOST_TOKENS} words, not "
                             f"{len(self._tokens)}")
        self._at = 0
        self._depth = 0

    def _wrong(self, what: str, position: int | None = None) -> UsageError:
        if position is None:
            position = self._tokens[self._at][2] if self._at < len(self._tokens) else \
                len(self._text)
        rest = self._text[position:position + 20]
        return UsageError(f"--where must be like \"lut < 2000 and accuracy >= 0.99\", but {what} "
                          f"at {f'{rest!r}' if rest else 'its end'}")

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at][:2] if self._at < len(self._tokens) else ("", "")

    def _take(self, *values: str) -> bool:
        kind, value = self._peek()
        if kind in ("word", "bracket") and value.lower() in values:
            self._at += 1
            return True
        return False

    def all(self) -> Condition:
        if not self._tokens:
            raise self._wrong("nothing stands")
        found = self._either()
        if self._at < len(self._tokens):
            raise self._wrong("'and' or 'or' must stand")
        return found

    def _either(self) -> Condition:
        parts = [self._both()]
        while self._take("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else lambda row: any(part(row) for part in parts)

    def _both(self) -> Condition:
        parts = [self._one()]
        while self._take("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else lambda row: all(part(row) for part in parts)

    def _one(self) -> Condition:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._wrong(f"more than {_DEEPEST} levels stand")
        try:
            if self._take("not"):
                inner = self._one()
                return lambda row: not inner(row)
            if self._take("("):
                inner = self._either()
                if not self._take(")"):
                    raise self._wrong("')' must stand")
                return inner
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Condition:
        left, left_number = self._value()
        kind, name = self._peek()
        if kind != "operator":
            raise self._wrong("a comparison must stand")
        compare = _OPERATORS[name]
        self._at += 1
        right, right_number = self._value()
        if left_number != right_number:
            self._at -= 1
            raise self._wrong("a number is compared with a text")

        def condition(row: Mapping[str, object]) -> bool:
            one, other = left(row), right(row)
            return one is not None and other is not None and bool(compare(one, other))
        return condition

    def _value(self) -> tuple[_Value, bool]:
        kind, value = self._peek()
        if kind == "number":
            found, is_number = float(value), True
        elif kind == "text":
            found, is_number = value[1:-1], False
        elif kind == "word" and value.lower() not in ("and", "or", "not"):
            if value not in COLUMNS and not nearest(value, COLUMNS):
                raise self._wrong(f"no column is called {value} (a text stands in quotes: "
                                  f"'{value}')")
            is_number = column(value).is_number
            self._at += 1
            return lambda row: row.get(value), is_number
        else:
            raise self._wrong(f"a column ({', '.join(COLUMNS)}), a number or a quoted text must "
                              f"stand")
        self._at += 1
        return lambda row: found, is_number

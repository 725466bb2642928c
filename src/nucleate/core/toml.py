"""Writing TOML, which the standard library only reads: plain values in tables, enough for cards and settings."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["toml_text"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(values: Mapping[str, Any]) -> str:
    r"""Write a mapping as TOML that `tomllib.loads` gives back.

    Parameters
    ----------
    values : mapping
        Strings, integers, floats, booleans, lists (or tuples) and mappings of these. Entries that are None are left
        out, since TOML has no such value.

    Raises
    ------
    TypeError
        If a value is of another kind.

    Examples
    --------
    >>> print(toml_text({"name": "a", "recipe": {"level": 0.5, "split": None}}), end="")
    name = "a"
    <BLANKLINE>
    [recipe]
    level = 0.5
    """
    lines: list[str] = []
    _table(values, (), lines=lines)
    return "\n".join(lines).lstrip("\n") + "\n" if lines else ""


def _table(values: Mapping[str, Any], path: tuple[str, ...], *, lines: list[str]) -> None:
    given = {key: value for key, value in values.items() if value is not None}
    plain = {key: value for key, value in given.items() if not isinstance(value, Mapping)}
    if path and (plain or not given):
        lines += ["", f"[{'.'.join(map(_key, path))}]"]
    lines += [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    for key, value in given.items():
        if isinstance(value, Mapping):
            _table(value, (*path, key), lines=lines)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _string(key)


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def _value(value: object) -> str:
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)  # inf and nan are TOML's words too
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items() if v is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, Sequence):
        return f"[{', '.join(_value(entry) for entry in value)}]"
    raise TypeError(f"TOML has no value for {type(value).__name__}: got {value!r}; use text, numbers, lists or tables")

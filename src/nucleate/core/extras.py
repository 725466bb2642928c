"""Libraries that only some installs have: they come with the package's extras."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from nucleate.core.text import one_line
from nucleate.errors import MissingExtraError

__all__ = ["library", "require"]


def library(module: str, extra: str, *, package: str = "") -> Any:  # noqa: ANN401 - a module
    """Import a library of an extra, or a part of it; `package` is the name for pip, if that is another.

    Raises
    ------
    MissingExtraError
        If it is not installed, or cannot be loaded.

    Examples
    --------
    >>> library("no_such_library", "formats")
    Traceback (most recent call last):
        ...
    nucleate.errors.MissingExtraError: no-such-library is not installed; run: pip install 'nucleate[formats]'
    """
    top = module.partition(".")[0]
    named = package or top.replace("_", "-")
    if importlib.util.find_spec(top) is None:
        raise MissingExtraError(named, extra)
    try:
        return importlib.import_module(module)
    except Exception as error:  # of any type: built for another numpy it is a ValueError
        raise MissingExtraError(named, extra, reason=one_line(str(error)) or type(error).__name__) from error


def require(extra: str, *names: str) -> None:
    """Look whether libraries of an extra are there, without importing them.

    Raises
    ------
    MissingExtraError
        If one is not installed.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise MissingExtraError(name.replace("_", "-"), extra)

"""Every error that nucleate raises on purpose.

::

    NucleateError
    ├── UsageError         a wrong call: an unknown option value, a data set or table that is not there (exit code 2)
    │   └── MissingExtraError   an optional library is missing or broken; says what to install
    ├── InputError         one input cannot be used, or is not there; the others go on (exit code 1)
    │   └── TooLargeError       it would not fit the memory limit
    ├── DataError          a data set for training or scoring is not as described
    │   └── UnfitDataError      as a whole, or its table, it is not what the call needs; a UsageError too
    ├── ModelError         weights or their card are damaged or do not fit
    │   └── UnknownModelError   there is no such model; a UsageError too
    ├── OutputError        a result cannot be written
    └── ClusterError       the workers of a cluster went away, or cannot do the work

Each message is one line and says what was wrong, what was got, and what to do.
"""

from __future__ import annotations

from functools import partial

__all__ = [
    "ClusterError",
    "DataError",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "NucleateError",
    "OutputError",
    "TooLargeError",
    "UnfitDataError",
    "UnknownModelError",
    "UsageError",
]


class NucleateError(Exception):
    """Root of the tree; the command line turns it into one line and `exit_code`."""

    exit_code = 1


class UsageError(NucleateError):
    """The call itself is wrong: nothing was done."""

    exit_code = 2


class MissingExtraError(UsageError):
    """An optional library is needed and not installed, or cannot be loaded for a reason that is given."""

    def __init__(self, library: str, extra: str, *, reason: str = "") -> None:
        broken = f"{library} cannot be loaded: {reason}; run: pip install --force-reinstall {library}"
        super().__init__(broken if reason else f"{library} is not installed; run: pip install 'nucleate[{extra}]'")
        self._named, self._reason = (library, extra), reason

    def __reduce__(self) -> tuple[partial[MissingExtraError], tuple[str, str]]:
        # An error that comes back from another process is made again from what it was made from.
        return partial(type(self), reason=self._reason), self._named


class InputError(NucleateError):
    """One input file or array cannot be used."""


class TooLargeError(InputError):
    """An input would need more memory than allowed."""


class DataError(NucleateError):
    """A data set for training or scoring is not what it should be."""


class UnfitDataError(DataError, UsageError):
    """A data set or its table cannot be what the call asks for: nothing was done."""


class ModelError(NucleateError):
    """A model's weights or card are damaged or do not fit."""


class UnknownModelError(ModelError, UsageError):
    """No model goes by that name, or lies at that path."""


class OutputError(NucleateError):
    """A result cannot be written."""


class ClusterError(NucleateError):
    """The workers of a cluster went away, or cannot do the work."""

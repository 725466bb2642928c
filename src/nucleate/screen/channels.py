"""The names of the channels of a plate: in its files, from the user, and in the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nucleate.core.image import find_channel
from nucleate.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["call_anew", "channel_of"]


def channel_of(wanted: str | None, names: Sequence[str], *, where: str) -> str:
    """Tell which channel of a plate a user means.

    Parameters
    ----------
    wanted : str, optional
        A name, the number that files give it, or an index from 0; when None, the nuclear stain, or the first channel.
    names : sequence of str
        Of all channels, one or more.
    where : str
        The plate, for the message.

    Returns
    -------
    str
        One of `names`.

    Raises
    ------
    UsageError
        If there is no such channel.

    Examples
    --------
    >>> channel_of("1", ["01", "02"], where="plate"), channel_of("1", ["actin", "p53"], where="plate")
    ('01', 'p53')
    """
    if wanted is not None and wanted.isdecimal() and all(name.isdecimal() for name in names):
        found = next((name for name in names if int(name) == int(wanted)), None)
        if found is None:  # an index looks like the numbers of files
            raise UsageError(f"{where}: no channel {wanted!r}; it has {', '.join(names)}; give one of these")
        return found
    try:
        return names[find_channel(wanted, tuple(names), count=len(names), name=where)]
    except InputError as error:
        raise UsageError(str(error)) from error


def call_anew(names: Sequence[str], new: Mapping[str, str]) -> dict[str, str]:
    """Give channels other names than they have in the files.

    Parameters
    ----------
    names : sequence of str
        Names or numbers of all channels, as in the files.
    new : mapping
        New names by these; case does not matter, nor do leading zeros of numbers. An index is not taken, since it looks
        like the numbers in files.

    Returns
    -------
    dict of str to str
        The name that each has now.

    Raises
    ------
    UsageError
        If there is no such channel, no channel has a name or number, one would get two names, or two the same.

    Examples
    --------
    >>> call_anew(["01", "02"], {"2": "p53"})
    {'01': '01', '02': 'p53'}
    """
    if new and not names:
        why = "grey or coloured pictures, or none that can be read"
        raise UsageError(f"--channels: the files hold no channels ({why}); leave the option out")
    called: dict[str, str] = {}
    for old, name in new.items():
        found = old if old in names else next((one for one in names if _plain(one) == _plain(old)), None)
        if found is None:
            raise UsageError(f"--channels: no channel {old!r}; the files have {', '.join(names)}; give one of these")
        if found in called:
            raise UsageError(f"--channels: {found} would be called {called[found]} and {name}; give it one name")
        called[found] = name
    called = {name: called.get(name, name) for name in names}
    later = list(called.values())
    if twice := sorted({name for name in later if later.count(name) > 1}):
        raise UsageError(f"--channels: two channels would be called {', '.join(twice)}; give each a name of its own")
    return called


def _plain(name: str) -> str:
    """Give the form that all ways to write a name have in common."""
    return str(int(name)) if name.isdecimal() else name.lower()

"""What the channels of a plate are called: by their files, by the user, and in the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nucleate.core.image import find_channel
from nucleate.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["call_anew", "channel_of"]


def channel_of(wanted: str | None, names: Sequence[str], *, where: str) -> str:
    """Tell which channel of a plate is meant.

    Parameters
    ----------
    wanted : str, optional
        A name, the number by which the files call it, or an index from 0; the nuclear stain, or the first, when None.
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
        wanted = next((name for name in names if int(name) == int(wanted)), f"number {wanted}")
    try:
        return names[find_channel(wanted, tuple(names), count=len(names), name=where)]
    except InputError as error:
        raise UsageError(str(error)) from error


def call_anew(names: Sequence[str], new: Mapping[str, str]) -> dict[str, str]:
    """Give channels other names than the files do.

    Parameters
    ----------
    names : sequence of str
        Of all channels, as the files call them.
    new : mapping
        New names, by what `channel_of` understands.

    Returns
    -------
    dict of str to str
        What each is called now.

    Raises
    ------
    UsageError
        If there is no such channel, or two would have one name.

    Examples
    --------
    >>> call_anew(["1", "2"], {"2": "p53"})
    {'1': '1', '2': 'p53'}
    """
    called = {name: name for name in names}
    for old, name in new.items():
        called[channel_of(old, names, where="--channels")] = name
    later = list(called.values())
    if twice := sorted({name for name in later if later.count(name) > 1}):
        raise UsageError(f"--channels: two channels would be called {', '.join(twice)}; give each a name of its own")
    return called

"""The colours in which channels are shown, by their names where these are plain."""

from __future__ import annotations

from nucleate.core.image import DNA_NAMES

__all__ = ["colormaps_of"]

_KNOWN = {
    "magenta": ("cy5", "633", "640", "647", "far-red", "far red", "farred", "infrared", "draq7", "magenta"),
    "blue": (*DNA_NAMES, "bfp", "cerulean", "alexa 350", "alexa350", "blue"),
    "gray": ("bright", "phase", "dic", "trans", "bf"),
    "green": ("gfp", "fitc", "488", "yfp", "green", "venus", "neongreen", "fluo-4", "calcein"),
    "red": ("rfp", "cherry", "tritc", "cy3", "555", "561", "568", "594", "red", "tomato", "rhodamine"),
    "cyan": ("cyan", "cfp"),
    "yellow": ("yellow",),
}
"""Colormap -> parts of channel names that call for it. The first match counts, so the order matters: "far red" is not
red, and "brightfield cyan" is grey, not cyan."""

_FREE = ("green", "magenta", "cyan", "yellow", "red", "blue")
"""Handed out in this order to channels whose names tell no colour, those that are taken left out."""


def colormaps_of(names: tuple[str, ...], count: int) -> list[str]:
    """Choose a colormap for each channel.

    Parameters
    ----------
    names : tuple of str
        Names of the channels; may be empty, or fewer than `count`.
    count : int
        How many channels there are. A single one whose name tells no colour is grey.

    Returns
    -------
    list of str
        Names of napari's colormaps. Channels whose names tell no colour get those that are left, then grey.

    Examples
    --------
    >>> colormaps_of(("Hoechst 33342", "mCherry", "?"), 3)
    ['blue', 'red', 'green']
    >>> colormaps_of((), 1)
    ['gray']
    """
    known = [_by_name(name) for name in (*names, *[""] * count)[:count]]
    if count == 1:
        return [known[0] or "gray"]
    left = [one for one in _FREE if one not in known]
    return [one or (left.pop(0) if left else "gray") for one in known]


def _by_name(name: str) -> str | None:
    lower = name.lower()
    return next((colour for colour, parts in _KNOWN.items() if any(part in lower for part in parts)), None)

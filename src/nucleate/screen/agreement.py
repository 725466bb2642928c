"""Whether a plate and its map belong together."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from nucleate.core.image import DNA_NAMES
from nucleate.core.text import counted, listed
from nucleate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nucleate.screen.layout import Plate
    from nucleate.screen.platemap import Content

__all__ = ["surprises"]


def surprises(plate: Plate, contents: Mapping[str, Content]) -> list[str]:
    """Say where plate and map differ, which fields lack a channel, and what is odd about names; none is an error.

    Parameters
    ----------
    plate : Plate
    contents : mapping of str to Content
        The plate map.

    Returns
    -------
    list of str
        A line each.

    Raises
    ------
    UsageError
        If no well of the negative controls has a picture: then nothing could be said of the others.
    """
    pictured = {field.well for field in plate.fields}
    meant = {well for well, content in contents.items() if content.role != "empty"}
    if not any(contents[well].role == "negative" for well in pictured & set(contents)):
        raise UsageError("no well of the negative controls has a picture; check that the map belongs to this plate")
    told = []
    channels = sorted({file.channel for field in plate.fields for file in field.files} - {""})
    stains = Counter(part for name in channels for part in {*re.split(r"[^a-z0-9]+", name.lower())})
    if twice := sorted(stain for stain, count in stains.items() if count > 1 and stain in DNA_NAMES):
        alike = ", ".join(name for name in channels if twice[0] in name.lower())
        told.append(f"several channels are called {twice[0]}: {alike}; if they are fields or planes, give --pattern")
    lacking = {field.name: set(channels) - {file.channel for file in field.files} for field in plate.fields}
    for kind, what, places in (
        ("well", "in the map without a picture", sorted(meant - pictured)),
        ("well", "not in the map", sorted(pictured - set(contents))),
        (
            "field",
            "without all channels",
            [f"{name} (no {', '.join(sorted(no))})" for name, no in lacking.items() if no],
        ),
    ):
        if places:
            told.append(f"{counted(len(places), kind)} {what}: {listed(places)}")
    return told

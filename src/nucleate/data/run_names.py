"""Which input each result of `nucleate segment` belongs to, if inputs in several folders have the same name."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from nucleate.core.endings import without_extras
from nucleate.core.names import picture_id

if TYPE_CHECKING:
    from collections.abc import Collection

    from nucleate.data.source import Source

__all__ = ["by_inputs"]

_RUN = "run.json"


def by_inputs(source: Source, files: dict[str, str], *, like: Collection[str]) -> dict[str, str]:
    """Give results the ids that their inputs have on the other side: ``p2-a`` in place of ``a-2``.

    Parameters
    ----------
    source : Source
        A folder of results; ``run.json`` in it names the inputs.
    files : dict
        Id -> file name.
    like : collection of str
        Ids of the other side; an id that is among them is kept.

    Returns
    -------
    dict
        Id -> file name; unchanged if nothing is known.
    """
    if all(image_id in like for image_id in files) or _RUN not in source.names:
        return files
    paths = _paths(source.read(_RUN))
    found = {image_id: image_id if image_id in like else _known(paths.get(image_id, ""), like) for image_id in files}
    named = {found[image_id] or image_id: name for image_id, name in files.items()}
    return named if len(named) == len(files) else files


def _paths(data: bytes) -> dict[str, str]:
    try:
        return {str(one["name"]): str(one["path"]) for one in json.loads(data)["inputs"]}
    except (ValueError, KeyError, TypeError, RecursionError):  # a run.json of another program
        return {}


def _known(path: str, like: Collection[str]) -> str:
    """Find the id that the other side has for a path, with as few folders as possible; "" if it has none."""
    place = PurePosixPath(path.replace("\\", "/").replace("::", "/"))
    folders, image_id = place.parent.parts, picture_id(place.name)
    spellings = (image_id, without_extras(image_id))
    names = ("-".join([*folders[at:], one]) for at in range(len(folders), -1, -1) for one in spellings)
    return next((one for one in names if one in like), "")

"""What the name of a picture file says: its data set, its image, and whether it is the picture or a label image."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath
from typing import NamedTuple

from nucleate.data.pixels import PICTURE_SUFFIXES

__all__ = ["FileName", "picture_id", "read_name", "without_extras"]

_HOLDS_LABELS = {"images": False, "labels": True, "masks": True}
_LABELS = re.compile(r"(?<=.)(\.labels(\.ome)?|(_cp)?_masks?)$", re.IGNORECASE)  # ours, and Cellpose's
_EXTRAS = re.compile(r"(?<=.)(\.ome|_img)$", re.IGNORECASE)
_NEITHER = (".overlay", ".probability")  # what else we write of an image


class FileName(NamedTuple):
    """What the name of a picture file says.

    Parameters
    ----------
    root : str
        Folder of the data set: the one in which ``images``, ``labels`` or ``masks`` lies, or else the file's own.
    image_id : str
        Its name without label ending, after those of the folders within ``images``: ``p1-a`` of ``images/p1/a.tif``.
    is_label : bool
        Whether it is a label image: by its folder or its ending.
    """

    root: str
    image_id: str
    is_label: bool


def picture_id(name: str) -> str:
    """Give the id in a file name: without folder, suffix and ending of a label image, accents composed (NFC).

    Examples
    --------
    >>> [picture_id(name) for name in ("labels/plate-1.labels.tif", "001_cp_masks.png", "masks/a_mask.tif")]
    ['plate-1', '001', 'a']
    """
    return _LABELS.sub("", unicodedata.normalize("NFC", PurePosixPath(name).stem))


def without_extras(image_id: str) -> str:
    """Take off what pictures are often called beyond the names of their label images: ``.ome`` and ``_img``."""
    return _EXTRAS.sub("", image_id)


def read_name(name: str) -> FileName | None:
    """Tell what a file is in a data set; None if it is no picture, or an overlay or a map beside one.

    Folders and endings may be in capitals. A file whose name ends as that of a label image is one in any folder.

    Examples
    --------
    >>> read_name("set/Masks/p1/a.tif")
    FileName(root='set', image_id='p1-a', is_label=True)
    """
    place = PurePosixPath(name)
    if place.suffix.lower() not in PICTURE_SUFFIXES or place.stem.lower().endswith(_NEITHER):
        return None
    folders = place.parent.parts
    named = max((at for at, folder in enumerate(folders) if folder.lower() in _HOLDS_LABELS), default=len(folders))
    in_labels = named < len(folders) and _HOLDS_LABELS[folders[named].lower()]
    image_id = "-".join([*folders[named + 1 :], picture_id(name)])
    return FileName("/".join(folders[:named]) or ".", image_id, in_labels or _LABELS.search(place.stem) is not None)

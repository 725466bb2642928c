"""What the names of picture files say: data set, image, and whether it is the picture or a label image."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from nucleate.core.endings import without_ending
from nucleate.data.pixels import PICTURE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Set

__all__ = ["FileName", "is_ours", "picture_id", "read_names", "tree_id", "without_extras"]

_FOLDERS = {"images": False, "labels": True, "masks": True}
_EXTRAS = re.compile(r"(?<=.)(\.ome|_img)$", re.IGNORECASE)
_OURS = (".overlay", ".probability")  # what else we write of an image, and, below, what Cellpose does
_BESIDE = re.compile(
    r"(?<=.)(\.overlay|\.probability|_flows((_cp)?_masks?)?|_cp_output|(_cp)?_outlines|_dP|_cellprob)$",
    re.IGNORECASE,
)
_APART = {"outlines", "flows"}  # where Cellpose puts them beside its folder "masks"
_ARRAY = ".npy"  # a label image only: where its folder or its ending says so


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
    folder : str
        The folder that says so, in lower case: ``images``, ``labels`` or ``masks``; empty where there is none.
    """

    root: str
    image_id: str
    is_label: bool
    folder: str


def picture_id(name: str) -> str:
    """Give the id in a file name: without folder, suffix and ending of a label image, accents composed (NFC).

    Examples
    --------
    >>> [picture_id(name) for name in ("labels/plate-1.labels.tif", "001_cp_masks.png", "masks/a_mask.tif")]
    ['plate-1', '001', 'a']
    """
    return without_ending(_stem(name))


def tree_id(name: str) -> str:
    """Give the id in a file name after those of all its folders.

    Examples
    --------
    >>> tree_id("p1/a.labels.tif")
    'p1-a'
    """
    return "-".join([*PurePosixPath(name).parent.parts, picture_id(name)])


def without_extras(image_id: str) -> str:
    """Take off what pictures are often called beyond the names of their label images: ``.ome`` and ``_img``."""
    return _EXTRAS.sub("", image_id)


def is_ours(name: str) -> bool:
    """Tell whether a file's name is that of what we write of an image beside its nuclei: overlay, probability."""
    return _stem(name).lower().endswith(_OURS)


def read_names(names: Iterable[str]) -> dict[str, FileName]:
    """Tell what each file of a data set is; those that are no picture of it are left out.

    Folders and endings may be in capitals. A file whose name ends as that of a label image is one in any folder, but in
    ``images`` only where there is no folder of label images beside it, and nowhere if its own label image, called after
    all of its name, lies beside it and a picture of the shorter name does not. A folder of label images within
    ``images`` counts as beside it. What programs write of an image beside it (overlays, outlines, flows) is passed
    over, but not a picture of such a name with a label image in such a folder.

    Examples
    --------
    >>> found = read_names(["set/Images/p1/a_mask.tif", "set/Labels/p1/a_mask.tif", "set/Images/p1/a_mask.overlay.png"])
    >>> [(one.image_id, one.is_label) for one in found.values()]
    [('p1-a_mask', False), ('p1-a_mask', True)]
    """
    found = _first_look(names)
    sides: dict[str, set[str]] = {}
    for one in found.values():
        sides.setdefault(one.root, set()).add(one.folder)
    apart = {root for root, folders in sides.items() if "images" in folders and folders & {"labels", "masks"}}
    there = {
        (folder, base)
        for name in found
        if not _BESIDE.search(_stem(name))
        for folder in _folders_of(name, {"masks"})
        for base in (_stem(name), picture_id(name))
    }
    whole = {(one.root, _whole_id(name)) for name, one in found.items() if one.root in apart and one.folder == "images"}
    labelled = {
        (one.root, image_id)
        for name, one in found.items()
        if one.folder not in {"images", ""}
        for image_id in (_whole_id(name), one.image_id)
    }
    both = whole & labelled
    kept = {}
    for name, one in found.items():
        stem = _stem(name)
        pictured = one.root in apart and one.folder == "images"
        bases = {(folder, _BESIDE.sub("", stem)) for folder in _folders_of(name, _APART)}
        beside = _BESIDE.search(stem) and not bases.isdisjoint(there)
        paired = one.folder and not both.isdisjoint({(one.root, _whole_id(name)), (one.root, one.image_id)})
        if (beside and not paired) or (is_ours(name) and one.root not in apart):
            continue
        if pictured or ((one.root, _whole_id(name)) in whole and one.folder):
            one = one._replace(image_id=_whole_id(name), is_label=not pictured)
        kept[name] = one
    return kept


def _first_look(names: Iterable[str]) -> dict[str, FileName]:
    """Tell what each file is by its own place and name, and by the label image that goes by all of its name."""
    found = {name: one for name in names if (one := _by_itself(name)) is not None}
    tops = {one.root for one in found.values() if one.folder == "images"}
    found = {name: _beside_images(one) if one.root not in tops else one for name, one in found.items()}
    sides: tuple[set[tuple[PurePosixPath, str]], ...] = set(), set()
    for name, one in found.items():
        sides[one.is_label].add((PurePosixPath(name).parent, picture_id(name)))
    pictures, own = sides
    for name, one in found.items():
        place = PurePosixPath(name)
        unclear = one.folder in {"images", ""} and place.suffix.lower() != _ARRAY
        if unclear and (place.parent, _stem(name)) in own and (place.parent, picture_id(name)) not in pictures:
            found[name] = one._replace(image_id=_whole_id(name), is_label=False)
    return found


def _beside_images(one: FileName) -> FileName:
    """Give the folder of a label image, which lies within ``images``, a place beside it."""
    root = PurePosixPath(one.root).parts
    images = max((at for at, folder in enumerate(root) if folder.lower() == "images"), default=None)
    if images is None or one.folder not in {"labels", "masks"}:
        return one
    return one._replace(root="/".join(root[:images]) or ".", image_id="-".join([*root[images + 1 :], one.image_id]))


def _by_itself(name: str) -> FileName | None:
    place = PurePosixPath(name)
    suffix = place.suffix.lower()
    named, parts = _named_folder(place)
    folder = parts[named].lower() if named < len(parts) else ""
    is_label = _FOLDERS.get(folder, False) or picture_id(name) != _stem(name)
    if suffix not in PICTURE_SUFFIXES and not (suffix == _ARRAY and is_label):
        return None
    image_id = "-".join([*parts[named + 1 :], picture_id(name)])
    return FileName("/".join(parts[:named]) or ".", image_id, is_label, folder)


def _folders_of(name: str, apart: Set[str]) -> set[PurePosixPath]:
    """Give the folder of a file, and the one above where it is one of those that hold one kind of file each."""
    parent = PurePosixPath(name).parent
    return {parent, parent.parent} if parent.name.lower() in apart else {parent}


def _named_folder(place: PurePosixPath) -> tuple[int, tuple[str, ...]]:
    """Tell which of the folders of a file is the last one that says what the file is; their number if none does."""
    parts = place.parent.parts
    return max((at for at, folder in enumerate(parts) if folder.lower() in _FOLDERS), default=len(parts)), parts


def _whole_id(name: str) -> str:
    """Give the id with all that looks like the ending of a label image."""
    named, parts = _named_folder(PurePosixPath(name))
    return "-".join([*parts[named + 1 :], _stem(name)])


def _stem(name: str) -> str:
    return unicodedata.normalize("NFC", PurePosixPath(name).stem)

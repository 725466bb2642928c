"""What the names of picture files say: data set, image, and whether it is the picture or a label image.

The one rule for that, `read_names`, holds for training, scoring and segmenting: `nucleate.data.outlined.names_in` calls
it with the outlines that lie in a data set, `nucleate.run.layouts` to find files that are not to be segmented.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from nucleate.core.endings import stem_of, without_ending, without_extras

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Set

__all__ = ["Drawn", "FileName", "is_ours", "picture_id", "read_names", "tree_id"]

_LABELS = {"labels", "masks"}
_FOLDERS = {"images", *_LABELS}
_OURS = (".overlay", ".probability")  # what we write beside an image besides its nuclei
_BESIDE = re.compile(  # the same, and what Cellpose writes beside an image
    r"(?<=.)(\.overlay|\.probability|_flows((_cp)?_masks?)?|_cp_output|(_cp)?_outlines|_dP|_cellprob)$",
    re.IGNORECASE,
)
_APART = {"outlines", "flows"}  # folders of Cellpose for such files, beside its folder "masks"
_ARRAY = ".npy"  # counts as a label image only, and only if its folder or its ending says so

Drawn: TypeAlias = "Callable[[Collection[str]], Set[str]]"
"""Takes file names, and gives those of which the whole name, ending included, is also the name of outlines."""


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

    @property
    def key(self) -> tuple[str, str]:
        """What a picture and its label image have in common."""
        return self.root, without_extras(self.image_id)


def picture_id(name: str) -> str:
    """Give the id in a file name: without folder, suffix and ending of a label image, accents composed (NFC).

    Examples
    --------
    >>> [picture_id(name) for name in ("labels/plate-1.labels.tif", "001_cp_masks.png", "masks/a_mask.tif")]
    ['plate-1', '001', 'a']
    """
    return without_ending(stem_of(name))


def tree_id(name: str) -> str:
    """Give the id in a file name after those of all its folders.

    Examples
    --------
    >>> tree_id("p1/a.labels.tif")
    'p1-a'
    """
    return "-".join([*PurePosixPath(name).parent.parts, picture_id(name)])


def is_ours(name: str) -> bool:
    """Tell whether a file has the name of an overlay or a probability map, which we write beside an image."""
    return stem_of(name).lower().endswith(_OURS)


def read_names(
    names: Iterable[str], *, suffixes: Collection[str] | None = None, drawn: Drawn = lambda _: frozenset()
) -> dict[str, FileName]:
    """Tell what each file of a data set is; files that are neither pictures nor label images are left out.

    Folders and endings may be in capitals.

    - In a folder ``labels`` or ``masks`` all files are label images; arrays are label images anywhere.
    - In ``images`` all files are pictures if a folder ``labels`` or ``masks`` lies beside it or within it.
    - Elsewhere a file that ends as a label image, as ``a_mask``, is a label image of the picture ``a``. It is a picture
      itself if label images or outlines go by all of its name, and the picture ``a``, if there is one, has others too.
      An array of the same name beside it is the same label image again.
    - Files that programs write beside an image (overlays, outlines, flows) are left out; but not a picture of such a
      name that has a label image in a folder ``labels`` or ``masks``.

    Parameters
    ----------
    names : iterable of str
        File names with forward slashes.
    suffixes : collection of str, optional
        Endings of the files that count as pictures, in lower case; all do by default.
    drawn : callable
        Called, where endings alone do not tell, with the doubtful files; see `Drawn`.

    Examples
    --------
    >>> found = read_names(["set/Images/p1/a_mask.tif", "set/Labels/p1/a_mask.tif", "set/Images/p1/a_mask.overlay.png"])
    >>> [(one.image_id, one.is_label) for one in found.values()]
    [('p1-a_mask', False), ('p1-a_mask', True)]
    """
    seen = _seen(names, suffixes)
    sides: dict[str, set[str]] = {}
    for one in seen.values():
        sides.setdefault(one.root, set()).add(one.folder)
    apart = {root for root, folders in sides.items() if "images" in folders and not folders.isdisjoint(_LABELS)}
    seen = _without_beside(seen, apart)
    pictures = _pictures(seen, apart, drawn=drawn)
    whole = {seen[name].key(seen[name].whole) for name in pictures}
    return {
        name: FileName(
            one.root,
            one.whole if name in pictures or (one.certain and one.key(one.whole) in whole) else one.bare,
            name not in pictures,
            one.folder,
        )
        for name, one in seen.items()
    }


class _Seen(NamedTuple):
    """What a file's own place and name say; `whole` and `bare` are its id with and without a label image's ending."""

    root: str
    folder: str
    whole: str
    bare: str
    certain: bool  # that it is a label image
    parent: str
    stem: str
    plain: str  # the stem without ending

    def key(self, image_id: str) -> tuple[str, str]:
        return self.root, without_extras(image_id)

    def is_again(self, other: _Seen) -> bool:
        return (self.root, self.folder, self.whole) == (other.root, other.folder, other.whole)


def _seen(names: Iterable[str], suffixes: Collection[str] | None) -> dict[str, _Seen]:
    seen = {name: one for name in names if (one := _by_itself(name, suffixes)) is not None}
    tops = {one.root for one in seen.values() if one.folder == "images"}
    return {name: one if one.root in tops else _beside_images(one) for name, one in seen.items()}


def _by_itself(name: str, suffixes: Collection[str] | None) -> _Seen | None:
    parent, _, last = name.rpartition("/")
    parts = parent.split("/") if parent else []
    named = max((at for at, folder in enumerate(parts) if folder.lower() in _FOLDERS), default=len(parts))
    folder = parts[named].lower() if named < len(parts) else ""
    suffix = "." + last.rpartition(".")[2].lower()
    is_array = suffix == _ARRAY
    if suffixes is not None and suffix not in suffixes and not is_array:
        return None
    stem = stem_of(last)
    plain = without_ending(stem)
    if suffixes is not None and is_array and folder not in _LABELS and plain == stem:
        return None
    whole, bare = ("-".join([*parts[named + 1 :], one]) for one in (stem, plain))
    root = "/".join(parts[:named]) or "."
    return _Seen(root, folder, whole, bare, is_array or folder in _LABELS, parent, stem, plain)


def _beside_images(one: _Seen) -> _Seen:
    """Treat a folder of label images that lies within ``images`` as if it lay beside ``images``."""
    root = one.root.split("/") if one.folder in _LABELS else []
    images = max((at for at, folder in enumerate(root) if folder.lower() == "images"), default=None)
    if images is None:
        return one
    whole, bare = ("-".join([*root[images + 1 :], image_id]) for image_id in (one.whole, one.bare))
    return one._replace(root="/".join(root[:images]) or ".", whole=whole, bare=bare)


def _without_beside(seen: Mapping[str, _Seen], apart: Set[str]) -> dict[str, _Seen]:
    """Leave out the files that programs write beside an image."""
    bases = {name: _BESIDE.sub("", one.stem) for name, one in seen.items()}
    there = {
        (folder, base)
        for name, one in seen.items()
        if bases[name] == one.stem
        for folder in _folders_of(one.parent, {"masks"})
        for base in (one.stem, one.plain)
    }
    pictures = {(one.root, one.whole) for one in seen.values() if one.folder == "images" and one.root in apart}
    both = pictures & {
        (one.root, key) for one in seen.values() if one.folder in _LABELS for key in (one.whole, one.bare)
    }
    kept = {}
    for name, one in seen.items():
        base = bases[name]
        beside = base != one.stem and any((folder, base) in there for folder in _folders_of(one.parent, _APART))
        paired = (one.root, one.whole) in both or (one.root, one.bare) in both
        if not (beside and not paired) and not (one.stem.lower().endswith(_OURS) and one.root not in apart):
            kept[name] = one
    return kept


def _pictures(seen: Mapping[str, _Seen], apart: Set[str], *, drawn: Drawn) -> set[str]:
    """Name the pictures; a file that ends as a label image may be a picture, see `read_names`."""
    plain: dict[tuple[str, str], list[str]] = {}
    labels: dict[tuple[str, str], set[str]] = {}
    for name, one in seen.items():
        if not one.certain and (one.whole == one.bare or (one.folder == "images" and one.root in apart)):
            plain.setdefault(one.key(one.whole), []).append(name)
            continue
        for image_id in {one.bare, one.whole} if one.certain else {one.bare}:
            labels.setdefault(one.key(image_id), set()).add(name)
    pictures = {name for names in plain.values() for name in names}
    doubtful = [name for name, one in seen.items() if not one.certain and name not in pictures]
    outlined = drawn(doubtful) if doubtful else frozenset()
    own = {name: labels.get(seen[name].key(seen[name].whole), set()) for name in doubtful}
    shorter: dict[str, list[str]] = {}  # pictures that would be left with nothing
    for name in doubtful:
        key = seen[name].key(seen[name].bare)
        if key in plain and not labels[key] - own[name] - {name}:
            shorter[name] = plain[key]
    again = {name: {one for one in own[name] if seen[one].is_again(seen[name])} for name in doubtful}  # as an array
    claims = [name for name in doubtful if own[name] - again[name] or name in outlined]
    kept = [one for name in claims for one in shorter.get(name, ())]
    outlined = drawn(kept) if kept else frozenset()
    return pictures | {name for name in claims if name not in shorter or not outlined.isdisjoint(shorter[name])}


def _folders_of(parent: str, apart: Set[str]) -> tuple[str, ...]:
    """Give the folder of a file, and the folder above if it is one of those `apart` that hold one kind of file."""
    above, _, last = parent.rpartition("/")
    return (parent, above) if last.lower() in apart else (parent,)

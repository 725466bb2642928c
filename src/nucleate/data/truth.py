"""Label images for scoring, wherever they are kept: files, Kaggle folders and zips, run-length tables."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nucleate.core.endings import alone, without_ending, without_extras
from nucleate.core.text import counted
from nucleate.data import folders, kaggle
from nucleate.data.outlined import Outlined, drawn_on, find_outlined, first_logged, names_in
from nucleate.data.parsing import Shape, quiet
from nucleate.data.pictures import open_sizes
from nucleate.data.pixels import decode_label_planes, planes_of_array, read_picture
from nucleate.data.rle_table import labels_from_codes, read_coded
from nucleate.data.source import FolderSource, Source, open_source
from nucleate.data.stacks import join_planes, number_planes, planes_of_stacks
from nucleate.data.zarr_labels import find_zarr_labels
from nucleate.errors import DataError, UnfitDataError, UsageError
from nucleate.io.images import is_zarr

if TYPE_CHECKING:
    from nucleate.core.names import FileName

__all__ = ["LabelMap", "LabelsAt", "read_labels_source", "read_pair"]


class _HasLabels(Protocol):
    """Anything that has a label image, such as a `Segmentation`."""

    @property
    def labels(self) -> NDArray[Any]:
        """Label image or stack."""


_AtHand: TypeAlias = NDArray[Any] | _HasLabels
LabelsAt: TypeAlias = Path | str | _AtHand | Mapping[str, _AtHand]
"""Where label images are: at a path (see `read_labels_source`), or in memory, one or several by id: int, (H, W), or
(..., H, W) for a stack. Anything that NumPy turns into an array, such as Dask's, is accepted."""

_Painter: TypeAlias = Callable[[Shape | None], NDArray[Any]]


class LabelMap(Mapping[str, NDArray[Any]]):
    """Image id -> label image, which is read when asked for and not kept.

    Parameters
    ----------
    readers : mapping of str to callable
        One function for each label image, in the order of iteration.
    """

    def __init__(self, readers: Mapping[str, Callable[[], NDArray[Any]]]) -> None:
        self._readers = dict(readers)

    def __getitem__(self, image_id: str) -> NDArray[Any]:
        return self._readers[image_id]()

    def __contains__(self, image_id: object) -> bool:
        # The method of Mapping would read the pixels.
        return image_id in self._readers

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)


def read_pair(pred: LabelsAt, truth: LabelsAt, *, images: Path | str | None = None) -> tuple[LabelMap, LabelMap]:
    """Find both sides of a comparison; see `read_labels_source`.

    A run-length table, or outlines, that do not tell the sizes of their images take the sizes of the other side if no
    `images` are given, so that a submission can be scored against a solution. Two files of one label image each, or
    arrays, are a pair whatever their names, and ``a_label`` is ``a`` if each is the only one that the other side lacks.
    Planes ``a/0``, ``a/1``, ... are the stack ``a`` if the other side has that.

    Returns
    -------
    pred, truth : LabelMap

    Raises
    ------
    UsageError
        If a side is none of `LabelsAt`, or does not exist, or no image of the truth counts.
    DataError
        As `read_labels_source`, or if a plane of a stack is missing.
    """
    true = _find(truth)
    found = _find(pred, like=true, predicted=True)
    true, found = _stacked(true, like=found), _stacked(found, like=true)
    lone = len(found) == len(true) == 1 and _is_lone(pred) and _is_lone(truth)
    ids = [*true] if lone else _in_words_of(true, [*found])
    predicted, counting = _counting(dict(zip(ids, found.values(), strict=True)), true)
    if true and not counting:
        raise UnfitDataError(
            "nothing to compare: all images of the truth are marked Ignored, there or in the prediction; "
            "give some that count"
        )
    return _label_map(predicted, images=images, other=counting), _label_map(counting, images=images, other=predicted)


def _is_lone(given: LabelsAt) -> bool:
    """Tell whether a side is one label image, or the outlines of one; tables and archives are not, they hold names."""
    if not isinstance(given, str | Path):
        return not isinstance(given, Mapping)
    no_table = Path(given).is_file() and not _is_table(given)
    return is_zarr(Path(given)) or (no_table and isinstance(open_source(given), FolderSource))


def _is_table(path: Path | str) -> bool:
    return Path(path).suffix.lower() == ".csv" and Path(path).is_file()


def _in_words_of(true: Collection[str], ids: Sequence[str]) -> list[str]:
    """Give predictions the ids of the truth if their names differ only by usual endings of pictures or label images."""
    known = {one: one for one in ids if one in true}
    for bare in (without_extras, lambda one: without_extras(without_ending(one))):
        # Keys of a caller's mapping may be anything; only text has an ending.
        ours = alone((one for one in ids if isinstance(one, str) and one not in known), bare)
        free = {*true}.difference(known.values())
        theirs = alone((one for one in free if isinstance(one, str)), bare)
        known.update((ours[left], theirs[left]) for left in ours.keys() & theirs.keys())
    return [known.get(one, one) for one in ids]


def read_labels_source(path: Path | str, *, images: Path | str | None = None) -> LabelMap:
    """Find the label images in a folder, a zip or a run-length table.

    Parameters
    ----------
    path : path-like
        A folder or zip of label images, a single label image (``<id>.tif``, ``<id>.labels.tif``, ``.png``, or a folder
        ``<id>.ome.zarr`` with its labels), a folder or zip in Kaggle's layout with masks, with ``labels/``, or with
        outlines (`nucleate.data.outlined`), or a CSV with columns ImageId, EncodedPixels and, if possible, Height and
        Width. A row with empty EncodedPixels is an image without nuclei; an image with ``Ignored`` in a column Usage is
        left out.
    images : path-like, optional
        Folder or zip of the images, for their sizes if a CSV lacks Height and Width, or if outlines lack pictures.

    Returns
    -------
    LabelMap
        Sorted by id. Labels are (H, W) int32, 1..n without gaps; (N, H, W) for a file with N planes, in which no two
        planes share an id. A pixel claimed by two masks or codes belongs to the first: masks in the order of their
        names, codes in the order of their rows. A pixel claimed by two outlines belongs to the smaller nucleus.

    Raises
    ------
    UsageError
        If the path does not exist.
    DataError
        If there are no label images, or no size of an image is known; on reading an entry: if the file is damaged, a
        code does not fit its image, or the size of the image is not known.
    """
    (found,) = _counting(_find(path))
    return _label_map(found, images=images, other={})


@dataclass(frozen=True)
class _Found:
    """A label image on one side of a comparison.

    Parameters
    ----------
    own_id : str
        Its id on that side.
    paint : callable
        Takes rows and columns of the image, which matter only if `unsized`; gives its label image.
    unsized : str
        The file that does not tell the size of the image; "" if the size is known.
    is_ignored : bool
        Whether it counts on neither side.
    """

    own_id: str
    paint: _Painter
    unsized: str = ""
    is_ignored: bool = False


def _find(path: LabelsAt, *, like: Collection[str] = (), predicted: bool = False) -> dict[str, _Found]:
    """List the label images of one side by id; `like` are the ids of the other side."""
    if not isinstance(path, str | Path):
        return _at_hand(path)
    if _is_table(path):
        return _in_table(Path(path))
    if is_zarr(Path(path)) and (stored := find_zarr_labels(path, like=like)):
        return _sized(stored)
    source = open_source(path)
    if entries := kaggle.find_entries(source):
        annotated = [entry for entry in entries if entry.masks is not None]
        if not annotated:
            raise UnfitDataError(f"{source} has images but no masks; give the truth as a CSV or a folder with masks")
        return _sized({one.image_id: partial(kaggle.read_labels, source, one) for one in annotated})
    named = names_in(source)
    if outlines := _outlines(source, named):
        note = first_logged(source)
        return {one.image_id: _outlined(source, one, predicted=predicted, note=note) for one in outlines}
    if names := folders.find_labels(source, named, like=like):
        return _sized({one: partial(_decoded, source, names[one]) for one in sorted(names)})
    if stored := find_zarr_labels(path, like=like):
        return _sized(stored)
    raise UnfitDataError(
        f"{source.given} holds no label images: got {counted(len(source.names), 'file')}; give <id>.tif or <id>.png "
        "files, OME-Zarr with labels, or outlines (GeoJSON, ImageJ ROIs, XML, COCO)"
    )


def _stacked(side: Mapping[str, _Found], *, like: Collection[str]) -> dict[str, _Found]:
    """Join the planes of each stack that is one label image on the other side."""
    stacks = planes_of_stacks(side, like=like)
    joined = {one for ids in stacks.values() for one in ids}
    found = {name: one for name, one in side.items() if name not in joined}
    for name, ids in stacks.items():
        planes = [side[one] for one in ids]
        unsized = next((one.unsized for one in planes if one.unsized), "")
        found[name] = _Found(name, partial(_painted, planes), unsized=unsized)
    return found


def _painted(planes: Sequence[_Found], shape: Shape | None) -> NDArray[np.int32]:
    return join_planes([one.paint(shape) for one in planes])


def _at_hand(given: _AtHand | Mapping[str, _AtHand]) -> dict[str, _Found]:
    if isinstance(given, Mapping):
        return _sized({one: partial(_held, given, one) for one in given})
    if isinstance(labels := _as_array(given), np.ndarray):
        return _at_hand({"image": labels})
    raise UsageError(f"no label images: got {type(given).__name__}; give a path, an array, or a mapping of ids to them")


def _as_array(given: _AtHand) -> NDArray[Any]:
    """Give the labels of an object that has some, else the object; if it is no label image, later checks report it."""
    found: Any = getattr(given, "labels", given)
    is_masked = isinstance(found, np.ma.MaskedArray) and np.ma.is_masked(found)
    is_whole = not isinstance(found, np.generic) and not is_masked
    return np.asarray(found) if hasattr(found, "__array__") and is_whole else found


def _held(named: Mapping[str, _AtHand], image_id: str) -> NDArray[Any]:
    labels = _as_array(named[image_id])
    plain = isinstance(labels, np.ndarray) and not isinstance(labels, np.ma.MaskedArray)
    if not plain or labels.ndim < 3 or labels.dtype.kind not in "bui":
        return labels  # if this is no label image, the comparison reports it
    planes = planes_of_array(labels, "the array")
    return number_planes(planes) if planes.min() >= 0 else planes


def _counting(*sides: Mapping[str, _Found]) -> list[dict[str, _Found]]:
    """Leave out of both sides the images that either of them marks as ignored."""
    ignored = {image_id for side in sides for image_id, one in side.items() if one.is_ignored}
    return [{image_id: one for image_id, one in side.items() if image_id not in ignored} for side in sides]


def _label_map(found: Mapping[str, _Found], *, images: Path | str | None, other: Mapping[str, _Found]) -> LabelMap:
    """Give the label images of a side; missing sizes are taken from the images, else from the other side."""
    unsized = [one for one in found.values() if one.unsized]
    if unsized and images is None and all(one.unsized for one in (*found.values(), *other.values())):
        raise _unknown(unsized[0])
    sizes = open_sizes(images) if unsized and images is not None else None

    def size(image_id: str, one: _Found) -> Shape:
        if sizes is not None:
            if known := sizes(image_id) or sizes(one.own_id):
                return known
            raise DataError(f"no image {image_id} in {images}; give the folder with all images as --images")
        same = other.get(image_id)
        labels = None if same is None or same.unsized else same.paint(None)
        if not isinstance(labels, np.ndarray) or labels.ndim < 2:  # a caller's mapping may hold anything
            raise _unknown(one)
        return labels.shape[-2], labels.shape[-1]

    def read(image_id: str, one: _Found) -> NDArray[Any]:
        return one.paint(size(image_id, one) if one.unsized else None)

    return LabelMap({image_id: partial(read, image_id, one) for image_id, one in found.items()})


def _unknown(one: _Found) -> DataError:
    return UnfitDataError(
        f"{one.unsized} does not say how large image {one.own_id} is; give the images with --images DIR"
    )


def _outlines(source: Source, named: Mapping[str, FileName]) -> list[Outlined]:
    """List the outlined images; none if the pictures are label images that files of another kind lie beside."""
    labels = [name for name, one in named.items() if one.is_label]
    if folders.pictured(named) or (labels and not drawn_on(source, named.keys() - {*labels})):
        return []
    found = [entry for entry in find_outlined(source, named) if entry.outlines is not None]
    matched = any(entry.image is not None or (entry.shape is not None and not labels) for entry in found)
    if matched or not named:
        folders.tell(source, labels, what="is a label image without a picture beside outlines")
        return found
    if drawn := next(filter(_is_drawn, found), None):
        raise UnfitDataError(
            f"{source} holds outlines and pictures that do not go by their names: got {drawn.outlines} and "
            f"{min(named)}; give both one name, or label images and outlines apart"
        )
    return []


def _is_drawn(entry: Outlined) -> bool:
    """Tell whether a file holds outlines, since XML and archives may hold anything."""
    with contextlib.suppress(DataError):
        return entry.read is not None and bool(entry.read((1, 1), quiet))
    return False


def _outlined(source: Source, entry: Outlined, *, predicted: bool, note: Callable[[str], None]) -> _Found:
    def paint(shape: Shape | None) -> NDArray[np.int32]:
        told = entry.shape or shape or (0, 0)
        size = told if entry.image is None else read_picture(source, entry.image).shape[:2]
        return entry.nuclei(size, predicted=predicted, note=note)

    known = entry.image is not None or entry.shape is not None
    return _Found(entry.image_id, paint, unsized="" if known else f"{source}/{entry.outlines}")


def _decoded(source: Source, name: str) -> NDArray[np.int32]:
    return decode_label_planes(source.read(name), f"{source}/{name}")


def _in_table(path: Path) -> dict[str, _Found]:
    images = read_coded(path)

    def paint(image_id: str, shape: Shape | None) -> NDArray[np.int32]:
        found = images[image_id]
        try:
            return labels_from_codes(found.codes, found.shape or shape or (0, 0))
        except DataError as error:
            raise DataError(f"{path}, image {image_id}: {error}") from error

    return {
        name: _Found(name, partial(paint, name), "" if one.shape else str(path), is_ignored=one.is_ignored)
        for name, one in sorted(images.items())
    }


def _sized(readers: Mapping[str, Callable[[], NDArray[Any]]]) -> dict[str, _Found]:
    """Give label images by id, for readers that know the sizes of their images."""
    return {image_id: _Found(image_id, partial(_read, read)) for image_id, read in readers.items()}


def _read(read: Callable[[], NDArray[Any]], _: Shape | None) -> NDArray[Any]:
    return read()

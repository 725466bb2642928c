"""TIFF with tifffile: ImageJ, OME, Aperio and plain files, pyramids, sets of files; axes from metadata if known."""

from __future__ import annotations

import contextlib
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from nucleate.core.image import AXES, Image
from nucleate.core.lazy import LazyImage, lazy, stacked
from nucleate.io.faults import check_size, cut_short, fault
from nucleate.io.tiff_colours import colours_of
from nucleate.io.tiff_metadata import told_of
from nucleate.io.tiff_micromanager import planes_indexed
from nucleate.io.tiff_ome import files_named, ome_picture, open_tiff
from nucleate.io.tiff_windows import lazy_series
from nucleate.io.windows import at_level, choose_level, choose_picture, kept_open, names_of_channels

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["layout", "open_lazy", "pictures", "read"]

_SIDE_PICTURES = re.compile(
    r"(?<![a-z])(label|macro|thumb(nail)?|overview|barcode)(image|mask|photo)?(?![a-z])", re.IGNORECASE
)
"""Parts of the names of far smaller pictures that slide scanners and converters store beside the slide itself."""


def read(path: Path, max_bytes: int | None) -> Image:
    """Read the largest picture or stack of a TIFF file; the first of them if several are as large.

    Smaller pictures in the same file, such as thumbnails and the levels of a pyramid, are passed over. Plain pages of
    the same size and colours that are stored in another way (other numbers, compression or strips) are further planes.
    The first file of an OME set gives the whole set, if all files of the set exist; every other file gives its own
    planes. If planes are missing at the last time of a Micro-Manager recording that was stopped, that time is left
    out.

    Parameters
    ----------
    path : Path
        A TIFF or BigTIFF file.
    max_bytes : int, optional
        See `nucleate.io.images.read_image`.

    Returns
    -------
    Image
        Axes T, Z and C where metadata of ImageJ, OME or Micro-Manager tell them, ``I`` for pages of unknown meaning;
        pixel size and channel names where they are known.

    Raises
    ------
    InputError
        If the file has no picture, is cut short, or its pixels are not real numbers.
    TooLargeError
        If it needs more than `max_bytes`.
    OSError, ValueError, ...
        As tifffile raises them for damaged files.
    """
    with _opened(path) as tiff:
        series = _largest(path, tiff)
        if _is_whole(tiff, series) and not _stored_otherwise(tiff, series):
            return _read(path, tiff, series=series, max_bytes=max_bytes)
    with open_lazy(path, None) as stack:
        check_size(path, stack.shape, itemsize=stack.dtype.itemsize, max_bytes=max_bytes)
        return stack.load()


def open_lazy(path: Path, picture: int | None, *, level: int = 0, alone: bool = False) -> LazyImage:
    """Open the picture that `read` reads, or one of `pictures`, to read it window by window.

    Parameters
    ----------
    path : Path
        A TIFF or BigTIFF file.
    picture : int, optional
        Number of the picture in `pictures`.
    level : int
        Number of the level of a pyramid; 0 is the full size.
    alone : bool
        Whether to leave out planes that lie in other files of a set.

    Returns
    -------
    LazyImage
        Its pixels are read window by window, but in rare layouts (volumes in tiles) as a whole at once.

    Raises
    ------
    InputError
        As `read`.
    OSError, ValueError, ...
        As tifffile raises them for damaged files.
    """

    def made(open_files: contextlib.ExitStack) -> tuple[LazyImage, list[str]]:
        tiff = open_files.enter_context(_opened(path))
        found = _pictures(path, tiff, alone=alone)
        names = [name for name, _ in found]
        number = None if picture is None else choose_picture(path, names, wanted=picture)
        series = _largest(path, tiff, alone=alone) if number is None else found[number][1]
        told = told_of(tiff, series)
        # OME metadata of a recording that was stopped, or of a set of files: planes that do not exist would be read as
        # black, and each file of a set would give the whole set. So only the file's own pages are read.
        if not _is_whole(tiff, series) or (alone and not all(_lies_in(tiff, page) for page in series.pages)):
            here = _planes_here(tiff, series)
            if here is not None and (len(found) > 1 or (alone and not here.axes.startswith("I"))):
                series = here
            else:
                tiff = open_files.enter_context(open_tiff(path, ome=False))
                series = _largest(path, tiff)
        sizes = [one for one in series.levels if {"Y", "X"} <= set(one.axes)]
        image = _lazy_one(path, tiff, series=sizes[choose_level(path, len(sizes), wanted=level)])
        if number is None and not level:
            image = _with_pages_beside(path, tiff, series=series, image=image)
        levels = tuple(_shape_HW(one) for one in sizes)
        count = dict(zip(image.axes, image.shape, strict=True)).get("C", 1)
        named = names_of_channels(told.channel_names, count) or image.channel_names
        image = replace(
            image,
            pixel_size_um=told.pixel_size_um,
            z_step_um=told.z_step_um,
            t_step_s=told.t_step_s,
            channel_names=named,
            channel_looks=told.looks(count, image.axes),
        )
        return at_level(image, levels, level=level), names

    return kept_open(path, contextlib.ExitStack(), make=made)


def _lazy_one(path: Path, tiff: tifffile.TiffFile, *, series: tifffile.TiffPageSeries) -> LazyImage:
    _check_numbers(path, series)
    _check_complete(path, tiff, series=series)
    display_only = tiff.is_imagej or tiff.is_ome
    image = lazy_series(path, series, display_only=display_only, names=told_of(tiff, series).channel_names)
    return image or lazy(_read(path, tiff, series=series, max_bytes=None))


def _with_pages_beside(
    path: Path, tiff: tifffile.TiffFile, *, series: tifffile.TiffPageSeries, image: LazyImage
) -> LazyImage:
    """Join plain pages of one size that are stored in several ways, in the order in which they lie in the file.

    Grey pages beside a coloured picture, or the other way round, are passed over: one is a preview of the other.
    """
    planes = []
    for one in _stored_otherwise(tiff, series):
        found = image if one is series else _lazy_one(path, tiff, series=one)
        places = np.ndindex(*found.stack_shape)
        if found.axes.strip("I") == image.axes.strip("I"):
            planes += [(p.index, found.plane(at)) for p, at in zip(one.pages, places, strict=True) if p is not None]
    planes.sort(key=lambda plane: plane[0])
    return stacked([plane for _, plane in planes]) if len(planes) > 1 else image


def _stored_otherwise(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> list[tifffile.TiffPageSeries]:
    """List the series of plain pages that are as large as this one, which is included; empty if there is no other."""
    plain = [
        one
        for one in tiff.series
        if one.kind == series.kind == "generic"
        and one.axes.lstrip("I") in {"YX", "YXS", "SYX"}
        and _shape_HW(one) == _shape_HW(series)
        and not (one.keyframe.is_mask or one.keyframe.is_reduced)
    ]
    return plain if len(plain) > 1 and series in plain else []


def pictures(path: Path, *, alone: bool = False) -> list[str]:
    """List the pictures of an OME-TIFF file by name; any other TIFF file has one picture without a name.

    In a set of files, these are the pictures whose first plane lies in this file; a picture with missing planes is
    listed for each file that has some of the others. If the file is taken `alone`, all pictures with planes in it.

    Raises
    ------
    InputError, OSError, ValueError, ...
        As `read`.
    """
    with _opened(path) as tiff:
        return [name for name, _ in _pictures(path, tiff, alone=alone)]


def layout(path: Path, named: Callable[[set[Path]], None]) -> tuple[list[str], dict[Path, bool]]:
    """List `pictures`, and the other files in which their planes lie, each with whether it has pictures of its own.

    Raises
    ------
    InputError, OSError, ValueError, ...
        As `read`.
    """
    with _opened(path, named) as tiff:
        found = _pictures(path, tiff)
        whole = [one for _, one in found if _is_whole(tiff, one)]
        parents = {page.parent for one in whole for page in one.pages if page is not None}
        others = [one for one in parents if one.filehandle.path != tiff.filehandle.path]
        told = [one for one in tiff.series if one.kind == "ome"]
        has_own = {Path(other.filehandle.path): any(_is_of(other, one) for one in told) for other in others}
        return [name for name, _ in found], dict(sorted(has_own.items()))


def _opened(path: Path, named: Callable[[set[Path]], None] = lambda _: None) -> tifffile.TiffFile:
    tiff = open_tiff(path)
    named(files_named(tiff) - {Path(tiff.filehandle.path)})
    with contextlib.suppress(Exception):  # faults of the pages are found when they are read
        len(tiff.pages)  # finds chains of pages that lead back into themselves, which would keep series busy for ever
        sizes = [_shape_HW(one) for one in tiff.series if {"Y", "X"} <= set(one.axes)]
        if tiff.is_shaped and len(set(sizes)) < len(sizes):
            # In a file written page by page, each page is a separate series; together they are one stack.
            tiff.close()
            return tifffile.TiffFile(path, is_shaped=False)
    return tiff


def _is_whole(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> bool:
    """Tell whether every plane exists, in this file or in a set of which this file is the first."""
    pages = list(series.pages)
    return None not in pages and _lies_in(tiff, pages[0])


def _is_of(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries, *, alone: bool = False) -> bool:
    """Tell whether a picture counts as one of this file: it begins there, or it lacks planes and has some there."""
    pages = list(series.pages) if series.kind == "ome" else []
    return not pages or any(_lies_in(tiff, page) for page in (pages if alone or None in pages else pages[:1]))


def _lies_in(tiff: tifffile.TiffFile, page: tifffile.TiffPage | tifffile.TiffFrame | None) -> bool:
    return page is not None and page.parent.filehandle.path == tiff.filehandle.path


def _planes_here(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> tifffile.TiffPageSeries | None:
    """Take the planes of a picture that lie in this file; along axis ``I`` if they are no block along its axes."""
    pages = list(series.pages)
    own = [i for i, page in enumerate(pages) if _lies_in(tiff, page)]
    if not own:
        return None
    first: Any = pages[own[0]]
    stack = series.shape[: -len(first.keyframe.axes)]
    axes, lengths = "I", [len(own)]
    if math.prod(stack) == len(pages):
        part = [len(set(at.tolist())) for at in np.unravel_index(own, stack)]
        if math.prod(part) == len(own):
            axes, lengths = series.axes[: len(stack)], part
    shape = *lengths, *first.keyframe.shape
    return tifffile.TiffPageSeries([pages[i] for i in own], shape, series.dtype, axes + first.keyframe.axes)


def _pictures(path: Path, tiff: tifffile.TiffFile, *, alone: bool = False) -> list[tuple[str, tifffile.TiffPageSeries]]:
    found = [one for one in tiff.series if one.kind == "ome" and one.size and {"Y", "X"} <= set(one.axes)]
    named = [(ome_picture(tiff, one).name, one) for one in found if _is_of(tiff, one, alone=alone)]
    largest = max((_area(one) for _, one in named), default=0)
    kept = [(name, one) for name, one in named if 4 * _area(one) > largest or not _SIDE_PICTURES.search(name)]
    return kept if len(kept) > 1 else [("", _largest(path, tiff, alone=alone))]


def _largest(path: Path, tiff: tifffile.TiffFile, *, alone: bool = False) -> tifffile.TiffPageSeries:
    series = [one for one in tiff.series if one.size and {"Y", "X"} <= set(one.axes)] if len(tiff.pages) else []
    if not series:
        raise fault(path, "a TIFF file without a picture in it")
    largest = max([one for one in series if _is_of(tiff, one, alone=alone)] or series, key=_area)
    return largest if largest.kind == "ome" else planes_indexed(tiff) or largest


def _area(series: tifffile.TiffPageSeries) -> int:
    rows, columns = _shape_HW(series)
    return rows * columns


def _shape_HW(series: tifffile.TiffPageSeries) -> tuple[int, int]:
    lengths = dict(zip(series.axes, series.shape, strict=True))
    return int(lengths["Y"]), int(lengths["X"])


def _check_numbers(path: Path, series: tifffile.TiffPageSeries) -> None:
    dtype = series.dtype
    if dtype is None or dtype.kind not in "buif":
        raise fault(path, f"pixels must be real numbers: got {dtype}", cure="save the real part or the magnitude")


def _read(path: Path, tiff: tifffile.TiffFile, *, series: tifffile.TiffPageSeries, max_bytes: int | None) -> Image:
    _check_numbers(path, series)
    check_size(path, series.shape, itemsize=series.dtype.itemsize, max_bytes=max_bytes)
    _check_complete(path, tiff, series=series)
    pixels, axes = colours_of(
        series.keyframe, series.asarray(), axes=series.axes, display_only=tiff.is_imagej or tiff.is_ome
    )
    pixels, axes = _in_order(pixels, axes)
    told, count = told_of(tiff, series), pixels.shape[axes.index("C")] if "C" in axes else 1
    names = names_of_channels(told.channel_names, count)
    looks = told.looks(count, axes)
    image = Image(pixels, axes, told.pixel_size_um, names, path.name, told.z_step_um, channel_looks=looks)
    return replace(image, t_step_s=told.t_step_s)


def _check_complete(path: Path, tiff: tifffile.TiffFile, *, series: tifffile.TiffPageSeries) -> None:
    # tifffile fills missing pixels with zeros or leaves pages out, which would give a black picture without nuclei.
    size = tiff.filehandle.size
    ends = [(0, size, path)]
    if series.dataoffset is not None:
        ends.append((series.dataoffset + series.nbytes, size, path))
    else:
        for page in series.pages:
            if page is not None:
                file = path if _lies_in(tiff, page) else _checked_alike(page, series)
                room = page.parent.filehandle.size
                ends.extend(
                    (o + n, room, file) for o, n in zip(page.dataoffsets, page.databytecounts, strict=False) if n
                )
    needed, room, file = max(ends, key=lambda end: end[0] - end[1])
    if needed > room:
        raise cut_short(file, needed, size=room)
    place = tiff.pages.next_page_offset
    if place is None:
        return
    tiff.filehandle.seek(place)
    read = tiff.filehandle.read(tiff.tiff.offsetsize)
    following = int.from_bytes(read, "little" if tiff.byteorder == "<" else "big")
    if following >= size:
        raise fault(path, f"cut short: the next page is at byte {following}, the file has {size}", cure="copy it again")
    if following:  # tifffile leaves out the page from which a chain leads back
        raise fault(path, f"its chain of pages does not end: the last one leads to byte {following}")


def _checked_alike(page: tifffile.TiffPage | tifffile.TiffFrame, series: tifffile.TiffPageSeries) -> Path:
    """Give the file of a set in which a page lies, after a check that its pixels are as the metadata say of all."""
    path, wanted = Path(page.parent.filehandle.path), series.keyframe
    if (page.shape, page.dtype) != (wanted.shape, wanted.dtype):
        what = f"pixels of {page.shape} {page.dtype} in a set of {wanted.shape} {wanted.dtype}"
        raise fault(path, what, cure="move it away or export the set again")
    return path


def _in_order(pixels: NDArray[Any], axes: str) -> tuple[NDArray[Any], str]:
    """Bring axes into the order of `Image`; unknown and repeated letters are joined into one axis."""
    letters = [letter if letter in AXES else "I" for letter in axes]
    order = sorted(range(len(letters)), key=lambda i: (AXES.index(letters[i]), i))
    pixels = pixels.transpose(order)
    kept = ""
    shape: list[int] = []
    for letter, length in zip((letters[i] for i in order), pixels.shape, strict=True):
        if kept.endswith(letter):
            shape[-1] *= length
        elif length > 1 or letter in "YXS":
            kept += letter
            shape.append(length)
    return np.ascontiguousarray(pixels.reshape(shape)), kept

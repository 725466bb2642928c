"""OME-Zarr 0.1 to 0.5, images and HCS plates, with zarr: only the chunks that a window touches are read.

Metadata: https://ngff.openmicroscopy.org/0.5/. Arrays whose codecs could run code (pickled objects) are refused.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.extras import library
from nucleate.core.files import absolute, in_file_name
from nucleate.core.image import COLOURS, Look
from nucleate.errors import InputError
from nucleate.io.deep_chunks import reading_of
from nucleate.io.faults import check_size, fault
from nucleate.io.units import micrometres, sane_place, sane_size, sane_step, seconds
from nucleate.io.windows import at_level, choose_level, choose_picture, windowed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.core.lazy import LazyImage

__all__ = ["acquisitions", "label_images", "name_in_collection", "open_lazy", "pictures", "stem_in_collection"]

_MOST_JSON_BYTES = 1 << 26
_LARGE_CHUNK_BYTES = 1 << 28
_OLD_AXES = ["t", "c", "z", "y", "x"]
"""Axes of versions 0.1 and 0.2, which do not name them."""

_CODECS = {
    "bytes", "endian", "transpose", "sharding_indexed", "blosc", "zlib", "gzip", "zstd", "lz4", "bz2", "lzma", "crc32c",
    "crc32", "adler32", "fletcher32", "shuffle", "delta", "fixedscaleoffset", "packbits", "quantize", "bitround",
}  # fmt: skip
"""Codecs that only turn bytes into numbers."""

_DTYPES = {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"} | {
    f"float{bits}" for bits in (16, 32, 64)
}


@dataclass(frozen=True)
class _Array:
    """The metadata of an array, read before it is opened."""

    folder: Path
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: np.dtype[Any]
    version: int


def pictures(folder: Path) -> list[str]:
    """List the images in an OME-Zarr folder by relative path, which is empty for a folder that is an image itself.

    Parameters
    ----------
    folder : Path
        An image, a plate, a well, or a series of images as bioformats2raw writes it.

    Returns
    -------
    list of str
        For a plate ``ROW/COLUMN/FIELD``, in the order of its wells; a well whose metadata are damaged or missing is
        listed as ``ROW/COLUMN``, and fails when it is opened. Empty if the folder holds nothing of a known kind.

    Raises
    ------
    InputError
        If metadata are damaged.
    """
    return list(acquisitions(folder))


def acquisitions(folder: Path) -> dict[str, int | None]:
    """Give the acquisition of each of `pictures`; None if the metadata do not say it.

    Raises
    ------
    InputError
        If metadata are damaged.
    """
    metadata = _attributes(folder)
    if "multiscales" in metadata:
        return {"": None}
    if "plate" in metadata:
        wells = [_inside(folder, well["path"]) for well in metadata["plate"]["wells"]]
        return {picture: of for well in wells for picture, of in _of_well(folder, well).items()}
    if "well" in metadata:
        return _fields(folder)
    if "bioformats2raw.layout" in metadata:
        listed = _attributes(folder / "OME").get("series")
        numbers = sorted(int(p.name) for p in folder.iterdir() if p.name.isdecimal() and p.is_dir())
        return {_inside(folder, name): None for name in (listed or map(str, numbers))}
    return {}


def label_images(image: Path) -> list[str]:
    """List the label images of an image by their paths in it; the path is empty for a folder that is one itself.

    Raises
    ------
    InputError
        If metadata are damaged.
    """
    if "image-label" in _attributes(image):
        return [""]
    listed = _attributes(image / "labels").get("labels", [])
    if not listed and image.parent.name == "labels" and image.name in _attributes(image.parent).get("labels", []):
        return [""]
    return [f"labels/{_inside(image, name)}" for name in listed]


def name_in_collection(folder: Path) -> str:
    """Name an image or well as where the whole plate or series is given, ``p_A_1_0``; empty if it belongs to none."""
    whole, _, part = _place(folder).partition("/")
    return f"{stem_in_collection(whole)}_{in_file_name(part)}" if part else ""


def stem_in_collection(name: str) -> str:
    """Give the beginning of the names of all pictures of a plate or series, from the name of its folder.

    Examples
    --------
    >>> stem_in_collection("p.ome.zarr"), stem_in_collection("exp.v2")
    ('p', 'exp')
    """
    return PurePosixPath(name).stem.removesuffix(".ome")


def open_lazy(path: Path, picture: int | None, *, level: int = 0) -> LazyImage:
    """Open an image, or a field of a plate.

    Parameters
    ----------
    path : Path
        The folder.
    picture : int, optional
        Number of the image in `pictures`.
    level : int
        Number of the level in the pyramid; 0 is the full size.

    Returns
    -------
    LazyImage
        Axes T, C and Z as the metadata name them; other axes are ``I``. Three channels that are called red, green and
        blue are the colours of one picture, axis S.

    Raises
    ------
    InputError
        If the folder has no such image or level, or its metadata are damaged.
    MissingExtraError
        If zarr is not installed.
    KeyError, ValueError, ...
        As they arise from damaged metadata.
    """
    names = pictures(path)
    if not names:
        raise fault(
            path, "a Zarr folder without OME-Zarr metadata (multiscales or plate)", cure="name an OME-Zarr image"
        )
    number = choose_picture(path, names, wanted=picture)
    image, name = _open_image(path / names[number], level=level), _place(path / names[number])
    part = name.partition("/")[2]
    return replace(image, name=name, part=part, pictures=tuple(names) if len(names) > 1 else ())


def _place(folder: Path) -> str:
    """Give the path of an image, beginning with its plate or series; only its own name if it belongs to none."""
    folder = Path(absolute(folder))
    for whole in [*folder.parents][:3]:  # a field lies in a well, and a well in a row
        with contextlib.suppress(InputError, OSError, ValueError):
            if _is_collection(whole, *_last_changes(whole)):
                return folder.relative_to(whole.parent).as_posix()
    return folder.name


@functools.lru_cache(maxsize=256)
def _is_collection(folder: Path, *_: int) -> bool:
    """Tell whether a folder is a plate or a series; asked once for all its pictures until its metadata change."""
    return not {"plate", "bioformats2raw.layout"}.isdisjoint(_attributes(folder))


def _last_changes(folder: Path) -> list[int]:
    return [file.stat().st_mtime_ns for name in ("zarr.json", ".zattrs") if (file := folder / name).is_file()]


def _open_image(folder: Path, *, level: int) -> LazyImage:
    metadata = _attributes(folder)
    if "multiscales" not in metadata:
        raise fault(folder, "no metadata of an image (multiscales) in it", cure="copy it again")
    multiscale = metadata["multiscales"][0]
    arrays = [_array(folder / _inside(folder, one["path"])) for one in multiscale["datasets"]]
    chosen, axes = arrays[choose_level(folder, len(arrays), wanted=level)], _axes(multiscale)
    letters = [letter for letter, _ in axes]
    if len(letters) != len(chosen.shape) or len(set(letters)) != len(letters) or min(chosen.shape) < 1:
        raise fault(folder, f"axes {letters} do not fit the shape {chosen.shape}")
    _check_chunk(chosen)
    channels: list[dict[str, Any]] = metadata.get("omero", {}).get("channels", [])
    names = tuple(str(channel.get("label", "")) for channel in channels)
    if tuple(name.lower() for name in names) == COLOURS and chosen.dtype.kind == "u":
        # The format stores colours as channels only, and the red channel alone does not show a stained section.
        letters = ["S" if letter == "C" else letter for letter in letters]
    sizes = dict(zip(letters, chosen.shape, strict=True))
    stored = [letter for letter in letters if letter in "YXS"]
    order = [stored.index(axis) for axis in "YXS" if axis in stored]
    reading, needed = reading_of(_opened(chosen), letters, chunk=chosen.chunk)

    def read(at: dict[str, int], rows: slice, cols: slice) -> NDArray[Any]:
        window = {"Y": rows, "X": cols, "S": slice(None)}
        index = tuple(window[letter] if letter in window else at[letter] for letter in letters)
        return np.asarray(reading(index)).transpose(order)

    image = windowed(sizes, chosen.dtype.newbyteorder("="), read=read, names=names)
    row, col = letters.index("Y"), letters.index("X")
    levels = tuple((array.shape[row], array.shape[col]) for array in arrays)
    size = _sizes(multiscale, axes)
    step = sane_step(size.get("Z"))
    if step and level:  # a level may be smaller in depth, too
        step *= arrays[0].shape[letters.index("Z")] / chosen.shape[letters.index("Z")]
    looks = tuple(map(_look, channels))
    image = replace(
        image,
        reading_bytes=needed,
        pixel_size_um=sane_size(size.get("Y"), size.get("X")),
        z_step_um=step,
        t_step_s=sane_step(size.get("T")),
        channel_looks=looks if len(looks) == sizes.get("C", 1) else (),
        origin_um=_origin(multiscale, axes, level=level),
    )
    return at_level(image, levels, level=level)


def _of_well(plate: Path, well: str) -> dict[str, int | None]:
    try:
        return {f"{well}/{field}": of for field, of in _fields(plate / well).items()}
    except (InputError, OSError, KeyError, TypeError, ValueError):
        return {well: None}


def _fields(well: Path) -> dict[str, int | None]:
    told = {_inside(well, image["path"]): image.get("acquisition") for image in _attributes(well)["well"]["images"]}
    return {field: None if of is None else int(of) for field, of in told.items()}


def _attributes(folder: Path) -> dict[str, Any]:
    """Read the attributes of a group of Zarr 2 or 3."""
    if (folder / "zarr.json").is_file():
        attributes = _json(folder / "zarr.json").get("attributes", {})
        found = attributes.get("ome", attributes)
    else:
        found = _json(folder / ".zattrs") if (folder / ".zattrs").is_file() else {}
    if not isinstance(found, dict):
        raise fault(folder, "its metadata are not a table of names and values")
    return found


def _json(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MOST_JSON_BYTES:
        raise fault(path, "metadata of over 64 MB")
    found = json.loads(path.read_bytes())
    if not isinstance(found, dict):
        raise fault(path, "not a table of names and values")
    return found


def _inside(folder: Path, name: object) -> str:
    """Check that a path in the metadata stays inside its folder."""
    parts = PurePosixPath(str(name)).parts
    if not parts or ".." in parts or parts[0] == "/" or "\0" in str(name):
        raise fault(folder, f"its metadata name a path outside of it: {name!r}")
    return "/".join(parts)


def _array(folder: Path) -> _Array:
    """Read the metadata of an array, and refuse an array whose values are not plain numbers."""
    if (folder / "zarr.json").is_file():
        metadata, version = _json(folder / "zarr.json"), 3
        kind, codecs = metadata["data_type"], list(metadata["codecs"])
        chunk = metadata["chunk_grid"]["configuration"]["chunk_shape"]
        for codec in codecs:  # a shard is read in parts: its inner chunks are decoded one at a time
            if codec["name"] == "sharding_indexed":
                chunk = codec["configuration"]["chunk_shape"]
                codecs = [*codecs, *codec["configuration"]["codecs"], *codec["configuration"].get("index_codecs", [])]
        names = [codec["name"].removeprefix("numcodecs.") for codec in codecs]
        good = kind in _DTYPES
    else:
        metadata, version = _json(folder / ".zarray"), 2
        kind, chunk = metadata["dtype"], metadata["chunks"]
        names = [codec["id"] for codec in [metadata["compressor"], *(metadata["filters"] or [])] if codec]
        good = isinstance(kind, str) and np.dtype(kind).kind in "buif"
    if not good:
        raise fault(folder, f"pixels must be real numbers: got {kind}", cure="save the real part or the magnitude")
    strange = sorted(set(names) - _CODECS)
    if strange:
        raise fault(folder, f"compressed in a way that is not known: {', '.join(strange)}", cure="save it with zstd")
    shape = tuple(int(n) for n in metadata["shape"])
    return _Array(folder, shape, tuple(int(n) for n in chunk), np.dtype(kind), version)


def _check_chunk(array: _Array) -> None:
    # A chunk is decoded as a whole, however small the window. If a chunk is far larger than its array, the number is
    # damaged.
    size = math.prod(array.chunk) * array.dtype.itemsize
    if min(array.chunk, default=0) < 1 or len(array.chunk) != len(array.shape):
        raise fault(array.folder, f"chunks {array.chunk} do not fit the shape {array.shape}")
    if size > _LARGE_CHUNK_BYTES and size > 2 * math.prod(array.shape) * array.dtype.itemsize:
        raise fault(array.folder, f"chunks {array.chunk} are far larger than the shape {array.shape}")
    check_size(array.folder, array.chunk, itemsize=array.dtype.itemsize, max_bytes=None)


def _opened(array: _Array) -> Any:  # noqa: ANN401 - zarr's own class
    zarr = library("zarr", "formats")
    store = library("zarr.storage", "formats").LocalStore(array.folder, read_only=True)
    return zarr.open_array(store=store, mode="r", zarr_format=array.version)


def _axes(multiscale: dict[str, Any]) -> list[tuple[str, str]]:
    """List the letter and the unit of each axis."""
    found = []
    for axis in multiscale.get("axes", _OLD_AXES):
        axis = {"name": axis} if isinstance(axis, str) else axis
        name, kind = str(axis["name"]).lower(), axis.get("type")
        letter = {"channel": "C", "time": "T"}.get(str(kind), name.upper() if name in "tczyx" else "I")
        found.append((letter, str(axis.get("unit", ""))))
    return found


def _transformations(multiscale: dict[str, Any], *, level: int) -> list[dict[str, Any]]:
    """List the transformations from pixels of a level to micrometres, in the order in which they are applied."""
    told = multiscale["datasets"][level], multiscale
    return [step for one in told for step in one.get("coordinateTransformations", [])]


def _sizes(multiscale: dict[str, Any], axes: list[tuple[str, str]]) -> dict[str, float]:
    """Give the known steps in micrometres or seconds, by the letter of the axis."""
    steps = _transformations(multiscale, level=0)
    scales = [step["scale"] for step in steps if step.get("type") == "scale" and len(step["scale"]) == len(axes)]
    size = {}
    for number, (letter, unit) in enumerate(axes if scales else []):
        if factor := seconds(unit) if letter == "T" else micrometres(unit):
            size[letter] = math.prod(float(scale[number]) for scale in scales) * factor
    return size


def _origin(
    multiscale: dict[str, Any], axes: list[tuple[str, str]], *, level: int
) -> tuple[float, float, float] | None:
    """Find the place of the first pixel in depth, down and across, in micrometres; 0 along axes without a unit."""
    place = [0.0] * len(axes)
    for step in _transformations(multiscale, level=level):
        kind = step.get("type")
        given = step.get(kind, ()) if kind in {"scale", "translation"} else ()
        if len(given) == len(axes):
            pairs = zip(place, map(float, given), strict=True)
            place = [one * by if kind == "scale" else one + by for one, by in pairs]
    found = dict.fromkeys("ZYX", 0.0)
    for (letter, unit), one in zip(axes, place, strict=True):
        if letter in found:
            found[letter] = one * (micrometres(unit) or 0.0)
    return sane_place((found["Z"], found["Y"], found["X"]))


def _look(channel: dict[str, Any]) -> Look:
    colour, told = str(channel.get("color", "")), channel.get("window")
    try:
        start, end, least, most = (float(told[key]) for key in ("start", "end", "min", "max"))  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        window = None
    else:
        window = (start, end, least, most) if -math.inf < least <= start < end <= most < math.inf else None
    return Look(colour if re.fullmatch("[0-9A-Fa-f]{6}", colour) else "", window)

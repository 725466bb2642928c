"""Nikon ND2 with nd2: plain frames are mapped into memory, compressed frames are decoded as a whole, one at a time."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.extras import library
from nucleate.core.image import AXES
from nucleate.io.faults import check_size, fault
from nucleate.io.windows import choose_picture, kept_open, windowed, with_steps

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.core.lazy import LazyImage

__all__ = ["open_lazy"]


def open_lazy(path: Path, picture: int | None) -> LazyImage:
    """Open a file; its stage positions are axis ``I``.

    Parameters
    ----------
    path : Path
        An ND2 file.
    picture : int, optional
        Must be 0 or None, since there is one picture.

    Returns
    -------
    LazyImage
        Axes T, Z, C, and ``I`` for positions. If a recording was stopped, the frames that exist, as ``I``.

    Raises
    ------
    InputError
        If there is no picture in it.
    MissingExtraError
        If nd2 is not installed.
    ValueError, KeyError, ...
        As nd2 raises them for damaged files.
    """
    choose_picture(path, [""], wanted=picture)
    file = library("nd2", "formats").ND2File(str(path))
    return kept_open(path, file, make=lambda file: (_opened(path, file), [""]))


def _opened(path: Path, file: Any) -> LazyImage:  # noqa: ANN401 - the library's own class
    attributes = file.attributes
    height, width = int(attributes.heightPx), int(attributes.widthPx or 0)
    groups = int(attributes.channelCount or 1)
    samples = int(attributes.componentCount) // groups
    recorded = int(attributes.sequenceCount)
    if min(height, width, groups, samples, recorded) < 1:
        raise fault(path, f"no picture in it: {recorded} frames of {height} x {width}")
    colours = samples == 3
    loops = {letter: int(n) for letter, n in file.sizes.items() if letter not in "CYXS"}
    if math.prod(loops.values()) > recorded:  # stopped early: planes that do not exist would be read as black
        loops = {"I": recorded}
    lengths = tuple(loops.values())
    places = {letter: letter if letter in AXES else "I" for letter in loops}  # P stands for stage positions
    if len(set(places.values())) < len(places):
        loops, lengths, places = {"I": math.prod(lengths)}, (math.prod(lengths),), {"I": "I"}
    sizes = {places[letter]: n for letter, n in loops.items()}
    sizes |= {"C": groups if colours else groups * samples, "Y": height, "X": width} | ({"S": 3} if colours else {})

    frame = file.read_frame
    if file.is_legacy or attributes.compressionType is not None:
        check_size(path, (groups, height, width, samples), itemsize=file.dtype.itemsize, max_bytes=None)
        frame = lru_cache(maxsize=1)(frame)  # successive windows are mostly of one frame

    def read(at: dict[str, int], rows: slice, cols: slice) -> NDArray[Any]:
        index = int(np.ravel_multi_index(tuple(at[places[letter]] for letter in loops), lengths)) if loops else 0
        part = frame(index).reshape(groups, height, width, samples)[:, rows, cols]
        if colours:  # colours are stored as blue, green, red
            return np.array(part[at["C"], ..., ::-1])
        return np.array(part[at["C"] // samples, ..., at["C"] % samples])

    channels = getattr(file.metadata, "channels", None) or []
    names = tuple(str(one.channel.name) for one in channels)
    image = windowed(sizes, np.dtype(file.dtype), read=read, names=names)
    return with_steps(image, _steps(file))


def _steps(file: Any) -> dict[str, float]:  # noqa: ANN401 - the library's own class
    """Give the known steps along X, Y and Z in micrometres and along T in seconds."""
    steps = {}
    for loop in file.experiment:
        if loop.type == "TimeLoop":  # for frames taken as fast as possible there is only a measured period
            steps["T"] = (loop.parameters.periodMs or loop.parameters.periodDiff.avg) / 1e3
    channels = getattr(file.metadata, "channels", None) or []
    if not channels:
        return steps
    volume = channels[0].volume
    found = zip("XYZ", volume.axesCalibration, volume.axesCalibrated, strict=False)
    return steps | {axis: float(step) for axis, step, known in found if known}

"""One segmented input."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.bands import PlaneOf, pixel_counts, places_of
from nucleate.export.measurements import measure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from nucleate.core.bands import Labels
    from nucleate.core.lazy import LazyImage

__all__ = ["Result", "told_apart"]


@dataclass(frozen=True, eq=False)
class Result:
    """One segmented input; neither pixels nor labels need be in memory.

    Parameters
    ----------
    name : str
        Name of its results.
    image : LazyImage
        All channels.
    shown : LazyImage
        The channel that was segmented.
    labels : (..., H, W) Labels
        Label image, or a stack of them, ids 1..n over the whole stack.
    confidence : (n,) float ndarray
        Confidence of each nucleus, 0..1.
    release : callable, optional
        Closes and removes the files that the result is read from.
    file_name : str
        Path of the input with slashes between its folders; the name of `image` when empty.
    is_projected : bool
        Whether planes of the input were projected.
    measured : list
        Takes up `tables` once they are computed, and is shared with copies of the result under other names.
    """

    name: str
    image: LazyImage
    shown: LazyImage
    labels: Labels
    confidence: NDArray[np.float32]
    release: Callable[[], None] | None = None
    file_name: str = ""
    is_projected: bool = False
    measured: list[dict[str, NDArray[Any]]] = field(default_factory=list, repr=False, compare=False)

    @property
    def text(self) -> str:
        """Its name in text files: bytes of a file name that are no text become escapes, as UTF-8 cannot hold them."""
        return self.name.encode("utf-8", "backslashreplace").decode("utf-8")

    @property
    def axes(self) -> str:
        """Axes of `labels`."""
        return "".join(axis for axis in self.shown.axes if axis in "TZIYX")

    @property
    def planes(self) -> list[tuple[int | None, PlaneOf]]:
        """Number (None for a single picture) and labels of each plane."""
        single = self.axes == "YX"
        return [(None if single else n, PlaneOf(self.labels, at)) for n, at in enumerate(places_of(self.labels))]

    @cached_property
    def sizes(self) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Ids and areas of the nuclei of each plane, ids ascending."""
        counts = [pixel_counts(labels) for _, labels in self.planes]
        return [(np.flatnonzero(one) + 1, one[one > 0]) for one in counts]

    @property
    def areas(self) -> NDArray[np.int64]:
        """Areas of all nuclei, pixels."""
        return np.concatenate([areas for _, areas in self.sizes])

    @property
    def counts(self) -> dict[str, Any]:
        """Number of nuclei and their median area, as an `Outcome` tells them."""
        areas = self.areas
        return {"nuclei": int(areas.size), "median_area_px": float(np.median(areas)) if areas.size else None}

    @property
    def tables(self) -> list[dict[str, NDArray[Any]]]:
        """Measurements of each plane, which are computed once for all files."""
        if not self.measured:
            self.measured.extend([self._table(number, labels) for number, labels in self.planes])
        return self.measured

    @property
    def table(self) -> dict[str, NDArray[Any]]:
        """Measurements of all planes together."""
        tables = self.tables
        return {column: np.concatenate([one[column] for one in tables]) for column in tables[0]}

    def close(self) -> None:
        """Close the files of the result."""
        if self.release is not None:
            self.release()

    def _table(self, number: int | None, labels: PlaneOf) -> dict[str, NDArray[Any]]:
        table = measure(labels, self._pictures(labels.at), pixel_size_um=self.image.pixel_size_um)
        table["confidence"] = self.confidence[table["label"] - 1].astype(np.float64)
        place = {} if number is None else {"plane": number}
        if {"T", "Z"} <= set(self.axes):
            index = dict(zip(self.axes, labels.at, strict=False))
            place |= {"time": index["T"], "z": index["Z"]}
        return {column: np.full(len(table["label"]), where) for column, where in place.items()} | table

    def _pictures(self, at: tuple[int, ...]) -> dict[str, LazyImage]:
        """Give the pictures of all channels in one plane, by the name of the channel."""
        image, count = self.image, self.image.channel_count
        # A field of a plate with several channels may have only one of them, which keeps its name.
        named = "C" in image.axes and bool(image.channel_names)
        if count == 1 and not named:
            return {"": image.channel(0).plane(at)}
        names = image.channel_names if len(image.channel_names) == count else tuple(map(str, range(count)))
        return {name: image.channel(i).plane(at) for i, name in enumerate(told_apart(names))}


def told_apart(names: Sequence[str]) -> tuple[str, ...]:
    """Give channels with equal names, such as two detectors of one dye, different names.

    Examples
    --------
    >>> told_apart(["Cy3", "Cy3", "DAPI"])
    ('Cy3', 'Cy3-2', 'DAPI')
    """
    found: list[str] = []
    for name in names:
        copies = (f"{name}-{number}" for number in itertools.count(2))
        free = itertools.chain([name] if name not in found else [], copies)
        found.append(next(one for one in free if one not in found and (one == name or one not in names)))
    return tuple(found)

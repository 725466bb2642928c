"""Segmenter: THE one way from pixels to nuclei, for every door and for training's own evaluation.

::

    plane (H, W[, 3])
      -> scaling measured on the whole plane             scaled_CHW   0..1
      -> resized (scale, or the card's input size)       working grid
      -> reflected up to the card's multiple, tiled      batch_NCHW
      -> engine, blended                                 maps_CHW     0..1
      -> resized back                                    plane's grid
      -> recipe -> labels_HW, confidence

Names carry their axes: N batch, C channels or maps, H rows, W columns.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nucleate.core.labels import relabel
from nucleate.core.resample import resample
from nucleate.core.tiles import Span, chain, mix
from nucleate.errors import ModelError, UsageError
from nucleate.post.confidence import rate
from nucleate.run.segmentation import Segmentation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from nucleate.core.image import Image
    from nucleate.post.recipe import PostRecipe
    from nucleate.run.engine import Engine
    from nucleate.run.weights import ModelCard

__all__ = ["Scale", "SegmentSettings", "Segmenter", "choose_scale", "estimate_bytes"]

Scale = float | Literal["auto"]

_SCALING_COPIES = 4
"""Of the plane as float32 that stand side by side while it is scaled."""

_POST_BYTES = 80
"""For each pixel of the plane while the recipe works: distances, heights, regions and the queue of the watershed."""


@dataclass(frozen=True)
class SegmentSettings:
    """What the user may choose for one run; everything else is in the model's card.

    Parameters
    ----------
    scale : float or "auto"
        The plane is resized by this factor before the network and the maps back after; ``auto`` follows
        `choose_scale`. Of no effect with a model whose card has an `input_size`.
    tta : bool
        Average the maps over the eight turned and mirrored pictures: better, eight times slower.
    tile : int, optional
        Side of the tiles in pixels, rounded down to the card's multiple; the card's when None.
    min_area : int, optional
        Smaller nuclei are left out, pixels of the image; the recipe's when None.
    min_confidence : float
        Nuclei with a lower confidence are left out, 0..1.

    Raises
    ------
    UsageError
        If a value cannot be.
    """

    scale: Scale = "auto"
    tta: bool = False
    tile: int | None = None
    min_area: int | None = None
    min_confidence: float = 0.0

    def __post_init__(self) -> None:
        if self.scale != "auto" and not (isinstance(self.scale, int | float) and 0.01 <= self.scale <= 100):
            raise UsageError(f"scale = {self.scale!r}; use 'auto' or a number from 0.01 to 100")
        for name, value, least in (("tile", self.tile, 1), ("min_area", self.min_area, 0)):
            if value is not None and value < least:
                raise UsageError(f"{name} = {value}; use {least} or more")
        if not 0 <= self.min_confidence <= 1:
            raise UsageError(f"min_confidence = {self.min_confidence}; use a number from 0 to 1")


def choose_scale(wanted: Scale, card: ModelCard) -> float:
    """Give the factor by which a plane is resized before the network: the one place for this rule.

    A number is taken as it is. ``auto`` is 1 as long as cards bring no rule of their own.
    """
    del card  # the rule will come from here
    return 1.0 if wanted == "auto" else float(wanted)


def estimate_bytes(shape_HW: tuple[int, int], card: ModelCard, *, settings: SegmentSettings | None = None) -> int:
    """Estimate the memory that segmenting one plane takes beyond the image itself.

    Parameters
    ----------
    shape_HW : (int, int)
        Rows and columns of the plane.
    card : ModelCard
    settings : SegmentSettings, optional

    Returns
    -------
    int
        Bytes: scaled input and maps of the whole plane, the network on one tile, the recipe.
    """
    settings = settings or SegmentSettings()
    rows, cols = _working_size(shape_HW, card, scale=choose_scale(settings.scale, card))
    pixels, working = shape_HW[0] * shape_HW[1], (rows + card.multiple) * (cols + card.multiple)
    tile = settings.tile or card.tile
    seen = min(rows + card.multiple, tile) * min(cols + card.multiple, tile)
    maps = len(card.maps) * 4
    scaling = pixels * card.normalizer.channels * 4 * _SCALING_COPIES
    network = (
        working * (card.normalizer.channels * 12 + maps * (4 if settings.tta else 3)) + seen * card.bytes_per_pixel
    )
    recipe = pixels * (maps + _POST_BYTES)
    # One stage lets go of its memory before the next begins.
    return max(scaling, network, recipe)


class Segmenter:
    """Finds nuclei with one model.

    Parameters
    ----------
    engine : Engine
        Computes the maps.
    card : ModelCard
        How the model is used.
    settings : SegmentSettings, optional
        What the user chose.
    tiles_at_once : int
        Tiles of one row given to the engine in one call; more than one pays on graphics cards.
    """

    def __init__(
        self, engine: Engine, card: ModelCard, *, settings: SegmentSettings | None = None, tiles_at_once: int = 1
    ) -> None:
        self.tiles_at_once = tiles_at_once
        self.engine = engine
        self.card = card
        self.settings = settings or SegmentSettings()

    def segment(self, image: Image, channel: str | int | None = None) -> Segmentation:
        """Find the nuclei of a picture, or of each plane of a stack.

        Parameters
        ----------
        image : Image
        channel : str or int, optional
            Channel with the nuclei, by name or index; the nuclear stain, or the first, when None.

        Returns
        -------
        Segmentation

        Raises
        ------
        InputError
            If there is no such channel.
        ModelError
            If the model does not fit its card.
        """
        shown = image.channel(channel)
        labels = np.zeros((*shown.stack_shape, *shown.shape_HW), np.int32)
        confidences = [np.zeros(0, np.float32)]
        count = 0
        for index, plane in zip(np.ndindex(*shown.stack_shape), shown.planes(), strict=True):
            found, confidence = self.segment_plane(plane)
            labels[index] = np.where(found > 0, found + count, 0) if count else found
            count += len(confidence)
            confidences.append(confidence)
        return Segmentation(labels, np.concatenate(confidences), image, channel)

    def segment_plane(self, plane: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Find the nuclei of one plane.

        Parameters
        ----------
        plane : (H, W) or (H, W, 3) real ndarray

        Returns
        -------
        labels_HW : (H, W) int32 ndarray
            Label image, ids 1..n without gaps.
        confidence : (n,) float32 ndarray
            Entry ``i`` belongs to nucleus ``i + 1``.
        """
        maps_CHW = self.maps(plane)
        labels_HW = self._recipe().apply(maps_CHW, self.card.maps)
        confidence = rate(labels_HW, maps_CHW, names=self.card.maps, model=self.card.confidence)
        keep = confidence >= np.float32(self.settings.min_confidence)
        if not keep.all():
            labels_HW = relabel(np.where(np.append(False, keep)[labels_HW], labels_HW, 0))
            confidence = confidence[keep]
        return labels_HW, confidence

    def maps(self, plane: NDArray[Any]) -> NDArray[np.float32]:
        """Compute the maps of one plane on its own grid.

        Parameters
        ----------
        plane : (H, W) or (H, W, 3) real ndarray

        Returns
        -------
        (C, H, W) float32 ndarray
            In the order of the card's `maps`, 0..1.

        Raises
        ------
        UsageError
            If the tile is too small for the card's margins.
        ModelError
            If the engine gives other maps than the card says.
        """
        shape_HW = (plane.shape[0], plane.shape[1])
        size = _working_size(shape_HW, self.card, scale=choose_scale(self.settings.scale, self.card))
        scaled_CHW = resample(self.card.normalizer(plane), size)
        if not self.settings.tta:
            return resample(self._predict(scaled_CHW), shape_HW)
        total_CHW = np.zeros((len(self.card.maps), *size), np.float32)
        for turns, mirrored in itertools.product(range(4), (False, True)):
            seen_CHW = np.rot90(scaled_CHW[:, :, ::-1] if mirrored else scaled_CHW, turns, axes=(1, 2))
            maps_CHW = np.rot90(self._predict(seen_CHW), -turns, axes=(1, 2))
            total_CHW += maps_CHW[:, :, ::-1] if mirrored else maps_CHW
        total_CHW /= 8
        return resample(total_CHW, shape_HW)

    def estimate_bytes(self, shape_HW: tuple[int, int]) -> int:
        """Estimate the memory for one plane; see `estimate_bytes`."""
        return estimate_bytes(shape_HW, self.card, settings=self.settings)

    def _recipe(self) -> PostRecipe:
        scale = 1.0 if self.card.input_size else choose_scale(self.settings.scale, self.card)
        recipe = self.card.recipe.at_scale(1 / scale)
        return recipe if self.settings.min_area is None else replace(recipe, min_area=self.settings.min_area)

    def _predict(self, scaled_CHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute maps on the working grid, tile by tile where it is larger than one."""
        card = self.card
        rows, cols = scaled_CHW.shape[1:]
        pad = [(0, 0), (0, -rows % card.multiple), (0, -cols % card.multiple)]
        # The engine wants plain memory order; a turned view has none.
        padded_CHW = np.ascontiguousarray(np.pad(scaled_CHW, pad, "reflect") if any(pad[1] + pad[2]) else scaled_CHW)
        wanted = self.settings.tile or card.tile
        tile = max(wanted // card.multiple, 1) * card.multiple
        spans = {"margin": card.margin, "blend": card.blend, "multiple": card.multiple}
        down, across = (chain(n, tile, **spans) for n in padded_CHW.shape[1:])
        if len(down) == len(across) == 1:
            whole_NCHW = self._run(padded_CHW[None])
            return whole_NCHW[0, :, :rows, :cols]
        maps_CHW = np.empty((len(card.maps), *padded_CHW.shape[1:]), np.float32)
        mix(maps_CHW, self._strips(padded_CHW, down, across=across), axis=1)
        return maps_CHW[:, :rows, :cols]

    def _strips(
        self, padded_CHW: NDArray[np.float32], down: Sequence[Span], *, across: Sequence[Span]
    ) -> Iterator[tuple[Span, NDArray[np.float32]]]:
        """Give the maps of one row of tiles after the other, blended from left to right."""
        for row in down:
            strip_CHW = np.empty(
                (len(self.card.maps), row.write.stop - row.write.start, padded_CHW.shape[2]), np.float32
            )
            mix(strip_CHW, self._tiles(padded_CHW, row, across=across), axis=2)
            yield row, strip_CHW

    def _tiles(
        self, padded_CHW: NDArray[np.float32], row: Span, *, across: Sequence[Span]
    ) -> Iterator[tuple[Span, NDArray[np.float32]]]:
        for start in range(0, len(across), self.tiles_at_once):
            some = across[start : start + self.tiles_at_once]
            maps_NCHW = self._run(np.stack([padded_CHW[:, row.read, col.read] for col in some]))
            for col, maps_CHW in zip(some, maps_NCHW, strict=True):
                yield col, maps_CHW[:, row.inner, col.inner]

    def _run(self, batch_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        maps_NCHW = self.engine(batch_NCHW)
        if maps_NCHW.shape[1] != len(self.card.maps):
            names = ", ".join(self.card.maps)
            raise ModelError(f"{self.card.name} gives {maps_NCHW.shape[1]} maps, its card names {names}; mend the card")
        return maps_NCHW


def _working_size(shape_HW: tuple[int, int], card: ModelCard, *, scale: float) -> tuple[int, int]:
    if card.input_size is not None:
        return card.input_size, card.input_size
    return max(1, round(shape_HW[0] * scale)), max(1, round(shape_HW[1] * scale))

"""Segmenter: THE one way from pixels to nuclei, for every door and for training's own evaluation.

::

    plane (H, W[, 3])
      -> run/survey.py: contrast and scale, by first looks
      -> run/maps.py: scaling measured on the whole plane, resized, tiled, engine, blended    maps_CHW  0..1
      -> recipe on the whole plane, or in run/blocks.py part by part where memory is short
      -> labels_HW, confidence

Names carry their axes: N batch, C channels or maps, H rows, W columns.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.bands import ClearedLabels, PartOfLabels, PlaneOf, bands_of
from nucleate.core.labels import relabel
from nucleate.core.lazy import lazy
from nucleate.core.plane import PartOfPlane
from nucleate.errors import UsageError
from nucleate.io.given import as_image
from nucleate.post.confidence import rate
from nucleate.post.split import load_watershed
from nucleate.run.blocks import Reading, label_in_blocks
from nucleate.run.engine import OnnxEngine
from nucleate.run.maps import Mapper
from nucleate.run.memory import available_bytes, bytes_beyond_labels
from nucleate.run.need import Need
from nucleate.run.segmentation import Segmentation
from nucleate.run.settings import SegmentSettings
from nucleate.run.survey import Survey, look_at, readable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from nucleate.core.bands import Labels, LabelStore
    from nucleate.core.lazy import LazyImage
    from nucleate.core.plane import Plane
    from nucleate.io.given import Given
    from nucleate.post.recipe import PostRecipe
    from nucleate.run.engine import Engine
    from nucleate.run.weights import ModelCard

__all__ = ["SegmentSettings", "Segmenter"]

_LEAST_TILE = 256  # smaller tiles are mostly margin


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

    def warm_up(self) -> None:
        """Load the model that the first plane would wait for, while another thread reads that plane.

        Raises
        ------
        ModelError
            If the model cannot be read.
        """
        if isinstance(self.engine, OnnxEngine):
            self.engine.warm_up()
        load_watershed()

    def segment(self, image: Given, channel: str | int | None = None, *, max_bytes: int | None = None) -> Segmentation:
        """Find the nuclei of a picture, or of each plane of a stack.

        Parameters
        ----------
        image : Given
        channel : str or int, optional
            Channel with the nuclei, by name or index; the nuclear stain, or the first, when None.
        max_bytes : int, optional
            Memory to be used for each plane, its labels included; see `segment_into`.

        Returns
        -------
        Segmentation

        Raises
        ------
        InputError
            If the image cannot be read, is no image, or has no such channel.
        ModelError
            If the model does not fit its card.
        """
        image = as_image(image)
        shown = image.channel(channel)
        labels = np.zeros((*shown.stack_shape, *shown.shape_HW), np.int32)
        spare = bytes_beyond_labels(shown.shape_HW, max_bytes)
        confidence = [np.zeros(0, np.float32), *self.each_plane(lazy(shown), labels, max_bytes=spare)]
        return Segmentation(labels, np.concatenate(confidence), image, channel)

    def each_plane(
        self, source: LazyImage, labels: Labels, *, max_bytes: int | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """Find the nuclei of a picture or of each plane of a stack and write them where the caller wants them.

        Parameters
        ----------
        source : LazyImage
            Of one channel (see `LazyImage.channel`).
        labels : Labels
            An array, a Zarr array, `nucleate.run.stored.StoredLabels`: (..., H, W) with the stack's axes. Gets the
            label images, ids 1..n from plane to plane.
        max_bytes : int, optional
            As for `segment_into`, for each plane.

        Yields
        ------
        (k,) float32 ndarray
            Confidence of the nuclei of each plane, as soon as they are found; those of all planes together belong to
            nuclei 1..n.

        Raises
        ------
        InputError
            If the channel was not chosen, or the file is damaged.
        ModelError
            If the model does not fit its card.
        UsageError, OutputError
            As `segment_into`.
        """
        count, everything = 0, slice(0, source.shape_HW[1])
        if labels.shape[:-2] != source.stack_shape:
            raise UsageError(f"labels of a stack {source.stack_shape} of planes: got {labels.shape}; give one for each")
        for at in np.ndindex(*source.stack_shape):
            found = ClearedLabels.of(PlaneOf(labels, at), source.shape_HW)
            confidence = self._segment_into(readable(self, source.plane(at)), found, max_bytes=max_bytes)
            for rows in bands_of(source.shape_HW) if count else ():
                part = found[rows, everything]
                found[rows, everything] = np.where(part > 0, part + np.int32(count), np.int32(0))
            count += len(confidence)
            yield confidence

    def segment_plane(
        self, plane: NDArray[Any] | Plane, *, max_bytes: int | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Find the nuclei of one plane.

        Parameters
        ----------
        plane : (H, W) or (H, W, 3) real ndarray, or Plane
            A `nucleate.core.plane.Plane` is read part by part.
        max_bytes : int, optional
            Memory to be used beyond the plane, the labels included; see `segment_into`.

        Returns
        -------
        labels_HW : (H, W) int32 ndarray
            Label image, ids 1..n without gaps in the order of the first pixels, row by row.
        confidence : (n,) float32 ndarray
            Entry ``i`` belongs to nucleus ``i + 1``.
        """
        labels_HW = np.zeros(plane.shape[:2], np.int32)
        spare = bytes_beyond_labels((plane.shape[0], plane.shape[1]), max_bytes)
        return labels_HW, self.segment_into(plane, labels_HW, max_bytes=spare)

    def segment_into(
        self, plane: NDArray[Any] | Plane, labels_HW: LabelStore, *, max_bytes: int | None = None
    ) -> NDArray[np.float32]:
        """Find the nuclei of one plane and write them where the caller wants them.

        Parameters
        ----------
        plane : (H, W) or (H, W, 3) real ndarray, or Plane
        labels_HW : LabelStore
            An array, a memory map, a Zarr array: (H, W), integers. Gets the label image, whatever was there before.
        max_bytes : int, optional
            Memory to be used beyond the plane and the labels; what is free when None. A plane that needs more is done
            part by part, with the same result (exceptions: `nucleate.run.blocks`).

        Returns
        -------
        (n,) float32 ndarray
            Confidence: entry ``i`` belongs to nucleus ``i + 1``.

        Raises
        ------
        UsageError
            If `labels_HW` is no array of this shape and of integers.
        OutputError
            If its integers are too small for the number of nuclei, a few more of which are counted in parts.
        """
        source = readable(self, plane)
        return self._segment_into(source, ClearedLabels.of(labels_HW, source.shape[:2]), max_bytes=max_bytes)

    def _segment_into(self, source: Plane, labels_HW: LabelStore, *, max_bytes: int | None) -> NDArray[np.float32]:
        """Do what `segment_into` does, with a plane that is `readable` and labels that are cleared."""
        known = look_at(self, source)
        if known.inside is not None:
            source, labels_HW = PartOfPlane(source, *known.inside), PartOfLabels(labels_HW, *known.inside)
        shape_HW = source.shape[0], source.shape[1]
        limit = available_bytes() if max_bytes is None else max_bytes
        scaled = self.at_scale(known.scale).within(shape_HW, limit)
        reading, need = scaled.reading(light=known.scaling.invert), scaled.need(shape_HW)
        if limit is not None and need.whole > limit:
            mapper = scaled.mapper()
            working = mapper.working(source, known.scaling)
            return label_in_blocks(
                lambda: mapper.bands(working),
                labels_HW,
                shape_HW=shape_HW,
                reading=reading,
                blocks=need.blocks(limit),
            )
        if known.seen is not None and self.settings.min_area is None:
            found_HW, confidence = known.seen.labels_HW, known.seen.confidence
        else:
            maps_CHW = scaled._maps(source, known)
            found_HW = reading.recipe.apply(maps_CHW, self.card.maps)
            confidence = reading.rate(found_HW, maps_CHW)
        keep = confidence >= np.float32(reading.min_confidence)
        if not keep.all():
            found_HW = relabel(np.where(np.append(False, keep)[found_HW], found_HW, 0))
        labels_HW[:, :] = found_HW
        return confidence[keep]

    def survey(self, plane: NDArray[Any] | Plane) -> Survey:
        """Measure the intensities of a plane, and choose contrast and, if it is ``auto``, the scale by first looks.

        Parameters
        ----------
        plane : (H, W) or (H, W, 3) real ndarray, or Plane
        """
        return look_at(self, readable(self, plane))

    def at_scale(self, scale: float, *, tile: int | None = None) -> Segmenter:
        """Give the segmenter with another `scale` in its settings, and another `tile` if one is given."""
        return self.with_settings(replace(self.settings, scale=scale, tile=tile or self.settings.tile))

    def within(self, shape_HW: tuple[int, int], max_bytes: int | None) -> Segmenter:
        """Give the segmenter with smaller tiles if a plane does not fit the memory with the card's tiles.

        Sums are rounded differently at the ends of tiles, so that at most one pixel in 100,000 differs.

        Parameters
        ----------
        shape_HW : (int, int)
            Rows and columns of the plane.
        max_bytes : int, optional
            Memory to be used beyond the plane and the labels; None is no limit.
        """
        tile, found = self.card.tile, self
        if max_bytes is None or self.settings.tile is not None or self.card.input_size is not None:
            return self
        while found.need(shape_HW).smallest > max_bytes and tile // 2 >= _LEAST_TILE:
            tile //= 2
            found = self.with_settings(replace(self.settings, tile=tile))
        return found

    def with_settings(self, settings: SegmentSettings) -> Segmenter:
        """Give the segmenter with other settings."""
        return Segmenter(self.engine, self.card, settings=settings, tiles_at_once=self.tiles_at_once)

    def maps(self, plane: NDArray[Any] | Plane, known: Survey | None = None) -> NDArray[np.float32]:
        """Compute the maps of one plane on its own grid.

        Parameters
        ----------
        plane : (H, W) or (H, W, 3) real ndarray, or Plane
        known : Survey, optional
            The result of `survey`; when None, the plane is surveyed here.

        Returns
        -------
        (C, H, W) float32 ndarray
            In the order of the card's `maps`, 0..1; 0 in margins.

        Raises
        ------
        ModelError
            If the engine gives other maps than the card says.
        """
        source = readable(self, plane)
        known = known or look_at(self, source)
        scaled = self.at_scale(known.scale)
        if known.inside is None:
            return scaled._maps(source, known)
        maps_CHW = np.zeros((len(self.card.maps), *source.shape[:2]), np.float32)
        maps_CHW[:, *known.inside] = scaled._maps(PartOfPlane(source, *known.inside), known)
        return maps_CHW

    def _maps(self, plane: Plane, known: Survey) -> NDArray[np.float32]:
        if known.seen is not None:
            return known.seen.maps_CHW
        maps_CHW = np.empty((len(self.card.maps), *plane.shape[:2]), np.float32)
        mapper, top = self.mapper(), 0
        for band_CHW in mapper.bands(mapper.working(plane, known.scaling)):
            maps_CHW[:, top : top + band_CHW.shape[1]] = band_CHW
            top += band_CHW.shape[1]
        return maps_CHW

    def need(self, shape_HW: tuple[int, int]) -> Need:
        """Estimate the memory for one plane of this shape."""
        return Need.of(shape_HW, self.mapper())

    def estimate_bytes(self, shape_HW: tuple[int, int], *, max_bytes: int | None = None) -> int:
        """Estimate the memory for one plane beyond the plane itself, labels included.

        Parameters
        ----------
        shape_HW : (int, int)
            Rows and columns of the plane.
        max_bytes : int, optional
            If the whole plane at once would take more, it is done part by part, in smaller tiles, and needs less.
        """
        spare = None if max_bytes is None else max(max_bytes - 4 * shape_HW[0] * shape_HW[1], 0)
        return self.within(shape_HW, spare).need(shape_HW).bytes_within(max_bytes)

    def mapper(self) -> Mapper:
        """Give what computes maps with this model."""
        tile, tta = self.settings.tile, self.settings.tta
        return Mapper(self.engine, self.card, scale=self._scale, tile=tile, tta=tta, tiles_at_once=self.tiles_at_once)

    @property
    def _scale(self) -> float:
        """Scale of the network's grid to the plane's; 1 as long as it is not known."""
        wanted = self.settings.scale
        return 1.0 if wanted == "auto" or self.card.input_size else float(wanted)

    @property
    def min_confidence(self) -> float:
        """Nuclei with a lower confidence are left out: the user's limit, or the card's."""
        wanted = self.settings.min_confidence
        return self.card.min_confidence if wanted is None else wanted

    def reading(self, *, light: bool = False) -> Reading:
        """Give the `Reading` for the maps of planes with a light or a dark background."""
        rated = partial(rate, names=self.card.maps, model=self.card.confidence, scale=self._scale)
        return Reading(self._recipe(light=light), self.card.maps, rated, self.min_confidence)

    def _recipe(self, *, light: bool) -> PostRecipe:
        recipe = self.card.recipe.on(light=light).at_scale(1 / self._scale)
        return recipe if self.settings.min_area is None else replace(recipe, min_area=self.settings.min_area)

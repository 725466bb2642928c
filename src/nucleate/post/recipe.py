"""PostRecipe: the steps from maps to nuclei, and their numbers, as one value that a model's card stores."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from nucleate.core.labels import drop_small, in_reading_order
from nucleate.errors import ModelError, UsageError
from nucleate.post import joining, split, threshold
from nucleate.post.joining import JoinModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["PAPER_RECIPE", "PostRecipe", "Split", "Threshold"]

Threshold = Literal["fixed", "otsu", "hysteresis"]
Split = Literal["components", "distance", "markers", "joined"]

_RANGES: dict[str, tuple[float, float]] = {
    "level": (0.0, 1.0),
    "light_level": (0.0, 1.0),
    "low": (0.0, 1.0),
    "high": (0.0, 1.0),
    "marker_level": (0.0, 1.0),
    "join_level": (0.0, 1.0),
    "smoothing": (0.0, 50.0),
    "min_distance": (1, 1000),
    "min_marker_area": (0, 10**6),
    "min_area": (0, 10**9),
    "connectivity": (1, 2),
}
_ENERGY_STEPS = 512  # of a map 0..1, in which its values are compared: rounding noise on a flat ridge makes no peaks
_DEEPEST = 64  # pixels from the edge of a region to its middle, at most, for `reach`
_WHOLE = ("min_distance", "min_marker_area", "min_area", "connectivity")


@dataclass(frozen=True)
class PostRecipe:
    """Which steps turn the maps of a network into a label image, with which numbers.

    1. The map ``mask`` becomes the mask of all nuclei (`threshold`).
    2. The mask is split into nuclei (`split`).
    3. Holes of each nucleus are filled (`fill_holes`), small nuclei removed (`min_area`), ids made 1..n in the order
       of their first pixels, row by row from the top.

    Each connected region of the mask is processed by itself: once Otsu's level is known, its nuclei depend on the maps
    within `reach` pixels of its box and on nothing else. So a picture can be done part by part (`run/blocks.py`).

    Parameters
    ----------
    threshold : {"fixed", "otsu", "hysteresis"}
        ``fixed``: pixels above `level`; ``otsu``: above the level found on the whole map; ``hysteresis``: regions
        above `low` that reach above `high`.
    level, low, high : float
        Probabilities 0..1.
    light_level : float, optional
        `level` for planes with a light background, such as stained sections (see `on`); the same when None.
    split : {"components", "distance", "markers", "joined"}
        ``components``: connected regions. ``distance``: watershed on the distance to the mask's edge, one nucleus for a
        peak (`smoothing`, `min_distance`). ``markers``: watershed on the learned map ``distance`` from the regions
        where ``distance * (1 - border)`` lies above `marker_level`; a network without ``border`` uses ``distance``
        alone, one without ``distance`` uses ``mask * (1 - border)``. A network of three classes uses its map
        ``inside``. ``joined``: the same from every peak above `marker_level`, then pieces are joined which `join` says
        are of one nucleus with a chance above `join_level` (`nucleate.post.joining`).
    connectivity : {1, 2}
        Pixels are connected by edges (1), or by corners, too (2).
    smoothing : float
        Gaussian sigma, in pixels, on the map whose peaks are sought.
    min_distance : int
        Pixels between two peaks of ``distance`` and ``joined``.
    marker_level : float
        Level of ``markers`` and ``joined``, 0..1.
    min_marker_area : int
        Smaller markers are left out, pixels.
    keep_unmarked : bool
        Whether a region of the mask without a marker is a nucleus (``markers`` and ``joined`` only).
    fill_holes : bool
        Fill background regions that lie entirely inside one nucleus.
    min_area : int
        Smaller nuclei are removed, pixels.
    join_level : float
        Chance above which two pieces are of one nucleus, 0..1 (``joined`` only).
    join : JoinModel, optional
        Gives that chance; ``joined`` needs it.

    Raises
    ------
    UsageError
        If a field has an impossible value; one line.
    """

    threshold: Threshold = "fixed"
    level: float = 0.5
    light_level: float | None = None
    low: float = 0.3
    high: float = 0.6
    split: Split = "components"
    connectivity: int = 1
    smoothing: float = 1.0
    min_distance: int = 5
    marker_level: float = 0.5
    min_marker_area: int = 0
    keep_unmarked: bool = True
    fill_holes: bool = True
    min_area: int = 0
    join_level: float = 0.5
    join: JoinModel | None = None

    def __post_init__(self) -> None:
        for name, allowed in (("threshold", get_args(Threshold)), ("split", get_args(Split))):
            if getattr(self, name) not in allowed:
                raise UsageError(f"recipe: {name} = {getattr(self, name)!r}; use one of {', '.join(allowed)}")
        for name in ("fill_holes", "keep_unmarked"):
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"recipe: {name} = {getattr(self, name)!r}; use true or false")
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if value is None and name == "light_level":
                continue
            kinds = (int, np.integer) if name in _WHOLE else (int, float, np.integer, np.floating)
            if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
                kind = "a whole number" if name in _WHOLE else "a number"
                raise UsageError(f"recipe: {name} = {value!r}; use {kind} from {least} to {most}")
            # TOML and hyper-parameter searches bring 1 for 1.0 and numpy scalars.
            object.__setattr__(self, name, int(value) if name in _WHOLE else float(value))
        if self.split == "joined" and self.join is None:
            raise UsageError("recipe: split = 'joined' needs the model join; use nucleate tune, or split = 'markers'")
        if self.low > self.high:
            raise UsageError(f"recipe: low = {self.low} lies above high = {self.high}; exchange them")

    def to_dict(self) -> dict[str, Any]:
        """Give the fields as plain values, ready for TOML."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PostRecipe:
        """Build a recipe from plain values; fields that are not given keep their defaults.

        Raises
        ------
        UsageError
            If a field is unknown or its value cannot be.
        """
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                raise UsageError(f"recipe: no field {name!r}; it has {', '.join(known)}")
        join = values.get("join")
        return cls(**{**values, "join": None if join is None else JoinModel.from_dict(join)})

    def on(self, *, light: bool) -> PostRecipe:
        """Give the recipe for planes with a light or a dark background.

        Nuclei of stained sections have pale rims, which belong to the true nucleus; networks are less sure of these.
        """
        if self.light_level is None:
            return self
        return replace(self, level=self.light_level if light else self.level, light_level=None)

    def at_scale(self, factor: float) -> PostRecipe:
        """Give the recipe for a grid on which everything is `factor` times as large as on the recipe's own grid."""
        if factor == 1:
            return self
        least, most = _RANGES["min_distance"]
        return replace(
            self,
            smoothing=min(self.smoothing * factor, _RANGES["smoothing"][1]),
            min_distance=round(min(max(self.min_distance * factor, least), most)),
            min_marker_area=round(min(self.min_marker_area * factor**2, _RANGES["min_marker_area"][1])),
            min_area=round(min(self.min_area * factor**2, _RANGES["min_area"][1])),
            join=self.join and self.join.at_scale(factor),
        )

    def apply(self, maps_CHW: NDArray[np.floating[Any]], names: Sequence[str]) -> NDArray[np.int32]:
        """Turn the maps of one plane into nuclei.

        Parameters
        ----------
        maps_CHW : (C, H, W) float32 ndarray
            Maps of the network, 0..1.
        names : sequence of str
            One for each map; ``mask`` must be there, ``distance`` and ``border`` may be.

        Returns
        -------
        (H, W) int32 ndarray
            Label image, ids 1..n without gaps in the order of the first pixels.

        Raises
        ------
        ModelError
            If the maps are not those that the recipe needs.
        """
        maps = self._by_name(maps_CHW, names)
        if maps["mask"].size == 0:
            return np.zeros(maps["mask"].shape, np.int32)
        mask = self._mask(maps["mask"])
        labels = self._nuclei(mask, maps)
        if self.fill_holes:
            labels = split.fill_holes(labels)
        if self.min_area > 1:
            kept = drop_small(labels, self.min_area)
            if self.fill_holes and kept.max(initial=0) < labels.max():  # a splinter leaves a hole in its neighbour
                kept = split.fill_holes(kept)
            labels = kept
        return in_reading_order(labels)

    def pieces(
        self, maps_CHW: NDArray[np.floating[Any]], names: Sequence[str]
    ) -> tuple[NDArray[np.int32], joining.Pieces]:
        """Cut the maps of one plane at every peak, as ``joined`` does before it joins anything.

        Parameters
        ----------
        maps_CHW, names
            As for `apply`.

        Returns
        -------
        labels_HW : (H, W) int32 ndarray
            Pieces, some ids may be missing.
        pieces : Pieces
            Those that touch others.
        """
        maps = self._by_name(maps_CHW, names)
        energy, height = self._energy(maps)
        labels = self._pieces(self._mask(maps["mask"]), energy, height=height)
        return labels, joining.Pieces.of(labels, energy, mask_map=maps["mask"])

    @property
    def reach(self) -> int:
        """Pixels around the box of a region of the mask in which maps have an influence on its nuclei.

        For ``split = "distance"`` this holds if the regions nearby are nowhere more than 64 pixels deep.
        """
        blurred = int(split.BLUR_REACH * self.smoothing + 0.5)
        if self.split == "components":
            return 1
        if self.split == "distance":
            return blurred + 2 * self.min_distance + _DEEPEST
        if self.split == "joined":
            return blurred + 2 * self.min_distance + 1
        return max(1, blurred)

    def base_mask(self, mask_map: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        """Mark the pixels whose connected regions are the units of the recipe; Otsu's level must be known.

        Parameters
        ----------
        mask_map : (H, W) float ndarray
            The map ``mask``, or a part of it.

        Returns
        -------
        (H, W) bool ndarray
            All pixels that can become nucleus, except for holes.
        """
        return threshold.above(_finite(mask_map), self.low if self.threshold == "hysteresis" else self.level)

    def with_level_of(self, mask_maps: Callable[[], Iterable[NDArray[np.floating[Any]]]]) -> PostRecipe:
        """Give the recipe with the level that ``otsu`` finds on a map that comes in pieces; others stay as they are.

        Parameters
        ----------
        mask_maps : callable
            Gives the pieces of the map ``mask``; called twice, or not at all.
        """
        if self.threshold != "otsu":
            return self
        level = threshold.otsu_level_of_pieces(lambda: map(_finite, mask_maps()))
        return replace(self, threshold="fixed", level=min(max(level, 0.0), 1.0))

    def _by_name(self, maps_CHW: NDArray[np.floating[Any]], names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        if maps_CHW.ndim != 3 or len(maps_CHW) != len(names):
            raise ModelError(
                f"maps of shape {maps_CHW.shape} do not fit the names {list(names)}; mend the model's card"
            )
        maps_CHW = _finite(maps_CHW)
        maps = {name: np.asarray(values, np.float32) for name, values in zip(names, maps_CHW, strict=True)}
        if "mask" not in maps:
            raise ModelError(f"no map 'mask' among {list(names)}; the recipe needs it")
        if self.split in {"markers", "joined"} and not {"distance", "border", "inside"} & maps.keys():
            raise ModelError(
                f"no map 'distance', 'border' or 'inside' among {list(names)}; use split = 'distance' or 'components'"
            )
        return maps

    def _mask(self, values: NDArray[np.float32]) -> NDArray[np.bool_]:
        if self.threshold == "hysteresis":
            return threshold.hysteresis(values, low=self.low, high=self.high, connectivity=self.connectivity)
        return threshold.above(values, self.level if self.threshold == "fixed" else threshold.otsu_level(values))

    def _nuclei(self, mask: NDArray[np.bool_], maps: Mapping[str, NDArray[np.float32]]) -> NDArray[np.int32]:
        beside = self.connectivity
        if self.split == "components":
            return split.components(mask, connectivity=beside)
        if self.split == "distance":
            height = split.mask_distance(mask, self.smoothing)
            markers = split.distance_markers(mask, height, min_distance=self.min_distance)
            return split.grow_markers(mask, markers, height=height, connectivity=beside)
        energy, height = self._energy(maps)
        if self.split == "joined":
            assert self.join is not None
            pieces = self._pieces(mask, energy, height=height)
            return joining.join(pieces, energy, mask_map=maps["mask"], model=self.join, level=self.join_level)
        markers = split.level_markers(
            mask, energy, level=self.marker_level, min_area=self.min_marker_area, connectivity=beside
        )
        return split.grow_markers(mask, markers, height=height, connectivity=beside, keep_unmarked=self.keep_unmarked)

    def _energy(self, maps: Mapping[str, NDArray[np.float32]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Give the map whose peaks are nuclei, smoothed, and the one that is flooded."""
        energy = maps.get("inside", maps.get("distance", maps["mask"]))
        if "border" in maps:
            energy = energy * (1.0 - maps["border"])
        energy = split.smooth(energy, self.smoothing)
        return energy, maps.get("distance", energy)

    def _pieces(
        self, mask: NDArray[np.bool_], energy: NDArray[np.float32], *, height: NDArray[np.float32]
    ) -> NDArray[np.int32]:
        markers = split.distance_markers(
            mask & (energy > np.float32(self.marker_level)),
            energy,
            min_distance=self.min_distance,
            steps=_ENERGY_STEPS,
        )
        return split.grow_markers(
            mask, markers, height=height, connectivity=self.connectivity, keep_unmarked=self.keep_unmarked
        )


def _finite(maps: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    # A watershed cannot order NaN.
    return maps if np.isfinite(maps).all() else np.nan_to_num(maps, nan=0.0, posinf=1.0, neginf=0.0)


PAPER_RECIPE = PostRecipe(threshold="otsu", split="components", connectivity=1, fill_holes=False)
"""The paper's: Otsu's level on the whole map, then regions connected by edges; nothing filled, nothing removed."""

"""Drawn fields of nuclei with exact truth, for tests, demonstrations and load.

A nucleus is a smoothly perturbed ellipse. Nuclei are laid down one after the other; a later one is cut where it would
cover an earlier one, so each pixel belongs to the nucleus with the lower number. Only the largest piece (joined by
edges) of a cut nucleus is kept, so every nucleus is one connected piece, and the numbers are 1..n without gaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from nucleate.data.paint import paint
from nucleate.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["STYLES", "Field", "Scene", "draw", "place"]

STYLES = ("fluorescence", "brightfield", "histology")
"""Bright nuclei on dark, and dark nuclei on light, both in grey; haematoxylin and eosin in colour."""

_FREE_TRIES = 40
_TOUCH_TRIES = 12
_SMALLEST_SHARE = 0.6
# Half the spread of the logarithm of length over width: tissue sections show spindles, cultured cells hardly any.
_STRETCH = {"fluorescence": 0.14, "brightfield": 0.14, "histology": 0.28}


@dataclass(frozen=True)
class Scene:
    """What to draw.

    Parameters
    ----------
    size : (int, int)
        Rows and columns.
    nuclei : int
        How many to lay down; there are fewer if the picture is full.
    style : str
        One of `STYLES`.
    bits : int
        8 or 16.
    diameter : float
        Median diameter of a nucleus in pixels.
    touching : float
        Share of nuclei that are laid against an earlier one, 0..1; the others keep a distance of a pixel at least.
    dim : float
        Share of nuclei that are faint, 0..1.
    noise : float
        Factor on shot and read noise; 0 for none.
    blur : float
        Standard deviation of the blur in pixels.
    uneven : float
        Depth of the uneven lighting, 0..1.
    texture : float
        Depth of the texture inside nuclei, 0..1.
    debris : float
        Specks and smudges that are no nuclei, for each nucleus.

    Raises
    ------
    UsageError
        If a value is out of its range.
    """

    size: tuple[int, int] = (256, 256)
    nuclei: int = 40
    style: str = "fluorescence"
    bits: int = 8
    diameter: float = 20.0
    touching: float = 0.3
    dim: float = 0.15
    noise: float = 1.0
    blur: float = 1.0
    uneven: float = 0.3
    texture: float = 0.3
    debris: float = 0.15

    def __post_init__(self) -> None:
        if min(self.size) < 1 or self.nuclei < 0 or self.diameter < 1:
            got = f"size {self.size}, nuclei {self.nuclei}, diameter {self.diameter}"
            raise UsageError(f"nothing can be drawn with {got}; give at least one pixel each and no negative count")
        if self.style not in STYLES:
            raise UsageError(f"no style {self.style!r}; choose {', '.join(STYLES)}")
        if self.bits not in (8, 16):
            raise UsageError(f"no pictures of {self.bits} bits can be drawn; choose 8 or 16")
        shares, factors = ("touching", "dim", "uneven", "texture"), ("noise", "blur", "debris")
        for names, most, cure in ((shares, 1.0, "0..1"), (factors, np.inf, "0 or more")):
            for name in names:
                if not 0 <= getattr(self, name) <= most:
                    raise UsageError(f"{name} is out of range: got {getattr(self, name)}; give {cure}")


@dataclass(frozen=True, eq=False)
class Field:
    """Nuclei that are laid down, before anything is painted.

    Parameters
    ----------
    labels : (H, W) int32 ndarray
        The truth: 0 background, 1..n.
    depth : (H, W) float32 ndarray
        0 outside and at the outline a nucleus had before it was cut, 1 at its centre.
    centres : (n, 2) float64 ndarray
        Row and column.
    radii : (n,) float64 ndarray
        Mean radius in pixels.
    """

    labels: NDArray[np.int32]
    depth: NDArray[np.float32]
    centres: NDArray[np.float64]
    radii: NDArray[np.float64]


def draw(scene: Scene, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Draw one picture of nuclei and its exact truth.

    Parameters
    ----------
    scene : Scene
        What to draw.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    image : (H, W) or (H, W, 3) uint8 or uint16 ndarray
        Colours in style ``"histology"`` only.
    labels : (H, W) int32 ndarray
        0 background, 1..n; each nucleus one piece.

    Examples
    --------
    >>> image, labels = draw(Scene(size=(64, 80), nuclei=3, touching=0.0), np.random.default_rng(1))
    >>> image.shape, image.dtype.name, int(labels.max())
    ((64, 80), 'uint8', 3)
    """
    field = place(scene, rng)
    return paint(scene, field, rng=rng), field.labels


def place(scene: Scene, rng: np.random.Generator) -> Field:
    """Lay down the nuclei of a scene without painting them.

    Returns
    -------
    Field
    """
    canvas = _Canvas(scene.size)
    for _ in range(scene.nuclei):
        if not canvas.free:
            break
        shape = _Shape.random(scene.diameter, rng, spread=_STRETCH[scene.style])
        against = rng.random() < scene.touching and bool(canvas.radii)
        if not (against and canvas.lay_against(shape, rng)):
            canvas.lay_free(shape, rng)
    centres = np.array(canvas.centres, dtype=np.float64).reshape(-1, 2)
    return Field(canvas.labels, canvas.depth, centres, np.array(canvas.radii, dtype=np.float64))


@dataclass(frozen=True, eq=False)
class _Shape:
    """A nucleus on its own square patch, its centre in the middle pixel."""

    mask: NDArray[np.bool_]
    near: NDArray[np.bool_]  # the mask and the pixels around it
    depth: NDArray[np.float32]
    radius: float

    @classmethod
    def random(cls, diameter: float, rng: np.random.Generator, *, spread: float) -> _Shape:
        radius = diameter / 2 * float(np.exp(np.clip(rng.normal(0, 0.2), -0.6, 0.6)))
        stretch = float(np.exp(abs(rng.normal(0, spread))))
        angle = rng.uniform(0, np.pi)
        half = int(np.ceil(radius * stretch * 1.5)) + 2
        row, col = np.mgrid[-half : half + 1, -half : half + 1] + rng.uniform(-0.5, 0.5, size=(2, 1, 1))
        along = (col * np.cos(angle) + row * np.sin(angle)) / (radius * stretch)
        across = (row * np.cos(angle) - col * np.sin(angle)) * stretch / radius
        direction = np.arctan2(across, along)
        outline = np.ones_like(direction)
        for waves in (2, 3, 4, 5):
            # The fewer the waves, the deeper, which gives bean and egg shapes rather than stars.
            amplitude = np.clip(rng.normal(0, 0.12 / waves), -0.2 / waves, 0.2 / waves)
            outline += amplitude * np.cos(waves * direction + rng.uniform(0, 2 * np.pi))
        depth = np.clip(1 - np.hypot(along, across) / outline, 0, 1).astype(np.float32)
        mask = depth > 0
        mask[half, half] = True
        return cls(mask, ndimage.binary_dilation(mask, np.ones((3, 3), dtype=bool)), depth, radius)


class _Canvas:
    """Label image under construction."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.labels = np.zeros(size, dtype=np.int32)
        self.depth = np.zeros(size, dtype=np.float32)
        self.centres: list[tuple[float, float]] = []
        self.radii: list[float] = []
        self.free = self.labels.size  # pixels

    def lay_free(self, shape: _Shape, rng: np.random.Generator) -> None:
        height, width = self.labels.shape
        for _ in range(_FREE_TRIES):
            centre = (int(rng.integers(height)), int(rng.integers(width)))
            if self.labels[centre]:
                continue
            window, patch = self._windows(shape, centre)
            if not self.labels[window][shape.near[patch]].any():
                self._keep(shape, shape.mask[patch], centre=centre)
                return

    def lay_against(self, shape: _Shape, rng: np.random.Generator) -> bool:
        height, width = self.labels.shape
        for _ in range(_TOUCH_TRIES):
            chosen = int(rng.integers(len(self.radii)))
            angle = rng.uniform(0, 2 * np.pi)
            for closeness in (1.15, 1.0, 0.85, 0.7):
                reach = closeness * (self.radii[chosen] + shape.radius)
                row = round(self.centres[chosen][0] + reach * np.sin(angle))
                col = round(self.centres[chosen][1] + reach * np.cos(angle))
                if not (0 <= row < height and 0 <= col < width):
                    break
                window, patch = self._windows(shape, (row, col))
                taken = self.labels[window] > 0
                if not (taken & shape.near[patch]).any():
                    continue
                mask = _largest_piece(shape.mask[patch] & ~taken)
                enough = mask.sum() >= max(1, _SMALLEST_SHARE * shape.mask[patch].sum())
                if enough and (ndimage.binary_dilation(mask) & taken).any():
                    self._keep(shape, mask, centre=(row, col))
                    return True
        return False

    def _windows(self, shape: _Shape, centre: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        half = shape.mask.shape[0] // 2
        window, patch = [], []
        for middle, length in zip(centre, self.labels.shape, strict=True):
            first, last = max(0, middle - half), min(length, middle + half + 1)
            window.append(slice(first, last))
            patch.append(slice(first - middle + half, last - middle + half))
        return (window[0], window[1]), (patch[0], patch[1])

    def _keep(self, shape: _Shape, mask: NDArray[np.bool_], *, centre: tuple[int, int]) -> None:
        window, patch = self._windows(shape, centre)
        mask = _largest_piece(mask)
        self.centres.append((float(centre[0]), float(centre[1])))
        self.radii.append(shape.radius)
        self.labels[window][mask] = len(self.radii)
        self.free -= int(mask.sum())
        self.depth[window][mask] = shape.depth[patch][mask]


def _largest_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    pieces, count = ndimage.label(mask)
    if count <= 1:
        return mask
    largest: NDArray[np.bool_] = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    return largest

"""Changes that pictures go through between laboratories: other sizes, light, noise, colours, files.

Every change takes a picture as it is stored, in 8 or 16 bits, and gives one as it might be stored elsewhere.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
from scipy import ndimage

from nucleate.core.resample import resample
from nucleate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["CHANGES", "Change", "check_changes", "rescaled", "whole_numbered"]


@dataclass(frozen=True)
class Change:
    """One change at one level.

    Parameters
    ----------
    name, level : str
        What is changed and how much.
    person : {"yes", "hardly", "no"}
        Whether a person would still draw the outlines: our judgement.
    apply : callable, optional
        Takes a picture and a generator, gives the changed picture on the same grid, or the very
        same where there is nothing to change; None leaves it.
    zoom : float
        The picture is resized by this.
    """

    name: str
    level: str
    person: str
    apply: Callable[[NDArray[Any], np.random.Generator], NDArray[Any]] | None = None
    zoom: float = 1.0


def rescaled(image: NDArray[Any], zoom: float) -> NDArray[Any]:
    """Resize a picture, averaged when made smaller, bilinear when made larger; same dtype."""
    planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    size = max(1, round(image.shape[0] * zoom)), max(1, round(image.shape[1] * zoom))
    made = np.rint(resample(planes.astype(np.float32), size)).astype(image.dtype)
    return made[0] if image.ndim == 2 else made.transpose(1, 2, 0)


def whole_numbered(image: NDArray[Any]) -> NDArray[Any]:
    """Give a picture in 8 or 16 bits as it is; the range of any other picture is spread over 16 bits.

    Examples
    --------
    >>> whole_numbered(np.array([[-0.5, 0.0, 0.5, np.nan]]))
    array([[    0, 32768, 65535,     0]], dtype=uint16)
    """
    if image.dtype in (np.uint8, np.uint16):
        return image
    values = image.astype(np.float64)
    known = values[np.isfinite(values)]
    ends = known.min(initial=np.inf), known.max(initial=-np.inf)
    spread: NDArray[Any] = np.rint(np.nan_to_num(np.interp(values, ends, (0, 65535)))).astype(np.uint16)
    return spread


def _range(image: NDArray[Any]) -> tuple[float, float]:
    low, high = np.percentile(image, (0.5, 99.8))
    return float(low), float(max(high, low + 1))


def _stored(values: NDArray[Any], like: NDArray[Any]) -> NDArray[Any]:
    stored: NDArray[Any] = np.clip(np.rint(values), 0, np.iinfo(like.dtype).max).astype(like.dtype)
    return stored


def _blur(image: NDArray[Any], _: np.random.Generator, *, sigma: float) -> NDArray[Any]:
    sigmas = (sigma, sigma, 0)[: image.ndim]
    return _stored(ndimage.gaussian_filter(image.astype(np.float32), sigmas), image)


def _noise(image: NDArray[Any], rng: np.random.Generator, *, share: float) -> NDArray[Any]:
    low, high = _range(image)
    return _stored(image + rng.normal(0, share * (high - low), image.shape), image)


def _dim(image: NDArray[Any], _: np.random.Generator, *, share: float, bits: int = 8) -> NDArray[Any]:
    if bits == 8 and image.dtype != np.uint8:
        return image
    full = image.astype(np.float64) * (257 if bits == 16 and image.dtype == np.uint8 else 1)
    dimmed = np.rint(full * share)
    return dimmed.astype(np.uint16) if bits == 16 else _stored(dimmed, image)


def _invert(image: NDArray[Any], _: np.random.Generator) -> NDArray[Any]:
    inverted: NDArray[Any] = np.iinfo(image.dtype).max - image
    return inverted


def _gamma(image: NDArray[Any], _: np.random.Generator, *, power: float) -> NDArray[Any]:
    most = np.iinfo(image.dtype).max
    return _stored((image / most) ** power * most, image)


def _uneven(image: NDArray[Any], _: np.random.Generator, *, dark: float) -> NDArray[Any]:
    light = np.linspace(1.0, dark, image.shape[1])
    return _stored(image * (light if image.ndim == 2 else light[:, None]), image)


def _burnt(image: NDArray[Any], rng: np.random.Generator, *, times: float) -> NDArray[Any]:
    """Lay a disk over half a per cent of a dark picture, `times` as bright as its brightest pixel, in 16 bits."""
    low, high = _range(image)
    if np.median(image) > (low + high) / 2:
        return image
    rows, cols = image.shape[:2]
    top, left = rng.uniform(0, (rows, cols))
    away = (np.arange(rows)[:, None] - top) ** 2 + (np.arange(cols) - left) ** 2
    burnt = image.astype(np.float64)
    burnt[away < 0.005 * rows * cols / np.pi] = low + times * (high - low)
    stored: NDArray[Any] = np.rint(burnt * (65535 / burnt.max())).astype(np.uint16)
    return stored


def _mixed(image: NDArray[Any], _: np.random.Generator, *, matrix: NDArray[np.float64]) -> NDArray[Any]:
    coloured = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=-1)
    mixed = _stored(coloured.astype(np.float64) @ matrix.T, image)
    return image if np.array_equal(mixed, coloured) else mixed  # grey stays grey for any hue


def _turned(degrees: float) -> NDArray[np.float64]:
    """Turn colours around the grey axis: 120 degrees make red green."""
    angle = np.deg2rad(degrees)
    axis = np.full((3, 3), 1 / 3)
    across = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turned: NDArray[np.float64] = np.cos(angle) * np.eye(3) + np.sin(angle) * across + (1 - np.cos(angle)) * axis
    return turned


def _jpeg(image: NDArray[Any], _: np.random.Generator, *, quality: int) -> NDArray[Any]:
    if image.dtype != np.uint8:
        return image
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, format="JPEG", quality=quality)
    return np.asarray(PIL.Image.open(buffer))


_GREY = np.tile([0.299, 0.587, 0.114], (3, 1))
_BLUE = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.299, 0.587, 0.114]])

CHANGES = (
    *(Change("rescaled", f"{zoom:g} times", "yes", zoom=zoom) for zoom in (0.25, 0.5, 0.75, 1.5, 2.0, 4.0)),
    *(
        Change("blurred", f"sigma {sigma:g} px", person, partial(_blur, sigma=sigma))
        for sigma, person in ((1.0, "yes"), (2.0, "yes"), (4.0, "hardly"))
    ),
    *(
        Change("noised", f"sigma {share:.0%} of the picture's range", person, partial(_noise, share=share))
        for share, person in ((0.05, "yes"), (0.1, "yes"), (0.2, "hardly"))
    ),
    Change("dimmed", "to 10 % in 8 bit", "yes", partial(_dim, share=0.1)),
    Change("dimmed", "to 1 % in 8 bit (0 to 2 are left)", "no", partial(_dim, share=0.01)),
    Change("dimmed", "to 1 % in 16 bit", "yes", partial(_dim, share=0.01, bits=16)),
    Change("inverted", "", "yes", _invert),
    *(Change("gamma", f"{power:g}", "yes", partial(_gamma, power=power)) for power in (0.5, 2.0)),
    Change("uneven light", "falls to 30 % across", "yes", partial(_uneven, dark=0.3)),
    *(
        Change("burnt spot", f"{times} times as bright as all else, in 16 bit", "yes", partial(_burnt, times=times))
        for times in (3, 10)
    ),
    *(
        Change("colour-shifted", f"hue turned {degrees} degrees", "yes", partial(_mixed, matrix=_turned(degrees)))
        for degrees in (30, 120)
    ),
    Change("colour-shifted", "warm light: blue at 70 %", "yes", partial(_mixed, matrix=np.diag([1.0, 0.95, 0.7]))),
    Change("colour-shifted", "grey", "yes", partial(_mixed, matrix=_GREY)),
    Change("colour-shifted", "shown in blue alone", "yes", partial(_mixed, matrix=_BLUE)),
    *(
        Change("JPEG", f"quality {quality}", person, partial(_jpeg, quality=quality))
        for quality, person in ((50, "yes"), (20, "yes"), (5, "hardly"))
    ),
)
"""All changes of the stress table."""


def check_changes(only: Sequence[str]) -> None:
    """Raise `UsageError` if a name is not that of a change."""
    known = list(dict.fromkeys(change.name for change in CHANGES))
    unknown = [name for name in only if name not in known]
    if unknown:
        raise UsageError(f"no change {unknown[0]!r}; choose of {', '.join(known)}")

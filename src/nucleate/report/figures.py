"""Figures: learning curves, augmented pairs, steps of a segmentation, errors circled, reliability of a prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from scipy import ndimage

from nucleate.core.files import atomic_path
from nucleate.score.matching import match

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

__all__ = ["draw_curves", "draw_errors", "draw_gains", "draw_panels", "draw_reliability"]

_MISSED, _INVENTED = "#ff5050", "#ffc800"
_FOUND = 0.5  # IoU at which a nucleus counts as found
_BINS = 10  # of a predicted IoU


def draw_curves(path: Path, curves: Mapping[str, Mapping[str, Sequence[float]]], *, title: str) -> None:
    """Draw measures over epochs, one panel a measure, one line a network.

    Parameters
    ----------
    path : Path
        PNG to write.
    curves : mapping
        Network -> measure -> value an epoch.
    title : str
        Above the figure.
    """
    measures = list(next(iter(curves.values())))
    figure, axes = _canvas(1, len(measures), width=4.5, height=3.4)
    for axis, measure in zip(axes, measures, strict=True):
        for name, values in curves.items():
            axis.plot(range(1, len(values[measure]) + 1), values[measure], marker=".", label=name)
        axis.set_xlabel("epoch")
        axis.set_ylabel(measure)
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False)
    figure.suptitle(title)
    _save(figure, path)


def draw_gains(
    path: Path,
    gains: Sequence[tuple[str, float, float, float]],
    *,
    title: str,
    parts: Mapping[str, Sequence[float]],
) -> None:
    """Draw the gain of each change, the best on top.

    Parameters
    ----------
    path : Path
        PNG to write.
    gains : sequence of (name, gain, low, high)
        In any order; low and high bound the interval.
    title : str
        Above the figure.
    parts : mapping
        Name -> the gain on each part of the data, drawn as small bars; a gain is coloured as sure if its interval and
        all parts lie on one side of zero.
    """
    ordered = sorted(gains, key=lambda row: row[1])
    figure = Figure((7.5, 1.2 + 0.28 * len(ordered)), layout="constrained")
    axis = figure.add_subplot()
    axis.axvline(0, color="0.6", linewidth=1)
    for place, (name, gain, low, high) in enumerate(ordered):
        single = parts.get(name, ())
        colour = "#1a7f37" if min([low, *single]) > 0 else "#cf222e" if max([high, *single]) < 0 else "0.45"
        axis.plot([low, high], [place, place], color=colour, linewidth=2)
        axis.plot(gain, place, "o", color=colour, markersize=5)
        axis.plot(single, [place] * len(single), "|", color="0.3", markersize=7)
    axis.set_yticks(range(len(ordered)), [row[0] for row in ordered], fontsize=8)
    axis.set_xlabel("gain in Kaggle score, with its 95 % interval")
    axis.set_title(title, fontsize=10)
    axis.grid(axis="x", alpha=0.3)
    _save(figure, path)


def draw_reliability(path: Path, predicted: NDArray[Any], *, true: NDArray[Any], title: str) -> None:
    """Draw predicted against true values over bins of equal width, and the number of values in each bin.

    Parameters
    ----------
    path : Path
        PNG to write.
    predicted, true : (n,) float ndarray
        0..1.
    title : str
        Above the figure.
    """
    place = np.minimum((np.asarray(predicted) * _BINS).astype(int), _BINS - 1)
    count = np.bincount(place, minlength=_BINS)
    said, came = (np.bincount(place, v, _BINS)[count > 0] / count[count > 0] for v in (predicted, true))
    figure, (axis, below) = _canvas(1, 2, width=4.0, height=3.6)
    axis.plot([0, 1], [0, 1], color="0.6", linewidth=1)
    axis.plot(said, came, "o-", color="#0969da", markersize=4)
    axis.set_xlabel("predicted IoU, mean of the bin")
    axis.set_ylabel("true IoU, mean of the bin")
    axis.set_aspect("equal")
    below.bar((np.arange(_BINS) + 0.5) / _BINS, count, width=0.9 / _BINS, color="0.6")
    below.set_yscale("log")
    below.set_xlabel("predicted IoU")
    below.set_ylabel("nuclei")
    for one in (axis, below):
        one.grid(alpha=0.3)
    figure.suptitle(title, fontsize=10)
    _save(figure, path)


def draw_panels(path: Path, rows: Sequence[Sequence[tuple[str, NDArray[Any]]]]) -> None:
    """Draw rows of pictures, each with its caption.

    Parameters
    ----------
    path : Path
        PNG or JPEG to write, by its ending.
    rows : sequence of sequence of (caption, picture)
        Grey (H, W), mask (bool), label image (int) or colour (H, W, 3); equal numbers a row.
    """
    lines = max(caption.count("\n") for row in rows for caption, _ in row)
    figure, axes = _canvas(len(rows), len(rows[0]), width=2.6, height=2.7 + 0.2 * lines)
    for axis, (caption, picture) in zip(axes, [item for row in rows for item in row], strict=True):
        _show(axis, picture)
        axis.set_title(caption, fontsize=8)
    _save(figure, path)


def draw_errors(path: Path, cases: Sequence[tuple[str, NDArray[Any], NDArray[Any], NDArray[Any]]]) -> None:
    """Circle errors: missed or badly outlined nuclei in red, invented ones in yellow.

    Parameters
    ----------
    path : Path
        PNG to write.
    cases : sequence of (caption, picture, true labels, found labels)
        Up to about eight.
    """
    cols = min(4, len(cases))
    figure, axes = _canvas(-(-len(cases) // cols), cols, width=3.2, height=3.4)
    for axis in axes[len(cases) :]:
        axis.remove()
    for axis, (caption, picture, truth, found) in zip(axes, cases, strict=False):
        _show(axis, picture)
        matching = match(truth, found)
        pairs = matching.pairs(_FOUND)
        _circle(axis, truth, right=set(matching.true_ids[matching.true_index[pairs]].tolist()), colour=_MISSED)
        _circle(axis, found, right=set(matching.pred_ids[matching.pred_index[pairs]].tolist()), colour=_INVENTED)
        axis.set_title(caption, fontsize=8)
    figure.suptitle("red: nucleus not found at this IoU; yellow: found where none is", fontsize=9)
    _save(figure, path)


def _circle(axis: Axes, labels: NDArray[Any], *, right: set[int], colour: str) -> None:
    for index, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None or index in right:
            continue
        rows, cols = box
        centre = ((cols.start + cols.stop - 1) / 2, (rows.start + rows.stop - 1) / 2)
        radius = max(rows.stop - rows.start, cols.stop - cols.start) / 2 + 3
        axis.add_patch(Circle(centre, radius, fill=False, color=colour, linewidth=0.9))


def _show(axis: Axes, picture: NDArray[Any]) -> None:
    if picture.ndim == 2 and picture.dtype.kind in "iu" and picture.dtype != np.uint8:
        colours = mpl.colormaps["gist_rainbow"](np.random.default_rng(0).permutation(256))[:, :3]
        shown = colours[picture % 256] * (picture > 0)[..., None]
        axis.imshow(shown, interpolation="nearest")
    else:
        axis.imshow(picture, cmap="gray", interpolation="nearest")


def _canvas(rows: int, cols: int, *, width: float, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure((width * cols, height * rows + 0.3), layout="constrained")
    axes = [figure.add_subplot(rows, cols, index + 1) for index in range(rows * cols)]
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    for axis in figure.axes:
        if axis.images:
            axis.set_axis_off()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)

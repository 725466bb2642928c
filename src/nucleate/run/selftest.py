"""A fixed picture through a model, to see whether this machine gives the numbers stored with the weights."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.files import write_text
from nucleate.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.run.segmenter import Segmenter

__all__ = ["compare", "measure", "picture", "read_stored", "stored_path", "write_stored"]

_TOLERANCE = 2e-3
"""How far the means of maps may differ: other processors add up in another order; damage makes far more."""

_TOLERANCE_COARSE = 2e-2
"""The same for networks that compute in integers or in half precision."""


def picture() -> NDArray[np.uint8]:
    """Draw the picture of the test: uint8 (160, 192), round spots on a dark ground, by whole numbers only."""
    rows, cols = np.mgrid[:160, :192]
    image = np.full((160, 192), 12, np.int64)
    for row in range(24, 160, 40):
        for number, col in enumerate(range(24, 192, 36)):
            radius = 8 + (row // 40 + number) % 4
            distance = (rows - row) ** 2 + (cols - col) ** 2
            image = np.maximum(image, 12 + 180 * np.clip(radius**2 - distance // 2, 0, radius**2) // radius**2)
    return image.astype(np.uint8)


def measure(segmenter: Segmenter) -> dict[str, Any]:
    """Segment the picture.

    Returns
    -------
    dict
        ``maps``: the mean of each map by name; ``nuclei``: how many; ``area_px``: pixels of all nuclei.
    """
    plane = picture()
    maps_CHW = segmenter.maps(plane)
    labels, _ = segmenter.segment_plane(plane)
    means = {name: round(float(m.mean()), 6) for name, m in zip(segmenter.card.maps, maps_CHW, strict=True)}
    return {"maps": means, "nuclei": int(labels.max(initial=0)), "area_px": int((labels > 0).sum())}


def compare(stored: dict[str, Any], got: dict[str, Any], *, coarse: bool = False) -> str:
    """Say how two results of `measure` differ; empty if they differ no more than processors may.

    `coarse` allows for the rounding of integers and half precision.
    """
    tolerance = _TOLERANCE_COARSE if coarse else _TOLERANCE
    if stored["maps"].keys() != got["maps"].keys():
        return f"maps {', '.join(got['maps'])}, stored {', '.join(stored['maps'])}"
    for name, value in stored["maps"].items():
        if not abs(value - got["maps"][name]) <= tolerance:
            return f"mean of map {name} is {got['maps'][name]:.4f}, stored {value:.4f}"
    if stored["nuclei"] != got["nuclei"]:
        return f"{got['nuclei']} nuclei, stored {stored['nuclei']}"
    if abs(stored["area_px"] - got["area_px"]) > (0.05 if coarse else 0.01) * stored["area_px"]:
        return f"{got['area_px']} pixels of nuclei, stored {stored['area_px']}"
    return ""


def stored_path(onnx: Path) -> Path:
    """Name the file of stored results beside a model's weights."""
    return onnx.with_suffix(".selftest.json")


def read_stored(onnx: Path) -> dict[str, Any] | None:
    """Read the results stored with a model; None if there are none.

    Raises
    ------
    ModelError
        If the file is damaged.
    """
    path = stored_path(onnx)
    try:
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        complete = isinstance(stored["maps"], dict) and stored["nuclei"] >= 0 and stored["area_px"] >= 0
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is damaged ({type(error).__name__}: {error}); install nucleate again") from error
    if not complete:
        raise ModelError(f"{path} is damaged; install nucleate again")
    return stored


def write_stored(onnx: Path, results: dict[str, Any]) -> None:
    """Store the results of `measure` beside a model's weights.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    write_text(stored_path(onnx), json.dumps(results, indent=2) + "\n")

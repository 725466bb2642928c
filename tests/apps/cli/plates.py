"""A plate of two wells, its map, and the call that screens it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tifffile
from tests.tables import rows_of

if TYPE_CHECKING:
    from pathlib import Path

PLACES = [(12, 12), (30, 35), (12, 35), (30, 12)]


def draw_field(path: Path, nuclei: int) -> None:
    rows, cols = np.mgrid[:44, :50]
    picture = np.full(rows.shape, 100, np.uint16)
    for row, col in PLACES[:nuclei]:
        picture[(rows - row) ** 2 + (cols - col) ** 2 < 30] = 3100
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, picture)


def draw_two_channels(path: Path, nuclei: int) -> None:
    """Draw nuclei in the second channel."""
    draw_field(path, nuclei)
    picture = tifffile.imread(path)
    tifffile.imwrite(path, np.stack([picture[::-1], picture]), imagej=True, metadata={"axes": "CYX"})


def screen_call(folder: Path, *words: str) -> tuple[str | Path, ...]:
    (folder / "map.csv").write_text("well,compound,role\nA1,,negative\nA2,X,\n", encoding="utf-8")
    return ("screen", folder / "p", "--map", folder / "map.csv", "-o", folder / "out", *words)


def well_counts(folder: Path) -> dict[str, str]:
    return {row["well"]: row["nuclei"] for row in rows_of(folder / "out" / "wells.csv")}


def moved_plate(folder: Path, place: str) -> list[str]:
    (folder / "p").rename(folder / place)
    return [str(word).replace(f"{folder}/p", f"{folder}/{place}") for word in screen_call(folder)]

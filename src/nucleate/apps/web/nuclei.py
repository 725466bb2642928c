"""The measurements of one image's nuclei: a table page by page, one row, distributions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.export.read_table import read_columns
from nucleate.report.histograms import histogram

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Nuclei"]

_SHORT = (
    "label",
    "plane",
    "area_px",
    "area_um2",
    "confidence",
    "mean_intensity",
    "eccentricity",
    "solidity",
)
"""Columns of the table on the page; with several channels, the mean intensity of each."""


@dataclass(frozen=True, eq=False)
class Nuclei:
    """Measurements by column.

    Parameters
    ----------
    columns : dict of str to (n,) float ndarray
        As in measurements.csv, including ``label``; unknown values are NaN.
    """

    columns: dict[str, NDArray[np.float64]]

    @classmethod
    def read(cls, path: Path) -> Nuclei:
        """Read the measurements of one image.

        Raises
        ------
        InputError
            If the file is damaged.
        """
        found: dict[str, NDArray[Any]] = read_columns(path, texts=["image"], needed=["label", "confidence"])
        found.pop("image")
        return cls(found)

    def __len__(self) -> int:
        """Count the nuclei."""
        return len(self.columns["label"])

    @property
    def confidence(self) -> NDArray[np.float64]:
        """Confidence of each nucleus by its number, (highest + 1,); NaN for numbers without nucleus."""
        labels = self.columns["label"].astype(np.int64)
        found = np.full(int(labels.max(initial=0)) + 1, np.nan)
        found[labels] = self.columns["confidence"]
        return found

    @property
    def short(self) -> list[str]:
        """Columns that the page shows, which are known for some nucleus."""
        kept = [
            name
            for name in self.columns
            if name in _SHORT or name.startswith("mean_intensity")
            if name == "label" or not len(self) or np.isfinite(self.columns[name]).any()
        ]
        return sorted(kept, key=lambda name: next(i for i, one in enumerate(_SHORT) if name.startswith(one)))

    @property
    def counts(self) -> dict[str, Any]:
        """Number of nuclei and their median area, as an `Outcome` tells them."""
        areas = self.columns.get("area_px", np.zeros(0))
        return {"nuclei": len(self), "median_area_px": float(np.median(areas)) if areas.size else None}

    def count(self, least: float) -> int:
        """Count the nuclei that are at least so sure."""
        return int(self._sure(least).sum())

    def page(self, sort: str, *, down: bool, least: float, first: int, count: int) -> dict[str, Any]:
        """Give some rows of the table.

        Parameters
        ----------
        sort : str
            A column; the number of the nucleus if there is no column of that name.
        down : bool
            The largest first; unknown values come last in either case.
        least : float
            Nuclei that are less sure are left out.
        first, count : int
            Which rows.

        Returns
        -------
        dict
            ``columns``, ``rows``, and ``total``, the number of rows on all pages.
        """
        kept = np.flatnonzero(self._sure(least))
        values = self.columns.get(sort, self.columns["label"])[kept]
        order = np.argsort(-values if down else values, kind="stable")
        shown = kept[order][first : first + count]
        names = self.short
        rows = [[_plain(self.columns[name][i]) for name in names] for i in shown]
        return {"columns": names, "rows": rows, "total": len(kept)}

    def row(self, label: int) -> dict[str, Any] | None:
        """Give all that is known of one nucleus; None if there is none of that number."""
        found = np.flatnonzero(self.columns["label"] == label)
        if not found.size:
            return None
        known = {name: _plain(values[found[0]]) for name, values in self.columns.items()}
        return {name: value for name, value in known.items() if value is not None}

    def histograms(self, least: float) -> list[str]:
        """Draw area, brightness and confidence of the nuclei that are at least so sure, as SVG."""
        kept = self._sure(least)
        um = self.columns.get("area_um2", np.zeros(0))
        area, unit = (um, "µm²") if np.isfinite(um).any() else (self.columns["area_px"], "px")
        drawn = [histogram(area[kept], f"Area ({unit})")]
        means = [name for name in self.columns if name.startswith("mean_intensity")][:4]
        channels = [name.removeprefix("mean_intensity").replace("_", " ", 1) for name in means]
        drawn += [
            histogram(self.columns[name][kept], f"Mean intensity{channel}")
            for name, channel in zip(means, channels, strict=True)
        ]
        drawn.append(histogram(self.columns["confidence"][kept], "Confidence", bounds=(0.0, 1.0)))
        return [one for one in drawn if one]

    def _sure(self, least: float) -> NDArray[np.bool_]:
        sure: NDArray[np.bool_] = ~(self.columns["confidence"] < least)
        return sure


def _plain(value: float) -> float | int | None:
    """Make a number fit for JSON: whole numbers become integers, numbers that are not finite None."""
    if not math.isfinite(value):
        return None
    return int(value) if value == int(value) and abs(value) < 2**53 else float(f"{value:.6g}")

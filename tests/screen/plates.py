"""Plates of nuclei that are alike but for what a test says of them; each well has one field, which bears its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.screen.tables import FieldRow, Tables, build_tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from nucleate.screen.platemap import Content

_PLAIN = {
    "area_px": 100.0, "area_um2": np.nan, "eccentricity": 0.4, "solidity": 0.98, "confidence": 0.9,
    "mean_intensity": 110.0, "min_intensity": 10.0, "std_intensity": 20.0, "integrated_intensity": 1e4,
}  # fmt: skip


def nuclei_of(images: Sequence[str], **columns: ArrayLike) -> dict[str, NDArray[Any]]:
    """Make the table of nuclei that lie in these images."""
    table: dict[str, NDArray[Any]] = {name: np.full(len(images), value) for name, value in _PLAIN.items()}
    table |= {name: np.array(values, np.float64) for name, values in columns.items()}
    return table | {"image": np.array(images, dtype=object)}


def names_of(counts: Mapping[str, int]) -> list[str]:
    """Give the well of each nucleus."""
    return [well for well, count in counts.items() for _ in range(count)]


def tables_of(
    nuclei: Mapping[str, NDArray[Any]],
    wells: Iterable[str],
    *,
    contents: Mapping[str, Content],
    **options: Any,  # noqa: ANN401 - of `build_tables`
) -> Tables:
    return build_tables(nuclei, [FieldRow(well, well, 1) for well in wells], contents=contents, **options)

"""From nuclei to fields to wells: counts, medians and fractions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.wells import well_place
from nucleate.screen.phenotypes import Reference, classify, reference_of
from nucleate.screen.platemap import Content

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


__all__ = [
    "FEATURES",
    "INTENSITIES",
    "LEAST",
    "MEDIANS",
    "SHARES",
    "FieldRow",
    "Tables",
    "build_tables",
    "counted",
    "nuclear_columns",
    "summarise",
]

FEATURES = {
    "nuclei_per_field": "Nuclei a field",
    "median_area_um2": "Median nuclear area (µm²)",
    "median_area_px": "Median nuclear area (px)",
    "median_intensity": "Median nuclear intensity",
    "condensed_fraction": "Condensed nuclei (share)",
    "mitotic_fraction": "Mitotic-looking nuclei (share)",
}
"""Columns of a well that are judged, with their headings; the area in pixels where micrometres are not known."""

SHARES = ("condensed_fraction", "mitotic_fraction")
"""Columns of a well that are shares of its whole nuclei."""
MEDIANS = {
    "median_area_px": "area_px",
    "median_area_um2": "area_um2",
    "median_intensity": "mean_intensity",
    "median_integrated_intensity": "integrated_intensity",
    "median_eccentricity": "eccentricity",
    "mean_confidence": "confidence",
}
"""Columns of a well that are medians (one is a mean) over its nuclei, and of what."""
INTENSITIES = ("mean_intensity", "min_intensity", "std_intensity", "integrated_intensity")
"""Measurements that have the name of the channel behind theirs where there are several."""

LEAST = 6
"""Nuclei under which a well has no median and no share that is over these (see `counted`): of fewer, the smallest and
the largest value do not even hold the median between them in 95 of 100 cases (1 - 2 / 2^n)."""

_CUT = frozenset({"area_px", "area_um2", "integrated_intensity", "eccentricity"})
"""Measurements that are wrong of a nucleus at the edge of the field, of which only a part is seen."""


@dataclass(frozen=True)
class FieldRow:
    """One field that was to be segmented.

    Parameters
    ----------
    name : str
        Of its results.
    well : str
        Like ``A01``.
    number : int
        Of the field in the well.
    status : str
        ``ok``, ``failed`` or ``not done``; only the first counts.
    """

    name: str
    well: str
    number: int
    status: str = "ok"


@dataclass(frozen=True, eq=False)
class Tables:
    """The three tables of a plate, each by column.

    Parameters
    ----------
    nuclei : dict
        One entry a nucleus: what was measured, ``well_index``, ``field_index``, ``condensed``, ``mitotic``.
    fields : dict
        One entry a field.
    wells : dict
        One entry a well that has a finished field or is in the map, in the order of the plate.
    reference : Reference
        The ordinary nucleus of the negative controls.
    """

    nuclei: dict[str, NDArray[Any]]
    fields: dict[str, NDArray[Any]]
    wells: dict[str, NDArray[Any]]
    reference: Reference

    @property
    def features(self) -> tuple[str, ...]:
        """Which of `FEATURES` are judged on this plate."""
        known = np.isfinite(self.wells["median_area_um2"]).any()
        area = {"median_area_px"} if known else {"median_area_um2"}
        return tuple(name for name in FEATURES if name not in area)


def nuclear_columns(columns: Mapping[str, NDArray[Any]], channel: str | None) -> dict[str, NDArray[Any]]:
    """Give the intensities of the nuclear channel plain names.

    Parameters
    ----------
    columns : mapping
        As `nucleate.export.measurements` names them.
    channel : str, optional
        Suffix of the nuclear channel; None or absent where there is one channel only.

    Returns
    -------
    dict
        The same columns, with ``mean_intensity`` and so on.
    """
    found = dict(columns)
    for name in INTENSITIES:
        suffixed = f"{name}_{channel}"
        if suffixed in found:
            # Fields with this channel alone have columns without a suffix.
            plain = found.get(name, found[suffixed])
            found[name] = np.where(np.isnan(plain), found[suffixed], plain)
    return found


def build_tables(
    nuclei: Mapping[str, NDArray[Any]],
    fields: Sequence[FieldRow],
    *,
    contents: Mapping[str, Content],
    least: int = LEAST,
) -> Tables:
    """Count and summarise nuclei by field and by well.

    Parameters
    ----------
    nuclei : mapping of str to (n,) ndarray
        Measurements with ``image``, the name of the field.
    fields : sequence of FieldRow
        All of them: one without a nucleus counts as 0, one that failed does not count.
    contents : mapping of str to Content
        The plate map.
    least : int
        Nuclei under which a well has no median and no share that is over these.

    Returns
    -------
    Tables
    """
    done = [field for field in fields if field.status == "ok"]
    wells = sorted({field.well for field in done} | set(contents), key=well_place)
    place = {field.name: i for i, field in enumerate(done)}
    known = [contents.get(well, Content(well)) for well in wells]
    well_of_field = np.array([wells.index(field.well) for field in done], dtype=np.int64)
    owner = np.array([place[name] for name in nuclei["image"]], dtype=np.int64)
    table = dict(nuclei) | {"field_index": owner, "well_index": well_of_field[owner]}
    negative = np.array([content.role == "negative" for content in known], bool)
    from_controls = negative[table["well_index"]]
    reference = reference_of({name: values[from_controls] for name, values in table.items()})
    table |= classify(table, reference)
    rows, columns = np.array([well_place(well) for well in wells], dtype=np.int64).reshape(-1, 2).T + 1
    finished = np.bincount(well_of_field, minlength=len(wells))
    of_wells = summarise(table, table["well_index"], count=len(wells))
    for name in (*MEDIANS, *SHARES):
        of_wells[name] = np.where(of_wells[counted(name)] < least, np.nan, of_wells[name])
    of_wells["nuclei_per_field"] = of_wells["nuclei"] / np.where(finished, finished, np.nan)
    by_well = {
        "well": np.array(wells, dtype=object),
        "row": rows,
        "column": columns,
        "compound": np.array([content.compound for content in known], dtype=object),
        "concentration": np.array([content.concentration for content in known], np.float64),
        "role": np.array([content.role for content in known], dtype=object),
        "fields": finished,
        **of_wells,
    }
    by_field = {
        "well": np.array([field.well for field in done], dtype=object),
        "field": np.array([field.number for field in done], dtype=np.int64),
        **summarise(table, owner, count=len(done)),
    }
    return Tables(table, by_field, by_well, reference)


def counted(name: str) -> str:
    """Tell which column of a well counts the nuclei that one of its medians or shares is over.

    Examples
    --------
    >>> counted("median_intensity"), counted("median_area_px")
    ('nuclei', 'whole_nuclei')
    """
    return "nuclei" if name in MEDIANS and MEDIANS[name] not in _CUT else "whole_nuclei"


def summarise(table: Mapping[str, NDArray[Any]], owner: NDArray[np.int64], *, count: int) -> dict[str, NDArray[Any]]:
    """Summarise nuclei by group.

    Parameters
    ----------
    table : mapping of str to (n,) ndarray
        Measurements and phenotypes.
    owner : (n,) int ndarray
        Group of each nucleus, 0 to `count` - 1.
    count : int
        How many groups there are.

    Returns
    -------
    dict of str to (count,) ndarray
        ``nuclei`` and ``whole_nuclei``, which the edge of the field does not cut; medians, and fractions of the
        phenotypes, NaN for a group without nuclei. Sizes, shapes and fractions are those of whole nuclei.
    """
    nuclei = np.bincount(owner, minlength=count)
    cut = np.asarray(table.get("touches_border", np.zeros(len(owner)))) == 1
    order = np.argsort(owner, kind="stable")
    ends = np.cumsum(nuclei)
    found: dict[str, NDArray[Any]] = {"nuclei": nuclei}
    for name, source in MEDIANS.items():
        values = np.asarray(table.get(source, np.full(len(order), np.nan)), np.float64)
        values = np.where(cut, np.nan, values)[order] if source in _CUT else values[order]
        middle = np.mean if name.startswith("mean") else np.median
        groups = [values[end - n : end] for end, n in zip(ends, nuclei, strict=True)]
        finite = [group[np.isfinite(group)] for group in groups]
        found[name] = np.array([middle(group) if group.size else np.nan for group in finite], np.float64)
    whole = np.bincount(owner[~cut], minlength=count)
    divisor = np.where(whole, whole, np.nan)
    for name in SHARES:
        found[name] = np.bincount(owner, table[name.removesuffix("_fraction")], count) / divisor
    found["whole_nuclei"] = whole
    return found

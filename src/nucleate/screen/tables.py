"""Sums up nuclei by field and by well: counts, medians and fractions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.wells import well_place
from nucleate.screen.phenotypes import LOOKED_AT, Reference, classify, positive_threshold, reference_of, seen_whole
from nucleate.screen.platemap import Content

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray


__all__ = [
    "LEAST",
    "FieldRow",
    "Summary",
    "Tables",
    "build_tables",
    "is_fraction",
    "measured_columns",
    "nuclear_columns",
    "spoken",
    "summaries",
    "summarise",
]

_FEATURES = {
    "nuclei_per_field": "Nuclei a field",
    "median_area_um2": "Median nuclear area (µm²)",
    "median_area_px": "Median nuclear area (px)",
    "median_intensity": "Median nuclear intensity",
    "condensed_fraction": "Condensed nuclei (share)",
    "mitotic_fraction": "Mitotic-looking nuclei (share)",
}
"""Columns of a well that are judged, with their headings; the area is in pixels if micrometres are not known."""
_MARKER_FEATURES = {"median_intensity": "Median intensity of {}", "positive_fraction": "Nuclei positive for {} (share)"}
"""The columns and headings for each other channel, whose name is added at the end."""
_SHARES = ("condensed_fraction", "mitotic_fraction", "positive_fraction")

LEAST = 6
"""Least number of nuclei with which a well has a median or a fraction (see `Summary`): with fewer, the median does not
even lie between the smallest and the largest value in 95 of 100 cases (1 - 2 / 2^n)."""


@dataclass(frozen=True)
class Summary:
    """How a column of a well follows from its nuclei: by the median of values, by the mean of confidences and marks.

    Parameters
    ----------
    of : str
        Column of the nuclei; NaN values are left out.
    over : str
        Column of the well that counts the nuclei: all of them, ``whole_nuclei`` if nuclei that are cut would have wrong
        values, or those with a value in a channel.
    """

    of: str
    over: str


_SUMMARIES = {
    "median_area_px": Summary("area_px", "whole_nuclei"),
    "median_area_um2": Summary("area_um2", "whole_nuclei"),
    "median_intensity": Summary("mean_intensity", "nuclei"),
    "median_integrated_intensity": Summary("integrated_intensity", "whole_nuclei"),
    "median_eccentricity": Summary("eccentricity", "whole_nuclei"),
    "mean_confidence": Summary("confidence", "nuclei"),
    "condensed_fraction": Summary("condensed", "whole_nuclei"),
    "mitotic_fraction": Summary("mitotic", "whole_nuclei"),
}


@dataclass(frozen=True)
class FieldRow:
    """One field that was to be segmented.

    Parameters
    ----------
    name : str
        Name of its results.
    well : str
        Name of the well, such as ``A01``.
    number : int
        Number of the field in the well.
    status : str
        ``ok``, ``failed`` or ``not done``; only the first counts.
    """

    name: str
    well: str
    number: int
    status: str = "ok"


@dataclass(frozen=True, eq=False)
class Tables:
    """The three tables of a plate, each a dict of columns.

    Parameters
    ----------
    nuclei : dict
        Columns with an entry for each nucleus: its measurements, ``well_index``, ``field_index``, ``condensed``,
        ``mitotic``, and for each other channel ``positive_`` and its name: 1, 0, or NaN if it is not known.
    fields : dict
        Columns with an entry for each field.
    wells : dict
        Columns with an entry for each well that has a finished field or is in the map, in the order of the plate.
    reference : Reference
        The ordinary nucleus of the negative controls.
    thresholds : dict of str to float
        For each channel other than that of the nuclei, the mean intensity above which a nucleus is positive.
    """

    nuclei: dict[str, NDArray[Any]]
    fields: dict[str, NDArray[Any]]
    wells: dict[str, NDArray[Any]]
    reference: Reference
    thresholds: dict[str, float] = field(default_factory=dict)

    @property
    def headings(self) -> dict[str, str]:
        """Columns of a well that are judged on this plate, with their headings."""
        known = np.isfinite(self.wells["median_area_um2"]).any()
        area = "median_area_px" if known else "median_area_um2"
        plain = {name: heading for name, heading in _FEATURES.items() if name != area}
        return plain | {
            f"{name}_{channel}": heading.format(spoken(channel))
            for channel in self.thresholds
            for name, heading in _MARKER_FEATURES.items()
        }

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns that are judged."""
        return tuple(self.headings)

    @property
    def summaries(self) -> dict[str, Summary]:
        """How the columns of a well come from its nuclei."""
        return summaries(self.thresholds)


def spoken(channel: str) -> str:
    """Name a channel in a sentence; if its name is only a number, the word channel is added.

    Examples
    --------
    >>> spoken("p53"), spoken("02"), spoken("08-02")
    ('p53', 'channel 02', 'channel 08-02')
    """
    return f"channel {channel}" if channel.replace("-", "").isdecimal() else channel


def is_fraction(name: str) -> bool:
    """Tell whether a column of a well is a fraction of its nuclei.

    Examples
    --------
    >>> is_fraction("positive_fraction_p53"), is_fraction("median_intensity_p53")
    (True, False)
    """
    return name.startswith(_SHARES)


def summaries(markers: Iterable[str] = ()) -> dict[str, Summary]:
    """List the columns of a well that sum up its nuclei.

    Parameters
    ----------
    markers : iterable of str
        Channels other than that of the nuclei.

    Examples
    --------
    >>> summaries(["p53"])["median_intensity_p53"]
    Summary(of='mean_intensity_p53', over='nuclei_p53')
    """
    found = dict(_SUMMARIES)
    for channel in markers:
        own = f"nuclei_{channel}"
        found[f"median_intensity_{channel}"] = Summary(f"mean_intensity_{channel}", own)
        found[f"median_integrated_intensity_{channel}"] = Summary(f"integrated_intensity_{channel}", "whole_nuclei")
        found[f"positive_fraction_{channel}"] = Summary(f"positive_{channel}", own)
    return found


def measured_columns(channel: str | None, markers: Iterable[str] = ()) -> list[str]:
    """Name the measurements that the tables are made of, with all names that `nucleate.export.measurements` may give.

    Parameters
    ----------
    channel : str, optional
        The channel of the nuclei; the columns of its intensities may or may not end in its name.
    markers : iterable of str
        The other channels.

    Returns
    -------
    list of str
        The names, some of which are not measured but computed here, such as ``condensed``.
    """
    plain = _plain_columns()
    return [*plain, *(f"{name}_{channel}" for name in plain), *(one.of for one in summaries(markers).values())]


def nuclear_columns(columns: Mapping[str, NDArray[Any]], channel: str | None) -> dict[str, NDArray[Any]]:
    """Give the intensities of the nuclear channel plain names.

    Parameters
    ----------
    columns : mapping
        Columns with the names that `nucleate.export.measurements` gives.
    channel : str, optional
        Suffix of the nuclear channel; None, or not found in the columns, if it has no name.

    Returns
    -------
    dict
        The same columns, with ``mean_intensity`` and so on.
    """
    found = dict(columns)
    for name in _plain_columns():
        suffixed = f"{name}_{channel}"
        if suffixed in found:
            # Files without channel names have columns without a suffix.
            plain = found.get(name, found[suffixed])
            found[name] = np.where(np.isnan(plain), found[suffixed], plain)
    return found


def _plain_columns() -> list[str]:
    return [*dict.fromkeys([*LOOKED_AT, *(summary.of for summary in _SUMMARIES.values())])]


def build_tables(
    nuclei: Mapping[str, NDArray[Any]],
    fields: Sequence[FieldRow],
    *,
    contents: Mapping[str, Content],
    markers: Sequence[str] = (),
    least: int = LEAST,
) -> Tables:
    """Count and summarise nuclei by field and by well.

    Parameters
    ----------
    nuclei : mapping of str to (n,) ndarray
        Measurements with ``image``, the name of the field.
    fields : sequence of FieldRow
        All fields: a field without nuclei counts as 0, and a field that failed does not count.
    contents : mapping of str to Content
        The plate map.
    markers : sequence of str
        Channels other than that of the nuclei, whose names end those of their measurements.
    least : int
        Least number of nuclei with which a well has a median or a fraction.

    Returns
    -------
    Tables
    """
    done = [row for row in fields if row.status == "ok"]
    wells = sorted({row.well for row in done} | set(contents), key=well_place)
    place = {row.name: i for i, row in enumerate(done)}
    inside = [contents.get(well, Content(well)) for well in wells]
    well_of_field = np.array([wells.index(row.well) for row in done], dtype=np.int64)
    owner = np.array([place[name] for name in nuclei["image"]], dtype=np.int64)
    table = dict(nuclei) | {"field_index": owner, "well_index": well_of_field[owner]}
    negative = np.array([content.role == "negative" for content in inside], bool)
    from_controls = negative[table["well_index"]]
    reference = reference_of({name: values[from_controls] for name, values in table.items()})
    thresholds = {channel: positive_threshold(_means(table, channel)[from_controls]) for channel in markers}
    table |= classify(table, reference) | _positive(table, thresholds)
    rows, columns = np.array([well_place(well) for well in wells], dtype=np.int64).reshape(-1, 2).T + 1
    finished = np.bincount(well_of_field, minlength=len(wells))
    of_wells = summarise(table, table["well_index"], count=len(wells), markers=markers, least=least)
    of_wells["nuclei_per_field"] = of_wells["nuclei"] / np.where(finished, finished, np.nan)
    by_well = {
        "well": np.array(wells, dtype=object),
        "row": rows,
        "column": columns,
        "compound": np.array([content.compound for content in inside], dtype=object),
        "concentration": np.array([content.concentration for content in inside], np.float64),
        "role": np.array([content.role for content in inside], dtype=object),
        "fields": finished,
        **of_wells,
    }
    by_field = {
        "well": np.array([row.well for row in done], dtype=object),
        "field": np.array([row.number for row in done], dtype=np.int64),
        **summarise(table, owner, count=len(done), markers=markers),
    }
    return Tables(table, by_field, by_well, reference, thresholds)


def _means(table: Mapping[str, NDArray[Any]], channel: str) -> NDArray[np.float64]:
    return np.asarray(table[f"mean_intensity_{channel}"], np.float64)


def _positive(table: Mapping[str, NDArray[Any]], thresholds: Mapping[str, float]) -> dict[str, NDArray[np.float64]]:
    """Tell which nuclei are positive in each channel: 1, 0, or NaN if it is not known."""
    found = {}
    for channel, threshold in thresholds.items():
        values = _means(table, channel)
        known = np.isfinite(values) & np.isfinite(threshold)
        found[f"positive_{channel}"] = np.where(known, values > threshold, np.nan)
    return found


def summarise(
    table: Mapping[str, NDArray[Any]],
    owner: NDArray[np.int64],
    *,
    count: int,
    markers: Sequence[str] = (),
    least: int = 1,
) -> dict[str, NDArray[Any]]:
    """Summarise nuclei by group.

    Parameters
    ----------
    table : mapping of str to (n,) ndarray
        Measurements and phenotypes.
    owner : (n,) int ndarray
        Group of each nucleus, 0 to `count` - 1.
    count : int
        How many groups there are.
    markers : sequence of str
        Channels other than that of the nuclei.
    least : int
        Least number of nuclei with which a group has a median or a fraction.

    Returns
    -------
    dict of str to (count,) ndarray
        ``nuclei``; the `summaries`, which are NaN for a group without nuclei; ``whole_nuclei``, which the edge of the
        field does not cut; and for each marker the number of nuclei that have a value in it. Sizes, shapes and
        phenotypes are those of whole nuclei.
    """
    whole = seen_whole(table)
    found: dict[str, NDArray[Any]] = {"nuclei": np.bincount(owner, minlength=count)}
    order, ends = np.argsort(owner, kind="stable"), np.cumsum(found["nuclei"])[:-1]
    for name, summary in summaries(markers).items():
        values = np.asarray(table.get(summary.of, np.full(len(order), np.nan)), np.float64)
        if summary.over == "whole_nuclei":
            values = np.where(whole, values, np.nan)
        middle = np.mean if is_fraction(name) or name.startswith("mean") else np.median
        finite = [group[np.isfinite(group)] for group in np.split(values[order], ends)]
        found[name] = np.array([middle(g) if len(g) >= max(least, 1) else np.nan for g in finite], np.float64)
    found["whole_nuclei"] = np.bincount(owner[whole], minlength=count)
    for channel in markers:
        seen = np.isfinite(_means(table, channel))
        found[f"nuclei_{channel}"] = np.bincount(owner[seen], minlength=count)
    return found

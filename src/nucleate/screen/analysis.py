"""The statistics of a plate: z-scores, controls, edges, doses and curves, all from the table of its wells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.wells import plate_shape
from nucleate.screen.dose import DoseFit, fit_dose
from nucleate.screen.hits import Edge, Separation, edge_effect, robust_z, separation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.screen.tables import Tables

__all__ = ["HIT", "Curve", "DoseRow", "Screen", "analyse"]

HIT = 3.0
"""Robust standard deviations from the negative controls from which on a well is called a hit."""

_ENOUGH = 3


@dataclass(frozen=True)
class DoseRow:
    """One compound at one concentration.

    Parameters
    ----------
    compound : str
    concentration : float
    wells : tuple of str
    medians : dict
        Median over its wells, by feature.
    ssmd : dict
        Against the negative controls, by feature; NaN with a single well.
    """

    compound: str
    concentration: float
    wells: tuple[str, ...]
    medians: dict[str, float]
    ssmd: dict[str, float]


@dataclass(frozen=True, eq=False)
class Curve:
    """The responses to one compound and the curve through them.

    Parameters
    ----------
    compound, feature : str
    doses, responses : (n,) float64 ndarray
        One a well; dose 0 are the negative controls.
    fit : DoseFit
    """

    compound: str
    feature: str
    doses: NDArray[np.float64]
    responses: NDArray[np.float64]
    fit: DoseFit


@dataclass(frozen=True, eq=False)
class Screen:
    """What a plate says.

    Parameters
    ----------
    tables : Tables
        Nuclei, fields, wells.
    shape : (int, int)
        Rows and columns of the plate.
    z : dict of str to (n,) ndarray
        Robust z-scores of the wells, by feature.
    controls : dict of str to Separation
        Positive against negative controls, by feature; empty without positive controls.
    edges : dict of str to Edge
        The rim against the inside, by feature.
    edge_of : str
        Role of the wells that `edges` compares.
    doses : tuple of DoseRow
    curves : tuple of Curve
        One a compound of several doses and feature.
    """

    tables: Tables
    shape: tuple[int, int]
    z: dict[str, NDArray[np.float64]]
    controls: dict[str, Separation]
    edges: dict[str, Edge]
    edge_of: str
    doses: tuple[DoseRow, ...]
    curves: tuple[Curve, ...]


def analyse(tables: Tables, *, wells_of_plate: int | None = None) -> Screen:
    """Compute every statistic of a plate.

    Parameters
    ----------
    tables : Tables
    wells_of_plate : int, optional
        How many it has; told by the wells that occur when None.

    Returns
    -------
    Screen
    """
    wells, features = tables.wells, tables.features
    role = wells["role"]
    negative = {name: wells[name][role == "negative"] for name in features}
    positive = {name: wells[name][role == "positive"] for name in features}
    shape = plate_shape(list(wells["well"]), wells_of_plate)
    rim = (wells["row"] == 1) | (wells["row"] == shape[0]) | (wells["column"] == 1) | (wells["column"] == shape[1])
    edge_of = "negative" if _both_sides(rim[(role == "negative") & (wells["fields"] > 0)]) else "sample"
    judged = role == edge_of
    return Screen(
        tables,
        shape,
        {name: np.where(role == "empty", np.nan, robust_z(wells[name], negative[name])) for name in features},
        {name: separation(positive[name], negative[name]) for name in features} if "positive" in role else {},
        {name: edge_effect(wells[name][judged], rim[judged]) for name in features},
        edge_of,
        tuple(_dose_rows(wells, features, negative=negative)),
        tuple(_curves(wells, features)),
    )


def _both_sides(rim: NDArray[np.bool_]) -> bool:
    return int(rim.sum()) >= _ENOUGH and int((~rim).sum()) >= _ENOUGH


def _dose_rows(
    wells: dict[str, NDArray[Any]], features: tuple[str, ...], *, negative: dict[str, NDArray[np.float64]]
) -> list[DoseRow]:
    treated = np.isin(wells["role"], ["sample", "positive"]) & (wells["compound"] != "")
    keys = dict.fromkeys(zip(wells["compound"][treated], wells["concentration"][treated], strict=True))
    rows = []
    for compound, concentration in sorted(keys, key=lambda key: (key[0], np.isnan(key[1]), key[1])):
        same = (wells["concentration"] == concentration) | (np.isnan(wells["concentration"]) & np.isnan(concentration))
        chosen = treated & (wells["compound"] == compound) & same
        values = {name: wells[name][chosen] for name in features}
        finite = {name: value[np.isfinite(value)] for name, value in values.items()}
        rows.append(
            DoseRow(
                compound,
                float(concentration),
                tuple(wells["well"][chosen]),
                {name: float(np.median(value)) if value.size else np.nan for name, value in finite.items()},
                {name: separation(value, negative[name]).ssmd for name, value in finite.items()},
            )
        )
    # NaN is not equal to itself, so wells without a concentration come once each.
    unique = {(row.compound, row.wells): row for row in rows}
    return list(unique.values())


def _curves(wells: dict[str, NDArray[Any]], features: tuple[str, ...]) -> list[Curve]:
    treated = np.isin(wells["role"], ["sample", "positive"]) & (wells["concentration"] > 0) & (wells["compound"] != "")
    negative = wells["role"] == "negative"
    curves = []
    for compound in sorted(set(wells["compound"][treated])):
        chosen = treated & (wells["compound"] == compound)
        if len(set(wells["concentration"][chosen])) < 2:
            continue
        for name in features:
            doses = np.concatenate([np.zeros(int(negative.sum())), wells["concentration"][chosen]])
            responses = np.concatenate([wells[name][negative], wells[name][chosen]]).astype(np.float64)
            curves.append(Curve(compound, name, doses, responses, fit_dose(doses, responses)))
    return curves

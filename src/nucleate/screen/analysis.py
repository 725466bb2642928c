"""The statistics of a plate: z-scores, controls, edges, doses and curves, all from the table of its wells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.text import counted
from nucleate.core.wells import plate_shape
from nucleate.screen.dose import DoseFit, fit_dose
from nucleate.screen.hits import (
    FEW_CONTROLS,
    FEWEST_CONTROLS,
    NOMINAL,
    Edge,
    Separation,
    edge_effect,
    fraction_floor,
    hit_limit,
    robust_sd,
    robust_z,
    separation,
)
from nucleate.screen.phenotypes import seen_whole
from nucleate.screen.scatter import Scatter
from nucleate.screen.tables import is_fraction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.screen.tables import Tables

__all__ = ["Controls", "Curve", "DoseRow", "Screen", "analyse"]

_ENOUGH = 3


@dataclass(frozen=True)
class Controls:
    """One positive control at one concentration, compared with the negative controls.

    Parameters
    ----------
    compound : str
    concentration : float
        NaN where it is not given.
    by_feature : dict of str to Separation
    """

    compound: str
    concentration: float
    by_feature: dict[str, Separation]


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
    """All statistics of a plate.

    Parameters
    ----------
    tables : Tables
        Nuclei, fields, wells.
    shape : (int, int)
        Rows and columns of the plate.
    z : dict of str to (n,) ndarray
        Robust z-scores of the wells, by feature.
    limits : dict of str to float
        The z-score from which on a well is a hit, by feature; infinite with too few negative controls.
    controls : tuple of Controls
        Each positive control, compared with the negative controls.
    edges : dict of str to Edge
        The rim compared with the inside, by feature.
    edge_of : str
        Role of the wells that `edges` compares.
    doses : tuple of DoseRow
    curves : tuple of Curve
        One for each feature of each compound with several doses.
    """

    tables: Tables
    shape: tuple[int, int]
    z: dict[str, NDArray[np.float64]]
    limits: dict[str, float]
    controls: tuple[Controls, ...]
    edges: dict[str, Edge]
    edge_of: str
    doses: tuple[DoseRow, ...]
    curves: tuple[Curve, ...]

    @property
    def hits(self) -> dict[str, NDArray[np.bool_]]:
        """Which samples are hits, by feature."""
        samples = self.tables.wells["role"] == "sample"
        return {name: samples & (np.abs(z) >= self.limits[name]) for name, z in self.z.items()}

    @property
    def expected_by_chance(self) -> float:
        """How many hits a plate without any effect would have, if each measure of a well is counted."""
        samples = self.tables.wells["role"] == "sample"
        judged = [np.isfinite(z[samples]).sum() for name, z in self.z.items() if np.isfinite(self.limits[name])]
        return NOMINAL * float(sum(judged))

    @property
    def warning(self) -> str:
        """Say in one line which measures have few negative controls; empty if all have enough."""
        wells = self.tables.wells
        negative = wells["role"] == "negative"
        measures: dict[int, list[str]] = {}
        for name in self.tables.features:
            measures.setdefault(int(np.isfinite(wells[name][negative]).sum()), []).append(name)
        told = []
        for count, names in sorted(measures.items()):
            of = "each measure" if len(measures) == 1 else ", ".join(names)
            few = f"{counted(count, 'negative control')} with a value of {of}"
            if count < FEWEST_CONTROLS:
                by = "" if len(measures) == 1 else " by that"
                told.append(f"{few}: no well is called a hit{by}; it takes {FEWEST_CONTROLS}, better {FEW_CONTROLS}")
            elif count < FEW_CONTROLS:
                start = f"hits start at a z-score of {hit_limit(count):.1f}, not 3"
                told.append(f"{few}: their spread is hardly known, so {start}")
        return "; ".join(told)


def analyse(tables: Tables, *, wells_of_plate: int | None = None) -> Screen:
    """Compute every statistic of a plate.

    Parameters
    ----------
    tables : Tables
    wells_of_plate : int, optional
        How many wells the plate has; inferred from the wells that occur when None.

    Returns
    -------
    Screen
    """
    wells, features = tables.wells, tables.features
    role = wells["role"]
    shape = plate_shape(list(wells["well"]), wells_of_plate)
    rim = (wells["row"] == 1) | (wells["row"] == shape[0]) | (wells["column"] == 1) | (wells["column"] == shape[1])
    edge_of = "negative" if _both_sides(rim[(role == "negative") & (wells["fields"] > 0)]) else "sample"
    judged = role == edge_of
    return Screen(
        tables,
        shape,
        z={name: np.where(role == "empty", np.nan, _scores(tables, name)) for name in features},
        limits={name: hit_limit(int(np.isfinite(wells[name][role == "negative"]).sum())) for name in features},
        controls=tuple(
            Controls(compound, dose, {name: _separation(tables, name, chosen=chosen) for name in features})
            for compound, dose, chosen in _treatments(wells, role == "positive")
        ),
        edges={name: edge_effect(wells[name][judged], rim[judged]) for name in features},
        edge_of=edge_of,
        doses=tuple(_dose_rows(tables, features)),
        curves=tuple(_curves(tables)),
    )


def _scores(tables: Tables, name: str) -> NDArray[np.float64]:
    """Give the z-scores of all wells; the spread of a well is at least that which chance gives its few nuclei."""
    scatter, negative = _scatter(tables, name), tables.wells["role"] == "negative"
    return robust_z(scatter.values, scatter.values[negative], floors=scatter.chance, own=scatter.chance[negative])


def _scatter(tables: Tables, name: str) -> Scatter:
    """Tell how much each well scatters by chance; the spread of single nuclei is taken from the negative controls."""
    wells, summary = tables.wells, tables.summaries.get(name)
    if not summary:
        return Scatter.of_counts(wells[name], wells["fields"])
    if is_fraction(name):
        return Scatter.of_shares(wells[name], wells[summary.over])
    single = np.asarray(tables.nuclei[summary.of], np.float64)
    judged = (wells["role"] == "negative")[tables.nuclei["well_index"]] & np.isfinite(single)
    if summary.over == "whole_nuclei":
        judged &= seen_whole(tables.nuclei)
    single = single[judged]
    ordinary = float(np.median(single)) if single.size else np.nan
    return Scatter.of_medians(wells[name], wells[summary.over], controls=(ordinary, robust_sd(single)))


def _separation(tables: Tables, name: str, *, chosen: NDArray[np.bool_]) -> Separation:
    """Compare some wells with the negative controls; the spread of shares is at least that of chance."""
    wells = tables.wells
    groups = chosen, wells["role"] == "negative"
    values = [np.asarray(wells[name][group], np.float64) for group in groups]
    floors = [0.0, 0.0]
    if is_fraction(name):
        count = wells[tables.summaries[name].over]
        floors = [fraction_floor(wells[name][group], count[group]) for group in groups]
    return separation(*values, floors=(floors[0], floors[1]))


def _treatments(wells: dict[str, NDArray[Any]], among: NDArray[np.bool_]) -> list[tuple[str, float, NDArray[np.bool_]]]:
    """List compounds and concentrations with their wells; wells without a concentration form one entry, at the end."""
    compounds, doses = wells["compound"], np.nan_to_num(wells["concentration"], nan=np.inf)
    return [
        (compound, np.nan if np.isinf(dose) else dose, among & (compounds == compound) & (doses == dose))
        for compound, dose in sorted(set(zip(compounds[among], doses[among].tolist(), strict=True)))
    ]


def _both_sides(rim: NDArray[np.bool_]) -> bool:
    return int(rim.sum()) >= _ENOUGH and int((~rim).sum()) >= _ENOUGH


def _dose_rows(tables: Tables, features: tuple[str, ...]) -> list[DoseRow]:
    wells = tables.wells
    treated = np.isin(wells["role"], ["sample", "positive"]) & (wells["compound"] != "")
    rows = []
    for compound, concentration, chosen in _treatments(wells, treated):
        finite = {name: wells[name][chosen][np.isfinite(wells[name][chosen])] for name in features}
        rows.append(
            DoseRow(
                compound,
                concentration,
                tuple(wells["well"][chosen]),
                {name: float(np.median(value)) if value.size else np.nan for name, value in finite.items()},
                {name: _separation(tables, name, chosen=chosen).ssmd for name in features},
            )
        )
    return rows


def _curves(tables: Tables) -> list[Curve]:
    wells = tables.wells
    treated = np.isin(wells["role"], ["sample", "positive"]) & (wells["concentration"] > 0) & (wells["compound"] != "")
    negative = np.flatnonzero(wells["role"] == "negative")
    scatters = {name: _scatter(tables, name) for name in tables.features}
    curves = []
    for compound in sorted(set(wells["compound"][treated])):
        chosen = np.flatnonzero(treated & (wells["compound"] == compound))
        if len(set(wells["concentration"][chosen])) < 2:
            continue
        doses = np.concatenate([np.zeros(negative.size), wells["concentration"][chosen]])
        judged = np.concatenate([negative, chosen])
        for name, scatter in scatters.items():
            responses = np.asarray(wells[name][judged], np.float64)
            curves.append(
                Curve(compound, name, doses, responses, fit_dose(doses, responses, scatter=scatter.of(judged)))
            )
    return curves

"""A drawn plate whose compound has a known effect: cells are lost and nuclei shrink with the dose.

Every well has the same light, so that intensities can be compared; a nucleus that shrinks keeps its DNA and becomes
brighter. Such plates prove that a screen finds the effect that was put in.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from nucleate.core.files import atomic_path, make_folder, write_rows, write_text
from nucleate.core.labels import areas
from nucleate.core.wells import well_at
from nucleate.data.synth import Field, Scene, place
from nucleate.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DrawnPlate", "Effect", "WellPlan", "draw_field", "place_field", "plan_wells", "whole_areas", "write_plate"]

_CAMERA = {"offset": 200.0, "ground": 150.0, "signal": 4000.0, "photons_per_count": 0.5}


@dataclass(frozen=True)
class Effect:
    """How a compound acts: a quantity falls from 1 to `floor` along a logistic curve of the dose.

    Parameters
    ----------
    ic50 : float
        Dose at half of the effect.
    hill : float
        Steepness.
    floor : float
        Share of the quantity that is left at unlimited dose, 0..1.
    """

    ic50: float
    hill: float = 1.5
    floor: float = 0.2

    def left(self, dose: float) -> float:
        """Give the share of the quantity that is left at a dose.

        Examples
        --------
        >>> round(Effect(ic50=2.0, floor=0.2).left(2.0), 3)
        0.6
        """
        return float(self.floor + (1 - self.floor) / (1 + (dose / self.ic50) ** self.hill))


@dataclass(frozen=True)
class DrawnPlate:
    """What to draw.

    Parameters
    ----------
    rows, columns : int
        Of the plate.
    fields : int
        In each well.
    size : int
        Height and width of a field in pixels.
    nuclei : float
        Mean count in a field of untreated cells; single fields vary as counts do (Poisson).
    diameter : float
        Median diameter of untreated nuclei in pixels.
    loss : Effect
        Effect on the count.
    shrinkage : Effect
        Effect on the area of a nucleus.
    doses : int
        How many doses, around the geometric mean of the two IC50; half a decade apart, closer if there are over nine.

    Raises
    ------
    UsageError
        If there is no room for controls and doses.
    """

    rows: int = 8
    columns: int = 12
    fields: int = 2
    size: int = 192
    nuclei: float = 24.0
    diameter: float = 14.0
    loss: Effect = Effect(1.0, 1.5, 0.2)
    shrinkage: Effect = Effect(0.5, 1.5, 0.45)
    doses: int = 8

    def __post_init__(self) -> None:
        if self.columns < self.doses + 2 or self.rows < 2 or min(self.fields, self.size) < 1:
            got = f"{self.rows} x {self.columns} wells, {self.doses} doses, {self.fields} fields of {self.size} pixels"
            raise UsageError(f"no such plate can be drawn: got {got}; give two columns more than doses and two rows")


@dataclass(frozen=True)
class WellPlan:
    """The content of one well of a drawn plate.

    Parameters
    ----------
    row, column : int
        From 0.
    compound : str
    dose : float
    role : {"negative", "positive", "sample"}
    """

    row: int
    column: int
    compound: str
    dose: float
    role: str

    @property
    def name(self) -> str:
        """Name of the well like ``A01``, from row 27 on like ``AA01``."""
        return well_at(self.row, self.column)


def plan_wells(plate: DrawnPlate) -> list[WellPlan]:
    """Lay out a plate: the first and the last column are controls, half of each kind, alternating; doses lie in rows.

    Returns
    -------
    list of WellPlan
        Columns that are left over hold negative controls.
    """
    middle = np.log10(plate.loss.ic50 * plate.shrinkage.ic50) / 2
    apart = min(0.5, 4 / max(plate.doses - 1, 1))
    steps = np.round(10 ** (middle + apart * (np.arange(plate.doses) - (plate.doses - 1) / 2)), 4)
    highest = float(steps[-1]) * 10
    wells = []
    for row in range(plate.rows):
        for column in range(plate.columns):
            outer = column in {0, plate.columns - 1}
            if 1 <= column <= plate.doses:
                # Every second row runs the other way, so that a slope over the plate does not look like a dose effect.
                step = column - 1 if row % 2 == 0 else plate.doses - column
                wells.append(WellPlan(row, column, "drug", float(steps[step]), "sample"))
            elif outer and (row + column) % 2:
                wells.append(WellPlan(row, column, "drug, highest", highest, "positive"))
            else:
                wells.append(WellPlan(row, column, "", 0.0, "negative"))
    return wells


def place_field(plate: DrawnPlate, dose: float, *, rng: np.random.Generator) -> Field:
    """Lay down the nuclei of one field at a dose, without painting them.

    Returns
    -------
    Field
        The same nuclei as `draw_field` draws from the same generator.
    """
    count = int(rng.poisson(plate.nuclei * plate.loss.left(dose)))
    diameter = plate.diameter * plate.shrinkage.left(dose) ** 0.5
    return place(Scene((plate.size, plate.size), count, diameter=diameter, touching=0.0), rng)


def draw_field(plate: DrawnPlate, dose: float, *, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Draw one field at a dose.

    Parameters
    ----------
    plate : DrawnPlate
    dose : float
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    image : (H, W) uint16 ndarray
    labels : (H, W) int32 ndarray
        The truth.
    """
    shrunk = plate.shrinkage.left(dose)
    field = place_field(plate, dose, rng=rng)
    strength = np.concatenate([[0.0], np.exp(rng.normal(0, 0.12, len(field.radii))) / shrunk])
    dome = 0.6 + 0.4 * np.sqrt(np.clip(1 - (1 - field.depth) ** 2, 0, 1))
    light = ndimage.gaussian_filter(strength[field.labels] * dome, 0.8)
    counts = _CAMERA["ground"] + _CAMERA["signal"] * light
    noisy = rng.poisson(counts * _CAMERA["photons_per_count"]) / _CAMERA["photons_per_count"] + _CAMERA["offset"]
    image: NDArray[Any] = np.clip(np.rint(noisy), 0, 65535).astype(np.uint16)
    return image, field.labels


def whole_areas(labels_HW: NDArray[np.int32]) -> NDArray[np.int64]:
    """Measure the nuclei that the edge of a field does not cut.

    Parameters
    ----------
    labels_HW : (H, W) int32 ndarray

    Returns
    -------
    (n,) int64 ndarray
        Their areas in pixels.

    Examples
    --------
    >>> whole_areas(np.array([[0, 0, 0, 1], [0, 2, 2, 0], [0, 0, 0, 0]], np.int32)).tolist()
    [2]
    """
    sizes = areas(labels_HW)
    cut = np.unique(np.concatenate([labels_HW[[0, -1]].ravel(), labels_HW[:, [0, -1]].ravel()]))
    return np.delete(sizes, cut[cut > 0] - 1)


def write_plate(folder: Path | str, plate: DrawnPlate, *, seed: int = 0) -> dict[str, dict[str, float]]:
    """Write a plate: pictures ``A01_1_DAPI.tif`` under ``plate``, ``map.csv`` and ``truth.json``.

    Parameters
    ----------
    folder : path-like
        Made where it is missing.
    plate : DrawnPlate
    seed : int
        The same seed gives the same plate; every field has its own random stream.

    Returns
    -------
    dict
        By well: ``nuclei`` in truth, and the ``median_area_px`` of the nuclei that no edge cuts; 0 if there are none.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    import tifffile

    folder = Path(folder)
    pictures = make_folder(folder / "plate")
    wells = plan_wells(plate)
    truth: dict[str, dict[str, float]] = {}
    for well in wells:
        count, sizes = 0, [np.zeros(0, np.int64)]
        for number in range(plate.fields):
            rng = np.random.default_rng([seed, well.row, well.column, number])
            image, labels = draw_field(plate, well.dose, rng=rng)
            with atomic_path(pictures / f"{well.name}_{number + 1}_DAPI.tif") as temporary:
                tifffile.imwrite(temporary, image, compression="zlib")
            count += int(labels.max())
            sizes.append(whole_areas(labels))
        whole = np.concatenate(sizes)
        truth[well.name] = {"nuclei": count, "median_area_px": float(np.median(whole)) if whole.size else 0.0}
    rows = ([well.name, well.compound, f"{well.dose:g}", well.role] for well in wells)
    write_rows(folder / "map.csv", rows, header=["well", "compound", "concentration", "role"])
    write_text(folder / "truth.json", json.dumps({"plate": asdict(plate), "wells": truth}, indent=1) + "\n")
    return truth

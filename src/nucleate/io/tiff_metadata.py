"""Pixel size and channel names from the metadata of TIFF files: OME, ImageJ, Aperio, resolution tags."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tifffile import RESUNIT

from nucleate.core.image import Look
from nucleate.io.tiff_ome import ome_picture
from nucleate.io.units import micrometres, sane_size, sane_step, seconds

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffPageSeries

__all__ = ["Told", "told_of"]

_FINEST_UM, _COARSEST_UM = 0.005, 20.0
"""Pixel sizes outside of this come from print or screen settings (72 or 300 dots an inch), not from a microscope."""

_PLANE_PREFIX = re.compile(r"^(?:[cztCZT]:\d+/\d+\s*)+-\s*")


@dataclass(frozen=True)
class Told:
    """The pixel size, steps and channels in the metadata of a picture.

    Parameters
    ----------
    pixel_size_um : (float, float), optional
        Height and width of a pixel; None if the metadata do not tell.
    z_step_um : float, optional
        The distance of two planes in depth; None if OME or ImageJ metadata do not tell.
    t_step_s : float, optional
        The time from one plane to the next; None if OME or ImageJ metadata do not tell.
    channel_names : tuple of str
        In order; empty if the metadata have none. In OME metadata, the name of each channel, else its dye, else an
        empty text. In ImageJ metadata, the labels of the first planes, if they differ. In Micro-Manager metadata, the
        names in the summary.
    channel_looks : tuple of Look
        In order; empty if OME metadata have no colours.
    """

    pixel_size_um: tuple[float, float] | None
    z_step_um: float | None
    t_step_s: float | None
    channel_names: tuple[str, ...]
    channel_looks: tuple[Look, ...]

    def looks(self, count: int, axes: str) -> tuple[Look, ...]:
        """Give the looks of so many channels; none for a picture in colour, which has its own."""
        return self.channel_looks if len(self.channel_looks) == count and "S" not in axes else ()


def told_of(tiff: TiffFile, series: TiffPageSeries) -> Told:
    """Read the metadata that an open file has of the chosen picture in it."""
    steps = sane_step(_z_step_um(tiff, series)), sane_step(_t_step_s(tiff, series))
    looks = tuple(map(_look, ome_picture(tiff, series).colours)) if series.kind == "ome" else ()
    looks = looks if any(look.colour for look in looks) else ()
    return Told(_pixel_size_um(tiff, series), *steps, _channel_names(tiff, series), looks)


def _look(colour: str) -> Look:
    """Read red, green, blue and opacity from one number of 32 bits, all of which are set if no colour was chosen."""
    try:
        number = int(colour)
    except ValueError:
        number = -1
    known = number != -1 and -(1 << 31) <= number < (1 << 32) - 1
    return Look(f"{number >> 8 & 0xFFFFFF:06X}" if known else "")


def _pixel_size_um(tiff: TiffFile, series: TiffPageSeries) -> tuple[float, float] | None:
    page = series.keyframe
    if series.kind == "ome":
        size = _from_ome(ome_picture(tiff, series).pixels)
    elif tiff.is_imagej:
        size = _from_imagej(tiff.imagej_metadata or {}, page)
    elif tiff.is_svs:
        found = re.search(r"\bMPP = ([\d.]+)", page.description)
        size = (float(found[1]), float(found[1])) if found else None
    else:
        size = _from_tags(page)
    return None if size is None else sane_size(*size)


def _z_step_um(tiff: TiffFile, series: TiffPageSeries) -> float | None:
    if series.kind == "ome":
        sizes = ome_picture(tiff, series).pixels
        return _length(sizes.get("PhysicalSizeZ"), sizes.get("PhysicalSizeZUnit", "µm"))
    if tiff.is_imagej:
        metadata = tiff.imagej_metadata or {}
        return _length(str(metadata.get("spacing")), str(metadata.get("zunit") or metadata.get("unit", "")))
    return None


def _t_step_s(tiff: TiffFile, series: TiffPageSeries) -> float | None:
    if series.kind == "ome":
        told = ome_picture(tiff, series).pixels
        return _measure(told.get("TimeIncrement"), seconds(told.get("TimeIncrementUnit", "s")))
    if tiff.is_imagej:
        metadata = tiff.imagej_metadata or {}
        return _measure(str(metadata.get("finterval")), seconds(str(metadata.get("tunit", "s"))))
    return None


def _channel_names(tiff: TiffFile, series: TiffPageSeries) -> tuple[str, ...]:
    if series.kind == "ome" and (given := ome_picture(tiff, series).channels):
        return given
    count = series.shape[series.axes.index("C")] if "C" in series.axes else 0
    metadata = tiff.imagej_metadata if tiff.is_imagej else None
    labels = (metadata or {}).get("Labels", [])
    if count and isinstance(labels, list) and len(labels) >= count:
        names = [_PLANE_PREFIX.sub("", str(label)).strip() for label in labels[:count]]
        if all(names) and len(set(names)) == count:
            return tuple(names)
    summary = (tiff.micromanager_metadata or {}).get("Summary")
    told = summary.get("ChNames") if isinstance(summary, dict) else None
    return tuple(map(str, told)) if count and isinstance(told, list) else ()


def _from_ome(pixels: dict[str, str]) -> tuple[float, float] | None:
    across, down = (
        _length(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm")) for axis in "XY"
    )
    if pixels.get("PhysicalSizeY") is None:
        down = across
    return None if across is None or down is None else (down, across)


def _length(value: str | None, unit: str) -> float | None:
    return _measure(value, micrometres(unit))


def _measure(value: str | None, factor: float | None) -> float | None:
    try:
        return None if value is None or factor is None else float(value) * factor
    except ValueError:
        return None


def _from_imagej(metadata: dict[str, Any], page: TiffPage) -> tuple[float, float] | None:
    if "unit" not in metadata:  # then the resolution tags have a unit of their own
        return _from_tags(page)
    factor, spacing = micrometres(str(metadata["unit"])), _spacing(page)
    if factor is None or spacing is None:
        return None
    size = spacing[0] * factor, spacing[1] * factor
    # A unit of inches stems from a printer's resolution, which is written when a picture is saved again.
    return size if factor != micrometres("inch") or _is_of_a_microscope(size) else None


def _from_tags(page: TiffPage) -> tuple[float, float] | None:
    unit = page.tags.valueof("ResolutionUnit", RESUNIT.INCH)
    factor = {RESUNIT.INCH: 25400.0, RESUNIT.CENTIMETER: 1e4}.get(unit)
    spacing = _spacing(page)
    if factor is None or spacing is None:
        return None
    size = spacing[0] * factor, spacing[1] * factor
    return size if _is_of_a_microscope(size) else None


def _is_of_a_microscope(size_um: tuple[float, float]) -> bool:
    return all(_FINEST_UM <= side <= _COARSEST_UM for side in size_um)


def _spacing(page: TiffPage) -> tuple[float, float] | None:
    pairs = page.tags.valueof("YResolution"), page.tags.valueof("XResolution")
    if any(not isinstance(p, tuple) or len(p) != 2 or p[0] <= 0 or p[1] <= 0 for p in pairs):
        return None
    return pairs[0][1] / pairs[0][0], pairs[1][1] / pairs[1][0]

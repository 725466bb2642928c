"""Names of units of length and of time, as microscopes and programs write them."""

from __future__ import annotations

from nucleate.core.image import LENGTHS_UM

__all__ = ["micrometres", "sane_place", "sane_size", "sane_step", "seconds"]

_UM = {
    "pm": 1e-6, "picometer": 1e-6, "å": 1e-4, "angstrom": 1e-4, "nm": 1e-3, "nanometer": 1e-3, "nanometre": 1e-3,
    "um": 1.0, "µm": 1.0, "micron": 1.0, "micrometer": 1.0, "micrometre": 1.0,
    "mm": 1e3, "millimeter": 1e3, "millimetre": 1e3, "cm": 1e4, "centimeter": 1e4, "centimetre": 1e4,
    "m": 1e6, "meter": 1e6, "metre": 1e6, "inch": 25400.0, "in": 25400.0,
}  # fmt: skip

_S = {
    "ns": 1e-9, "nanosecond": 1e-9, "us": 1e-6, "µs": 1e-6, "microsecond": 1e-6, "ms": 1e-3, "msec": 1e-3,
    "millisecond": 1e-3, "s": 1.0, "sec": 1.0, "second": 1.0, "min": 60.0, "minute": 60.0,
    "h": 3600.0, "hour": 3600.0, "d": 86400.0, "day": 86400.0,
}  # fmt: skip


def micrometres(unit: str) -> float | None:
    """Tell how many micrometres a unit is; None when the name is not known.

    Examples
    --------
    >>> micrometres("Nanometer")
    0.001
    """
    return _UM.get(_plain(unit))


def seconds(unit: str) -> float | None:
    """Tell how many seconds a unit is; None when the name is not known.

    Examples
    --------
    >>> seconds("minutes")
    60.0
    """
    return _S.get(_plain(unit))


def _plain(unit: str) -> str:
    # ImageJ writes the micro sign as an escape, and there are two characters that look like it.
    plain = unit.strip().lower().replace("\\u00b5", "µ").replace("μ", "µ")
    return plain[:3] + plain[3:].removesuffix("s")  # in short names, a final s is no plural


def sane_place(place: tuple[float, float, float]) -> tuple[float, float, float] | None:
    """Give the place of the first pixel unless it is 0 or farther away than the longest of `LENGTHS_UM`."""
    return place if any(place) and all(abs(one) <= LENGTHS_UM[1] for one in place) else None


def sane_size(down: float | None, across: float | None) -> tuple[float, float] | None:
    """Give height and width of a pixel if both can be lengths: over zero, and within `LENGTHS_UM`."""
    if down is None or across is None:
        return None
    least, most = LENGTHS_UM
    return (down, across) if least <= down <= most and least <= across <= most else None


def sane_step(length: float | None) -> float | None:
    """Give the distance of two planes in depth or time if `sane_size` accepts it; it may be negative."""
    least, most = LENGTHS_UM
    return abs(length) if length is not None and least <= abs(length) <= most else None

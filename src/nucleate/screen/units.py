"""Units of concentrations: which ones are known, and conversions between them."""

from __future__ import annotations

import re

__all__ = ["convert", "unit_name"]

_MOLAR = {"": 1.0, "m": 1e-3, "µ": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
_MASS = {"": 1.0, "m": 1e-3, "µ": 1e-6, "n": 1e-9, "p": 1e-12}
_VOLUME = {"l": 1.0, "ml": 1e-3, "µl": 1e-6}
_KNOWN = {
    **{f"{prefix}M": ("molar", factor) for prefix, factor in _MOLAR.items()},
    **{
        f"{prefix}g/{volume}": ("mass", factor / size)
        for prefix, factor in _MASS.items()
        for volume, size in _VOLUME.items()
    },
    "%": ("share", 1.0),
}
_SPELLED = {name.lower(): name for name in _KNOWN}


def unit_name(written: str) -> str | None:
    """Give the way in which a known unit is written here; None for other units.

    Examples
    --------
    >>> unit_name("uM"), unit_name("nanomolar"), unit_name("mcg/mL"), unit_name("Gy")
    ('µM', 'nM', 'µg/ml', None)
    """
    plain = written.strip().lower().replace("\N{GREEK SMALL LETTER MU}", "µ").replace(" ", "")
    plain = re.sub(r"^(milli|nano|pico|femto)(?=m|g)", lambda found: found[1][0], plain)
    plain = re.sub(r"^(micro|mc(?=g))", "µ", re.sub(r"^u(?=m|g)", "µ", plain)).replace("/ul", "/µl")
    plain = re.sub(r"mol(ar|/l)$", "m", plain)
    return _SPELLED.get(plain)


def convert(value: float, unit: str, *, wanted: str) -> float | None:
    """Give a concentration in another unit; None if one cannot be converted to the other.

    Examples
    --------
    >>> convert(100, "nM", wanted="uM"), convert(1, "nM", wanted="ng/ml"), convert(3, "Gy", wanted="Gy")
    (0.1, None, 3)
    """
    if unit == wanted:
        return value
    had, goal = _KNOWN.get(unit_name(unit) or ""), _KNOWN.get(unit_name(wanted) or "")
    if had is None or goal is None or had[0] != goal[0]:
        return None
    return float(f"{value * had[1] / goal[1]:.12g}")

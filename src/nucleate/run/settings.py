"""What a caller may choose for one run of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nucleate.core.checks import check_number, is_number
from nucleate.errors import UsageError

__all__ = ["Scale", "SegmentSettings"]

Scale = float | Literal["auto"]


@dataclass(frozen=True)
class SegmentSettings:
    """What the user may choose for one run; everything else is in the model's card.

    Parameters
    ----------
    scale : float or "auto"
        The plane is resized by this factor before the network and the maps back after; ``auto`` finds it by the
        card's `scale_rule` (see `nucleate.run.scale`), and is 1 without. Of no effect with a model whose card has an
        `input_size`.
    tta : bool
        Average the maps of the picture as it is and half as large again: better outlines for over three times the work
        of the network (results/flagship).
    tile : int, optional
        Side of the tiles in pixels, margins left out, rounded down to the card's multiple; when None the card's, or
        smaller where memory is short.
    min_area : int, optional
        Smaller nuclei are left out, pixels of the image; the recipe's when None.
    min_confidence : float, optional
        Nuclei with a lower confidence are left out, 0..1; the card's when None.

    Raises
    ------
    UsageError
        If a value cannot be.
    """

    scale: Scale = "auto"
    tta: bool = False
    tile: int | None = None
    min_area: int | None = None
    min_confidence: float | None = None

    def __post_init__(self) -> None:
        if self.scale != "auto" and not is_number(self.scale, least=0.01, most=100):
            raise UsageError(f"scale = {self.scale!r}; use 'auto' or a number from 0.01 to 100")
        if self.tta not in (True, False):
            raise UsageError(f"tta = {self.tta!r}; use True or False")
        for name, value, least in (("tile", self.tile, 1), ("min_area", self.min_area, 0)):
            check_number(name, value, least=least, whole=True, optional=True)
        check_number("min_confidence", self.min_confidence, least=0, most=1, optional=True)

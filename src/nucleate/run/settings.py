"""What a caller may choose: for one run of a model, and for a batch of files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from nucleate import __version__
from nucleate.core.checks import check_number, is_number
from nucleate.errors import UsageError
from nucleate.run import outputs
from nucleate.run.memory import allowed_bytes

__all__ = ["BatchSettings", "Scale", "SegmentSettings"]

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


@dataclass(frozen=True)
class BatchSettings:
    """How a batch runs.

    Parameters
    ----------
    exports : tuple of str
        What is written, from `nucleate.run.exports.EXPORTS`.
    channel : str, optional
        Name or index of the channel to segment; None takes the nuclear stain.
    project : str, optional
        How planes in depth are put together, of `nucleate.core.project.PROJECTIONS`; None takes plane by plane.
    resume, keep_earlier, fail_fast : bool
        Leave out inputs that are finished with the same content; keep in the common files what only earlier runs had;
        stop at the first input that fails.
    max_bytes : int, optional
        Memory that may be used; None is no limit.
    at_once : int
        Inputs done beside each other, if each gets along with its share of the memory.
    large_pixels : int
        Planes of so many are done strip by strip even where they fit the memory: each strip is kept for a run that goes
        on, so that a stop loses little.
    deciding : dict
        Everything else that decides the results (model, hash, scale, ...): resuming asks for the same.
    record : dict
        More for run.json that does not decide the results (threads, device, the command, ...).
    """

    exports: tuple[str, ...] = outputs.DEFAULT_EXPORTS
    channel: str | None = None
    project: str | None = None
    resume: bool = False
    keep_earlier: bool = True
    fail_fast: bool = False
    max_bytes: int | None = None
    at_once: int = 1
    large_pixels: int = 50_000_000
    deciding: dict[str, Any] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)

    def told(self, command: str, *, device: str, threads: int | None, memory_gb: float | None) -> BatchSettings:
        """Give them with the memory that was allowed, and the record of what a door was told, which run.json holds.

        Parameters
        ----------
        command : str
            The command line that does the same.
        device : str
        threads : int, optional
        memory_gb : float, optional
            What is free when None.
        """
        record = {"command": command, "device": device, "threads": threads, "memory_gb": memory_gb}
        return replace(self, max_bytes=allowed_bytes(memory_gb), record=record)

    def fingerprint(self) -> dict[str, Any]:
        """Give what must be the same for results to be the same."""
        return {
            "version": __version__,
            "export": ",".join(sorted(self.exports)),
            "channel": self.channel,
            **({"project": self.project} if self.project else {}),
            **self.deciding,
        }

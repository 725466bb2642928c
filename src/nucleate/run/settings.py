"""The settings that a caller may choose, for one run of a model and for a batch of files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from nucleate import __version__
from nucleate.core.checks import check_number, is_number
from nucleate.errors import UsageError
from nucleate.run.memory import allowed_bytes

__all__ = ["DEFAULT_EXPORTS", "BatchSettings", "Scale", "SegmentSettings", "is_scale"]

Scale = float | Literal["auto"]

_SMALLEST, _LARGEST = 0.01, 100  # of a scale; far beyond any use, so that what lies outside is a slip

DEFAULT_EXPORTS = ("labels", "overlay", "measurements")


def is_scale(value: object) -> bool:
    """Tell whether a value is a factor by which planes can be resized: a number from 0.01 to 100.

    Examples
    --------
    >>> [is_scale(value) for value in (0.01, 100, 0.009, 101, "auto", True)]
    [True, True, False, False, False, False]
    """
    return is_number(value, least=_SMALLEST, most=_LARGEST)


@dataclass(frozen=True)
class SegmentSettings:
    """The settings of one run; everything else is in the model's card.

    Parameters
    ----------
    scale : float or "auto"
        Planes are resized by this factor before the network, and maps are resized back after it. ``auto`` finds the
        factor by the `scale_rule` of the card (see `nucleate.run.scale`), and is 1 if the card has none. It has no
        effect on a model whose card has an `input_size`.
    tta : bool
        Average the maps of the picture in its own size and half as large again, which gives better outlines for over
        three times the work of the network (results/flagship).
    tile : int, optional
        Side of the tiles in pixels without margins, rounded down to the `multiple` of the card; None takes the `tile`
        of the card, or less if memory is short.
    min_area : int, optional
        Nuclei with a smaller area, in pixels of the image, are left out; None takes the `min_area` of the recipe.
    min_confidence : float, optional
        Nuclei with a lower confidence are left out, 0..1; None takes the `min_confidence` of the card.

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
        if self.scale != "auto" and not is_scale(self.scale):
            raise UsageError(f"scale = {self.scale!r}; use 'auto' or a number from {_SMALLEST} to {_LARGEST}")
        if self.tta not in (True, False):
            raise UsageError(f"tta = {self.tta!r}; use True or False")
        for name, value, least in (("tile", self.tile, 1), ("min_area", self.min_area, 0)):
            check_number(name, value, least=least, whole=True, optional=True)
        check_number("min_confidence", self.min_confidence, least=0, most=1, optional=True)


@dataclass(frozen=True)
class BatchSettings:
    """The settings of a batch.

    Parameters
    ----------
    exports : tuple of str
        The kinds of files that are written, from `nucleate.run.exports.EXPORTS`.
    channel : str, optional
        Name or index of the channel to segment; None takes the nuclear stain.
    project : str, optional
        How planes in depth are projected, from `nucleate.core.project.PROJECTIONS`; None segments each plane.
    resume, keep_earlier, fail_fast : bool
        Whether inputs that were finished with the same content are left out; whether the common files keep results that
        only earlier runs had; whether the batch stops at the first input that fails.
    max_bytes : int, optional
        Memory that may be used; None sets no limit.
    at_once : int
        Number of inputs that are done at once, if its share of the memory is enough for each.
    large_pixels : int
        Planes with at least so many pixels are done strip by strip even if they fit the memory: finished strips are
        kept for a later run, so that little is lost when a run is stopped.
    deciding : dict
        All other values that decide the results (model, hash, scale and more); a resumed run needs the same values.
    record : dict
        Further values for run.json that do not decide the results (threads, device, the command and more).
    """

    exports: tuple[str, ...] = DEFAULT_EXPORTS
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
        """Give the settings with the allowed memory, and with the record of the call for run.json.

        Parameters
        ----------
        command : str
            The command line that does the same.
        device : str
        threads : int, optional
        memory_gb : float, optional
            Allowed memory in gigabytes; the free memory when None.
        """
        record = {"command": command, "device": device, "threads": threads, "memory_gb": memory_gb}
        return replace(self, max_bytes=allowed_bytes(memory_gb), record=record)

    def fingerprint(self) -> dict[str, Any]:
        """Give all values that must be equal for results to be equal."""
        return {
            "version": __version__,
            "export": ",".join(sorted(self.exports)),
            "channel": self.channel,
            **({"project": self.project} if self.project else {}),
            **self.deciding,
        }

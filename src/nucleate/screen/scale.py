"""One scale for a plate: its wells are compared, so the model has to look at all of them in the same way.

If each field had its own scale, nuclei that shrink with the dose would be enlarged from some dose on, and the small
bias of each scale would become a step in the curve.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nucleate.errors import NucleateError
from nucleate.run.outputs import read_record
from nucleate.run.settings import is_scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nucleate.run.inputs import Source
    from nucleate.run.segmenter import Segmenter

__all__ = ["earlier_scale", "plate_scale"]

_ASKED = 48
_SHARE = 0.2


def plate_scale(sources: Sequence[Source], segmenter: Segmenter, *, channel: str | None = None) -> float:
    """Choose the scale for all fields of a plate, from some of them.

    Parameters
    ----------
    sources : sequence of Source
        The fields. The middle plane of a stack is looked at; fields that cannot be read do not count.
    segmenter : Segmenter
        Its own scale is the answer unless that is ``auto``.
    channel : str, optional
        The channel with the nuclei.

    Returns
    -------
    float
        The median of the scales other than 1 that fields ask for, if a fifth or more of the fields do so; else 1.
    """
    if segmenter.settings.scale != "auto":
        return float(segmenter.settings.scale)
    chosen = np.random.default_rng(0).permutation(len(sources))[:_ASKED]
    wanted = []
    for number in sorted(chosen.tolist()):
        try:
            with sources[number].open(Path()) as image:
                shown = image.channel(channel)
                plane = shown.plane(tuple(n // 2 for n in shown.stack_shape))
                wanted.append(segmenter.survey(plane).scale)
        except NucleateError:  # reported when the field is segmented
            continue
    other = [scale for scale in wanted if scale != 1]
    return statistics.median_low(other) if other and len(other) >= _SHARE * len(wanted) else 1.0


def earlier_scale(fields: Path) -> float | None:
    """Look up the scale at which fields were segmented before, so that fields that are added get the same scale.

    Parameters
    ----------
    fields : Path
        Folder of a run.

    Returns
    -------
    float or None
        None if no run has ended there.
    """
    scale = read_record(fields / "run.json").get("settings", {}).get("scale")
    return float(scale) if is_scale(scale) else None

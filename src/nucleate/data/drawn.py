"""Drawn pictures as training samples, for when real data are few."""

from __future__ import annotations

import numpy as np

from nucleate.data.sample import Sample
from nucleate.data.synth import STYLES, Scene, draw

__all__ = ["drawn_samples"]

_SIDE = 256


def drawn_samples(count: int, *, seed: int) -> list[Sample]:
    """Draw pictures of all styles, with nuclei from few to many and from small to large; 256 pixels a side.

    Parameters
    ----------
    count : int
        How many pictures; the first ones are the same for any count.
    seed : int
        Decides everything random.

    Returns
    -------
    list of Sample
        Each its own group, of kind ``"drawn"``.

    Examples
    --------
    >>> [(sample.image_id, sample.kind) for sample in drawn_samples(1, seed=0)]
    [('drawn-0', 'drawn')]
    """
    samples = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        diameter = float(np.exp(rng.uniform(np.log(10), np.log(40))))
        room = (_SIDE / diameter) ** 2
        scene = Scene(
            size=(_SIDE, _SIDE),
            nuclei=max(1, round(room * rng.uniform(0.05, 0.4))),
            style=STYLES[number % len(STYLES)],
            diameter=diameter,
            touching=float(rng.uniform(0, 0.6)),
            noise=float(rng.uniform(0.3, 2)),
            blur=float(rng.uniform(0.3, 2)),
        )
        image, labels = draw(scene, rng)
        samples.append(Sample(f"drawn-{number}", image, labels, group=f"drawn-{number}", kind="drawn"))
    return samples

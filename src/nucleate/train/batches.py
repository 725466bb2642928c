"""Samples to batches: the whole set in one flat store on the training device, batches as a function of seed and step.

Legend in `nucleate.nets.unet`; P counts the pixels of the whole set, K the channels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from nucleate.core.resample import resample
from nucleate.data.drawn import drawn_samples
from nucleate.train.augment import change_intensity, crop_grid, seeded
from nucleate.train.seams import class_weights, seam_weights
from nucleate.train.targets import border_weights, make_targets, normalised_distance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from nucleate.core.normalize import Normalizer
    from nucleate.data.sample import Sample
    from nucleate.train.config import TrainConfig

__all__ = ["Atlas", "Batch", "atlas_for", "make_batch", "prepare", "steps_per_epoch"]


@dataclass(frozen=True)
class Batch:
    """What the loop takes: pictures, targets (0..1; ``labels``: ids), and pixel weights where the loss uses them."""

    batch_NCHW: Tensor
    targets_NCHW: Tensor
    weights_NHW: Tensor | None


@dataclass(frozen=True)
class Atlas:
    """All pictures of a data set, one after the other in flat tensors.

    Parameters
    ----------
    pixels_KP : Tensor
        uint8, normalised pictures times 255.
    labels_P : Tensor
        int32 label images.
    distance_P : Tensor
        uint8, `normalised_distance` times 255.
    offsets_N, sizes_N2 : Tensor
        Where each picture begins, and its rows and columns.
    kinds : tuple of str
        Kind of each picture, "" where unknown.
    weights_P : Tensor or None
        float16 pixel weights of the loss.
    """

    pixels_KP: Tensor
    labels_P: Tensor
    distance_P: Tensor
    offsets_N: Tensor
    sizes_N2: Tensor
    kinds: tuple[str, ...]
    weights_P: Tensor | None = None

    def __len__(self) -> int:
        return len(self.kinds)

    def to(self, device: torch.device) -> Atlas:
        """Move everything to the training device; sizes and offsets stay on the CPU, where crops are drawn."""
        flat = {name: getattr(self, name).to(device) for name in ("pixels_KP", "labels_P", "distance_P")}
        weights_P = None if self.weights_P is None else self.weights_P.to(device)
        return replace(self, **flat, weights_P=weights_P)

    def sample(self, which_N: Tensor, grid_NHW2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Read crops by coordinates; pictures are mirrored beyond their edges.

        Parameters
        ----------
        which_N : Tensor
            Index of the picture of each crop.
        grid_NHW2 : Tensor
            (row, col) to read each pixel from, see `nucleate.train.augment.crop_grid`.

        Returns
        -------
        batch_NCHW, labels_NHW, distance_NHW : Tensor
            Bilinear pictures in 0..1, nearest labels (float), bilinear distance in 0..1.
        """
        start, sizes, at = self._places(which_N, grid_NHW2)
        near_i, cols = at.round().long(), sizes[..., 1]
        labels_NHW = self.labels_P[start + near_i[..., 0] * cols + near_i[..., 1]].float()
        batch_NCHW: Tensor | float = 0.0
        distance_NHW: Tensor | float = 0.0
        for index, share in self._corners(start, sizes, at=at):
            weight = share / 255
            batch_NCHW = batch_NCHW + self.pixels_KP[:, index].transpose(0, 1) * weight[:, None]
            distance_NHW = distance_NHW + self.distance_P[index] * weight
        return batch_NCHW, labels_NHW, distance_NHW  # type: ignore[return-value]

    def sample_weights(self, which_N: Tensor, grid_NHW2: Tensor) -> Tensor | None:
        """Read the pixel weights of crops as `sample` reads pictures, float (N, H, W); None where there are none."""
        if self.weights_P is None:
            return None
        start, sizes, at = self._places(which_N, grid_NHW2)
        corners = self._corners(start, sizes, at=at)
        return torch.stack([self.weights_P[index].float() * share for index, share in corners]).sum(0)

    def _places(self, which_N: Tensor, grid_NHW2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give where the pictures begin, their sizes, and the coordinates folded into them."""
        device = self.pixels_KP.device
        sizes = self.sizes_N2[which_N].to(device)[:, None, None, :]
        start = self.offsets_N[which_N].to(device)[:, None, None]
        last = (sizes - 1).float()
        # Fold the line back and forth: 0 1 2 3 2 1 0 1 ...
        folded = torch.remainder(grid_NHW2.to(device), (2 * last).clamp(min=1.0))
        return start, sizes, torch.minimum(folded, 2 * last - folded).clamp(min=0.0)

    @staticmethod
    def _corners(start: Tensor, sizes: Tensor, *, at: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Give the flat index of the four pixels around each coordinate, each with its share of the bilinear mean."""
        low = at.floor()
        part = at - low
        low_i = low.long()
        high_i = torch.minimum(low_i + 1, sizes - 1)
        for row_i, row_w in ((low_i[..., 0], 1 - part[..., 0]), (high_i[..., 0], part[..., 0])):
            for col_i, col_w in ((low_i[..., 1], 1 - part[..., 1]), (high_i[..., 1], part[..., 1])):
                yield start + row_i * sizes[..., 1] + col_i, row_w * col_w


def atlas_for(config: TrainConfig, samples: Iterable[Sample]) -> Atlas:
    """Prepare the pictures a run is trained on: samples, the drawn ones it asks for, and its pixel weights."""
    drawn = drawn_samples(config.drawn, seed=config.seed)
    seams = (config.seam_weight, config.seam_sigma) if config.seam_weight else None
    return prepare([*samples, *drawn], config.normalizer, resize=config.resize, seams=seams)


def prepare(
    samples: Iterable[Sample],
    normalizer: Normalizer,
    *,
    resize: int | None = None,
    seams: tuple[float, float] | None = None,
) -> Atlas:
    """Normalise samples and lay them out.

    Parameters
    ----------
    samples : iterable of Sample
        At least one.
    normalizer : Normalizer
        Decides the channels K.
    resize : int, optional
        Side of the square each picture is resized to (labels by nearest neighbour).
    seams : (float, float), optional
        w0 and sigma of `nucleate.train.seams.seam_weights`; computed here, once a picture.
    """
    pixels, labels, distances, sizes, kinds, weights = [], [], [], [], [], []
    for sample in samples:
        image = normalizer(sample.image)
        truth = sample.labels
        if resize is not None:
            image, truth = resample(image, (resize, resize)), _nearest(truth, resize)
        pixels.append(np.rint(image * 255).astype(np.uint8).reshape(len(image), -1))
        labels.append(truth.ravel())
        distances.append(np.rint(normalised_distance(truth) * 255).astype(np.uint8).ravel())
        sizes.append(truth.shape)
        kinds.append(sample.kind)
        if seams is not None:
            weights.append(seam_weights(truth, seams[0], sigma=seams[1]).astype(np.float16).ravel())
    areas = torch.tensor(sizes).prod(1)
    return Atlas(
        torch.from_numpy(np.concatenate(pixels, axis=1)),
        torch.from_numpy(np.concatenate(labels)),
        torch.from_numpy(np.concatenate(distances)),
        areas.cumsum(0) - areas,
        torch.tensor(sizes),
        tuple(kinds),
        None if seams is None else _weights(weights, labels),
    )


def _weights(seams: Sequence[NDArray[np.float16]], labels: Sequence[NDArray[np.int32]]) -> Tensor:
    """Add the weights of the classes, which follow from all pictures, to those of the seams."""
    background, nucleus = class_weights(labels)
    whole = [seam + np.where(truth > 0, nucleus, background) for seam, truth in zip(seams, labels, strict=True)]
    return torch.from_numpy(np.concatenate(whole).astype(np.float16))


def steps_per_epoch(config: TrainConfig, pictures: int) -> int:
    """Count the batches of an epoch: as configured, or enough to see each picture once."""
    return config.steps_per_epoch or -(-pictures // config.batch)


def _pick(atlas: Atlas, config: TrainConfig, *, step: int) -> Tensor:
    """Choose the pictures of a batch."""
    if config.steps_per_epoch is None:
        epoch, place = divmod(step, steps_per_epoch(config, len(atlas)))
        order = torch.randperm(len(atlas), generator=seeded(config.seed, 1, epoch))
        return order[place * config.batch : (place + 1) * config.batch]
    count = {kind: atlas.kinds.count(kind) for kind in set(atlas.kinds)}
    chances = torch.tensor([count[kind] ** -config.balance for kind in atlas.kinds])
    generator = seeded(config.seed, 2, step)
    if config.frame == "size-groups":
        # The first picture decides the size, so that every picture has its chance as before.
        first = torch.multinomial(chances, 1, generator=generator)
        chances = chances * (atlas.sizes_N2 == atlas.sizes_N2[first]).all(1)
    return torch.multinomial(chances, config.batch, replacement=True, generator=generator)


def make_batch(atlas: Atlas, config: TrainConfig, *, step: int) -> Batch:
    """Make the batch of a step; the same step gives the same batch on every run."""
    which = _pick(atlas, config, step=step)
    generator = seeded(config.seed, 3, step)
    rows, cols = (int(length) for length in atlas.sizes_N2[which[0]])
    shape = config.crop if config.frame == "crop" else (rows, cols)
    grid = crop_grid(atlas.sizes_N2[which], shape, config=config.augment, generator=generator)
    batch_NCHW, labels_NHW, distance_NHW = atlas.sample(which, grid)
    return Batch(
        change_intensity(batch_NCHW, config.augment, generator=generator),
        make_targets(labels_NHW, distance_NHW, maps=config.maps),
        border_weights(labels_NHW) if config.loss == "compound" else atlas.sample_weights(which, grid),
    )


def _nearest(labels: NDArray[np.int32], side: int) -> NDArray[np.int32]:
    """Resize to a square, each pixel from the one under its centre."""
    rows, cols = (((np.arange(side) + 0.5) * size / side).astype(np.intp) for size in labels.shape)
    picked: NDArray[np.int32] = labels[rows[:, None], cols]
    return picked

"""Samples to batches: the whole set in one flat store on the training device, batches as a function of seed and step.

Legend in `nucleate.nets.unet`; P counts the pixels of the whole set, K the numbers kept for each pixel.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from nucleate.core.plane import as_plane
from nucleate.core.resample import resample, resample_labels
from nucleate.data.drawn import drawn_samples
from nucleate.train.augment import change_intensity, crop_grid, seeded
from nucleate.train.draws import onto
from nucleate.train.seams import class_weights, seam_weights
from nucleate.train.targets import border_weights, make_targets, normalised_distance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from nucleate.core.normalize import Normalizer
    from nucleate.data.sample import Sample
    from nucleate.train.config import TrainConfig

__all__ = ["Atlas", "Batch", "atlas_for", "make_batch", "prepare", "steps_per_epoch"]

_WORDS = {2: torch.int16, 4: torch.int32}  # as wide as the texels of grey and of coloured pictures


@dataclass(frozen=True)
class Batch:
    """The input of the loop: pictures, targets (0..1; ``labels``: ids), and pixel weights if the loss uses them."""

    batch_NCHW: Tensor
    targets_NCHW: Tensor
    weights_NHW: Tensor | None


@dataclass(frozen=True)
class Atlas:
    """All pictures of a data set, one after the other in flat tensors.

    Parameters
    ----------
    texels_PK : Tensor
        uint8, the channels of the normalised pictures and then `normalised_distance`, times 255. The numbers of a pixel
        lie together, since scattered reads of memory are the cost of sampling.
    labels_P : Tensor
        int32 label images.
    offsets_N, sizes_N2 : Tensor
        Where each picture begins, in int32 if that is enough (half the memory to move), and its rows and columns.
    kinds : tuple of str
        Kind of each picture, "" where unknown.
    light_N : Tensor
        bool, whether the ground of each picture is light.
    weights_P : Tensor or None
        float16 pixel weights of the loss.
    """

    texels_PK: Tensor
    labels_P: Tensor
    offsets_N: Tensor
    sizes_N2: Tensor
    kinds: tuple[str, ...]
    light_N: Tensor
    weights_P: Tensor | None = None

    def __len__(self) -> int:
        return len(self.kinds)

    def to(self, device: torch.device) -> Atlas:
        """Move everything to the training device; sizes and offsets stay on the CPU, where crops are drawn."""
        flat = {name: getattr(self, name).to(device) for name in ("texels_PK", "labels_P")}
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
        start, width, at = self._places(which_N, grid_NHW2)
        rows, cols = (axis.round().to(start.dtype) for axis, _ in at)
        near_NHW = rows.mul_(width).add_(cols).add_(start)
        labels_NHW = _take(self.labels_P, near_NHW).float()
        *planes, distance_NHW = self._bilinear(self._read, start, width=width, at=at)
        return torch.stack(planes, 1).div_(255), labels_NHW, distance_NHW.div_(255)

    def _read(self, at_NHW: Tensor) -> tuple[Tensor, ...]:
        """Give the channels and the distance of pixels by their flat index, float in 0..255."""
        flat = self.texels_PK.view(_WORDS[self.texels_PK.shape[1]])[:, 0]  # a pixel is one number
        texels = _take(flat, at_NHW).view(torch.uint8).view(*at_NHW.shape, -1)
        return tuple(plane.float() for plane in texels.unbind(-1))

    def sample_weights(self, which_N: Tensor, grid_NHW2: Tensor) -> Tensor | None:
        """Read the pixel weights of crops as `sample` reads pictures, float (N, H, W); None where there are none."""
        weights_P = self.weights_P
        if weights_P is None:
            return None
        start, width, at = self._places(which_N, grid_NHW2)
        (weights_NHW,) = self._bilinear(lambda at_NHW: (_take(weights_P, at_NHW).float(),), start, width=width, at=at)
        return weights_NHW

    def _places(self, which_N: Tensor, grid_NHW2: Tensor) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
        """Give where the picture of each crop begins, its number of columns, and how it is read along rows and columns.

        The latter are two pairs: the coordinates, folded back into the picture, and the last coordinate of the picture.
        """
        device = self.texels_PK.device
        # A copy that does not wait lets the card go on with what it has.
        sizes_N2 = self.sizes_N2[which_N].to(device, non_blocking=True)
        start = self.offsets_N[which_N].to(device, non_blocking=True)[:, None, None]
        at = []
        for axis_NHW, size_N in zip(grid_NHW2.to(device).unbind(-1), sizes_N2.unbind(-1), strict=True):
            last = (size_N[:, None, None] - 1).to(start.dtype)
            # Fold the line back and forth: 0 1 2 3 2 1 0 1 ...
            folded = torch.remainder(axis_NHW.contiguous(), (2 * last).clamp(min=1))
            at.append((torch.minimum(folded, 2 * last - folded).clamp(min=0.0), last))
        return start, sizes_N2[:, 1, None, None].to(start.dtype), at

    @staticmethod
    def _bilinear(
        read: Callable[[Tensor], tuple[Tensor, ...]], start: Tensor, *, width: Tensor, at: list[tuple[Tensor, Tensor]]
    ) -> list[Tensor]:
        """Read the four pixels around each coordinate by their flat index and take their mean by nearness."""
        (row, below, down), (col, beside, across) = (_around(axis, last, kind=start.dtype) for axis, last in at)
        above = row.mul_(width).add_(col).add_(start)
        lines = [zip(read(left), read(left + beside), strict=True) for left in (above, below.mul_(width).add_(above))]
        upper, lower = ([torch.lerp(a, b, across) for a, b in pairs] for pairs in lines)
        return [a.lerp_(b, down) for a, b in zip(upper, lower, strict=True)]


def _take(values_P: Tensor, at_NHW: Tensor) -> Tensor:
    """Read values by their flat index."""
    return values_P.index_select(0, at_NHW.flatten()).view(at_NHW.shape)


def _around(at: Tensor, last: Tensor, *, kind: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Give the pixel at or before each coordinate, the step to the next (0 at the last), and the way to it, 0..1."""
    low = at.to(kind)
    return low, (low < last).to(kind), at - low


def atlas_for(config: TrainConfig, samples: Iterable[Sample]) -> Atlas:
    """Prepare the pictures a run is trained on: samples, the drawn ones it asks for, and its pixel weights."""
    drawn = drawn_samples(config.drawn, seed=config.seed)
    seams = (config.seam_weight, config.seam_sigma) if config.seam_weight else None
    pictures = [*samples, *drawn]
    return prepare(pictures, config.normalizer, resize=config.resize, seams=seams, stains=config.stains)


def prepare(
    samples: Iterable[Sample],
    normalizer: Normalizer,
    *,
    resize: int | None = None,
    seams: tuple[float, float] | None = None,
    stains: bool = False,
) -> Atlas:
    """Normalise samples and lay them out.

    Parameters
    ----------
    samples : iterable of Sample
        At least one.
    normalizer : Normalizer
        Decides the channels.
    resize : int, optional
        Side of the square each picture is resized to (labels by nearest neighbour).
    seams : (float, float), optional
        w0 and sigma of `nucleate.train.seams.seam_weights`; computed here, once a picture.
    stains : bool
        Lay out stained pictures twice, see `nucleate.train.config.TrainConfig`.
    """
    texels, labels, sizes, kinds, light, weights = [], [], [], [], [], []
    for sample, image, ground in _looks(samples, normalizer, stains=stains):
        truth = sample.labels
        if resize is not None:
            image, truth = resample(image, (resize, resize)), resample_labels(truth, (resize, resize))
        layers = np.stack([*image, normalised_distance(truth)], axis=-1)
        texels.append(np.rint(layers * 255).astype(np.uint8).reshape(-1, layers.shape[-1]))
        labels.append(truth.ravel())
        sizes.append(truth.shape)
        kinds.append(sample.kind)
        light.append(ground)
        if seams is not None:
            weights.append(seam_weights(truth, seams[0], sigma=seams[1]).astype(np.float16).ravel())
    areas = torch.tensor(sizes).prod(1)
    offsets = areas.cumsum(0) - areas
    return Atlas(
        torch.from_numpy(np.concatenate(texels)),
        torch.from_numpy(np.concatenate(labels)),
        offsets.int() if areas.sum() < 2**31 else offsets,
        torch.tensor(sizes),
        tuple(kinds),
        torch.tensor(light),
        None if seams is None else _weights(weights, labels),
    )


def _looks(
    samples: Iterable[Sample], normalizer: Normalizer, *, stains: bool
) -> Iterator[tuple[Sample, NDArray[np.float32], bool]]:
    """Give what the network sees of each sample, (channels, h, w) in 0..1, and whether its ground is light.

    With `stains`, samples on light ground come twice, in grey and as their haematoxylin, if these differ.
    """
    both = [replace(normalizer, stain=stain) for stain in ("grey", "haematoxylin")]
    for sample in samples:
        plane = as_plane(sample.image)
        own = normalizer.measure(plane)
        for scaling in {look.measure(plane): None for look in both} if stains and own.invert else (own,):
            yield sample, scaling.apply(sample.image), scaling.invert


def _weights(seams: Sequence[NDArray[np.float16]], labels: Sequence[NDArray[np.int32]]) -> Tensor:
    """Add the weights of the classes, which follow from all pictures, to those of the seams."""
    background, nucleus = class_weights(labels)
    whole = [seam + np.where(truth > 0, nucleus, background) for seam, truth in zip(seams, labels, strict=True)]
    return torch.from_numpy(np.concatenate(whole).clip(max=np.finfo(np.float16).max).astype(np.float16))


def steps_per_epoch(config: TrainConfig, pictures: int) -> int:
    """Count the batches of an epoch: as configured, or enough to see each picture once."""
    return config.steps_per_epoch or -(-pictures // config.batch)


def _pick(atlas: Atlas, config: TrainConfig, *, step: int) -> Tensor:
    """Choose the pictures of a batch."""
    if config.steps_per_epoch is None:
        epoch, place = divmod(step, steps_per_epoch(config, len(atlas)))
        order = torch.randperm(len(atlas), generator=seeded(config.seed, 1, epoch))
        return order[place * config.batch : (place + 1) * config.batch]
    chances = _chances(atlas.kinds, config.balance)
    generator = seeded(config.seed, 2, step)
    if config.frame == "size-groups":
        # The first picture decides the size, so that every picture keeps its chance.
        first = torch.multinomial(chances, 1, generator=generator)
        chances = chances * (atlas.sizes_N2 == atlas.sizes_N2[first]).all(1)
    return torch.multinomial(chances, config.batch, replacement=True, generator=generator)


@functools.lru_cache(maxsize=2)
def _chances(kinds: tuple[str, ...], balance: float) -> Tensor:
    """Weigh pictures by how common their kind is."""
    count = {kind: kinds.count(kind) for kind in set(kinds)}
    return torch.tensor([count[kind] ** -balance for kind in kinds])


def make_batch(atlas: Atlas, config: TrainConfig, *, step: int, shards: Sequence[int] | None = None) -> Batch:
    """Make the batch of a step; the same step gives the same batch on every run.

    Parameters
    ----------
    atlas : Atlas
    config : TrainConfig
    step : int
        Counted from the start of the run.
    shards : sequence of int, optional
        Which of the batch's `config.shards` parts to make; all when None.
    """
    which = _pick(atlas, config, step=step)
    many = len(which) // config.shards
    parts = [
        _make_shard(atlas, config, which=which[shard * many : (shard + 1) * many], step=step, shard=shard)
        for shard in (range(config.shards) if shards is None else shards)
    ]
    return parts[0] if len(parts) == 1 else _joined(parts)


def _make_shard(atlas: Atlas, config: TrainConfig, *, which: Tensor, step: int, shard: int) -> Batch:
    # Undivided batches are drawn as they always were.
    generator = seeded(config.seed, 3, step, *([shard] if config.shards > 1 else []))
    rows, cols = (int(length) for length in atlas.sizes_N2[which[0]])
    shape = config.crop if config.frame == "crop" else (rows, cols)
    device = atlas.labels_P.device
    grid = crop_grid(atlas.sizes_N2[which], shape, config=config.augment, generator=generator, device=device)
    batch_NCHW, labels_NHW, distance_NHW = atlas.sample(which, grid)
    # Nuclei that shine have no clear middle.
    clearable_NHW = distance_NHW * onto(atlas.light_N[which], device)[:, None, None]
    batch_NCHW = change_intensity(
        batch_NCHW, config.augment, generator=generator, labels_NHW=labels_NHW, distance_NHW=clearable_NHW
    )
    compound = config.loss == "compound"
    weights_NHW = border_weights(labels_NHW, config.border_weight) if compound else atlas.sample_weights(which, grid)
    return Batch(batch_NCHW, make_targets(labels_NHW, distance_NHW, maps=config.maps), weights_NHW)


def _joined(parts: Sequence[Batch]) -> Batch:
    weights = [part.weights_NHW for part in parts if part.weights_NHW is not None]
    return Batch(
        torch.cat([part.batch_NCHW for part in parts]),
        torch.cat([part.targets_NCHW for part in parts]),
        torch.cat(weights) if weights else None,
    )

"""Crops cut and changed on the training device, image and labels together. Legend in `nucleate.nets.unet`.

Geometry is one map of coordinates (`crop_grid`) by which `Atlas.sample` reads pictures and labels. Everything random
comes from the generator that is passed in, so a batch is a function of seed and step.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor
from torch.nn import functional

from nucleate.train.colours import change_colours
from nucleate.train.compression import damage
from nucleate.train.draws import draw, draw_log, grain, onto

if TYPE_CHECKING:
    from nucleate.train.augment_config import AugmentConfig

__all__ = ["change_intensity", "crop_grid", "seeded"]

_PATCHES, _CLUMPS = 8, 64  # points a side of the random fields for where nuclei are cleared, and where chromatin stays
_RIM_EDGE = 0.2  # of the way to the middle, over which a rim ends
_ROUGH = (6, 24, 96)  # points a side of the fields that tissue is made of
_GAPS, _STEEP = 8, 30.0  # points a side of the field that leaves gaps, and how sharp these are
_SHARES = 1024  # nuclei of a crop that can differ
_CELL = 16  # pixels a side of the cells in which the ground between nuclei is measured


def seeded(*numbers: int, device: torch.device | str = "cpu") -> Generator:
    """Make a generator from several numbers (seed, epoch, step and so on), well mixed."""
    state = 0x9E3779B97F4A7C15
    for number in numbers:
        state = (state ^ (number + 0x9E3779B97F4A7C15 + (state << 6) + (state >> 2))) & (2**63 - 1)
        state = (state * 0xBF58476D1CE4E5B9) & (2**63 - 1)
    return Generator(device).manual_seed(state)


def crop_grid(
    sizes_N2: Tensor,
    crop: int | tuple[int, int],
    *,
    config: AugmentConfig,
    generator: Generator,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Draw where each pixel of each crop is read from.

    Parameters
    ----------
    sizes_N2 : Tensor
        Rows and columns of the picture each crop is cut from.
    crop : int or (int, int)
        Side of the crops, or their rows and columns, pixels.
    config : AugmentConfig
        Flips, rotation, zoom and displacement are used.
    generator : Generator
        On the CPU.
    device : torch.device or str
        Where the result is computed.

    Returns
    -------
    Tensor
        (N, rows, columns, 2) float, (row, col) in the picture; may lie outside it.
    """
    count, place = len(sizes_N2), torch.device(device)
    shape = (crop, crop) if isinstance(crop, int) else crop
    angle = (torch.rand(count, generator=generator) * 2 * math.pi) * float(config.rotate)
    step = 1 / draw_log(config.zoom, count, generator=generator)
    flips_N2 = 1 - 2 * (torch.rand(count, 2, generator=generator) < 0.5 * config.flips).float()
    cos, sin = angle.cos() * step, angle.sin() * step
    turn_N22 = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1) * flips_N2[:, None, :]
    # A window of the size of the unturned crop stays inside the picture if that is large enough.
    room_N2 = (sizes_N2 - torch.tensor(shape) * step[:, None]).clamp(min=0)
    centre_N2 = (sizes_N2 - 1) / 2 + room_N2 * (torch.rand(count, 2, generator=generator) - 0.5)
    sides = [torch.arange(length, device=place) - (length - 1) / 2 for length in shape]
    out_HW2 = torch.stack(torch.meshgrid(*sides, indexing="ij"), -1)
    grid_NHW2 = torch.einsum("nij,hwj->nhwi", onto(turn_N22, place), out_HW2) + onto(centre_N2, place)[:, None, None, :]
    if config.displace[1] > 0:
        spread = draw(config.displace, count, generator=generator) * math.sqrt(shape[0] * shape[1]) * step
        points = config.displace_grid
        shift = torch.randn(count, 2, points, points, generator=generator) * spread[:, None, None, None]
        fine_N2HW = functional.interpolate(onto(shift, place), size=shape, mode="bilinear", align_corners=True)
        grid_NHW2 = grid_NHW2 + fine_N2HW.permute(0, 2, 3, 1)
    return grid_NHW2


def change_intensity(
    batch_NCHW: Tensor,
    config: AugmentConfig,
    *,
    generator: Generator,
    labels_NHW: Tensor | None = None,
    distance_NHW: Tensor | None = None,
) -> Tensor:
    """Change colours, polarity, light, contrast, sharpness and noise; stays in 0..1.

    `generator` is on the CPU; see `nucleate.train.draws` for what that means for a graphics card. `labels_NHW` are the
    nuclei, `distance_NHW` is `nucleate.train.targets.normalised_distance` of those whose middles may be cleared, 0
    elsewhere.
    """
    if not config.plain:
        return _changed(batch_NCHW, config, generator=generator, labels_NHW=labels_NHW, distance_NHW=distance_NHW)
    drawn = (torch.rand(len(batch_NCHW), generator=generator) >= config.plain).nonzero()[:, 0]
    if not len(drawn):
        return batch_NCHW
    which = onto(drawn, batch_NCHW.device)
    labels_NHW, distance_NHW = (None if one is None else one[which] for one in (labels_NHW, distance_NHW))
    changed = _changed(batch_NCHW[which], config, generator=generator, labels_NHW=labels_NHW, distance_NHW=distance_NHW)
    return batch_NCHW.index_copy(0, which, changed)


def _changed(
    batch_NCHW: Tensor,
    config: AugmentConfig,
    *,
    generator: Generator,
    labels_NHW: Tensor | None,
    distance_NHW: Tensor | None,
) -> Tensor:
    """Change every crop, one kind of change after the other, in an order that decides the random numbers of each."""
    count, channels = batch_NCHW.shape[:2]
    device = batch_NCHW.device

    def per_crop(values: Tensor) -> Tensor:
        return onto(values, device).view(-1, 1, 1, 1)

    if config.unequal and labels_NHW is not None:
        batch_NCHW = _unequal(batch_NCHW, config.unequal, labels_NHW=labels_NHW, generator=generator)
    if channels == 3:
        batch_NCHW = change_colours(batch_NCHW, config, generator=generator)
    if config.hollow and distance_NHW is not None:
        batch_NCHW = _hollow(batch_NCHW, config.hollow, distance_NHW=distance_NHW, generator=generator)
    if config.tissue:
        batch_NCHW = _tissue(batch_NCHW, config.tissue, generator=generator)
    if config.invert:
        flip = per_crop((torch.rand(count, generator=generator) < config.invert).float())
        batch_NCHW = batch_NCHW * (1 - 2 * flip) + flip
    if config.gamma != (1.0, 1.0):
        batch_NCHW = batch_NCHW.clamp(min=1e-6) ** per_crop(draw_log(config.gamma, count, generator=generator))
    if config.gain != (1.0, 1.0) or config.offset != (0.0, 0.0):
        gain = per_crop(draw(config.gain, count, generator=generator))
        batch_NCHW = batch_NCHW * gain + per_crop(draw(config.offset, count, generator=generator))
    if config.shade:
        batch_NCHW = batch_NCHW + _light(batch_NCHW, config.shade, generator=generator)
    if config.lamp:
        batch_NCHW = _lamp(batch_NCHW, config.lamp, generator=generator)
    if config.blur:
        batch_NCHW = _blur(batch_NCHW, draw((0.0, config.blur), count, generator=generator))
    if config.noise:
        # Squared, so that clean crops stay common.
        spread = per_crop(config.noise * torch.rand(count, generator=generator) ** 2)
        batch_NCHW = batch_NCHW + spread * grain((count, 1, *batch_NCHW.shape[2:]), device, generator=generator)
    return damage(batch_NCHW.clamp(0, 1), config, generator=generator)


def _unequal(batch_NCHW: Tensor, most: float, *, labels_NHW: Tensor, generator: Generator) -> Tensor:
    """Let nuclei stand out less from the ground around them, each by its own share, as if some held less dye."""
    count, place = len(batch_NCHW), batch_NCHW.device
    depth_N = most * torch.rand(count, 1, generator=generator).sqrt()
    shares_NK = depth_N * torch.rand(count, _SHARES, generator=generator)
    nuclei_N1HW = (labels_NHW[:, None] > 0).float()
    which_NHW = (labels_NHW.long() % _SHARES).flatten(1)
    lost_N1HW = onto(shares_NK, place).gather(1, which_NHW).view_as(nuclei_N1HW) * nuclei_N1HW
    # The light beyond the outline of a nucleus belongs to the nucleus, too.
    near_N1HW, weight_N1HW = (_spread(of_N1HW, 4) for of_N1HW in (lost_N1HW, nuclei_N1HW))
    lost_N1HW = torch.where(nuclei_N1HW > 0, lost_N1HW, near_N1HW / (weight_N1HW + 1e-3))
    bare_N1HW = 1 - functional.max_pool2d(nuclei_N1HW, 5, stride=1, padding=2)
    share_N1HW = _spread(bare_N1HW, _CELL)
    mean_NC11 = (batch_NCHW * bare_N1HW).mean((2, 3), keepdim=True) / (bare_N1HW.mean((2, 3), keepdim=True) + 1e-3)
    ground_NCHW = (_spread(batch_NCHW * bare_N1HW, _CELL) + 1e-3 * mean_NC11) / (share_N1HW + 1e-3)
    return ground_NCHW + (batch_NCHW - ground_NCHW) * (1 - lost_N1HW)


def _spread(values_NCHW: Tensor, cell: int) -> Tensor:
    """Average over about three cells a side, smoothly."""
    coarse = functional.avg_pool2d(values_NCHW, cell, ceil_mode=True, count_include_pad=False)
    coarse = functional.avg_pool2d(coarse, 3, stride=1, padding=1, count_include_pad=False)
    return functional.interpolate(coarse, size=values_NCHW.shape[2:], mode="bilinear", align_corners=False)


def _hollow(batch_NCHW: Tensor, most: float, *, distance_NHW: Tensor, generator: Generator) -> Tensor:
    """Clear the middles of nuclei, unevenly, but for a rim and clumps, as if chromatin were loose."""
    count = len(batch_NCHW)
    place = batch_NCHW.device
    depth_N = onto(most * torch.rand(count, 1, 1, 1, generator=generator), place)
    rim_N = onto(0.1 + 0.3 * torch.rand(count, 1, 1, 1, generator=generator), place)
    where_N1HW = _smooth(torch.rand(count, 1, _PATCHES, _PATCHES, generator=generator), batch_NCHW)
    clumps_N1HW = _smooth(torch.rand(count, 1, _CLUMPS, _CLUMPS, generator=generator), batch_NCHW)
    middle_N1HW = ((distance_NHW[:, None] - rim_N) / _RIM_EDGE).clamp(0, 1)
    clear_N1HW = middle_N1HW * (1.8 * where_N1HW).clamp(0, 1) * (1.6 - 1.6 * clumps_N1HW).clamp(0, 1)
    return batch_NCHW * (1 - depth_N * clear_N1HW)


def _tissue(batch_NCHW: Tensor, most: float, *, generator: Generator) -> Tensor:
    """Lay a batch into rough tissue with gaps, which is dyed or shines, too.

    Two layers let through the product of what each lets through, so brightness on dark ground adds up to at most 1.
    """
    count, place = len(batch_NCHW), batch_NCHW.device
    shares = torch.rand(len(_ROUGH), count, 1, 1, 1, generator=generator)
    shares = shares / shares.sum(0)
    rough_N1HW = torch.zeros(count, 1, *batch_NCHW.shape[2:], device=place)
    for points, share_N in zip(_ROUGH, shares, strict=True):
        drawn_N1KK = torch.rand(count, 1, points, points, generator=generator)
        rough_N1HW += onto(share_N, place) * _smooth(drawn_N1KK, batch_NCHW)
    gaps_N1HW = _smooth(torch.rand(count, 1, _GAPS, _GAPS, generator=generator), batch_NCHW, mode="bicubic")
    fewest_N = 0.5 * torch.rand(count, 1, 1, 1, generator=generator)
    filled_N1HW = ((gaps_N1HW - onto(fewest_N, place)) * _STEEP).sigmoid()
    density_N = onto(most * torch.rand(count, 1, 1, 1, generator=generator), place)
    tissue_N1HW = density_N * (0.4 + 1.2 * rough_N1HW).clamp(0, 1) * filled_N1HW
    return batch_NCHW + tissue_N1HW * (1 - batch_NCHW)


def _light(batch_NCHW: Tensor, most: float, *, generator: Generator) -> Tensor:
    """Draw a smooth field (N, 1, H, W) of uneven light for a batch."""
    count = len(batch_NCHW)
    strength = most * torch.rand(count, 1, 1, 1, generator=generator) ** 2
    return _smooth((2 * torch.rand(count, 1, 3, 3, generator=generator) - 1) * strength, batch_NCHW)


def _smooth(points_N1KK: Tensor, batch_NCHW: Tensor, *, mode: str = "bilinear") -> Tensor:
    """Spread few points over the size of a batch, (N, 1, H, W)."""
    points_N1KK, size = onto(points_N1KK, batch_NCHW.device), batch_NCHW.shape[2:]
    return functional.interpolate(points_N1KK, size=size, mode=mode, align_corners=True)


def _lamp(batch_NCHW: Tensor, most: float, *, generator: Generator) -> Tensor:
    """Take away light across a batch and from single colours, of things that shine or that let light through."""
    count, channels = batch_NCHW.shape[:2]
    lost_N = most * torch.rand(2, count, 1, 1, 1, generator=generator) ** 3  # mostly little
    field_N1HW = _smooth(lost_N[0] * torch.rand(count, 1, 3, 3, generator=generator), batch_NCHW)
    colours_NC11 = onto(lost_N[1] * torch.rand(count, channels, 1, 1, generator=generator), batch_NCHW.device)
    light_NCHW = (1 - field_N1HW) * (1 - colours_NC11)
    # Nuclei are always bright here; in transmitted light, 1 means dark.
    passed = onto((torch.rand(count, 1, 1, 1, generator=generator) < 0.5).float(), batch_NCHW.device)
    return batch_NCHW * light_NCHW + passed * (1 - light_NCHW)


def _blur(batch_NCHW: Tensor, sigma_N: Tensor) -> Tensor:
    """Blur each crop by its own Gaussian; a sigma near zero leaves it as it is."""
    reach = max(1, math.ceil(3 * float(sigma_N.max())))
    at = torch.arange(-reach, reach + 1)
    kernel_NK = torch.exp(-0.5 * (at / sigma_N.clamp(min=0.05)[:, None]) ** 2)
    kernel_NK = onto(kernel_NK / kernel_NK.sum(1, keepdim=True), batch_NCHW.device)
    count, channels, height, width = batch_NCHW.shape
    kernels = kernel_NK.repeat_interleave(channels, 0)[:, None, None, :]
    flat = batch_NCHW.reshape(1, count * channels, height, width)
    for pad, weight in (((reach, reach, 0, 0), kernels), ((0, 0, reach, reach), kernels.transpose(2, 3))):
        flat = functional.conv2d(functional.pad(flat, pad, mode="reflect"), weight, groups=count * channels)
    return flat.view(count, channels, height, width)

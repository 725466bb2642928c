"""Detectors, which give nuclei one by one, run on a picture; and whether they can run here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nucleate.core.extras import library
from nucleate.core.labels import relabel
from nucleate.core.resample import resample
from nucleate.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from nucleate.train.config import TrainConfig

__all__ = ["find_nuclei", "why_no_detector"]


def why_no_detector() -> str:
    """Say in one line why Mask R-CNN cannot run here; empty if it can."""
    try:
        library("torchvision.models.detection", "maskrcnn")
    except MissingExtraError as error:  # with operators of another build of torch, too
        return str(error)
    return ""


def find_nuclei(module: nn.Module, config: TrainConfig, *, plane: NDArray[Any], device: str = "cpu") -> NDArray[Any]:
    """Find the nuclei of one plane.

    Parameters
    ----------
    module : nn.Module
        A `nucleate.nets.maskrcnn.MaskRCNN`; put into evaluation mode here.
    config : TrainConfig
        How it was trained: the normalizer and the size of its pictures.
    plane : (H, W) or (H, W, 3) real ndarray
    device : str
        ``cpu`` or ``cuda``.

    Returns
    -------
    (H, W) int32 ndarray
        Label image on the plane's own grid.
    """
    shape = (plane.shape[0], plane.shape[1])
    size = shape if config.resize is None or config.full_size else (config.resize, config.resize)
    picture_CHW = torch.from_numpy(np.ascontiguousarray(resample(config.normalizer(plane), size))).to(device)
    find: Callable[[Tensor, tuple[int, int]], Tensor] = getattr(module.to(device).eval(), "find")  # noqa: B009 - no type
    return relabel(find(picture_CHW, shape).cpu().numpy())

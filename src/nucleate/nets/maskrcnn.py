"""Mask R-CNN from scratch through torchvision. Legend in `nucleate.nets.unet`; K counts the nuclei of a picture.

Source: He, Gkioxari, Dollár, Girshick, "Mask R-CNN", ICCV 2017, doi:10.1109/ICCV.2017.322. Trained without weights
from elsewhere, so batch normalisation learns too (He, Girshick, Dollár, "Rethinking ImageNet Pre-training", ICCV 2019,
doi:10.1109/ICCV.2019.00502).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet18, resnet50
from torchvision.models.detection import MaskRCNN as Detector
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.transform import GeneralizedRCNNTransform

__all__ = ["MaskRCNN", "paste", "targets_of"]

_SIDES = (8, 16, 32, 64, 128)
"""Sides of the anchors in pixels, one for each level of the feature pyramid: a quarter of torchvision's, for nuclei."""

_SURE = 0.5  # score from which a nucleus counts
_MOST = 400  # nuclei in one picture, at most
_CLASSES = 2  # background and nucleus
_BOX_SIDE = 7  # rows and columns of the features that the box head gets of a box, torchvision's default
_FEWEST_PIXELS = 4  # of a nucleus to learn from: nuclei cut by the edge of a crop leave slivers


class MaskRCNN(nn.Module):
    """Boxes, then a mask for each box.

    In training, a batch and its ids give the sum of the losses. In evaluation, a batch alone gives the logits of the
    map of all nuclei, so that the network can be watched as any other; `find` gives the nuclei themselves.

    Parameters
    ----------
    channels_in : int
        1 (repeated for the backbone) or 3.
    width : int
        At 64 it is the network of the paper: ResNet-50, 256 channels in the feature pyramid and the mask head, 1024 in
        the box head. Below 64 the backbone is ResNet-18, and pyramid and heads are narrower in proportion.
    channels_out, depth : int
        Without effect: it finds nuclei one by one, and its backbone has a depth of its own.
    """

    def __init__(self, channels_in: int = 3, channels_out: int = 1, *, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        del channels_out, depth
        if channels_in not in {1, 3}:
            raise ValueError(f"mask-rcnn takes 1 or 3 channels; got channels_in = {channels_in}")
        channels = 4 * width
        self.detector = Detector(
            _pyramid(channels, deep=width >= 64),
            rpn_anchor_generator=AnchorGenerator(
                sizes=tuple((side,) for side in _SIDES), aspect_ratios=((0.5, 1.0, 2.0),) * len(_SIDES)
            ),
            box_head=TwoMLPHead(channels * _BOX_SIDE**2, 4 * channels),
            box_predictor=FastRCNNPredictor(4 * channels, _CLASSES),
            box_detections_per_img=_MOST,
            mask_head=MaskRCNNHeads(channels, (channels,) * 4, 1),
            mask_predictor=MaskRCNNPredictor(channels, channels, _CLASSES),
        )
        self.detector.transform = _SameSize(0, 0, image_mean=[0.5] * 3, image_std=[0.25] * 3)

    def forward(self, batch_NCHW: Tensor, labels_NHW: Tensor | None = None) -> Tensor:
        """Give the loss of a batch with its ids in training, or the logits (N, 1, H, W) of the map of all nuclei."""
        pictures = self._pictures(batch_NCHW)
        if labels_NHW is not None:
            losses: dict[str, Tensor] = self.detector(pictures, [targets_of(labels_HW) for labels_HW in labels_NHW])
            return torch.stack(list(losses.values())).sum()
        maps = []
        for found in self.detector(pictures):
            masks_KHW = found["masks"][:, 0] * found["scores"][:, None, None]
            empty_1HW = torch.zeros_like(batch_NCHW[0, :1])
            maps.append(torch.cat([masks_KHW, empty_1HW]).amax(0, keepdim=True))
        return torch.logit(torch.stack(maps).float(), eps=1e-6)

    @torch.inference_mode()
    def find(self, picture_CHW: Tensor, shape: tuple[int, int]) -> Tensor:
        """Find the nuclei of one picture, on a grid of `shape` (H, W), as int32 label image; evaluation mode only."""
        found = self.detector(self._pictures(picture_CHW[None]))[0]
        sure = found["scores"] >= _SURE
        return paste(found["masks"][sure, 0], found["scores"][sure], shape=shape)

    @staticmethod
    def _pictures(batch_NCHW: Tensor) -> list[Tensor]:
        return list(batch_NCHW.expand(-1, 3, -1, -1).contiguous().unbind(0))


def _pyramid(channels: int, *, deep: bool) -> nn.Module:
    """Build a ResNet whose weights are all drawn and learned, and the feature pyramid on its four stages."""
    backbone = resnet50(norm_layer=nn.BatchNorm2d) if deep else resnet18(norm_layer=nn.BatchNorm2d)
    last = backbone.fc.in_features
    stages = {f"layer{number}": str(number - 1) for number in (1, 2, 3, 4)}
    pyramid: nn.Module = BackboneWithFPN(backbone, stages, [last // 8, last // 4, last // 2, last], channels)
    return pyramid


class _SameSize(GeneralizedRCNNTransform):  # type: ignore[misc]  # torchvision has no types
    """torchvision's preparation of pictures without its resizing."""

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        """Leave a picture and its targets as they are."""
        return image, target


def targets_of(labels_HW: Tensor) -> dict[str, Tensor]:
    """Turn a label image into what torchvision's detectors learn from.

    Returns
    -------
    dict
        ``boxes`` (K, 4) float, x0 y0 x1 y1, the corners of the pixels; ``labels`` (K,) int64, all 1; ``masks``
        (K, H, W) uint8. Nuclei of fewer than four pixels are left out.
    """
    whole_HW = labels_HW.round().long()
    ids, counts = torch.unique(whole_HW, return_counts=True)
    ids = ids[(ids > 0) & (counts >= _FEWEST_PIXELS)]
    masks_KHW = whole_HW[None] == ids[:, None, None]
    corners = []
    for has in (masks_KHW.any(1), masks_KHW.any(2)):
        length = has.shape[1]
        first = has.int().argmax(1)
        last = length - has.flip(1).int().argmax(1)
        corners.append((first, last))
    (x0, x1), (y0, y1) = corners
    return {
        "boxes": torch.stack([x0, y0, x1, y1], 1).float(),
        "labels": torch.ones_like(ids),
        "masks": masks_KHW.to(torch.uint8),
    }


def paste(masks_KHW: Tensor, scores: Tensor, *, shape: tuple[int, int]) -> Tensor:
    """Lay masks over one another without overlap: a pixel belongs to the surest nucleus that claims it.

    Parameters
    ----------
    masks_KHW : Tensor
        Probabilities 0..1; pixels above 0.5 are claimed.
    scores : Tensor
        (K,), how sure each nucleus is.
    shape : (int, int)
        Rows and columns of the result; masks are resized by bilinear interpolation.

    Returns
    -------
    Tensor
        (H, W) int32 label image; a nucleus of which nothing is left has no pixels.
    """
    labels_HW = torch.zeros(shape, dtype=torch.int32, device=masks_KHW.device)
    for number, index in enumerate(scores.argsort(descending=True, stable=True).tolist(), start=1):
        mask_NCHW = masks_KHW[index][None, None].float()
        if mask_NCHW.shape[-2:] != shape:
            mask_NCHW = functional.interpolate(mask_NCHW, size=shape, mode="bilinear", align_corners=False)
        labels_HW[(mask_NCHW[0, 0] > 0.5) & (labels_HW == 0)] = number
    return labels_HW

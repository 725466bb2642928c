"""Loading models and segmenting in one call; the only place that chooses between ONNX Runtime and torch."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Literal

from nucleate.core.checks import check_number
from nucleate.core.cores import MOST_THREADS
from nucleate.core.extras import library
from nucleate.errors import MissingExtraError, ModelError, UsageError
from nucleate.io.given import as_image
from nucleate.io.images import open_image, read_image
from nucleate.run.engine import Engine, OnnxEngine, WithinMemory
from nucleate.run.segmenter import Segmenter, SegmentSettings
from nucleate.run.weights import ModelFiles, find_model

if TYPE_CHECKING:
    from pathlib import Path

    from nucleate.io.given import Given
    from nucleate.run.segmentation import Segmentation
    from nucleate.run.settings import Scale

__all__ = ["Device", "Precision", "load_segmenter", "open_image", "read_image", "segment"]

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "full"]

_TILES_ON_GPU = 2


def load_segmenter(
    name: str | Path | None = None,
    *,
    device: Device = "auto",
    threads: int | None = None,
    precision: Precision = "auto",
    settings: SegmentSettings | None = None,
) -> Segmenter:
    """Load a model, once for many images.

    Parameters
    ----------
    name : str or Path, optional
        A shipped model, an .onnx or .toml file, or a folder with one model; the usual model when None.
    device : {"auto", "cpu", "cuda"}
        ``cpu`` computes with ONNX Runtime, ``cuda`` with torch on an NVIDIA card; ``auto`` takes the card if there is
        one and torch, with the extra ``train``, is installed.
    threads : int, optional
        Processor threads.
    precision : {"auto", "full"}
        ``auto`` is the fastest that was shown to be as good: 8-bit integers on a processor, for models that bring
        them, bfloat16 on a card. ``full`` is float32 on both, which then agree.
    settings : SegmentSettings, optional
        Scale, tiles, filters and more.

    Returns
    -------
    Segmenter
        Its card's `sha256` is that of the file in use.

    Raises
    ------
    ModelError
        If there is no such model or its files are damaged.
    UsageError
        If the device cannot be used.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device {device!r}; use auto, cpu or cuda")
    check_number("threads", threads, least=1, most=MOST_THREADS, whole=True, optional=True)
    if precision not in ("auto", "full"):
        raise UsageError(f"precision {precision!r}; use auto or full")
    if settings is not None and not isinstance(settings, SegmentSettings):
        raise UsageError(f"settings {settings!r}; use SegmentSettings")
    files, fast = find_model(name), precision == "auto"
    if device != "cpu":
        on_card = _torch_engine(files, wanted=device == "cuda", half=fast)
        if on_card is not None:
            engine = WithinMemory(on_card, lambda: OnnxEngine(files.read(), threads))
            return Segmenter(engine, files.card, settings=settings, tiles_at_once=_TILES_ON_GPU)
    integers = files.read_int8() if fast else None
    if integers is None:
        return Segmenter(OnnxEngine(files.read(), threads), files.card, settings=settings)
    # Bytes instead of floats: half the memory and less.
    changed = {"sha256": files.card.sha256_int8, "bytes_per_pixel": -(-files.card.bytes_per_pixel // 2)}
    card = files.card.model_copy(update=changed)
    return Segmenter(OnnxEngine(integers, threads), card, settings=settings)


def segment(
    image: Given,
    *,
    model: str | Path | None = None,
    channel: str | int | None = None,
    device: Device = "auto",
    scale: Scale = "auto",
    tta: bool = False,
    min_area: int | None = None,
    min_confidence: float | None = None,
) -> Segmentation:
    """Find the nuclei of one image. For many images use `load_segmenter`, which loads the model once.

    Parameters
    ----------
    image : ndarray, Image, LazyImage or path
        A picture (H, W) or (H, W, 3) of any real dtype, an `nucleate.core.image.Image`, what `open_image` gives, which
        is read as a whole, or a file; of one that holds several pictures ``mice.lif#3``, counted from 0, or what
        `read_image` gives of it. Of a masked array what is masked out counts as not measured, as NaN does.
    model, device
        See `load_segmenter`.
    channel : str or int, optional
        Channel with the nuclei, by name or index; the nuclear stain, or the first, when None.
    scale, tta, min_area, min_confidence
        See `nucleate.run.segmenter.SegmentSettings`.

    Returns
    -------
    Segmentation
        Labels (H, W) int32, confidence, table, outlines; ``save()`` writes files.

    Raises
    ------
    InputError
        If the image cannot be read or is none.
    ModelError
        If there is no such model or its files are damaged.
    UsageError
        If an option has a value that cannot be.
    """
    settings = SegmentSettings(scale=scale, tta=tta, min_area=min_area, min_confidence=min_confidence)
    opened = as_image(image)
    return load_segmenter(model, device=device, settings=settings).segment(opened, channel)


def _torch_engine(files: ModelFiles, *, wanted: bool, half: bool) -> Engine | None:
    """Build torch's engine on the graphics card; None, or the reason as an error when `wanted`, where that fails."""
    if not wanted and shutil.which("nvidia-smi") is None:
        return None  # to import torch only to hear that there is no card would take a second
    try:
        for name in ("torch", "onnx"):
            library(name, "train")
    except MissingExtraError:
        if wanted:
            raise
        return None
    from nucleate.nets.engine import TorchEngine
    from nucleate.nets.from_onnx import load_onnx

    content = files.read()
    try:
        return TorchEngine(load_onnx(content, files.card.network), "cuda", half=half)
    except ValueError as error:
        if wanted:
            raise ModelError(f"{files.card.name} does not run on torch: {error}; use device cpu") from error
    except (RuntimeError, AssertionError) as error:  # torch has no single class for "no such device"
        if wanted:
            raise UsageError("no graphics card that torch can use; use device cpu") from error
    return None

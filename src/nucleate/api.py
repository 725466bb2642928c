"""Loading models and segmenting in one call; the only place that chooses between ONNX Runtime and torch."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nucleate.core.checks import is_number
from nucleate.core.cores import MOST_THREADS
from nucleate.core.image import Image
from nucleate.core.lazy import LazyImage
from nucleate.errors import InputError, MissingExtraError, ModelError, UsageError
from nucleate.io.faults import check_size
from nucleate.io.images import open_image, read_image
from nucleate.run.engine import Engine, OnnxEngine, WithinMemory
from nucleate.run.segmenter import Segmenter, SegmentSettings
from nucleate.run.weights import ModelFiles, find_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.run.segmentation import Segmentation
    from nucleate.run.segmenter import Scale

__all__ = ["Device", "Precision", "load_segmenter", "open_image", "read_image", "segment"]

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "full"]

_LONGEST_PATH = 4096
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
    if threads is not None and not is_number(threads, least=1, most=MOST_THREADS, whole=True):
        raise UsageError(f"threads = {threads!r}; use a whole number from 1 to {MOST_THREADS}")
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
    image: NDArray[Any] | Image | LazyImage | os.PathLike[str] | os.PathLike[bytes] | str | bytes,
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
        is read as a whole, or a file. Of a masked array what is masked out counts as not measured, as NaN does.
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
    opened = _as_image(image)
    return load_segmenter(model, device=device, settings=settings).segment(opened, channel)


def _as_image(image: Any) -> Image:  # noqa: ANN401 - checked here
    if isinstance(image, Image):
        return image
    if isinstance(image, bytes) and (b"\0" in image or len(image) > _LONGEST_PATH):
        raise InputError(f"{len(image)} bytes are no name of a file, but the content of one; give the path of the file")
    if isinstance(image, str | bytes | os.PathLike):
        return read_image(os.fsdecode(image))
    if isinstance(image, LazyImage):
        check_size(Path(image.name), image.shape, itemsize=image.dtype.itemsize, max_bytes=None)
        return image.load()
    if isinstance(image, np.ma.MaskedArray):  # what is masked out is as good as not measured
        image = np.ma.filled(image.astype(np.result_type(image.dtype, np.float32)), np.nan)
    elif getattr(image, "mode", None) in {"P", "PA"}:  # of Pillow: numbers of colours
        image = image.convert("RGB")
    try:
        pixels = np.asarray(image)
    except Exception as error:  # whatever another library's object raises
        raise InputError(f"no picture can be made of {type(image).__name__}: {error}; give a NumPy array") from error
    if pixels.ndim == 2:
        return Image(pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        return Image(pixels, "YXS")
    if pixels.ndim == 0:
        kind = type(image).__name__
        raise InputError(f"{kind} is no picture; give an array, the path of a file, or nucleate.core.image.Image")
    raise InputError(
        f"{type(image).__name__} of shape {pixels.shape} can mean many things; "
        "give (H, W), (H, W, 3), or nucleate.core.image.Image with its axes named"
    )


def _torch_engine(files: ModelFiles, *, wanted: bool, half: bool) -> Engine | None:
    """Build torch's engine on the graphics card; None, or the reason as an error when `wanted`, where that fails."""
    if not wanted and shutil.which("nvidia-smi") is None:
        return None  # to import torch only to hear that there is no card would take a second
    try:
        from nucleate.nets.engine import TorchEngine
        from nucleate.nets.from_onnx import load_onnx
    except ImportError as error:
        if wanted:
            raise MissingExtraError(error.name or "torch", "train") from error
        return None
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

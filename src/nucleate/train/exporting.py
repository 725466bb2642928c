"""A model for other programs: ONNX, TorchScript, or a package of the BioImage Model Zoo."""

from __future__ import annotations

import hashlib
import io
import json
import re
import warnings
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from nucleate.core.files import atomic_path, make_folder
from nucleate.core.image import COLOURS
from nucleate.errors import ModelError, UsageError
from nucleate.nets.to_onnx import OPSET, Maps
from nucleate.run.engine import OnnxEngine
from nucleate.run.selftest import picture
from nucleate.run.weights import card_text, check_free, list_models, write_card
from nucleate.train.retune import write_model
from nucleate.train.shipping import PARITY
from nucleate.train.start import network_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.run.weights import ModelCard, ModelFiles

__all__ = ["export_model"]

_DEVELOPERS = "The nucleate developers"
_EPS = 1e-6  # the default of the format, which is not written, since in YAML 1.1 this spelling is text
_CLIP = {"id": "clip", "kwargs": {"min": 0.0, "max": 1.0}}
_SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")  # https://spdx.org/licenses


def export_model(files: ModelFiles, folder: Path, *, to: str, authors: Sequence[str] = (), licence: str = "") -> Path:
    """Write a model in another form.

    Parameters
    ----------
    files : ModelFiles
        The model.
    folder : Path
        Made if it is not there.
    to : str
        ``onnx``, ``torchscript`` (takes a batch, gives maps in 0..1; the card goes with both) or ``bioimageio``.
    authors : sequence of str
        Who made the model, for a package of the zoo; may be left out for the network that ships.
    licence : str
        Under which it may be used, as its SPDX identifier, for a package of the zoo; may be left out where its card
        names one.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ModelError
        If the network cannot be had in torch, or the maps of the exported file differ.
    UsageError
        If another model of that name is in the folder, it is not said who made a model for the zoo and under which
        licence it may be used, its card names another licence, or the licence is no identifier.
    """
    if to == "bioimageio":
        return _bioimageio(_licensed(files, licence), folder, authors=authors)
    if authors or licence:
        raise UsageError(f"authors and licence are told in a package of the zoo, and not in {to}; leave them out")
    return write_model(folder, files, card=files.card) if to == "onnx" else _torchscript(files, folder)


def _torchscript(files: ModelFiles, folder: Path) -> Path:
    card = files.card
    check_free(folder, card)
    wrapped = Maps(network_of(files)).eval().requires_grad_(requires_grad=False)
    batch_NCHW = _batch(card)
    with warnings.catch_warnings(), torch.no_grad():
        # torch advises against its own format, which other programs still ask for.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(wrapped, torch.from_numpy(batch_NCHW))  # type: ignore[no-untyped-call]
        content = io.BytesIO()  # torch would end the whole process if a disk is full
        torch.jit.save(traced, content)
        again = torch.jit.load(io.BytesIO(content.getvalue()))  # type: ignore[no-untyped-call]
        # Compared at another size than the traced one.
        larger_NCHW = np.tile(batch_NCHW, (1, 1, 2, 1))
        gap = np.abs(again(torch.from_numpy(larger_NCHW)).numpy() - OnnxEngine(files.read())(larger_NCHW)).max()
        if not gap <= PARITY:
            raise ModelError(f"{card.name}: TorchScript and ONNX differ by {gap:.2g}; nothing is written")
    target = make_folder(folder) / f"{card.name}.pt"
    with atomic_path(target) as temporary:
        temporary.write_bytes(content.getvalue())
    write_card(target.with_suffix(".toml"), card)
    return target


def _batch(card: ModelCard) -> NDArray[np.float32]:
    """Prepare the picture of the self-test for the network, cut to the card's multiple."""
    image_CHW = card.normalizer(picture())
    rows, cols = (max(size // card.multiple, 1) * card.multiple for size in image_CHW.shape[1:])
    tall = -(-rows // image_CHW.shape[1])
    wide = -(-cols // image_CHW.shape[2])
    return np.ascontiguousarray(np.tile(image_CHW, (1, tall, wide))[None, :, :rows, :cols])


def _bioimageio(files: ModelFiles, folder: Path, *, authors: Sequence[str]) -> Path:
    card, content, makers = files.card, files.read(), _makers(files.card, authors)
    raw_NCHW = np.ascontiguousarray(_batch(card) * np.float32(200) + np.float32(7))
    maps_NCHW = OnnxEngine(content)(_scaled(raw_NCHW, card))
    parts = {
        "weights.onnx": content,
        "test-input.npy": _npy(raw_NCHW),
        "test-output.npy": _npy(maps_NCHW),
        "cover.png": _cover(raw_NCHW, maps_NCHW),
        "README.md": _readme(card).encode(),
        "card.toml": card_text(card).encode(),
    }
    # JSON is YAML too.
    told = _description(card, parts, shape=raw_NCHW.shape, authors=makers)
    parts["bioimageio.yaml"] = json.dumps(told, indent=1).encode()
    target = make_folder(folder) / f"{card.name}.bioimageio.zip"
    with atomic_path(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return target


def _licensed(files: ModelFiles, licence: str) -> ModelFiles:
    named = files.card.licence
    for told, where in ((named, f"licence in {files.onnx.with_suffix('.toml')}:"), (licence, "--licence")):
        if told and not _SPDX.fullmatch(told):
            raise UsageError(
                f"{where} {told!r} is no SPDX identifier, which the zoo asks for; take one from spdx.org/licenses, "
                "such as CC-BY-4.0"
            )
    if licence and named and licence != named:
        raise UsageError(f"--licence {licence!r}: the card of {files.card.name} says {named}; leave it out")
    return replace(files, card=files.card.model_copy(update={"licence": licence or named}))


def _makers(card: ModelCard, authors: Sequence[str]) -> Sequence[str]:
    """Give who made a model; refuse a model without authors or licence, which nobody else may choose."""
    ships = card.sha256 in {shipped.card.sha256 for shipped in list_models()}
    lacking = [] if authors or ships else ["--author NAME"]
    lacking += [] if card.licence else ["--licence NAME, such as CC-BY-4.0"]
    if lacking:
        raise UsageError(
            f"a package of the zoo tells who made {card.name} and under which licence it may be used; "
            f"give {' and '.join(lacking)}"
        )
    return authors or (_DEVELOPERS,)


def _scaled(raw_NCHW: NDArray[np.float32], card: ModelCard) -> NDArray[np.float32]:
    """Scale as the package describes it: percentiles of the whole picture to 0 and 1, then clipped."""
    low, high = np.percentile(raw_NCHW, _percentiles(card)) if card.normalizer.scaling == "percentile" else (0.0, 255.0)
    return np.clip((raw_NCHW - low) / (high - low + _EPS), 0, 1).astype(np.float32)


def _description(
    card: ModelCard, parts: Mapping[str, bytes], *, shape: tuple[int, ...], authors: Sequence[str]
) -> dict[str, Any]:
    """Describe the model by the zoo's specification, version 0.5.3."""

    def file(name: str) -> dict[str, str]:
        return {"source": name, "sha256": hashlib.sha256(parts[name]).hexdigest()}

    def axes(channels: list[str], size: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {"type": "batch"},
            {"type": "channel", "channel_names": channels},
            *({"type": "space", "id": axis, "size": size.get(axis, size)} for axis in "yx"),
        ]

    step = card.multiple
    colours = ["grey"] if card.normalizer.channels == 1 else list(COLOURS)
    same = {axis: {"tensor_id": "image", "axis_id": axis} for axis in "yx"}
    return {
        "format_version": "0.5.3",
        "type": "model",
        "name": f"{card.name.replace('.', '-')} nuclei",
        "description": card.description or "Nuclei in microscope images.",
        "authors": [{"name": name} for name in authors],
        "cite": [{"text": "U-Net, the kind of network it is", "doi": "10.1007/978-3-319-24574-4_28"}],
        "license": card.licence,
        "documentation": "README.md",
        "covers": ["cover.png"],
        "tags": ["nuclei", "segmentation", "unet", "fluorescence-light-microscopy", "histology"],
        "attachments": [file("card.toml")],
        "inputs": [
            {
                "id": "image",
                "axes": axes(colours, {"min": shape[2] // step * step, "step": step}),
                "data": {"type": "float32"},
                "test_tensor": file("test-input.npy"),
                "preprocessing": _preprocessing(card),
            }
        ],
        "outputs": [
            {
                "id": "maps",
                "axes": axes(list(card.maps), same),
                "data": {"type": "float32", "range": [0.0, 1.0]},
                "test_tensor": file("test-output.npy"),
            }
        ],
        "weights": {"onnx": {**file("weights.onnx"), "opset_version": OPSET}},
    }


def _preprocessing(card: ModelCard) -> list[dict[str, Any]]:
    if card.normalizer.scaling == "range":
        return [{"id": "scale_linear", "kwargs": {"gain": 1 / 255, "offset": 0.0}}, _CLIP]
    ends = dict(zip(("min_percentile", "max_percentile"), _percentiles(card), strict=True))
    return [{"id": "scale_range", "kwargs": {"axes": ["channel", "y", "x"], **ends}}, _CLIP]


def _percentiles(card: ModelCard) -> tuple[float, float]:
    """Give the percentiles of pictures on dark ground, the only ones that the package can prepare."""
    seen = card.normalizer
    return seen.low_percentile if seen.ground is None else seen.ground, seen.high_percentile


def _readme(card: ModelCard) -> str:
    whole = {name: value for name, value in card.scores.items() if not isinstance(value, dict)}
    by_type = {f"kaggle, {kind}": value for kind, value in card.scores.get("kaggle_by_type", {}).items()}
    scores = "".join(f"- {name}: {value}\n" for name, value in {**whole, **by_type}.items())
    return (
        f"# {card.name}\n\n{card.description}\n\nThe maps are {', '.join(card.maps)}, each 0 to 1. "
        "From maps to nuclei, and how sure each is: card.toml has the numbers, the program nucleate applies them.\n\n"
        "## Input\n\nBright nuclei on a dark ground. Pictures whose nuclei are dark are turned round first "
        f"(`polarity = {card.normalizer.polarity!r}` in the program), grey ones are given in every channel.\n\n"
        f"## Training data\n\n{card.data or 'Not noted.'}\n\n## Validation\n\nOn held-out pictures:\n\n{scores}"
    )


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _cover(raw_NCHW: NDArray[np.float32], maps_NCHW: NDArray[np.float32]) -> bytes:
    """Show the test picture beside its mask, at twice the size."""
    both = np.concatenate([raw_NCHW[0].mean(0) / 255, maps_NCHW[0, 0]], axis=1)
    pixels = (both.clip(0, 1) * 255).astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()

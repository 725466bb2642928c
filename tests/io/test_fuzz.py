"""Damaged files: a few hundred seeded mutations of small files give a picture or an `InputError`, nothing else."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
import pytest
import tifffile

from nucleate.errors import InputError
from nucleate.io.images import read_image

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


def _seeds() -> dict[str, bytes]:
    rng = np.random.default_rng(1)
    grey = rng.integers(0, 255, (13, 17), np.uint8)
    colour = PIL.Image.fromarray(rng.integers(0, 255, (9, 11, 3), np.uint8))
    frames = [PIL.Image.fromarray(np.roll(grey, i)) for i in range(3)]
    files: dict[str, bytes] = {}
    for kind in ("PNG", "BMP", "GIF", "JPEG"):
        for name, picture in (("grey", PIL.Image.fromarray(grey)), ("colour", colour)):
            buffer = io.BytesIO()
            picture.save(buffer, kind)
            files[f"{kind}-{name}"] = buffer.getvalue()
    for kind in ("PNG", "GIF", "TIFF"):
        buffer = io.BytesIO()
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
        files[f"{kind}-frames"] = buffer.getvalue()
    layouts: dict[str, dict[str, Any]] = {
        "plain": {}, "zlib": {"compression": "zlib", "predictor": True}, "lzw": {"compression": "lzw"},
        "jpeg": {"compression": "jpeg"}, "tiles": {"tile": (16, 16)}, "imagej": {"imagej": True},
    }  # fmt: skip
    for name, options in layouts.items():
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, np.stack([grey, grey]), photometric="minisblack", **options)
        files[f"TIFF-{name}"] = buffer.getvalue()
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.stack([grey, grey]), ome=True, metadata={"axes": "CYX"})
    files["TIFF-ome"] = buffer.getvalue()
    return files


def _mutated(content: bytes, rng: np.random.Generator) -> bytes:
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        place = int(rng.integers(0, min(len(data), 400))) if rng.random() < 0.7 else int(rng.integers(0, len(data)))
        kind = rng.integers(0, 4)
        if kind == 0:
            data[place] = int(rng.integers(0, 256))
        elif kind == 1:
            data[place] ^= 1 << int(rng.integers(0, 8))
        elif kind == 2:
            data[place : place + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b""])
        else:
            del data[place + 8 : place + 8 + int(rng.integers(1, 60))]
    return bytes(data)


@pytest.mark.parametrize("name", sorted(_seeds()))
def test_damaged_files(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    content = _seeds()[name]
    rng = np.random.default_rng(sum(name.encode()))
    path = tmp_path / "a.img"
    path.write_bytes(content)
    whole = read_image(path)
    messages: list[str] = []
    for _ in range(25):
        path.write_bytes(_mutated(content, rng))
        try:
            image = read_image(path, max_bytes=50_000_000)
        except InputError as error:
            messages.append(str(error))
        else:
            assert image.pixels.size > 0
    assert whole.pixels.size > 0
    assert 0 < len(messages) <= 25
    assert not any("\n" in message for message in messages)
    assert capfd.readouterr().err == ""

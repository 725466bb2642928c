"""Nikon ND2 files (version 3) for tests, written by hand: named chunks, and a map of them at the end."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MAGIC = 0x0ABECEDA
LOOPS = {"T": 1, "P": 2, "Z": 4}
FRAME_NAME_BYTES = 4072
PROBE = {"pFluorescentProbe": {"m_ExcitationSpectrum": {"uiCount": 0}, "m_EmissionSpectrum": {"uiCount": 0}}}


@dataclass(frozen=True)
class Recording:
    """Pixels with axes of T, P, Z in any order, then C, Y, X, or Y, X, S with colours (red, green, blue)."""

    pixels: NDArray[Any]
    axes: str
    names: tuple[str, ...] = ("DAPI",)
    pixel_um: float | None = 0.5
    recorded: int | None = None
    compressed: bool = False


def write_nd2(path: Path, recording: Recording) -> Path:
    """Write a file; `recorded` frames of it if that is given."""
    pixels = recording.pixels
    colours = recording.axes.endswith("S")
    loops = recording.axes[: -3 if colours or "C" in recording.axes else -2]
    frames = pixels.reshape(-1, *pixels.shape[len(loops) :])
    if colours:
        stored = frames[..., ::-1]
    else:
        stored = np.moveaxis(frames, 1, -1) if "C" in recording.axes else frames[..., None]
    stored = stored[: recording.recorded]
    samples = stored.shape[-1]
    attributes = {
        "uiWidth": stored.shape[2], "uiHeight": stored.shape[1], "uiComp": samples,
        "uiWidthBytes": stored.shape[2] * samples * pixels.dtype.itemsize, "uiBpcInMemory": pixels.dtype.itemsize * 8,
        "uiBpcSignificant": pixels.dtype.itemsize * 8, "uiSequenceCount": len(stored),
        "eCompression": 0 if recording.compressed else 2,
    }  # fmt: skip
    planes = {
        f"a{i}": {"sDescription": name, "uiCompCount": 3 if colours else 1, "uiSampleIndex": i} | PROBE
        for i, name in enumerate(recording.names)
    }
    picture = {
        "bCalibrated": recording.pixel_um is not None,
        "dCalibration": recording.pixel_um or 1.0,
        "sPicturePlanes": {"uiCount": len(planes), "sPlaneNew": planes},
    }
    chunks = {
        b"ImageAttributesLV!": _level({"SLxImageAttributes": attributes}),
        b"ImageMetadataSeqLV|0!": _level({"SLxPictureMetadata": picture}),
    }
    if loops:
        lengths = dict(zip(loops, pixels.shape, strict=False))
        chunks[b"ImageMetadataLV!"] = _level({"SLxExperiment": _experiment(loops, lengths)})
    for number, frame in enumerate(stored):
        data = np.ascontiguousarray(frame).tobytes()
        data = zlib.compress(data) if recording.compressed else data
        chunks[f"ImageDataSeq|{number}!".encode()] = b"\0" * 8 + data
    path.write_bytes(_file(chunks))
    return path


def _file(chunks: dict[bytes, bytes]) -> bytes:
    content = _chunk(b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver3.0".ljust(64, b"\0"), name_bytes=32)
    places = b""
    for name, data in chunks.items():
        places += name + struct.pack("<QQ", len(content), len(data))
        content += _chunk(name, data, name_bytes=FRAME_NAME_BYTES if name.startswith(b"ImageDataSeq") else 64)
    tail = b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", len(content))
    return content + _chunk(b"ND2 FILEMAP SIGNATURE NAME 0001!", places + tail, name_bytes=32)


def _chunk(name: bytes, data: bytes, *, name_bytes: int) -> bytes:
    return struct.pack("<IIQ", MAGIC, name_bytes, len(data)) + name.ljust(name_bytes, b"\0") + data


def _experiment(loops: str, lengths: dict[str, int]) -> dict[str, Any]:
    count = lengths[loops[0]]
    parameters: dict[str, Any] = {"uiCount": count}
    if loops[0] == "T":
        parameters |= {"dStart": 0.0, "dPeriod": 100.0, "dDuration": 100.0 * count}
    elif loops[0] == "P":
        parameters["Points"] = {f"i{i:010}": {"dPosX": float(i), "dPosY": 0.0} for i in range(count)}
    else:
        parameters["dZStep"] = 1.5
    found: dict[str, Any] = {"eType": LOOPS[loops[0]], "uLoopPars": parameters}
    if len(loops) > 1:
        found["ppNextLevelEx"] = {"i0000000000": _experiment(loops[1:], lengths)}
    return found


def _level(table: dict[str, Any]) -> bytes:
    """Write names and values one after the other, each with the code of its type; a table's length is written first."""
    written = b""
    for name, value in table.items():
        wide = (name + "\0").encode("utf-16-le")
        if isinstance(value, dict):
            inner = _level(value)
            head = struct.pack("<BB", 11, len(name) + 1) + wide
            length = len(head) + struct.calcsize("<IQ") + len(inner)
            written += head + struct.pack("<IQ", len(value), length) + inner + b"\0" * 8 * len(value)
            continue
        code, data = _value(value)
        written += struct.pack("<BB", code, len(name) + 1) + wide + data
    return written


def _value(value: float | str) -> tuple[int, bytes]:
    if isinstance(value, bool):
        return 1, struct.pack("<B", value)
    if isinstance(value, int):
        return 3, struct.pack("<I", value)
    if isinstance(value, float):
        return 6, struct.pack("<d", value)
    return 8, (value + "\0").encode("utf-16-le")

"""Files as Micro-Manager writes them, for the tests: each names all positions, and where its planes lie among them."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

from tests.io.ome_sets import NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

_DIRECTORY = 162
"""Bytes of the directory before each plane: thirteen entries; ImageJ's metadata take one more."""


def write_position(
    path: Path,
    planes: Sequence[NDArray[np.uint8]],
    *,
    position: int,
    positions: int,
    description: str,
    imagej: str = "",
    places: Sequence[tuple[int, int]] = (),
) -> None:
    """Write a file of one position.

    Parameters
    ----------
    path : Path
        Its name begins with ``s_MMStack``, as `summary` has it.
    planes : list of (H, W) array
        Its channels.
    position, positions : int
        Which one, of how many.
    description : str
        OME metadata, or nothing.
    imagej : str
        ImageJ's metadata, a second description.
    places : list of (int, int)
        Channel and time of each plane, where they are not all channels of one time.
    """
    summary = {"MicroManagerVersion": "2.0", "Prefix": "s", "Frames": 1, "Slices": 1, "SlicesFirst": False}
    named = list(NAMES[: len({channel for channel, _ in places} or planes)])
    told = json.dumps(summary | {"Channels": len(planes), "Positions": positions, "ChNames": named}).encode()
    told += b" " * (len(told) % 2)
    directory = _DIRECTORY + 12 * bool(imagej)
    start, size = 40 + len(told), directory + planes[0].size + planes[0].size % 2
    text, tag, second = description.encode() + b"\0", b'{"a": 1}\0', imagej.encode() + b"\0"
    offsets = [start + size * i for i in range(len(planes))]
    told_at = places or [(channel, 0) for channel in range(len(planes))]
    index = struct.pack("<II", 3453623, len(planes))
    index += b"".join(
        struct.pack("<5I", channel, 0, t, position, at) for (channel, t), at in zip(told_at, offsets, strict=True)
    )
    end = start + size * len(planes)
    head = struct.pack("<4s9I", b"II*\0", start, 54773648, end, 483765892, 0, 99384722, 0, 2355492, len(told))
    body = b""
    for at, plane in zip(offsets, planes, strict=True):
        rows, cols = plane.shape
        entries = [
            (256, 3, 1, cols), (257, 3, 1, rows), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
            (270, 2, *((len(text), end + len(index)) if at == start else (1, 0))), (273, 4, 1, at + directory),
            (277, 3, 1, 1), (278, 3, 1, rows), (279, 4, 1, plane.size), (296, 3, 1, 1), (305, 2, 1, 0),
            (51123, 2, len(tag), end + len(index) + len(text)),
        ]  # fmt: skip
        if imagej:
            place = end + len(index) + len(text) + len(tag)
            entries.insert(6, (270, 2, *((len(second), place) if at == start else (1, 0))))
        body += struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *one) for one in entries)
        body += struct.pack("<I", 0 if at == offsets[-1] else at + size) + plane.tobytes() + b"\0" * (plane.size % 2)
    path.write_bytes(head + told + body + index + text + tag + second)

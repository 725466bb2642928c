"""Leica LIF files for tests, written by hand: the header in XML and the blocks of pixels after it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DIMENSIONS = {"X": 1, "Y": 2, "Z": 3, "T": 4, "M": 10}


@dataclass(frozen=True)
class Series:
    """One picture: axes of X, Y, Z, T (20 s apart), M (a mosaic's tiles), C in any order, and S for colours, last."""

    name: str
    pixels: NDArray[Any]
    axes: str = "YX"
    step_um: float = 0.5
    dyes: tuple[str, ...] = ()
    colours: tuple[str, ...] = ("Blue", "Green", "Red")


def write_lif(path: Path, series: list[Series], *, short_by: int = 0) -> Path:
    """Write a LIF file of version 2; `short_by` bytes are left out at its end."""
    elements = "".join(_element(one, number) for number, one in enumerate(series))
    header = (
        '<LMSDataContainerHeader Version="2"><Element Name="project"><Children>'
        f"{elements}</Children></Element></LMSDataContainerHeader>"
    )
    text = header.encode("utf-16-le")
    content = struct.pack("<IIBI", 0x70, len(text) + 5, 0x2A, len(header)) + text
    for number, one in enumerate(series):
        name = f"MemBlock_{number}".encode("utf-16-le")
        data = one.pixels.astype(one.pixels.dtype.newbyteorder("<")).tobytes()
        content += struct.pack("<IIBQBI", 0x70, len(name) + 14, 0x2A, len(data), 0x2A, len(name) // 2) + name + data
    path.write_bytes(content[: len(content) - short_by])
    return path


def _element(series: Series, number: int) -> str:
    strides = dict(zip(series.axes, np.ascontiguousarray(series.pixels).strides, strict=True))
    lengths = dict(zip(series.axes, series.pixels.shape, strict=True))
    itemsize = series.pixels.dtype.itemsize
    dimensions = "".join(
        f'<DimensionDescription DimID="{DIMENSIONS[letter]}" NumberOfElements="{lengths[letter]}" Origin="0" '
        f'Length="{(20.0 if letter == "T" else series.step_um * 1e-6) * (lengths[letter] - 1)!r}" '
        f'Unit="{"s" if letter == "T" else "m"}" BitInc="0" BytesInc="{strides[letter]}"/>'
        for letter in series.axes
        if letter in DIMENSIONS
    )
    apart, count = (itemsize, lengths["S"]) if "S" in series.axes else (strides.get("C", 0), lengths.get("C", 1))
    channels = "".join(_channel(series, i, place=i * apart) for i in range(count))
    return (
        f"<Element Name={quoteattr(series.name)}><Data><Image><ImageDescription><Channels>{channels}</Channels>"
        f"<Dimensions>{dimensions}</Dimensions></ImageDescription></Image></Data>"
        f'<Memory Size="{series.pixels.nbytes}" MemoryBlockID="MemBlock_{number}"/></Element>'
    )


def _channel(series: Series, number: int, *, place: int) -> str:
    dye = series.dyes[number] if series.dyes else ""
    known = f"<ChannelProperty><Key>DyeName</Key><Value>{dye}</Value></ChannelProperty>" if dye else ""
    dtype, tag = series.pixels.dtype, 3 - number if "S" in series.axes else 0
    return (
        f'<ChannelDescription DataType="{int(dtype.kind == "f")}" ChannelTag="{tag}" Resolution="{dtype.itemsize * 8}" '
        f'NameOfMeasuredQuantity="" Min="0" Max="1" Unit="" LUTName="{series.colours[number]}" IsLUTInverted="0" '
        f'BytesInc="{place}" BitInc="0">{known}</ChannelDescription>'
    )

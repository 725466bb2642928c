"""Sets of OME-TIFF files, for the tests: any planes of any pictures in any files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tifffile
from tests.io.reading import numbers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

NAMES = ("DAPI", "GFP", "RFP")


def plane(picture: int, channel: int, time: int = 0) -> NDArray[np.uint8]:
    """Give a plane of which there is none alike."""
    return numbers(5, 6, dtype=np.uint8) + np.uint8(25 * picture + 7 * channel + 2 * time)


def write_set(
    folder: Path,
    pictures: Sequence[Sequence[str]],
    *,
    pointing: bool = False,
    uuids: bool = True,
    recording: str = "",
    times: int = 1,
) -> list[Path]:
    """Write a set.

    Parameters
    ----------
    folder : Path
    pictures : list of list of str
        Of each picture the file in which each of its channels lies. Its pixels are as many tenths of a micrometre large
        as its number, from one.
    pointing : bool
        Whether all files but the first point to its metadata, else each has those of the set.
    uuids : bool
        Whether each file has the identity of its own that the metadata tell.
    recording : str
        What tells the identities of its files from those of files of the same names.
    times : int
        How many each channel has.

    Returns
    -------
    list of Path
        The files, in the order in which they are named.
    """
    inside: dict[str, list[tuple[int, int, int]]] = {}
    for number, files in enumerate(pictures):
        for channel, name in enumerate(files):
            inside.setdefault(name, []).extend((number, channel, time) for time in range(times))
    images = "".join(_image(number, files, inside, times=times) for number, files in enumerate(pictures))
    images = images.replace("urn:uuid:", f"urn:uuid:{recording}")
    for at, (name, planes) in enumerate(inside.items()):
        told = images
        if pointing and at:
            told = f'<BinaryOnly MetadataFile="{next(iter(inside))}" UUID="urn:uuid:{recording}{next(iter(inside))}"/>'
        identity = f' UUID="urn:uuid:{recording}{name}"' if uuids else ""
        text = f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"{identity}>{told}</OME>'
        with tifffile.TiffWriter(folder / name) as writer:
            for i, one in enumerate(planes):
                writer.write(plane(*one), description=None if i else text, metadata=None, contiguous=False)
    return [folder / name for name in inside]


def _image(number: int, files: Sequence[str], inside: dict[str, list[tuple[int, int, int]]], *, times: int) -> str:
    names = NAMES[number % 2 :][: len(files)]  # every other picture begins with another channel
    channels = "".join(f'<Channel ID="C:{number}:{c}" Name="{c}" SamplesPerPixel="1"/>' for c in names)
    data = "".join(
        f'<TiffData FirstC="{c}" FirstT="{t}" IFD="{inside[name].index((number, c, t))}" PlaneCount="1">'
        f'<UUID FileName="{name}">urn:uuid:{name}</UUID></TiffData>'
        for c, name in enumerate(files)
        for t in range(times)
    )
    return (
        f'<Image ID="Image:{number}" Name="Pos{number}"><Pixels ID="Pixels:{number}" DimensionOrder="XYCZT" '
        f'Type="uint8" SizeX="6" SizeY="5" SizeZ="1" SizeC="{len(files)}" SizeT="{times}" '
        f'PhysicalSizeX="{(number + 1) / 10}">{channels}{data}</Pixels></Image>'
    )

"""Fields of a plate as inputs of a batch: the files of all channels and planes become one image."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from nucleate.core.image import Image, find_channel
from nucleate.core.lazy import LazyImage, lazy
from nucleate.core.normalize import to_grey
from nucleate.core.project import project, projected
from nucleate.core.text import one_line
from nucleate.errors import InputError, UsageError
from nucleate.io.images import open_image, read_image
from nucleate.run.inputs import Source, content_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nucleate.screen.layout import Plate, PlateField, PlateFile

__all__ = ["FieldSource", "field_sources", "nuclear_channel"]

_Picture = TypeVar("_Picture", Image, LazyImage)


@dataclass(frozen=True)
class FieldSource(Source):
    """A field of a plate; its path is that of its first file.

    Parameters
    ----------
    field : PlateField, optional
        Which field; always given.
    """

    field: PlateField | None = None

    @property
    def key(self) -> str:
        """Tell this field from every other of the run."""
        return f"{super().key}#{self.stem}"

    @property
    def stem(self) -> str:
        """Well and field, as ``A01_f02``."""
        assert self.field is not None
        return self.field.name

    @property
    def shown(self) -> str:
        """Its name for messages: well, field and first file."""
        return f"{self.stem} ({one_line(self.path.name)})"

    def sha256(self) -> str:
        """Compute one hash of all its files."""
        assert self.field is not None
        digest = hashlib.sha256()
        for file in self.field.files:
            # Of an OME-Zarr plate only the field's own folder is hashed, not the plate once a field.
            digest.update(f"{file.channel}/{file.z}/{content_hash(Source(_own_path(file)))}\n".encode())
        return digest.hexdigest()

    def stamp(self) -> tuple[tuple[int, int], ...]:
        """Give size and time of the last change of each of its files."""
        assert self.field is not None
        return tuple(one for file in self.field.files for one in Source(_own_path(file)).stamp())

    @contextlib.contextmanager
    def open(self, scratch: Path, *, max_bytes: int | None = None) -> Iterator[LazyImage]:
        """Open it, to read it window by window; files that make one image together are read at once."""
        assert self.field is not None
        file = self.field.files[0]
        if file.channel or len(self.field.files) > 1:
            yield lazy(self.read(scratch, max_bytes=max_bytes))
            return
        with open_image(_own_path(file), max_bytes=max_bytes) as image:
            yield replace(_in_one_plane(image, projected), name=self.shown)

    def read(self, scratch: Path, *, max_bytes: int | None = None) -> Image:
        """Read its files and put channels side by side; several planes in z become their brightest values.

        Parameters
        ----------
        scratch : Path
            Not needed.
        max_bytes : int, optional
            Most bytes a file may take.

        Raises
        ------
        InputError
            If a file is damaged, of another size than the others, or holds several time points.
        """
        del scratch
        assert self.field is not None
        if len({bool(file.channel) for file in self.field.files}) > 1:
            unnamed = one_line(self.field.files[0].path.name)
            raise InputError(f"{self.shown}: {unnamed} tells no channel, other files do; rename it or move it away")
        channels: dict[str, Image] = {}
        for file in self.field.files:
            image = _in_one_plane(read_image(_own_path(file), max_bytes=max_bytes), project)
            if file.channel:
                image = _grey(image)
            other = next(iter(channels.values()), image)
            if other.pixels.shape != image.pixels.shape:
                shapes = f"{image.pixels.shape} beside {other.pixels.shape}"
                raise InputError(f"{self.shown}: {file.path.name} is of another size: {shapes}; export the field again")
            if before := channels.get(file.channel):
                image = replace(image, pixels=np.maximum(before.pixels, image.pixels))
            channels[file.channel] = image
        first = next(iter(channels.values()))
        if "" in channels:
            return replace(first, name=self.shown)
        # A channel that stands alone keeps its name too: others may join the plate, or be lacking in this field.
        stacked = np.stack([image.pixels for image in channels.values()])
        return Image(stacked, "CYX", first.pixel_size_um, tuple(channels), self.shown)


def field_sources(plate: Plate) -> list[FieldSource]:
    """List the fields of a plate as inputs for `nucleate.run.batch.run_batch`.

    Parameters
    ----------
    plate : Plate

    Returns
    -------
    list of FieldSource
    """
    return [FieldSource(field.files[0].path, field=field) for field in plate.fields]


def nuclear_channel(plate: Plate, wanted: str | None) -> str | None:
    """Tell which channel of a plate shows nuclei, as the columns of its measurements call it.

    Parameters
    ----------
    plate : Plate
        Where its files hold all channels each, the first one is looked at.
    wanted : str, optional
        As for `Plate.nuclear_channel`.

    Returns
    -------
    str or None
        None where there is one channel only.

    Raises
    ------
    UsageError
        If there is no such channel.
    InputError
        If the first file cannot be opened.
    """
    if plate.channels:
        return plate.nuclear_channel(wanted)
    first = plate.fields[0].files[0]
    with open_image(_own_path(first)) as image:
        if "C" not in image.axes:
            return None
        count = image.shape[image.axes.index("C")]
        try:
            index = find_channel(wanted, image.channel_names, count=count, name=image.name)
        except InputError as error:
            raise UsageError(str(error)) from error
        # Channels without names are numbered in the tables.
        return image.channel_names[index] if len(image.channel_names) == count > 1 else str(index)


def _in_one_plane(image: _Picture, together: Callable[[_Picture, str], _Picture]) -> _Picture:
    """Put the planes of a stack together, and pages of unknown meaning too; channels and colours stay."""
    if "T" in image.axes:
        raise InputError(
            f"{image.name}: holds {image.stack_shape[0]} time points, a screen takes one; "
            "write each to a file of its own and choose one with --time"
        )
    return together(together(image, "max"), "max")  # depth first, then what is left


def _grey(image: Image) -> Image:
    """Make one plane of a file that holds one channel, of colours as grey as they are measured elsewhere."""
    if "C" in image.axes:
        raise InputError(
            f"{image.name}: holds several channels, its name tells one; leave {{channel}} out of --pattern"
        )
    pixels = image.pixels
    if "S" in image.axes:
        pixels = to_grey(pixels)
    return replace(image, pixels=pixels, axes="YX", channel_names=())


def _own_path(file: PlateFile) -> Path:
    """Give the file, or a field's own folder: to look it up in the plate would be to read all of its metadata."""
    return file.path / file.inner

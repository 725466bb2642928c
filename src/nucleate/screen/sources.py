"""Fields of a plate as inputs of a batch: the files of all channels and planes become one image."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from nucleate.core.files import absolute
from nucleate.core.image import Image
from nucleate.core.lazy import LazyImage, lazy
from nucleate.core.normalize import to_grey
from nucleate.core.project import project, projected
from nucleate.core.text import one_line
from nucleate.errors import InputError
from nucleate.io.faults import check_size
from nucleate.io.images import open_image, read_image
from nucleate.run.content import content_hash
from nucleate.run.inputs import Source
from nucleate.run.pictures import stamp_of
from nucleate.run.results import told_apart
from nucleate.screen.channels import channel_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from nucleate.screen.layout import Plate, PlateField, PlateFile

__all__ = ["FieldSource", "channels_in", "field_sources", "nuclear_channel", "times_in"]

_Picture = TypeVar("_Picture", Image, LazyImage)
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class FieldSource(Source):
    """A field of a plate; its path is that of its first file.

    Parameters
    ----------
    field : PlateField
        Which field.
    names : tuple of (str, str)
        The name of each channel of the plate in a file that holds them all, and the name that it is to have.
    nuclear : str, optional
        The channel with the nuclei, in place of which no other is taken.
    """

    _: KW_ONLY
    field: PlateField
    names: tuple[tuple[str, str], ...] = ()
    nuclear: str | None = None

    @property
    def key(self) -> str:
        """A key that no other field of the run has."""
        return f"{super().key}#{self.stem}"

    @property
    def stem(self) -> str:
        """Well and field, as ``A01_f02``."""
        return self.field.name

    @property
    def shown(self) -> str:
        """Its name for messages: well, field and first file."""
        return f"{self.stem} ({_name_of(self.field.files[0])})"

    def sha256(self, each: dict[str, str] | None = None) -> str:
        """Compute one hash of all its files; `each` gets the hash of each file if there are several."""
        digest = hashlib.sha256()
        found: dict[str, str] = {}
        for file in self.field.files:
            of_set: dict[str, str] = {}
            own = content_hash(_source(file), of_set, alone=file.alone)
            digest.update(f"{file.channel}/{file.z}/{own}\n".encode())
            found |= of_set or {absolute(_own_path(file)): own}
        if each is not None and len(found) > 1:
            each.update(found)
        return digest.hexdigest()

    def stamp(self) -> tuple[tuple[int, int], ...]:
        """Give size and time of the last change of each of its files."""
        stamps = (stamp_of(_own_path(file)) if file.alone else _source(file).stamp() for file in self.field.files)
        return tuple(one for stamp in stamps for one in stamp)

    @contextlib.contextmanager
    def open(self, scratch: Path | None, *, max_bytes: int | None = None) -> Iterator[LazyImage]:
        """Open the field, to read it window by window; if several files make up the image, they are read at once."""
        file = self.field.files[0]
        if file.channel or len(self.field.files) > 1:
            yield lazy(self.read(scratch, max_bytes=max_bytes))
            return
        with _opened(file, max_bytes=max_bytes) as image:
            yield replace(_in_one_plane(image, projected), name=self.shown, channel_names=self._names(image))

    def read(self, scratch: Path | None, *, max_bytes: int | None = None) -> Image:
        """Read its files and put channels side by side; several planes in z are projected to their brightest values.

        Parameters
        ----------
        scratch : Path, optional
            Not needed.
        max_bytes : int, optional
            Most bytes a file may take.

        Raises
        ------
        InputError
            If a file is damaged, of another size than the others, holds several time points or other channels than
            those of the plate, or the channel with the nuclei is lacking.
        """
        del scratch
        if len({bool(file.channel) for file in self.field.files}) > 1:
            unnamed = one_line(self.field.files[0].path.name)
            raise InputError(f"{self.shown}: {unnamed} tells no channel, other files do; rename it or move it away")
        channels: dict[str, Image] = {}
        for file in self.field.files:
            image = _in_one_plane(_read(file, max_bytes=max_bytes), project)
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
            return replace(first, name=self.shown, channel_names=self._names(lazy(first)))
        if self.nuclear not in {None, *channels}:  # a reader would take 1 as the index of the second of 2 and 3
            raise InputError(f"{self.shown}: no channel {self.nuclear!r}; it has {', '.join(channels)}; add its file")
        # A single channel keeps its name, too: others may be added to the plate, or be missing in this field only.
        stacked = np.stack([image.pixels for image in channels.values()])
        return Image(stacked, "CYX", first.pixel_size_um, tuple(channels), self.shown)

    def _names(self, image: LazyImage) -> tuple[str, ...]:
        """Name the channels of a file that holds them all."""
        if not self.names and "C" not in image.axes:
            return told_apart(image.channel_names)
        new, names = dict(self.names), _numbered(image)
        if set(names) != set(new):
            has, had = (", ".join(one) or "none" for one in (names, new))
            raise InputError(
                f"{self.shown}: has the channels {has}, the plate {had}; "
                "make them alike, or screen such fields in a folder of their own"
            )
        return tuple(new[name] for name in names)


def field_sources(plate: Plate, nuclear: str | None = None) -> list[FieldSource]:
    """List the fields of a plate as inputs for `nucleate.run.batch.run_batch`.

    Parameters
    ----------
    plate : Plate
    nuclear : str, optional
        From `nuclear_channel`.

    Returns
    -------
    list of FieldSource
    """
    return [FieldSource(f.files[0].path, field=f, names=plate.names, nuclear=nuclear) for f in plate.fields]


def channels_in(fields: Iterable[PlateField]) -> tuple[str, ...]:
    """List the channels, by name or number, of the first file that can be opened of those that hold all channels.

    Parameters
    ----------
    fields : iterable of PlateField

    Returns
    -------
    tuple of str
        Empty if there is one channel only, or if no file can be opened, the reason for which is reported later.
    """
    return _of_first(fields, _numbered) or ()


def times_in(fields: Iterable[PlateField]) -> int:
    """Count the time points in a file: in the first that can be opened.

    Parameters
    ----------
    fields : iterable of PlateField

    Returns
    -------
    int
        1 if no file can be opened.
    """
    return _of_first(fields, _times) or 1


def nuclear_channel(plate: Plate, wanted: str | None) -> str | None:
    """Tell which channel of a plate shows nuclei, by its name in the columns of the measurements.

    It is chosen once for all fields, so that no other channel is taken in a field that lacks it.

    Parameters
    ----------
    plate : Plate
    wanted : str, optional
        As for `nucleate.screen.channels.channel_of`.

    Returns
    -------
    str or None
        If there is one channel only, `wanted` as it is, since that may be a colour.

    Raises
    ------
    UsageError
        If there is no such channel.
    """
    return channel_of(wanted, plate.channels, where=one_line(str(plate.folder))) if plate.channels else wanted


def _of_first(fields: Iterable[PlateField], answer: Callable[[LazyImage], _Answer]) -> _Answer | None:
    for field in fields:
        with contextlib.suppress(InputError), _opened(field.files[0]) as image:
            return answer(image)
    return None


def _times(image: LazyImage) -> int:
    return image.shape[image.axes.index("T")] if "T" in image.axes else 1


def _numbered(image: LazyImage) -> tuple[str, ...]:
    """Name the channels of a file as in the tables; channels without names are numbered."""
    count = image.shape[image.axes.index("C")] if "C" in image.axes else 0
    if len(image.channel_names) == count:
        return told_apart(image.channel_names)
    return tuple(map(str, range(count))) if count > 1 else ()


def _in_one_plane(image: _Picture, together: Callable[[_Picture, str], _Picture]) -> _Picture:
    """Put the planes of a stack together, and pages of unknown meaning too; channels and colours stay."""
    if "T" in image.axes:
        raise InputError(
            f"{image.name}: holds {image.stack_shape[0]} time points, a screen takes one; "
            "write each to a file of its own and choose one with --time"
        )
    if "I" in image.axes and image.name.lower().endswith(".nd2"):
        raise InputError(
            f"{image.name}: holds {image.stack_shape[-1]} stage positions, a screen takes one a file; "
            "write each to a file of its own"
        )
    return together(together(image, "max"), "max")  # depth first, then pages


def _grey(image: Image) -> Image:
    """Make one plane of a file that holds one channel; colours are turned into grey as for measurements."""
    if "C" in image.axes:
        raise InputError(
            f"{image.name}: holds several channels, its name tells one; leave {{channel}} out of --pattern"
        )
    pixels = image.pixels
    if "S" in image.axes:
        pixels = to_grey(pixels)
    return replace(image, pixels=pixels, axes="YX", channel_names=())


def _opened(file: PlateFile, *, max_bytes: int | None = None) -> LazyImage:
    image = open_image(_own_path(file), max_bytes=max_bytes, picture=file.picture, alone=file.alone)
    image = replace(image, name=_name_of(file)) if file.inner else image
    if file.point > (count := _times(image)):
        image.close()
        raise InputError(f"{image.name}: no time point {file.point}: it holds {count}; export the field again")
    return image.at_time(file.point - 1) if file.point and count > 1 else image


def _read(file: PlateFile, *, max_bytes: int | None) -> Image:
    if not (file.alone or file.inner or file.point):
        return read_image(_own_path(file), max_bytes=max_bytes, picture=file.picture)
    with _opened(file, max_bytes=max_bytes) as opened:
        itemsize, beside = opened.dtype.itemsize, opened.reading_bytes
        check_size(file.path, opened.shape, itemsize=itemsize, max_bytes=max_bytes, beside=beside)
        return opened.load()


def _source(file: PlateFile) -> Source:
    return Source(_own_path(file), picture=file.picture)


def _name_of(file: PlateFile) -> str:
    return one_line(f"{file.path.name}/{file.inner}" if file.inner else file.path.name)


def _own_path(file: PlateFile) -> Path:
    """Give the file, or a field's own folder; for a whole plate, all metadata would be read, and all files hashed."""
    return file.path / file.inner

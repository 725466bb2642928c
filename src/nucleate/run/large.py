"""One input that does not fit the memory as a whole: read, segmented and kept part by part.

Pixels stay in their file and are read window by window. Labels go to blocks on disk, in a folder beside the results
that is removed when they are written. The nuclei are those of the whole picture (`nucleate.run.blocks`).
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from nucleate.core.project import projected
from nucleate.errors import OutputError, TooLargeError
from nucleate.run import outputs
from nucleate.run.need import writing_bytes
from nucleate.run.stored import StoredLabels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nucleate.core.lazy import LazyImage
    from nucleate.run.inputs import Source
    from nucleate.run.single import BatchSettings, SegmenterLike

__all__ = ["check_room", "open_parts", "segment_by_parts"]

_MOST_HELD, _LEAST_HELD = 1 << 28, 1 << 25
"""Bytes of labels in memory."""


def segment_by_parts(
    source: Source,
    name: str,
    *,
    segmenter: SegmenterLike,
    settings: BatchSettings,
    output: Path,
    max_bytes: int,
) -> outputs.Result:
    """Segment an input of any size.

    Parameters
    ----------
    source : Source
    name : str
        Of its results.
    segmenter : SegmenterLike
    settings : BatchSettings
        Channel, projection and exports.
    output : Path
        Folder for the results; labels are kept in it until `Result.close` is called.
    max_bytes : int
        Memory for it.

    Returns
    -------
    Result
        With the file open.

    Raises
    ------
    InputError
        If it is damaged.
    TooLargeError
        If even the smallest parts need more than `max_bytes`.
    OutputError
        If labels cannot be kept.
    """
    with contextlib.ExitStack() as kept:
        folder = _folder(output)
        kept.callback(shutil.rmtree, folder, ignore_errors=True)
        stored, image, shown = kept.enter_context(open_parts(source, settings, scratch=folder, max_bytes=max_bytes))
        held = min(max(max_bytes // 16, _LEAST_HELD), _MOST_HELD)
        spare = max(max_bytes - held - (stored.nbytes if stored.in_memory else 0), 0)
        check_room(shown, segmenter, exports=settings.exports, spare=spare, max_bytes=max_bytes)
        labels = StoredLabels(folder / "labels", (*shown.stack_shape, *shown.shape_HW), held_bytes=held)
        confidence = segmenter.segment_stack(shown, labels, max_bytes=spare)
        close = kept.pop_all().close
    return outputs.Result(name, image, shown, labels, confidence, close)


@contextlib.contextmanager
def open_parts(
    source: Source, settings: BatchSettings, *, scratch: Path, max_bytes: int | None
) -> Iterator[tuple[LazyImage, LazyImage, LazyImage]]:
    """Open an input to be read window by window: as stored, as it is to be measured, the channel to be segmented.

    Parameters
    ----------
    source : Source
    settings : BatchSettings
        Channel and projection.
    scratch : Path
        Folder where a member of an archive may be unpacked while the context lasts.
    max_bytes : int, optional
        See `Source.open`.

    Raises
    ------
    InputError
        If it is damaged or has no such channel.
    """
    with source.open(scratch, max_bytes=max_bytes) as opened:
        image = projected(opened, settings.project) if settings.project else opened
        yield opened, image, image.channel(settings.channel)


def _folder(output: Path) -> Path:
    try:
        return Path(tempfile.mkdtemp(dir=output / outputs.PARTS_NAME, prefix=outputs.HALF_WRITTEN))
    except OSError as error:
        raise OutputError(f"cannot write in {output}: {error.strerror}; choose another output folder") from error


def check_room(
    shown: LazyImage, segmenter: SegmenterLike, *, exports: tuple[str, ...], spare: int, max_bytes: int
) -> None:
    """Refuse what needs more memory than there is, before anything is computed.

    Parameters
    ----------
    shown : LazyImage
        The channel to be segmented.
    segmenter : SegmenterLike
    exports : tuple of str
        What is to be written.
    spare, max_bytes : int
        Memory beside what is held, and all of it.

    Raises
    ------
    TooLargeError
        If it does not suffice even part by part.
    """
    (rows, columns), colour = shown.shape_HW, "S" in shown.axes
    labels = 4 * rows * columns  # in the estimate, but on disk here
    needed = segmenter.estimate_bytes((rows, columns), max_bytes=spare + labels) - labels
    cure = "raise --memory or cut the picture"
    heavy = [name for name in exports if writing_bytes([name], rows * columns, colour=colour) > spare]
    if needed <= spare and heavy:
        needed = writing_bytes(heavy, rows * columns, colour=colour)
        cure = f"raise --memory or do without --export {','.join(heavy)}"
    if needed > spare:
        raise TooLargeError(
            f"{shown.name}: {rows} x {columns} pixels need about {(needed + max_bytes - spare) / 1e9:.1f} GB even part "
            f"by part, {max_bytes / 1e9:.1f} GB are allowed; {cure}"
        )

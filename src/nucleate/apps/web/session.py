"""Everything that one run of the server holds: opened images, the worker, views of images, downloads."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import weakref
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from nucleate.apps.web import choices, downloads
from nucleate.apps.web.jobs import Worker
from nucleate.apps.web.store import Store
from nucleate.apps.web.views import Views
from nucleate.core.files import make_folder, scratch_folder
from nucleate.core.text import one_line
from nucleate.data.shown import write_pictures
from nucleate.errors import NucleateError, UsageError
from nucleate.io.images import format_of
from nucleate.run.inputs import expand
from nucleate.run.pictures import brought_along

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nucleate.apps.web.choices import Choices, Machine
    from nucleate.apps.web.downloads import Download
    from nucleate.apps.web.jobs import Job
    from nucleate.run.segmenter import Segmenter

__all__ = ["Session"]

_DOWNLOADS = 3
"""Prepared files that are kept."""


class Session:
    """Everything that the routes work with, for as long as the server runs.

    Parameters
    ----------
    machine : Machine
    load : callable
        Makes a segmenter of choices; a test may give its own.
    ready : Segmenter, optional
        The segmenter of the default choices, if it was made before.
    """

    def __init__(
        self,
        machine: Machine,
        *,
        load: Callable[[Choices, Machine], Segmenter] = choices.load,
        ready: Segmenter | None = None,
    ) -> None:
        self.machine = machine
        self._closing = contextlib.ExitStack()
        self._scratch = self._closing.enter_context(scratch_folder())
        self.store = Store()
        self.worker = Worker(self.store, machine, load=load, ready=ready, scratch=self._scratch)
        self.views = Views(self._scratch, max_bytes=machine.max_bytes)
        self.downloads: OrderedDict[int, Download] = OrderedDict()
        self._numbers = itertools.count(1)

    @property
    def images(self) -> Path:
        """Folder for files from the browser; they are kept, since results were made of them."""
        return self.machine.output / "images"

    def open(self, word: str) -> list[int]:
        """Open what a path, a folder or a pattern names.

        Raises
        ------
        UsageError
            If there is nothing.
        """
        plain = _as_meant(word)
        if not plain:
            raise UsageError("no path given; type that of an image, a folder or a pattern such as images/*.tif")
        numbers = self.store.add(expand([plain], output=self.machine.output), plain)
        if len(numbers) == 1:
            self._check(numbers[0])
        return numbers

    def _check(self, number: int) -> None:
        """Say at once if a file is no image; files of a folder were chosen by their names."""
        entry = self.store.get(number)
        if entry is None or entry.status != "new" or entry.source.member:
            return
        try:
            format_of(entry.source.path)
        except NucleateError as error:
            self.store.change(number, status="failed", error=one_line(str(error)))

    def open_samples(self) -> list[int]:
        """Write the sample images and open them."""
        paths, _ = write_pictures(self.machine.output / "samples")
        return [number for path in paths for number in self.open(str(path))]

    def run(self, numbers: Sequence[int] | None, chosen: Choices) -> Job:
        """Ask for nuclei in some images, all when None.

        Raises
        ------
        UsageError
            If there is no image.
        """
        if numbers is None:
            # Files of an OME-TIFF set come from the browser one by one; together they tell which are parts of others.
            self.store.drop(parts := brought_along(entry.source for entry in self.store.entries()))
            entries = [entry for entry in self.store.entries() if entry.source not in parts]
        else:
            entries = self.store.entries(numbers)
        if not entries:
            raise UsageError("no image is open; open some first")
        words = self.store.words() if numbers is None else [entry.source.word for entry in entries]
        return self.worker.submit(entries, chosen, inputs=words)

    def prepare(self, numbers: Sequence[int] | None, exports: Sequence[str]) -> tuple[int, Download]:
        """Gather files of some images, all when None; give the number of the download and what was gathered.

        Raises
        ------
        UsageError, NucleateError
            As `downloads.prepare`.
        """
        number = next(self._numbers)
        folder = self._scratch / f"download-{number}"
        make_folder(folder)
        try:
            found = downloads.prepare(self.store.entries(numbers), exports, views=self.views, folder=folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        weakref.finalize(found, shutil.rmtree, folder, ignore_errors=True)  # when nobody is packing it any more
        self.downloads[number] = found
        while len(self.downloads) > _DOWNLOADS:
            self.downloads.popitem(last=False)
        return number, found

    def close(self, patience: float = 1.0) -> None:
        """Stop the worker, close all files and remove temporary ones."""
        self.worker.close(patience)
        self.views.close()
        self._closing.close()


def _as_meant(word: str) -> str:
    """Give a path as it was typed if it exists, else without the blanks and quotes that were copied along with it."""
    bare = word.strip()
    quoted = len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'"  # as file managers copy a path
    spelt = [word, bare, bare[1:-1] if quoted else bare]
    meant = [str(Path(one).expanduser()) if one.startswith("~") else one for one in spelt]
    return next((one for one in meant if one.strip() and os.path.lexists(one)), meant[-1])

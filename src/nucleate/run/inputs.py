"""From what the user named to a list of pictures: files, folders, globs, zip archives, Kaggle's layout.

Nothing is decoded here. Inputs that cannot be used stay in the list with the reason, so that none is lost silently.
"""

from __future__ import annotations

import contextlib
import glob
import itertools
import os
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from nucleate.core.checks import address_fault, is_regular
from nucleate.core.files import absolute
from nucleate.core.folders import each_folder, matches_of, named_again
from nucleate.core.text import one_line
from nucleate.errors import InputError, UsageError
from nucleate.io.images import IMAGE_SUFFIXES, open_image, read_image
from nucleate.run.archives import Entry, entries_of
from nucleate.run.content import content_hash, local_file
from nucleate.run.layouts import (
    is_image_folder,
    is_own,
    looks_like_image,
    members_to_segment,
    tell_left,
    truth_among,
)
from nucleate.run.pictures import (
    brought_along,
    each_picture,
    files_of_set,
    is_there,
    only_part,
    split_part,
    stamp_of,
    why_no_picture,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nucleate.core.image import Image
    from nucleate.core.lazy import LazyImage

__all__ = ["Source", "expand"]


@dataclass(frozen=True)
class Source:
    """One picture to be segmented.

    Parameters
    ----------
    path : Path
        The file, or the zip archive that holds it.
    member : str
        Its name inside the archive; empty for a plain file.
    problem : str
        Why it cannot be used, if that is known before reading; empty otherwise.
    picture : int, optional
        The number of the picture, if the file holds several.
    name : str
        Name of its results, if the file's name does not tell it from others.
    entry : Entry, optional
        Where the member lies in the archive, as `expand` found it; when None, or when the archive has changed, it is
        looked up again.
    """

    path: Path
    member: str = ""
    problem: str = ""
    picture: int | None = None
    name: str = ""
    entry: Entry | None = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> str:
        """A key that no other input has: the absolute path, then the member of an archive or the picture."""
        return absolute(self.path) + self._part

    @property
    def stem(self) -> str:
        """The file's name without its last suffix."""
        return self.name or PurePosixPath(self.member or Path(absolute(self.path)).name).stem

    @property
    def file_name(self) -> str:
        """Its name among files: its absolute path with slashes, in which an archive counts as a folder."""
        return Path(absolute(self.path)).as_posix() + (f"/{self.member}" if self.member else "")

    @property
    def shown(self) -> str:
        """Its name for messages, on one line."""
        return one_line(self.word)

    @property
    def word(self) -> str:
        """The word for `expand` that names this input and no other."""
        return str(self.path) + self._part

    @property
    def _part(self) -> str:
        if self.member:
            return f"!{self.member}"
        return "" if self.picture is None else f"#{self.picture}"

    def sha256(self, each: dict[str, str] | None = None) -> str:
        """Compute the hash of the content; see `content_hash`."""
        return content_hash(self, each)

    def stamp(self) -> tuple[tuple[int, int], ...]:
        """Give size and time of the last change of each of its files, to see whether they change meanwhile."""
        return tuple(one for path in (self.path, *files_of_set(self)) for one in stamp_of(path))

    @contextlib.contextmanager
    def open(self, scratch: Path | None, *, max_bytes: int | None = None) -> Iterator[LazyImage]:
        """Open the input, to read it window by window while the context lasts; parameters as for `read`."""
        with (
            local_file(self, scratch, max_bytes=max_bytes) as path,
            self._named(path),
            open_image(path, max_bytes=max_bytes, picture=self.picture) as source,
        ):
            yield replace(source, name=self.shown)

    @contextlib.contextmanager
    def open_levels(
        self, scratch: Path | None, *, max_bytes: int | None = None, above: int = 0
    ) -> Iterator[list[LazyImage]]:
        """Open the input in each size that its file holds, the full size first, without those that cannot be opened.

        Parameters as for `read`; if a plane has no more than `above` pixels, only the full size is opened.
        """
        with (
            local_file(self, scratch, max_bytes=max_bytes) as path,
            self._named(path),
            contextlib.ExitStack() as opened,
        ):
            found = [opened.enter_context(open_image(path, max_bytes=max_bytes, picture=self.picture))]
            rows, cols = found[0].shape_HW
            for level in range(1, len(found[0].levels) if rows * cols > above else 1):
                with contextlib.suppress(InputError):
                    found.append(opened.enter_context(open_image(path, picture=self.picture, level=level)))
            yield [replace(one, name=self.shown) for one in found]

    def read(self, scratch: Path | None, *, max_bytes: int | None = None) -> Image:
        """Decode the input.

        Parameters
        ----------
        scratch : Path, optional
            Folder where a member of an archive may be unpacked for a moment; that of the system when None.
        max_bytes : int, optional
            See `nucleate.io.images.read_image`.

        Raises
        ------
        InputError
            If it is damaged.
        """
        with local_file(self, scratch, max_bytes=max_bytes) as path, self._named(path):
            image = read_image(path, max_bytes=max_bytes, picture=self.picture)
        return replace(image, name=self.shown)

    @contextlib.contextmanager
    def _named(self, path: Path) -> Iterator[None]:
        try:
            yield
        except InputError as error:
            # The user knows the archive, not the place where its member was unpacked.
            raise type(error)(str(error).replace(one_line(str(path)), self.shown)) from error


def expand(
    wanted: Iterable[str], *, output: Path | None = None, apart: bool = True, left: list[str] | None = None
) -> list[Source]:
    """List the pictures that the user's words name.

    Parameters
    ----------
    wanted : iterable of str
        Files, folders (recursed), globs, zip archives, OME-Zarr images and plates, or one picture of a file
        (`nucleate.run.pictures.split_part`). Truth that lies beside images is left out, with a warning:
        ``<id>/masks`` beside ``<id>/images/<id>.png``, ``labels`` or ``masks`` beside ``images``, ``a_mask.png`` or the
        like beside ``a.png``, and what programs write beside it, as `nucleate.run.layouts.truth_among` tells.
    output : Path, optional
        Where results go: in folders and globs, pictures that we wrote there, or into another folder of results, are
        left out.
    apart : bool
        Whether each field of a plate, scene and series is an input of its own.
    left : list of str, optional
        Gets the places of the truth that is left out, in the form of `Source.key`.

    Returns
    -------
    list of Source
        Each picture once, in the order of the words, sorted inside a folder. Plates, scenes and series are taken apart,
        sets of OME-TIFF files are put together. A word that names nothing stays in the list with its problem.

    Raises
    ------
    UsageError
        If nothing at all is found.
    """
    words = list(wanted)
    parts = [split_part(word) for word in words]
    search = _Search(output, [] if left is None else left)
    named = [list(search.word(whole)) for whole, _ in parts]
    # Done before files are taken apart, since each file of a set would open all others.
    brought = brought_along(itertools.chain.from_iterable(named))
    found: dict[str, Source] = {}
    for (_, part), listed in zip(parts, named, strict=True):
        alone = [source for source in listed if source not in brought]
        pictures = [one for source in alone for one in (each_picture(source) if apart or part else [source])]
        for picture in only_part(pictures, part) if pictures else []:
            found.setdefault(picture.key, picture)
    sources = list(found.values())
    if not sources:
        what = f"no image in {', '.join(map(one_line, words))}" if words else "no input given"
        raise UsageError(f"{what}; name image files, folders, globs or a zip archive")
    if all(source.problem and not is_there(source.path) for source in sources):
        raise UsageError(f"nothing to do: {'; '.join(source.problem for source in sources)}")
    return sources


def _unusable(name: str, why: str) -> Source:
    return Source(Path(name), problem=f"{one_line(name)}: {why}")


@dataclass(frozen=True)
class _Search:
    """Lists the pictures that the user's words name; `output` and `left` are those of `expand`."""

    output: Path | None
    left: list[str]

    def word(self, word: str) -> Iterator[Source]:
        path = Path(word)
        try:
            if path.is_dir():
                why = f"no image in this folder; looked for {' '.join(sorted(IMAGE_SUFFIXES))}"
                yield from list(self._folder(path)) or [_unusable(str(path), why)]
            elif path.exists() or path.is_symlink():
                yield from self._file(path)
            elif glob.has_magic(word):
                yield from self._glob(word)
            else:
                yield _unusable(word, address_fault(word) or "no such file or folder; check the path")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            yield _unusable(word, f"cannot be looked at: {reason}; check the path")

    def _glob(self, word: str) -> Iterator[Source]:
        # Brackets in the name of a folder that exists belong to the name, and are no pattern.
        there = next((str(one) for one in Path(word).parents if os.path.lexists(one)), "")
        if not (matches := matches_of(str(Path(word)).replace(there, glob.escape(there), 1) if there else word)):
            yield _unusable(word, address_fault(word) or "no file matches; check the pattern")
        kept = {path: os.path.isdir(path) for path in matches if not is_own(path, self.output)}  # noqa: PTH112 - Path.is_dir() may raise
        listed = [one for path in kept for one in (self._folder(path) if kept[path] else self._file(path))]
        again = named_again(one.path.parent for one in listed) if "**" in word else ()
        yield from (one for one in listed if one.path.parent not in again)

    def _file(self, path: Path) -> Iterator[Source]:
        try:
            regular = is_regular(path)
        except FileNotFoundError:
            yield _unusable(str(path), "a link to nothing; name an image")
        except OSError as error:  # such as a link into a folder that may not be entered
            yield _unusable(str(path), f"cannot be looked at: {error.strerror}; check the path")
        else:
            if not regular:
                yield _unusable(str(path), "not a regular file; name an image")
            elif path.suffix.lower() in {".zip", ".ozx"}:
                yield from self._archive(path)
            else:
                yield Source(path)

    def _folder(self, top: Path) -> Iterator[Source]:
        if is_image_folder(top):
            yield Source(top)
            return
        problems: list[Source] = []
        found: dict[Path, bool] = {}  # whether it is a folder that is one picture

        def note(error: OSError) -> None:
            why = f"cannot be listed: {error.strerror}; check that it may be read"
            problems.append(_unusable(str(Path(error.filename)), why))

        for here, folders, files in each_folder(top, note):
            whole = {here / name for name in folders if is_image_folder(here / name)}
            folders[:] = sorted(n for n in folders if not n.startswith(".") and here / n not in whole)
            named = (here / name for name in files if looks_like_image(name))
            found |= {path: path in whole for path in sorted([*named, *whole]) if not is_own(path, self.output)}
        names = {path.relative_to(top).as_posix(): path for path in found}
        truth = truth_among(names, top=Path(absolute(top)).name)
        ours = [top / place for place in dict.fromkeys(truth.values())]
        tell_left(top, ours)
        self.left.extend(map(absolute, ours))
        for path in (names[name] for name in names if name not in truth):
            yield from [Source(path)] if found[path] else self._file(path)
        yield from problems

    def _archive(self, path: Path) -> Iterator[Source]:
        try:
            entries = entries_of(path)
        except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
            yield _unusable(str(path), f"not a readable zip archive: {error}; download it again")
            return
        kept, ours = members_to_segment(sorted(entries))
        tell_left(path, ours)
        self.left.extend(Source(path, str(one)).key for one in ours)
        if not kept:
            yield _unusable(str(path), why_no_picture(entries))
        yield from (Source(path, member, entry=entries[member]) for member in map(str, kept))

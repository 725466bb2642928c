"""Annotated images for training and scoring: loaded from any known layout, cached, and split without leaks."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from nucleate import __version__
from nucleate.core.pieces import look_at_ids, unnumbered_set
from nucleate.data import cache as store
from nucleate.data import folders, kaggle, outlined
from nucleate.data.annotations import READERS
from nucleate.data.pixels import PICTURE_SUFFIXES, digest_of_pixels, is_flat
from nucleate.data.source import Source, no_layout, open_source
from nucleate.data.table import read_table
from nucleate.errors import DataError, UnfitDataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nucleate.data.sample import Sample

__all__ = [
    "FOLDS",
    "attach_table",
    "deal",
    "grouped_folds",
    "hold_out",
    "load_samples",
    "split",
    "table_rows",
    "without_numbers",
]

FOLDS = 4
"""How many folds are made if no table gives them."""

_USED = {*PICTURE_SUFFIXES, *READERS, ".npy"}  # endings of the files that some layout is read from


def load_samples(path: Path | str, *, cache: Path | None = None) -> list[Sample]:
    """Load a training set, from the cache if it was read before.

    Parameters
    ----------
    path : path-like
        A folder or zip in Kaggle's layout, with label images or with outlines (`nucleate.data.outlined`);
        ``archive.zip::folder`` for a folder inside.
    cache : Path, optional
        Folder for the cache file; ``$NUCLEATE_CACHE`` or the user's cache folder when None.
        The file's name is a hash of the place, of the pictures and annotations there and of the version of nucleate,
        so a data set that has changed, or that an older version read, is read anew, and its old file is removed.

    Returns
    -------
    list of Sample
        Sorted by id; samples with equal pixels are one group, unless they have one value all over; without kind and
        fold (see `attach_table`).

    Raises
    ------
    DataError
        If the layout is not known or something in it cannot be used (``nucleate check`` lists everything), or most
        label images are binary masks.
    """
    source = open_source(path)
    key = _key(source)
    folder = store.cache_folder() if cache is None else cache
    samples = store.load(folder, key)
    if samples is None:
        samples = _numbered(source, _read(source))
        store.store(folder, key, samples=samples)
    # The same picture twice must not fall on both sides of a split.
    first: dict[bytes, str] = {}
    return [
        one if is_flat(one.image) else replace(one, group=first.setdefault(digest_of_pixels(one.image), one.image_id))
        for one in samples
    ]


def attach_table(samples: Sequence[Sample], table: Path | str) -> list[Sample]:
    """Give each sample its group, fold and kind from a table.

    Parameters
    ----------
    samples : sequence of Sample
        Samples as loaded.
    table : path-like
        CSV with columns ``image_id``, ``mosaic`` or ``group``, ``fold`` and ``image_type``; rows of other images are
        ignored.

    Returns
    -------
    list of Sample
        In the order given, sharing pixels with the input. A sample without a field of view keeps its group; fields of
        view that share a group, as those of equal pictures do, are joined.

    Raises
    ------
    DataError
        If the file or a column is missing, a sample has no row or two that differ, or a group spans two folds.
    """
    rows = table_rows(samples, table)
    found = []
    for sample, group in zip(samples, _joined(samples, rows), strict=True):
        row = rows[sample.image_id]
        try:
            fold = int(row["fold"])
        except ValueError:
            shown = f"{sample.image_id}: got {row['fold']!r}"
            raise UnfitDataError(f"{table}: no whole number as fold of {shown}; use 0, 1, ...") from None
        found.append(replace(sample, group=group, fold=fold, kind=row["image_type"]))
    _check_equal(samples, [one.fold for one in found])
    _check_groups(found)
    return found


def table_rows(samples: Sequence[Sample], table: Path | str) -> dict[str, dict[str, str]]:
    """Read the rows of a table for `attach_table`.

    Returns
    -------
    dict
        Id -> column -> text, of all images in it.

    Raises
    ------
    DataError
        If the file or a column is missing, or a sample has no row or two that differ.
    """
    rows = read_table(Path(table), ("mosaic", "fold", "image_type"))
    missing = [sample.image_id for sample in samples if sample.image_id not in rows]
    if missing:
        raise UnfitDataError(
            f"{table} has no row for {len(missing)} of {len(samples)} images, the first is {missing[0]}"
        )
    return rows


def without_numbers(samples: Sequence[Sample]) -> list[str]:
    """Name the loaded samples whose label image looks like a binary mask, if others have several nuclei."""
    if max((int(one.labels.max(initial=0)) for one in samples), default=0) < 2:
        return []
    return [one.image_id for one in samples if one.binary]


def split(samples: Sequence[Sample], fold: int) -> tuple[list[Sample], list[Sample]]:
    """Divide samples into those to train on and those of one fold, which are held out.

    Returns
    -------
    train, held_out : list of Sample
        Both in the order given; no group is on both sides.

    Raises
    ------
    DataError
        If samples have no fold yet, or a group spans two folds.
    UsageError
        If one side would be empty.
    """
    folds = sorted({sample.fold for sample in samples if sample.fold is not None})
    if any(sample.fold is None for sample in samples):
        raise DataError("samples have no folds; give them with attach_table or grouped_folds")
    if fold not in folds or len(folds) < 2:
        raise UsageError(f"no fold {fold} to hold out: got folds {folds}; choose one of at least two")
    _check_groups(samples)
    return [s for s in samples if s.fold != fold], [s for s in samples if s.fold == fold]


def grouped_folds(samples: Sequence[Sample], n: int, *, seed: int) -> list[Sample]:
    """Deal whole groups to `n` folds of about equal numbers of images.

    Parameters
    ----------
    samples : sequence of Sample
        Their `group` says what belongs together.
    n : int
        Number of folds, at least 2.
    seed : int
        Chooses one of the possible deals; the result depends on nothing else.

    Returns
    -------
    list of Sample
        In the order given, with `fold` 0..n-1.

    Raises
    ------
    DataError
        If there are fewer groups than folds.
    """
    sizes = Counter(sample.group for sample in samples)
    if n < 2 or len(sizes) < n:
        raise UnfitDataError(
            f"cannot make {n} folds of {len(sizes)} images or fields of view; annotate more, or hold out other images"
        )
    fold_of = deal(_shuffled(sizes, seed), n)
    return [replace(sample, fold=fold_of[sample.group]) for sample in samples]


def deal(sizes: Mapping[str, int], n: int) -> dict[str, int]:
    """Deal groups to `n` folds of about equal size; groups of equal size are dealt in their order.

    Examples
    --------
    >>> deal({"a": 1, "b": 3, "c": 1}, 2)
    {'b': 0, 'a': 1, 'c': 1}
    """
    filled = [0] * n
    fold_of: dict[str, int] = {}
    for group in sorted(sizes, key=lambda group: -sizes[group]):
        # The largest group goes to the emptiest fold first, which keeps the folds even.
        fold_of[group] = filled.index(min(filled))
        filled[fold_of[group]] += sizes[group]
    return fold_of


def hold_out(samples: Sequence[Sample], share: float, *, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Divide samples into those to train on and about a share of them, in whole groups, which is held out.

    Parameters
    ----------
    samples : sequence of Sample
        Their `group` says what belongs together.
    share : float
        Between 0 and 1.
    seed : int
        Chooses one of the possible draws.

    Returns
    -------
    train, held_out : list of Sample
        Both in the order given, neither empty. For a share up to a half, at most half of the samples are held out.

    Raises
    ------
    DataError
        If there are fewer than two groups, or `share` is no share.
    """
    sizes = Counter(sample.group for sample in samples)
    if not 0 < share < 1 or len(sizes) < 2:
        raise UnfitDataError(
            f"cannot hold out a share of {share} of {len(sizes)} groups; use 0.1 to 0.9 of two or more"
        )
    groups = _shuffled(sizes, seed)
    most = len(samples) / 2 if share <= 0.5 else len(samples) - 1
    taken: set[str] = set()
    held = 0
    for group, size in groups.items():
        # A group is taken if that comes nearer to the share than leaving it out.
        if held + size / 2 <= share * len(samples) and held + size <= most:
            taken.add(group)
            held += size
    if not taken:  # each group is too large
        taken.add(min(groups, key=groups.__getitem__))
    return [s for s in samples if s.group not in taken], [s for s in samples if s.group in taken]


def _shuffled(sizes: Mapping[str, int], seed: int) -> dict[str, int]:
    groups = sorted(sizes)
    np.random.default_rng(seed).shuffle(groups)
    return {group: sizes[group] for group in groups}


def _key(source: Source) -> str:
    """Give the key of a source in the cache: a hash of its place, a dash, and a hash of the content that counts."""
    place = hashlib.sha256(os.fsencode(f"{source.path.resolve()}::{source.part}")).hexdigest()
    used = {name for name in source.names if PurePosixPath(name).suffix.lower() in _USED}
    # Folders count, too: an empty folder of masks means that its picture shows no nucleus.
    used |= {name for name in source.folders if PurePosixPath(name).name.lower() == "masks"}
    content = hashlib.sha256(f"{__version__}::{source.fingerprint(used)}::{source.part}".encode()).hexdigest()
    return f"{place[:12]}-{content[:32]}"


def _read(source: Source) -> list[Sample]:
    if kaggle.find_entries(source):
        samples = kaggle.samples_of(source)
    else:
        named = outlined.names_in(source)
        samples = folders.samples_of(source, named) or outlined.samples_of(source, named)
    if not samples:
        raise no_layout(source)
    return samples


def _numbered(source: Source, samples: Sequence[Sample]) -> list[Sample]:
    """Mark masks of all nuclei in place of label images, which would teach that all nuclei are one; refuse many."""
    seen = [look_at_ids(one.labels) for one in samples]
    told = unnumbered_set(seen)
    if any(told):
        first = next(at for at, reason in enumerate(told) if reason)
        count = f"{sum(map(bool, told))} of {sum(bool(one.count) for one in seen)}"
        raise DataError(
            f"{source}: these look like binary masks or classes, not numbered nuclei, in {count} annotated images: "
            f"got {told[first]} in {samples[first].image_id}; number the nuclei, e.g. with scipy.ndimage.label"
        )
    return [replace(one, binary=bool(ids.reason)) for one, ids in zip(samples, seen, strict=True)]


def _joined(samples: Sequence[Sample], rows: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Give each sample the field of view of its row, or else its group; samples that share a group get one name."""
    names = [rows[sample.image_id]["mosaic"] or sample.group for sample in samples]
    another: dict[str, str] = {}

    def known(name: str) -> str:
        while name in another:
            name = another[name]
        return name

    first: dict[str, str] = {}
    for sample, name in zip(samples, names, strict=True):
        one, other = known(first.setdefault(sample.group, name)), known(name)
        if one != other:
            another[other] = one
    return [known(name) for name in names]


def _check_equal(samples: Sequence[Sample], folds: Sequence[int | None]) -> None:
    first: dict[str, tuple[str, int | None]] = {}
    for sample, fold in zip(samples, folds, strict=True):
        twin, its = first.setdefault(sample.group, (sample.image_id, fold))
        if its != fold:
            raise UnfitDataError(
                f"{twin} and {sample.image_id} are one picture and are in folds {its} and {fold}; give both one fold"
            )


def _check_groups(samples: Sequence[Sample]) -> None:
    seen: dict[str, int | None] = {}
    for sample in samples:
        if seen.setdefault(sample.group, sample.fold) != sample.fold:
            raise UnfitDataError(
                f"group {sample.group} is in folds {seen[sample.group]} and {sample.fold}; give all its images one fold"
            )

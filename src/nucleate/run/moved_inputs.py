"""What became of the inputs of an earlier run: some lie elsewhere now, some have planes that other inputs have, too."""

from __future__ import annotations

import itertools
import logging
import os
import re
from collections import defaultdict, deque
from typing import TYPE_CHECKING

from nucleate.core.text import listed
from nucleate.errors import InputError
from nucleate.run.pictures import split_part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from nucleate.run.inputs import Source
    from nucleate.run.journal import Journal, Outcome

__all__ = ["are_there", "moved", "tell_of_twice"]

_logger = logging.getLogger(__name__)

_PICTURE = re.compile(r"(.*?)(#\d+)?", re.DOTALL)


def moved(sources: Sequence[Source], journal: Journal, *, keep: bool) -> dict[str, str]:
    """Find inputs that were moved: those of the same name and content, and those that moved along with them.

    Parameters
    ----------
    sources : sequence of Source
        The inputs of this run.
    journal : Journal
        Names the inputs of earlier runs.
    keep : bool
        Whether results of other inputs are kept beside those of this run. Then an input whose file is still there has
        not moved, and a finished input is found by name and content only.

    Returns
    -------
    dict of str to str
        The new keys by the old ones.
    """
    here = {source.key for source in sources}
    new = [source for source in sources if source.key not in journal.names]
    gone = [key for key in journal.names if key not in here] if new else []
    gone = [key for key in gone if not (keep and os.path.lexists(split_part(key)[0]))]
    ends = ((key, journal.done.get(key)) for key in gone)
    finished = {key: end.sha256 for key, end in ends if end and end.status == "ok"}
    found = dict(_again(new, finished))
    left = {source.key for source in new}.difference(found.values())
    places = {_apart(old, key) for old, key in found.items()}
    for key in gone:
        if key in found or (keep and key in finished):
            continue
        ways = (there + key.removeprefix(then) for then, there in places if key.startswith(then))
        if (now := next((way for way in ways if way in left), None)) is not None:
            found[key] = now
            left.remove(now)
    return found


def are_there(sources: Iterable[Source], finished: Mapping[str, str]) -> bool:
    """Tell whether any input of this run was finished before, there or elsewhere, given hashes by keys."""
    return any(True for _ in _again(sources, finished))


def tell_of_twice(outcomes: Iterable[Outcome], earlier: Iterable[Outcome]) -> None:
    """Warn of results of earlier runs that have the same planes as inputs of this run; they are kept, as all results.

    Such results are of files that a set brings along now, of a file of which several pictures are taken now, of a set
    whose first file is gone so that others are taken by themselves, of a file that was renamed, or of a copy.

    Parameters
    ----------
    outcomes : iterable of Outcome
        Of the inputs of this run.
    earlier : iterable of Outcome
        Of inputs that went well in earlier runs and are not in this one.
    """
    now = {mark for one in outcomes for mark in _marks(one) if one.status == "ok"}
    now |= {(what, "") for what, _ in now}  # a whole file stands for all of its pictures, too
    again = [one for one in earlier if one.nuclei and not now.isdisjoint(_marks(one))]
    if again:
        _logger.warning(
            "kept what was written of %s: inputs of today have the same planes (a file renamed, copied or taken "
            "differently), so the tables have their nuclei twice; to count them once begin anew in another folder",
            listed([one.name for one in again]),
        )


def _again(sources: Iterable[Source], finished: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Pair old keys with new ones, by name and content."""
    known: dict[tuple[str, str], deque[str]] = defaultdict(deque)
    for key, sha256 in finished.items():
        known[_name(key), sha256].append(key)
    names = {name for name, _ in known}
    for source in sources:
        name = _name(source.key)
        # Only inputs of the same name are read.
        if name in names and (olds := known.get((name, _hash(source)))):
            yield olds.popleft(), source.key


def _name(key: str) -> str:
    """Give the name of an input without its place: of a file, a picture in a file, a member or a field."""
    name = re.split(r"[/\\!]", key)[-1]
    field = name.rpartition("#")[2]
    return name if field.isdecimal() else field


def _apart(old: str, key: str) -> tuple[str, str]:
    """Take off the end that two keys have in common: for ``a/w1/x.tif`` and ``b/w1/x.tif``, a was moved to b."""
    pairs = zip(reversed(old), reversed(key), strict=False)
    same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
    return old[: len(old) - same], key[: len(key) - same]


def _marks(outcome: Outcome) -> set[tuple[str, str]]:
    """Give marks of the files of an input, their places and hashes, each with the picture that was taken."""
    found = _PICTURE.fullmatch(outcome.source)
    assert found is not None
    file, picture = found.groups("")
    files = outcome.files or {file: outcome.sha256}
    return {(what, picture) for item in files.items() for what in item}


def _hash(source: Source) -> str:
    """Compute the hash of an input; one that cannot be read has none."""
    try:
        return source.sha256()
    except InputError:
        return ""

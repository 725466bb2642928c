"""``nucleate demo``: sample images that come with the install, segmented."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import typer

from nucleate.apps.cli import batches
from nucleate.apps.cli.console import OutputOption, QuietOption, command_line, say
from nucleate.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.score.scores import Scores

__all__ = ["demo"]

_IMAGES = "images"
_OF_SYSTEMS = {"thumbs.db", "desktop.ini"}  # left in folders by the file managers of Windows


def demo(
    output: OutputOption = Path("nucleate-demo"),
    quiet: QuietOption = False,
) -> None:
    r"""Segment sample images: a stained tissue photograph, and drawn images whose truth is known.

    Nothing is fetched from a network. The pictures, their outlines and measurements are written to OUT, which holds
    nothing else: other results and pictures are refused.

    \b
    Example:
      nucleate demo -o demo
    """
    from nucleate.core.files import check_folder
    from nucleate.data.shown import write_pictures
    from nucleate.run.inputs import expand
    from nucleate.run.settings import BatchSettings

    check_folder(output)
    _refuse_others(output)
    segmenter = batches.load(None, device="auto", threads=None, chosen={})
    pictures, truth = write_pictures(output / _IMAGES)
    # As a run that is resumed, a second call shows the same results instead of refusing to overwrite them.
    settings = BatchSettings(resume=True, record={"command": command_line()})
    sources = expand(str(path) for path in pictures)
    summary = batches.run(sources, output, segmenter=segmenter, settings=settings, quiet=quiet)
    scores = _score(output, truth)
    if scores is not None:
        typer.echo(f"drawn images: Kaggle score {scores.kaggle:.3f}, AP at IoU 0.50 {scores.ap['0.50']:.3f}")
    if not quiet:
        say(f"look at {output / '*.overlay.png'} and {output / 'measurements.csv'}")
        say("your own images: nucleate segment IMAGES -o RESULTS")
    batches.close(summary, output, quiet=quiet, again="")


def _refuse_others(output: Path) -> None:
    """Refuse a folder that holds anything but an earlier demo, before anything is written."""
    from nucleate.data.shown import PICTURES
    from nucleate.run.journal import JOURNAL_NAME, sources_of

    journal = output / JOURNAL_NAME
    # By the ends of their paths, since the folder may have been moved; `write_pictures` compares the pixels.
    own = {(_IMAGES, f"{name}.png") for name in PICTURES}
    if any(PurePath(key).parts[-2:] not in own for key in sources_of(journal)):
        raise UsageError(f"{output} holds results of other images; choose another output folder")
    if not journal.exists():
        found = [*output.glob("[!.]*"), *output.glob(f"{_IMAGES}/[!.]*")]
        there = {path.relative_to(output).parts for path in found if path.name.lower() not in _OF_SYSTEMS}
        if others := there - own - {(_IMAGES,)}:
            raise UsageError(f"{output} holds {PurePath(*min(others))}; choose another output folder")


def _score(output: Path, truth: dict[str, NDArray[Any]]) -> Scores | None:
    import numpy as np

    from nucleate.io.images import read_image
    from nucleate.score.scores import evaluate_pairs

    files = {name: output / f"{name}.labels.tif" for name in truth}
    found = [(n, truth[n], read_image(f).pixels.astype(np.int32)) for n, f in files.items() if f.is_file()]
    return evaluate_pairs(found) if found else None

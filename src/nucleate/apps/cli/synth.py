"""``nucleate synth``: drawn images with exact truth."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations when the verb is registered
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nucleate.apps.cli.console import Bar, QuietOption, say
from nucleate.core.text import counted
from nucleate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["synth"]


def synth(
    out: Annotated[Path, typer.Option("--output", "-o", "--out", metavar="OUT", help="Folder for the images.")],
    images: Annotated[int, typer.Option("--images", min=1, help="How many images.")] = 10,
    size: Annotated[int, typer.Option("--size", min=8, max=20_000, help="Height and width in pixels.")] = 256,
    nuclei: Annotated[int, typer.Option("--nuclei", min=0, help="Nuclei in each, fewer where they do not fit.")] = 40,
    diameter: Annotated[
        float, typer.Option("--diameter", min=3, max=1000, help="Median diameter of a nucleus in pixels.")
    ] = 20,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same images.")] = 0,
    style: Annotated[
        Literal["fluorescence", "brightfield", "histology", "mixed"],
        typer.Option("--style", help="Bright on dark, dark on light, stained tissue in colour, or all in turn."),
    ] = "fluorescence",
    bits: Annotated[int, typer.Option("--bits", help="8 or 16.")] = 8,
    layout: Annotated[
        Literal["kaggle", "labels"],
        typer.Option("--layout", help="A PNG for every nucleus, or one label image for every image."),
    ] = "kaggle",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on in OUT with the same options; images that are there are left out.")
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Draw images of nuclei with exact truth, for trying out, teaching and testing.

    Example: nucleate synth -o drawn --images 20 --style mixed --seed 1
    """
    import numpy as np

    from nucleate.core.files import check_folder
    from nucleate.data.sample import Sample
    from nucleate.data.synth import STYLES, Scene, draw
    from nucleate.data.write import picture_file, write_sample

    def drawn(number: int) -> tuple[NDArray[Any], NDArray[np.int32]]:
        scene = Scene(size=(size, size), nuclei=nuclei, diameter=diameter, style=styles[number], bits=bits)
        # Each image has a stream of its own, so image 7 is the same however many are drawn.
        return draw(scene, np.random.default_rng([seed, number]))

    check_folder(out)
    styles = [STYLES[number % len(STYLES)] if style == "mixed" else style for number in range(images)]
    ids = [f"{name}-{number + 1:0{max(4, len(str(images)))}d}" for number, name in enumerate(styles)]
    files = [picture_file(out, image_id, layout=layout) for image_id in ids]
    if resume:
        _check_place(out, files, pattern=str(picture_file("", "*", layout=layout)), expected=lambda: drawn(0)[0])
    elif out.is_dir() and any(out.iterdir()):
        raise UsageError(f"{out} is there already and not empty; go on with --resume, or choose another folder")
    made = [number for number, file in enumerate(files) if not file.exists()]
    total = 0
    with Bar("images", len(made), quiet=quiet) as bar:
        for done, number in enumerate(made, start=1):
            image, labels = drawn(number)
            write_sample(out, Sample(ids[number], image, labels, group=ids[number]), layout=layout)
            total += int(labels.max(initial=0))
            bar.show(done)
    if not quiet:
        rest = f"; {images - len(made)} were there" if len(made) < images else ""
        say(f"{counted(len(made), 'image')} with {counted(total, 'nucleus', many='nuclei')} in {out}{rest}")


def _check_place(out: Path, files: Sequence[Path], *, pattern: str, expected: Callable[[], NDArray[Any]]) -> None:
    """Refuse a folder that holds anything but images of the same options; of the images the first is compared.

    Files of another run or layout would mix with the new truth.
    """
    import numpy as np

    from nucleate.core.files import HALF_WRITTEN
    from nucleate.io.images import read_image

    there = {path for path in out.glob(pattern) if HALF_WRITTEN not in str(path)}
    others = (path for path in out.rglob("[!.]*") if path.is_file() and HALF_WRITTEN not in str(path))
    if not there and all(path.parent.name == "labels" for path in others):
        return  # an earlier call was stopped before its first picture
    first = files[0]
    known = first in there and there.issubset(files)
    if not known or not np.array_equal(read_image(first).pixels, expected()):
        raise UsageError(f"{out} holds other images than these options draw; use those of before, or another folder")

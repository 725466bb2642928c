"""``nucleate synth``: drawn images with exact truth."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from nucleate.apps.cli.console import Bar, QuietOption, say

__all__ = ["synth"]


def synth(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the images; made if need be.")],
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
    quiet: QuietOption = False,
) -> None:
    """Draw images of nuclei with exact truth, for trying out, teaching and testing.

    Example: nucleate synth -o drawn --images 20 --style mixed --seed 1
    """
    import numpy as np

    from nucleate.data.sample import Sample
    from nucleate.data.synth import STYLES, Scene, draw
    from nucleate.data.write import write_sample
    from nucleate.errors import UsageError

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        # Leftovers of another run or layout would mix with the new truth.
        raise UsageError(f"{out} is there already and not empty; choose a new or empty folder with -o")
    width = max(4, len(str(images)))
    total = 0
    with Bar("images", images, quiet=quiet) as bar:
        for number in range(images):
            chosen = STYLES[number % len(STYLES)] if style == "mixed" else style
            scene = Scene(size=(size, size), nuclei=nuclei, diameter=diameter, style=chosen, bits=bits)
            # A stream of its own for every image: image 7 is the same however many are drawn.
            image, labels = draw(scene, np.random.default_rng([seed, number]))
            image_id = f"{chosen}-{number + 1:0{width}d}"
            write_sample(out, Sample(image_id, image, labels, group=image_id), layout=layout)
            total += int(labels.max(initial=0))
            bar.show(number + 1)
    if not quiet:
        say(f"{images} images with {total} nuclei in {out}")

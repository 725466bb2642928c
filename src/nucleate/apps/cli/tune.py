"""``nucleate tune``: post-processing numbers of a model chosen by score."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nucleate.apps.cli.console import Bar, QuietOption, ThreadsOption, say
from nucleate.apps.cli.training_options import TableOption, check_val, import_training, repeated, unseen
from nucleate.errors import UsageError

__all__ = ["tune"]


def tune(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Annotated images the model was not trained on.")],
    *,
    model: Annotated[str, typer.Option(metavar="NAME|PATH", help="The model; see: nucleate models.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="Folder for the model with its new card; its own if none."),
    ] = None,
    val: Annotated[
        str | None,
        typer.Option(
            metavar="FOLD|FRACTION",
            callback=check_val,
            help="Use this part of DATA only: the part held out of training.",
        ),
    ] = None,
    table: TableOption = None,
    only_joining: Annotated[
        bool,
        typer.Option("--only-joining", help="Keep all numbers but for those that join pieces of nuclei."),
    ] = False,
    spare: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Score to give up for numbers that are less bound to these images (smoother, lower)."
        ),
    ] = 0.0,
    threads: ThreadsOption = None,
    quiet: QuietOption = False,
) -> None:
    r"""Choose the numbers after the network by score, and store them in the model's card.

    Thresholds, smoothing, the least size, what joins pieces of nuclei, the predicted IoU of each nucleus and the limit
    under which nuclei are left out. The score that is told is cross-fitted: no image is scored with numbers that it had
    a say in. Images that the model was trained on, as far as its card tells, are left out. Without a gain the card
    stays as it is.

    \b
    Examples:
      nucleate tune my-images --model run/model.onnx --val 0
      nucleate tune my-images --model nucleate -o tuned
    """
    import_training("cpu", threads)
    from nucleate.core.cores import cores
    from nucleate.run.weights import check_free, find_model, list_models
    from nucleate.train.retune import retune, write_model

    files = find_model(model)
    if output is None and files.onnx in [shipped.onnx for shipped in list_models()]:
        raise UsageError(f"{files.card.name} belongs to the program; give a folder for the tuned model with -o")
    if output is not None:
        check_free(output, files.card)
    samples = unseen(files.card, data, val=val, table=table, quiet=quiet)
    with Bar("images", None, quiet=quiet) as bar:
        card, verdict = retune(
            files, samples, only_joining=only_joining, spare=spare, jobs=threads or cores(), tick=bar.stage
        )
    if card is not files.card:
        told = repeated(
            "tune", data, model=Path(model), output="TUNED", val=val and Path(val), table=table, spare=spare or None
        )
        told += " --only-joining" if only_joining else ""
        card = card.model_copy(update={"command": "; ".join(filter(None, (card.command, told)))})
    target = write_model(output, files, card=card)
    typer.echo(f"{target}: {verdict.line()}")
    if card is files.card and not quiet:
        say("the numbers stay as they were")

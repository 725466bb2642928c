"""``nucleate tune``: post-processing numbers of a model chosen by score."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations when the verb is registered
from typing import Annotated

import typer

from nucleate.apps.cli.console import DebugOption, ThreadsOption, say
from nucleate.apps.cli.training import TableOption, import_training, load_data, split_data
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
        typer.Option(metavar="FOLD|FRACTION", help="Use this part of DATA only: the part held out of training."),
    ] = None,
    table: TableOption = None,
    threads: ThreadsOption = None,
    debug: DebugOption = False,
) -> None:
    r"""Choose the numbers after the network by score, and store them in the model's card.

    Thresholds, smoothing, the least size, the predicted IoU of each nucleus and the limit under which nuclei are left
    out. The score that is told is cross-fitted: no image is scored with numbers that it had a say in. Without a gain
    the card stays as it is.

    \b
    Examples:
      nucleate tune my-images --model run/model.onnx
      nucleate tune my-images --model nucleate -o tuned
    """
    del debug  # read before the verb
    import_training("cpu", threads)
    from nucleate.core.cores import cores
    from nucleate.run.weights import check_free, find_model, list_models
    from nucleate.train.retune import retune, write_model

    files = find_model(model)
    if output is None and files.onnx in [shipped.onnx for shipped in list_models()]:
        raise UsageError(f"{files.card.name} belongs to the program; give a folder for the tuned model with -o")
    if output is not None:
        check_free(output, files.card)
    samples = load_data(data, table) if val is None else split_data(data, val, table=table)[1]
    card, verdict = retune(files, samples, jobs=threads or cores())
    target = write_model(output or files.onnx.parent, files, card=card)
    typer.echo(f"{target}: {verdict.line()}")
    if card is files.card:
        say("the numbers stay as they were")

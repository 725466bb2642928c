"""``nucleate export``: a model for other programs."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations when the verb is registered
from typing import Annotated, Literal

import typer

from nucleate.apps.cli.training_options import import_training

__all__ = ["export"]


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name of a model, or its file; see: nucleate models.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for it.")],
    to: Annotated[
        Literal["onnx", "torchscript", "bioimageio"],
        typer.Option("--to", help="ONNX with its card, TorchScript with its card, or a BioImage Model Zoo package."),
    ],
    author: Annotated[
        list[str] | None,
        typer.Option("--author", metavar="NAME", help="Who made the model, for a package of the zoo; may be repeated."),
    ] = None,
    licence: Annotated[
        str, typer.Option("--licence", metavar="NAME", help="For a package of the zoo, where the card names none.")
    ] = "",
) -> None:
    r"""Write a model for other programs; its maps are compared with the original's first.

    \b
    Examples:
      nucleate export nucleate -o out --to torchscript
      nucleate export run/model.onnx -o out --to bioimageio --author "Ada Lovelace" --licence CC-BY-4.0
    """
    import_training("cpu", None)
    from nucleate.run.weights import find_model
    from nucleate.train.exporting import export_model

    typer.echo(export_model(find_model(model), output, to=to, authors=author or [], licence=licence))

"""``nucleate models``: what is shipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nucleate.core.text import size_text

if TYPE_CHECKING:
    from nucleate.run.weights import ModelFiles

__all__ = ["models"]


def models(
    full: Annotated[bool, typer.Option("--full", help="Show every score and how it was trained.")] = False,
) -> None:
    r"""List the models that are installed: name, size, SHA-256, scores, licence.

    \b
    Example:
      nucleate models --full
    """
    from nucleate.run.weights import DEFAULT_MODEL, list_models

    found = list_models()
    if not found:
        typer.echo("no model is installed; give one with: nucleate segment INPUT -o OUT --model FILE.onnx")
    for model in found:
        typer.echo("\n".join(_lines(model, default=model.card.name == DEFAULT_MODEL, full=full)))


def _lines(model: ModelFiles, *, default: bool, full: bool) -> list[str]:
    card = model.card
    scores = list(_flat(card.scores))
    shown = scores if full else scores[:4]
    integers = card.sha256_int8 is not None and model.int8.is_file()
    lines = [
        f"{card.name}{'  (default)' if default else ''}",
        f"  {card.description}",
        f"  size     {size_text(model.onnx.stat().st_size)}",
        f"  sha256   {card.sha256}",
        *([f"  int8     {size_text(model.int8.stat().st_size)}, sha256 {card.sha256_int8}"] if integers else []),
        f"  scores   {', '.join(f'{name} {value}' for name, value in shown) or 'none noted'}",
        f"  licence  {card.licence or 'none noted'}",
    ]
    if full:
        lines += [f"  data     {card.data}", f"  command  {card.command}", f"  file     {model.onnx}"]
    return [line for line in lines if line.strip()]


def _flat(scores: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Write nested scores as ``set.score``."""
    found: list[tuple[str, str]] = []
    for name, value in scores.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", f"{value:.3f}" if isinstance(value, float) else str(value)))
    return found

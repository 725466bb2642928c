"""Write the list of verbs and options into docs/reference/cli.md, from the command line itself: `make reference`."""

from __future__ import annotations

import inspect
import re
import sys
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import typer

from nucleate.apps.cli.main import make_app

PAGE = Path(__file__).parent / "reference" / "cli.md"
MARK = "<!-- Below this line: written by `make reference`; change the help texts in src/nucleate/apps/cli instead. -->"

_KINDS = {int: "N", float: "NUMBER", Path: "PATH"}


def page() -> str:
    """Give the page as it should be: what stands above the mark, then a section for every verb."""
    above = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    commands = typer.main.get_command(make_app()).commands  # type: ignore[attr-defined]  # a group, once there are two verbs
    return above + MARK + "\n" + "".join(_section(name, commands[name]) for name in commands)


def _section(name: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    usage = " ".join(["nucleate", name, *(_metavar(a) for a in arguments), *(["[OPTIONS]"] if options else [])])
    text = inspect.cleandoc(command.help or "").split("\f")[0].strip()
    # Examples are code on the page. \b tells typer to keep the lines of a paragraph as they are.
    text = re.sub(r"^(Examples?): (nucleate .*)$", r"\1: `\2`", text, flags=re.MULTILINE)
    text = re.sub(
        r"^(?:\x08|\\b)\n(.*)\n((?:  .*\n?)+)",
        lambda m: f"{m[1]}\n\n```text\n{inspect.cleandoc(m[2])}\n```\n",
        text,
        flags=re.M,
    )
    text = text.rstrip()
    rows = [(f"`{_metavar(a)}`", a) for a in arguments]
    rows += [(", ".join(f"`{form}`" for form in [*o.opts, *o.secondary_opts]) + _value(o), o) for o in options]
    table = "".join(f"| {_cell(form)} | {_cell(_meaning(p))} |\n" for form, p in rows)
    head = f"\n## nucleate {name}\n\n```text\n{usage}\n```\n\n{text}\n"
    return head + (f"\n| argument or option | meaning |\n|---|---|\n{table}" if rows else "")


def _metavar(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    return str(name) + ("..." if parameter.nargs == -1 and not name.endswith("...") else "")


def _value(option: Any) -> str:
    if option.is_flag:
        return ""
    annotation = getattr(getattr(option, "type_descriptor", None), "annotation", str)
    choices = "|".join(str(getattr(c, "value", c)) for c in get_args(annotation) or _members(annotation))
    return f" `{option.metavar or choices or _KINDS.get(annotation, 'TEXT')}`"


def _members(annotation: Any) -> list[Enum]:
    return list(annotation) if isinstance(annotation, type) and issubclass(annotation, Enum) else []


def _meaning(parameter: Any) -> str:
    default = parameter.default
    if isinstance(default, list):
        default = ",".join(default)
    given = default is not None and default is not False and not callable(default) and default not in ("", ())
    shown = given and parameter.param_type_name == "option"
    return f"{parameter.help or ''}" + (f" Default: `{getattr(default, 'value', default)}`." if shown else "")


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stderr.write(f"written: {PAGE}\n")

"""Do numpydoc sections say what the signature says? Each rule gives a list of offences, ``LINE: what``."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from tests.house_rules import Function, parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

SECTIONS = (
    "Parameters",
    "Returns",
    "Yields",
    "Raises",
    "Attributes",
    "Notes",
    "References",
    "Examples",
    "See Also",
    "Warns",
)


def sections(docstring: str) -> dict[str, list[str]]:
    """Split a cleaned docstring into its numpydoc sections: title -> lines."""
    lines = docstring.splitlines()
    starts = [i for i, line in enumerate(lines[:-1]) if line in SECTIONS and set(lines[i + 1]) == {"-"}]
    ends = [*starts[1:], len(lines)]
    return {lines[start]: lines[start + 2 : end] for start, end in zip(starts, ends, strict=False)}


def documented(lines: list[str]) -> list[str]:
    """List the names a Parameters or Attributes section describes; ``a, b : int`` is two."""
    heads = [line for line in lines if line and not line.startswith(" ")]
    names = [name.strip().lstrip("*") for head in heads for name in head.split(" : ")[0].split(",")]
    return [name for name in names if re.fullmatch(r"\w+", name)]


def missing_docstrings(tree: ast.Module) -> list[str]:
    """Find public modules, classes, functions and methods that say nothing about themselves."""
    found = [] if ast.get_docstring(tree) else ["1: the module has no docstring"]
    silent = (node for node in public_names(tree) if not ast.get_docstring(node))
    return found + [f"{node.lineno}: {node.name} has no docstring" for node in silent]


def false_parameters(tree: ast.Module) -> list[str]:
    """Find Parameters sections that leave a parameter out or name one that is not there."""
    found = []
    for node in public_names(tree):
        parts = sections(ast.get_docstring(node) or "")
        if "Parameters" not in parts:
            continue
        said = documented(parts["Parameters"]) + documented(parts.get("Attributes", []))
        real = _fields(node) if isinstance(node, ast.ClassDef) else [*parameters(node), *_stars(node)]
        if sorted(said) != sorted(real):
            found.append(f"{node.lineno}: {node.name} documents ({', '.join(said)}) and takes ({', '.join(real)})")
    return found


def public_names(tree: ast.Module) -> Iterator[Function | ast.ClassDef]:
    """Give the public functions and classes of a module and the public methods of these classes."""
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        yield node
        for child in node.body if isinstance(node, ast.ClassDef) else []:
            overload = isinstance(child, ast.FunctionDef) and any(
                "overload" in ast.unparse(d) for d in child.decorator_list
            )
            if (
                isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
                and not child.name.startswith("_")
                and not overload
            ):
                yield child


def _stars(node: Function) -> list[str]:
    return [star.arg for star in (node.args.vararg, node.args.kwarg) if star is not None]


def _fields(node: ast.ClassDef) -> list[str]:
    for child in node.body:
        if isinstance(child, ast.FunctionDef) and child.name == "__init__":
            return [*parameters(child), *_stars(child)]
    fields = []
    for child in node.body:
        if not isinstance(child, ast.AnnAssign) or not isinstance(child.target, ast.Name):
            continue
        hidden = child.value is not None and "init=False" in ast.unparse(child.value)
        if not child.target.id.startswith("_") and "ClassVar" not in ast.unparse(child.annotation) and not hidden:
            fields.append(child.target.id)
    return fields

"""The house rules that no linter sees, each a function from a syntax tree (or text) to a list of offences.

An offence is one line, ``LINE: what``. test_surface.py applies the rules and shows each of them a planted offender.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_BODY_LINES = 60
MOST_FILE_LINES = 400
MOST_PARAMETERS = 8
MOST_POSITIONAL = 2
EMPTY_NAMES = {"util", "utils", "misc", "helper", "helpers", "common", "shared", "tools"}

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    """Give every function and method, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def parameters(node: Function) -> list[str]:
    """List the parameters a caller gives, without self and cls, ``*args`` and ``**kwargs``."""
    names = [a.arg for a in [*node.args.posonlyargs, *node.args.args]]
    return [*_without_self(node, names), *(a.arg for a in node.args.kwonlyargs)]


def is_fixture_or_test(node: Function) -> bool:
    """Tell whether pytest fills the parameters in by name: a test, a fixture or a hook of conftest.py."""
    return node.name.startswith(("test_", "pytest_")) or any("fixture" in ast.unparse(d) for d in node.decorator_list)


def is_drawn(node: Function) -> bool:
    """Tell whether hypothesis gives the first parameter (``draw``)."""
    return any("composite" in ast.unparse(d) for d in node.decorator_list)


def is_verb(node: Function) -> bool:
    """Tell whether typer fills the parameters in by name: a command or a callback of the command line."""
    marks = [ast.unparse(d) for d in node.decorator_list]
    marks += [ast.unparse(a.annotation) for a in [*node.args.args, *node.args.kwonlyargs] if a.annotation is not None]
    return any(re.search(r"\.(command|callback)\b|typer\.(Option|Argument)", mark) for mark in marks)


def long_bodies(tree: ast.Module) -> list[str]:
    """Find function bodies, docstring left out, of more than 60 lines."""
    found = []
    for node in functions(tree):
        body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
        lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
        if lines > MOST_BODY_LINES:
            found.append(f"{node.lineno}: {node.name} has a body of {lines} lines, at most {MOST_BODY_LINES}")
    return found


def long_file(source: str) -> list[str]:
    """Find a file of more than 400 lines."""
    lines = source.count("\n")
    return [f"1: {lines} lines, at most {MOST_FILE_LINES}"] if lines > MOST_FILE_LINES else []


def many_parameters(tree: ast.Module) -> list[str]:
    """Find functions of more than 8 parameters."""
    found = []
    for node in functions(tree):
        count = len(parameters(node))
        if count > MOST_PARAMETERS and not (is_verb(node) or is_fixture_or_test(node)):
            found.append(f"{node.lineno}: {node.name} takes {count} parameters, at most {MOST_PARAMETERS}")
    return found


def many_positional(tree: ast.Module) -> list[str]:
    """Find functions that take more than two parameters by position."""
    inner = {id(child) for node in functions(tree) for child in ast.walk(node) if child is not node}
    found = []
    for node in functions(tree):
        if id(node) in inner:  # handed on as a callback: whoever takes it fixes how it is called
            continue
        named = _without_self(node, [a.arg for a in [*node.args.posonlyargs, *node.args.args]])
        if is_verb(node) or is_fixture_or_test(node) or is_drawn(node) or _is_protocol(node):
            continue
        if len(named) > MOST_POSITIONAL:
            found.append(f"{node.lineno}: {node.name} takes {', '.join(named)} by position; only the first two, then *")
    return found


def empty_asserts(tree: ast.Module) -> list[str]:
    """Find asserts that hold by their form: on a list, tuple, dict, set or constant."""
    hollow = (ast.List, ast.Tuple, ast.Dict, ast.Set, ast.Constant, ast.JoinedStr, ast.ListComp, ast.GeneratorExp)
    asserts = (node for node in ast.walk(tree) if isinstance(node, ast.Assert))
    return [
        f"{n.lineno}: assert on {type(n.test).__name__} says nothing" for n in asserts if isinstance(n.test, hollow)
    ]


def chained_is(tree: ast.Module) -> list[str]:
    """Find chains such as ``a is None == b``, which do not mean what they say."""
    chains = (n for n in ast.walk(tree) if isinstance(n, ast.Compare) and len(n.ops) > 1)
    return [
        f"{node.lineno}: chained comparison with `is`: {ast.unparse(node)}"
        for node in chains
        if any(isinstance(operator, ast.Is | ast.IsNot) for operator in node.ops)
    ]


def silent_tests(tree: ast.Module) -> list[str]:
    """Find test functions that assert nothing, neither themselves nor through a function of the same file."""
    local = {node.name: node for node in functions(tree)}
    sure: dict[str, bool] = {}

    def asserts(node: Function) -> bool:
        if node.name not in sure:
            sure[node.name] = False  # stops at recursion
            sure[node.name] = any(_is_assertion(child) for child in ast.walk(node)) or any(
                asserts(local[name]) for name in _called_names(node) if name in local
            )
        return sure[node.name]

    tests = [node for node in local.values() if node.name.startswith("test_")]
    return [f"{node.lineno}: {node.name} asserts nothing" for node in tests if not asserts(node)]


def unfinished(source: str) -> list[str]:
    """Find comments that put work off."""
    words = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HACK)\b")
    comments = (t for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type == tokenize.COMMENT)
    return [f"{t.start[0]}: {t.string.strip()}" for t in comments if words.search(t.string)]


def empty_names(names: list[str]) -> list[str]:
    """Find modules whose name says nothing about what is in them."""
    return [f"1: a module called {name}" for name in names if name.strip("_") in EMPTY_NAMES]


def printing(tree: ast.Module) -> list[str]:
    """Find calls of print."""
    calls = (n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name))
    return [f"{n.lineno}: print" for n in calls if isinstance(n.func, ast.Name) and n.func.id == "print"]


def undeclared(tree: ast.Module) -> list[str]:
    """Compare `__all__` with the public names that the module defines: functions, classes, constants."""
    public: dict[str, int] = {}
    declared: list[str] | None = None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            public[node.name] = node.lineno
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [t.id for t in targets if isinstance(t, ast.Name)]
            if names == ["__all__"] and isinstance(node.value, ast.List | ast.Tuple):
                declared = [
                    e.value for e in node.value.elts if isinstance(e, ast.Constant) and isinstance(e.value, str)
                ]
            public.update(dict.fromkeys(names, node.lineno))
    public = {name: line for name, line in public.items() if not name.startswith("_")}
    if declared is None:
        return [f"1: no __all__ for {', '.join(public)}"] if public else []
    found = [f"{line}: {name} is public and not in __all__" for name, line in public.items() if name not in declared]
    known = {*public, "__version__", *_imported_names(tree)}
    lazy = any(isinstance(node, ast.FunctionDef) and node.name == "__getattr__" for node in tree.body)
    return found + [
        f"1: __all__ names {name}, which is not here" for name in declared if not lazy and name not in known
    ]


def _without_self(node: Function, names: list[str]) -> list[str]:
    plain = not any(ast.unparse(d) == "staticmethod" for d in node.decorator_list)
    return names[1:] if plain and names and names[0] in {"self", "cls"} else names


def _is_protocol(node: Function) -> bool:
    # Python calls these by position: __exit__, __setitem__ and their like. __init__ is called by us.
    return (
        node.name.startswith("__") and node.name.endswith("__") and node.name not in {"__init__", "__call__", "__new__"}
    )


def _is_assertion(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert):
        return True
    if not isinstance(node, ast.Call):
        return False
    called = ast.unparse(node.func)
    return bool(re.search(r"(^|\.)(assert_\w+|raises|warns|fail|check_\w+|testing\.\w+)$", called))


def _called_names(node: ast.AST) -> set[str]:
    calls = {ast.unparse(n.func).rpartition(".")[2] for n in ast.walk(node) if isinstance(n, ast.Call)}
    # A function handed on, as in parametrize or a thread's target, counts as well.
    return calls | {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def _imported_names(tree: ast.Module) -> set[str]:
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
    return {(alias.asname or alias.name).split(".")[0] for node in imports for alias in node.names}
